//! busgrant: see [`busgrant`].

use std::process::ExitCode;

use busgrant::cli::Arguments;
use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    match Arguments::parse().run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("busgrant: {error:#}");
            ExitCode::FAILURE
        }
    }
}
