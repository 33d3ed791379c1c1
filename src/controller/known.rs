//! What is known of a bus before a flight reads it: a read of before that may save one, and what stood then.

use busgrant_policy::{Claim, Document, Step};
use tokio::time::Instant;

use super::flight::Flight;
use super::memory::LastRead;
use crate::port::EventBuses;

impl<B: EventBuses> Flight<'_, B> {
    /// A read of an earlier flight, where it saves one: in a change of two stages the read between them checks everything
    /// that the first was planned on.
    ///
    /// The first look at all buses will do as well where it shows nothing to do.
    pub(super) fn usable(&mut self, read: LastRead) -> Option<Document> {
        let is_first = !self.memory.has_landed;
        let confirmed = self.memory.confirmed.or_else(|| is_first.then_some(read.at))?;
        let young = confirmed.elapsed() < 2 * self.context.settings.sweep_interval;
        if !young || (!is_first && self.memory.is_outcome_open(Instant::now())) {
            return None;
        }
        let document = Document::parse(read.policy.as_deref()).ok()?;
        let (plan, _) = self.plan_with(&document, &self.limits(), false);
        let two_stages = 0 < plan.before_read && plan.before_read < plan.steps.len();
        let narrow = !plan.steps.iter().any(|step| matches!(step, Step::PutDocument { .. }));
        let confirms = is_first && plan.steps.is_empty() && plan.findings.is_empty();
        if !confirms && (is_first || !two_stages || !narrow) {
            return None;
        }
        self.read_at = read.at;
        self.policy = read.policy;
        Some(document)
    }

    /// The claims that stood at a read.
    pub(super) fn standing(&self, read: &LastRead) -> Vec<Claim> {
        let document = Document::parse(read.policy.as_deref()).unwrap_or_default();
        let mut claims = self.roster.claims(false);
        claims.retain(|claim| document.holds(claim.statement.sid.as_str(), &claim.statement.meaning()));
        claims
    }

    /// What stood at the last landing and no longer does was changed by somebody else, unless it may have been us.
    pub(super) fn notice_disturbance(&mut self, stood: &[Claim], document: &Document) {
        let now = Instant::now();
        if self.memory.is_outcome_open(now) {
            return;
        }
        for claim in stood.iter().filter(|c| !document.holds(c.statement.sid.as_str(), &c.statement.meaning())) {
            self.memory.disturb(claim.statement.to_text(), now);
        }
    }
}
