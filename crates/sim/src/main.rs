//! The simulator as a program.

use std::io::Write;

use busgrant_sim::{Config, Sim};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let config = Config::parse();
    // Before the line that says ready: who reads it may send a signal at once. As PID 1 there is no default for them.
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let sim = Sim::start(config).await?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "listening on {}", sim.endpoint())?;
    stdout.flush()?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    drop(sim);
    Ok(())
}
