//! How a simulator starts, and what can be changed while it runs.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What parallel writes to one bus do to each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// What parallel writes do to each other.
    pub semantics: Semantics,
    /// Time between a write's reading the policy and its writing it.
    pub gap_millis: u64,
    /// How long a change takes to govern PutEvents; reads show it at once. Observed: 8 to 19 s.
    pub effect_delay_millis: u64,
    /// How long reads go on to show the ARN of a deleted role. Observed: more than a call, less than 60 s.
    pub role_deletion_lag_millis: u64,
    /// The most characters a policy may have: 10,240 by default, quota L-FC354966 (aws-observations #4).
    pub policy_quota: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            semantics: Semantics::default(),
            gap_millis: 0,
            effect_delay_millis: 0,
            role_deletion_lag_millis: 0,
            policy_quota: 10_240,
        }
    }
}

/// How a simulator starts.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// What can be changed later.
    pub settings: Settings,
    /// 12-digit accounts that do not exist. All others do, save `000000000000`.
    pub nonexistent_accounts: BTreeSet<String>,
    /// The only accounts that exist, when there are any.
    pub known_accounts: BTreeSet<String>,
    /// How many calls, and how many changes, the journal keeps.
    pub journal_entries: usize,
    /// How many bytes of inputs and policies the journal keeps.
    pub journal_bytes: usize,
    /// A file that gets every finished call and every change as a line of JSON.
    pub journal_file: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            settings: Settings::default(),
            nonexistent_accounts: BTreeSet::new(),
            known_accounts: BTreeSet::new(),
            journal_entries: 100_000,
            journal_bytes: 64 << 20,
            journal_file: None,
        }
    }
}
