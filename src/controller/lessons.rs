//! What a refused write teaches: statements that are not to be tried for now, others' statements that no document may carry,
//! and a quota that is smaller than was assumed.

use busgrant_policy::document::LiveStatement;
use busgrant_policy::{Document, Ownership, Sid, Step};
use tokio::time::Instant;

use super::flight::Flight;
use crate::port::{BusError, EventBuses, RetryClass};

impl<B: EventBuses> Flight<'_, B> {
    /// Takes note where the service refused what a step says, so that the next plan does without.
    pub(super) fn learns_from(
        &mut self,
        step: &Step,
        document: &Document,
        ownership: &Ownership,
        error: &BusError,
    ) -> bool {
        let now = Instant::now();
        match (error.class, step) {
            (RetryClass::Invalid, Step::PutStatement { sid, .. }) => self.refuse(sid, error),
            (RetryClass::Invalid, Step::PutDocument { puts, .. }) if puts.len() == 1 => {
                let foreign = document.statements().iter().filter(|live| ownership.is_foreign(live.sid()));
                let suspects: Vec<&str> = foreign
                    .filter(|live| live.sid().is_none() || live.dead_principals().next().is_some())
                    .map(LiveStatement::text)
                    .collect();
                for text in &suspects {
                    self.memory.block((*text).to_owned(), error.message.clone(), now);
                }
                !suspects.is_empty() || puts.first().is_some_and(|sid| self.refuse(sid, error))
            }
            (RetryClass::Invalid, Step::PutDocument { .. }) if !self.singly => {
                self.singly = true;
                true
            }
            // After other steps of this round the length is not known: the next read tells it.
            (RetryClass::TooLong, _) if !self.written.is_empty() => true,
            (RetryClass::TooLong, Step::PutDocument { text, .. }) => self.learn_quota(text.len()),
            (RetryClass::TooLong, Step::PutStatement { sid, .. }) => {
                let claims = self.roster.claims(false);
                let claim = claims.into_iter().find(|claim| claim.statement.sid == *sid);
                let new = claim.map_or(0, |claim| claim.statement.to_text().len() + 1);
                let old = document.get(sid.as_str()).map_or(0, |live| live.size() + 1);
                self.learn_quota(document.size().max(document.frame_size()) + new - old.min(new))
            }
            _ => false,
        }
    }

    /// A policy of this length was too long: shorter ones may do, for a while.
    fn learn_quota(&mut self, refused: usize) -> bool {
        let assumed = self.limits().characters;
        let quota = assumed.min(refused.saturating_sub(1));
        tracing::warn!(quota, assumed, "the policy quota is smaller than assumed");
        self.memory.learn_quota(quota, Instant::now());
        quota < assumed
    }

    fn refuse(&mut self, sid: &Sid, error: &BusError) -> bool {
        let claims = self.roster.claims(false);
        let Some(claim) = claims.into_iter().find(|claim| claim.statement.sid == *sid) else {
            return false;
        };
        self.memory.refuse(claim.statement.to_text(), error.message.clone(), Instant::now());
        true
    }
}
