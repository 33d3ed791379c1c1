//! What whoever installs the controller decides.

use std::time::Duration;

use busgrant_policy::{AccountId, DocumentWrites, Owner};

use crate::api::Consent;

/// The settings of one controller.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The part of the Sids that makes statements ours.
    pub owner: Owner,
    /// The account that the credentials must belong to, where that is said.
    pub account: Option<AccountId>,
    /// Namespaces to serve; all where empty.
    pub namespaces: Vec<String>,
    /// What statements may say beyond what is safe.
    pub consent: Consent,
    /// Whether the whole policy may be replaced where nothing narrower can say a statement.
    pub document_writes: DocumentWrites,
    /// The policy size quota, in characters.
    pub policy_quota: usize,
    /// How often the buses are looked over for changes by others.
    pub sweep_interval: Duration,
    /// How long after it was sent a call without an answer may still take effect.
    pub outcome_wait: Duration,
    /// How many calls a second may be made in one account and Region.
    pub requests_per_second: u32,
    /// How many objects are worked on at a time.
    pub concurrency: u16,
}
