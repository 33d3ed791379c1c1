//! What busgrant costs, measured on the program itself: the release binary as a process, a real Kubernetes control plane,
//! and the simulator. Prints a Markdown table of what was measured against what must be reached.
//!
//!   cargo bench --bench cost [-- [ROW...] [--objects N] [--rest SECONDS] [--samples N]]
//!
//! docs/performance.md says what the rows are and what they came to. The exit code is 1 where a target is missed.

mod burst;
mod cluster;
mod conflicts;
mod edits;
mod latency;
mod operator;
mod plane;
mod report;
mod stage;
mod watch;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};

use report::Table;

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Row {
    /// From apply to Ready, one at a time.
    Latency,
    /// Concurrent modifications in a row.
    Conflicts,
    /// Many permissions of one bus edited at once.
    Burst,
    /// Edits at a steady rate over many buses.
    Edits,
    /// Many permissions in sync: calls, memory, start, rest.
    Cluster,
}

/// Measures what busgrant costs, against what must be reached.
#[derive(Debug, Parser)]
struct Flags {
    /// What to measure; everything where nothing is said.
    #[arg(value_enum)]
    rows: Vec<Row>,

    /// How many permissions the cluster has, 20 on each bus. The targets are those of 10,000.
    #[arg(long, default_value_t = 10_000)]
    objects: usize,

    /// How many seconds the operator is looked at while it has nothing to do.
    #[arg(long, default_value_t = 120)]
    rest: u64,

    /// How many changes are timed, one at a time.
    #[arg(long, default_value_t = 200)]
    samples: usize,

    /// What cargo says to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let flags = Flags::parse();
    let rows = if flags.rows.is_empty() { Row::value_variants() } else { &flags.rows };
    let mut table = Table::default();
    for row in rows {
        let started = Instant::now();
        eprintln!("{row:?}");
        match row {
            Row::Latency => latency::measure(&mut table, flags.samples).await?,
            Row::Conflicts => conflicts::measure(&mut table).await?,
            Row::Burst => burst::measure(&mut table).await?,
            Row::Edits => edits::measure(&mut table).await?,
            Row::Cluster => cluster::measure(&mut table, flags.objects, Duration::from_secs(flags.rest)).await?,
        }
        eprintln!("{row:?}: {} s", started.elapsed().as_secs());
    }
    print!("{table}");
    Ok(if table.is_met() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
