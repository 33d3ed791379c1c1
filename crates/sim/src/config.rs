//! How a simulator starts, and what can be changed while it runs: also the program's flags.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, ValueEnum};
use serde::{Deserialize, Serialize};

/// What parallel writes to one bus do to each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "camelCase")]
pub enum Semantics {
    /// Both are answered 200 and the last one's document stands, as reported of the real service
    /// (hashicorp/terraform-provider-aws #2888). Visible with a gap between read and write.
    #[default]
    LastWriterWins,
    /// The later one gets `ConcurrentModificationException` (aws-solutions/quota-monitor-for-aws #18).
    ConflictDetection,
}

/// What can be changed while the simulator runs, by the handle or `PUT /_sim/settings`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Args)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// What parallel writes to one bus do to each other.
    #[arg(long, env = "BUSGRANT_SIM_SEMANTICS", value_enum, default_value_t)]
    pub semantics: Semantics,
    /// Milliseconds between a write's reading the policy and its writing it.
    #[arg(long, env = "BUSGRANT_SIM_GAP_MILLIS", default_value_t = 0)]
    pub gap_millis: u64,
    /// Milliseconds until a change governs `PutEvents`; reads show it at once. Observed: 8 to 19 s.
    #[arg(long, env = "BUSGRANT_SIM_EFFECT_DELAY_MILLIS", default_value_t = 0)]
    pub effect_delay_millis: u64,
    /// Milliseconds that reads go on to show the ARN of a deleted role. Observed: more than a call, less than 60 s.
    #[arg(long, env = "BUSGRANT_SIM_ROLE_DELETION_LAG_MILLIS", default_value_t = 0)]
    pub role_deletion_lag_millis: u64,
    /// The most characters a policy may have: 10,240 by default, quota L-FC354966 (aws-observations #4).
    #[arg(long, env = "BUSGRANT_SIM_POLICY_QUOTA", default_value_t = 10_240)]
    pub policy_quota: usize,
}

impl Default for Settings {
    fn default() -> Self {
        let semantics = Semantics::default();
        Self { semantics, gap_millis: 0, effect_delay_millis: 0, role_deletion_lag_millis: 0, policy_quota: 10_240 }
    }
}

/// How a simulator starts.
#[derive(Debug, Clone, Parser)]
#[command(
    version,
    about = "A simulated Amazon EventBridge, with STS, that answers as the real one was observed to and fails on demand"
)]
pub struct Config {
    /// Where to listen. Port 0 takes a free one.
    #[arg(long, env = "BUSGRANT_SIM_LISTEN", default_value = "127.0.0.1:4010")]
    pub listen: SocketAddr,
    /// What can be changed later.
    #[command(flatten)]
    pub settings: Settings,
    /// The accounts that exist, separated by commas; none given, every one does, save 000000000000.
    #[arg(long = "known-account", env = "BUSGRANT_SIM_KNOWN_ACCOUNT", value_delimiter = ',')]
    pub known_accounts: Vec<String>,
    /// Accounts that do not exist.
    #[arg(long = "nonexistent-account", env = "BUSGRANT_SIM_NONEXISTENT_ACCOUNT", value_delimiter = ',')]
    pub nonexistent_accounts: Vec<String>,
    /// How many calls, and how many changes, the journal keeps.
    #[arg(long, env = "BUSGRANT_SIM_JOURNAL_ENTRIES", default_value_t = 100_000)]
    pub journal_entries: usize,
    /// How many bytes the journal keeps, roughly.
    #[arg(long, env = "BUSGRANT_SIM_JOURNAL_BYTES", default_value_t = 64 << 20)]
    pub journal_bytes: usize,
    /// A file that gets every finished call and every change as a line of JSON.
    #[arg(long = "journal", env = "BUSGRANT_SIM_JOURNAL", value_name = "FILE")]
    pub journal_file: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            settings: Settings::default(),
            known_accounts: Vec::new(),
            nonexistent_accounts: Vec::new(),
            journal_entries: 100_000,
            journal_bytes: 64 << 20,
            journal_file: None,
        }
    }
}
