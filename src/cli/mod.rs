//! The commands. Each flag is also an environment variable, and the SDK's own variables say which AWS.

mod controller;
mod log;
mod serve;
#[cfg(feature = "otlp")]
mod traces;

use clap::{Parser, Subcommand};

use crate::api::crd_yaml;

/// Manages who may put events on an Amazon EventBridge event bus, from Kubernetes objects.
#[derive(Debug, Parser)]
#[command(name = "busgrant", version, about, max_term_width = 100)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch EventBusPermission objects and make the buses' policies hold what they say.
    Controller(Box<controller::Flags>),
    /// Print the CustomResourceDefinition, for kubectl apply.
    Crds,
}

impl Arguments {
    /// Does what the arguments say.
    pub async fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Controller(flags) => Box::pin(controller::run(*flags)).await,
            Command::Crds => print(&crd_yaml()?),
        }
    }
}

/// Prints; a reader that has seen enough is no failure.
fn print(text: &str) -> anyhow::Result<()> {
    use std::io::{ErrorKind, Write};
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
