//! The commands. Each flag is also an environment variable, and the SDK's own variables say which AWS.

mod allowed;
mod controller;
mod desk;
mod diff;
mod log;
mod manifests;
mod plan;
mod render;
mod serve;
#[cfg(feature = "otlp")]
mod traces;
mod validate;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

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
    /// Show the calls that the controller would make for manifests, and the policy that they lead to. Exits with 0 where
    /// nothing would change, 1 where something would, 2 where something can't be served.
    Plan(Box<plan::Flags>),
    /// Check manifests as the API server and the controller would, without either. Exits with 0 where they are valid, 1 where
    /// something is wrong with them, 2 where that can't be told.
    Validate(Box<validate::Flags>),
    /// Print the policy that would stand for manifests, on a bus that has nothing else.
    Render(Box<desk::Objects>),
    /// Print the CustomResourceDefinition, for kubectl apply.
    Crds,
    /// Print what completes these commands in a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// How a command ends, as diff(1) does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// Nothing would change, or nothing is wrong.
    Same,
    /// Something would, or is.
    Different,
    /// It can't be told, or not everything can be served.
    Trouble,
}

impl Arguments {
    /// Does what the arguments say; says on standard error why it can't.
    pub async fn run(self) -> ExitCode {
        // 1 says that there are changes, where a command shows them.
        let failed =
            if matches!(self.command, Command::Plan(_) | Command::Render(_) | Command::Validate(_)) { 2 } else { 1 };
        match self.command.run().await {
            Ok(Ended::Same) => ExitCode::SUCCESS,
            Ok(Ended::Different) => ExitCode::from(1),
            Ok(Ended::Trouble) => ExitCode::from(2),
            Err(error) => {
                eprintln!("busgrant: {error:#}");
                ExitCode::from(failed)
            }
        }
    }
}

impl Command {
    async fn run(self) -> anyhow::Result<Ended> {
        match self {
            Self::Controller(flags) => Box::pin(controller::run(*flags)).await?,
            Self::Plan(flags) => return Box::pin(plan::run(&flags)).await,
            Self::Validate(flags) => return validate::run(&flags),
            Self::Render(objects) => return render::run(&objects),
            Self::Crds => print(&crd_yaml()?)?,
            Self::Completions { shell } => {
                let mut text = Vec::new();
                clap_complete::generate(shell, &mut Arguments::command(), "busgrant", &mut text);
                print(&String::from_utf8(text)?)?;
            }
        }
        Ok(Ended::Same)
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
