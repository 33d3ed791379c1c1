//! What a bus was last seen to hold, so that a look over all buses costs no flight where nothing changed.

use std::hash::{DefaultHasher, Hash, Hasher};

use busgrant_policy::Document;
use busgrant_policy::document::LiveStatement;
use tokio::time::Instant;

/// The policy of a bus as it was last seen, in three numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct SeenPolicy {
    /// Of the text, which need not be parsed where it is the same.
    text: u64,
    /// Of the statements in whatever order.
    statements: u64,
    /// When that was last confirmed.
    pub(super) at: Instant,
}

impl SeenPolicy {
    /// Of a policy that can be read.
    pub(super) fn of(policy: Option<&str>) -> Option<Self> {
        let document = Document::parse(policy).ok()?;
        Some(Self { text: digest(&policy), statements: digest_of(&document), at: Instant::now() })
    }

    /// Whether a policy holds the same; then it is as of now.
    pub(super) fn confirm(&mut self, policy: Option<&str>) -> bool {
        if self.text == digest(&policy) {
            self.at = Instant::now();
            return true;
        }
        let Some(other) = Self::of(policy).filter(|other| other.statements == self.statements) else {
            return false;
        };
        *self = other;
        true
    }
}

/// A number that says whether two reads hold the same statements, in whatever order.
fn digest_of(document: &Document) -> u64 {
    let mut texts: Vec<&str> = document.statements().iter().map(LiveStatement::text).collect();
    texts.sort_unstable();
    digest(&(document.knows_variables(), texts))
}

fn digest(what: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}
