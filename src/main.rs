//! busgrant: see [`busgrant`].

use std::process::ExitCode;

use busgrant::cli::Arguments;
use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    Arguments::parse().run().await
}
