//! What whoever installs the controller allows on every bus: flags that it and the commands beside it share, so that they can't
//! come to different plans.

use busgrant_policy::DocumentWrites;
use clap::{Args, ValueEnum};

use crate::api::Consent;

/// What is allowed.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Allowed {
    /// Allow statements that are open to anyone in AWS.
    #[arg(long, env = "BUSGRANT_ALLOW_PUBLIC", num_args = 0..=1, default_value_t = false, default_missing_value = "true", action = clap::ArgAction::Set)]
    allow_public: bool,

    /// Whether a bus's whole policy may be replaced for statements that nothing narrower can say. Deny it where other
    /// tools write the same policies.
    #[arg(long, env = "BUSGRANT_DOCUMENT_WRITES", default_value = "allow", value_enum)]
    document_writes: Writes,

    /// The quota of characters in a bus's policy (L-FC354966), if AWS raised it for the account.
    #[arg(long, env = "BUSGRANT_POLICY_QUOTA", default_value_t = 10_240)]
    pub(super) policy_quota: usize,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Writes {
    Allow,
    Deny,
}

impl Allowed {
    /// What statements may say beyond what is safe.
    pub(super) fn consent(self) -> Consent {
        Consent { allow_public: self.allow_public }
    }

    /// Whether whole policies may be written.
    pub(super) fn document_writes(self) -> DocumentWrites {
        match self.document_writes {
            Writes::Allow => DocumentWrites::Allow,
            Writes::Deny => DocumentWrites::Deny,
        }
    }
}
