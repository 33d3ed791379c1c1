//! The simulator as a program.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use busgrant_sim::{Config, Semantics, Settings, Sim};
use clap::{Parser, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

/// A simulated Amazon EventBridge, with STS, that answers as the real one was observed to and fails on demand.
#[derive(Debug, Parser)]
#[command(version)]
struct Flags {
    /// Where to listen. Port 0 takes a free one.
    #[arg(long, env = "BUSGRANT_SIM_LISTEN", default_value = "127.0.0.1:4010")]
    listen: SocketAddr,
    /// The most characters that a bus's policy may have (AWS quota L-FC354966).
    #[arg(long, env = "BUSGRANT_SIM_POLICY_QUOTA", default_value_t = 10_240)]
    policy_quota: usize,
    /// An account that exists; all others then do not. May be repeated.
    #[arg(long = "known-account", env = "BUSGRANT_SIM_KNOWN_ACCOUNT", value_delimiter = ',', value_parser = account)]
    known_accounts: Vec<String>,
    /// An account that does not exist, besides 000000000000. May be repeated.
    #[arg(long = "nonexistent-account", env = "BUSGRANT_SIM_NONEXISTENT_ACCOUNT", value_delimiter = ',', value_parser = account)]
    nonexistent_accounts: Vec<String>,
    /// What parallel writes to one bus do to each other.
    #[arg(long, env = "BUSGRANT_SIM_SEMANTICS", value_enum, default_value_t = WriteSemantics::LastWriterWins)]
    semantics: WriteSemantics,
    /// Milliseconds between a write's reading the policy and its writing it.
    #[arg(long, env = "BUSGRANT_SIM_GAP_MILLIS", default_value_t = 0)]
    gap_millis: u64,
    /// Milliseconds until a change governs PutEvents.
    #[arg(long, env = "BUSGRANT_SIM_EFFECT_DELAY_MILLIS", default_value_t = 0)]
    effect_delay_millis: u64,
    /// A file that gets every finished call and every change as a line of JSON.
    #[arg(long, env = "BUSGRANT_SIM_JOURNAL", value_name = "FILE")]
    journal: Option<PathBuf>,
    /// How many calls, and how many changes, the journal keeps in memory.
    #[arg(long, env = "BUSGRANT_SIM_JOURNAL_ENTRIES", default_value_t = 100_000)]
    journal_entries: usize,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum WriteSemantics {
    LastWriterWins,
    ConflictDetection,
}

fn account(text: &str) -> Result<String, String> {
    let twelve_digits = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    if twelve_digits {
        Ok(text.to_owned())
    } else {
        Err("an account has 12 digits".to_owned())
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let flags = Flags::parse();
    let config = Config {
        listen: flags.listen,
        settings: Settings {
            semantics: match flags.semantics {
                WriteSemantics::LastWriterWins => Semantics::LastWriterWins,
                WriteSemantics::ConflictDetection => Semantics::ConflictDetection,
            },
            gap_millis: flags.gap_millis,
            effect_delay_millis: flags.effect_delay_millis,
            policy_quota: flags.policy_quota,
            ..Settings::default()
        },
        nonexistent_accounts: flags.nonexistent_accounts.into_iter().collect(),
        known_accounts: flags.known_accounts.into_iter().collect(),
        journal_entries: flags.journal_entries,
        journal_file: flags.journal,
        ..Config::default()
    };
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
