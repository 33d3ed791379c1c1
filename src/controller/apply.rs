//! The steps of a plan, sent one after another, and what came of each.

use std::time::Duration;

use busgrant_policy::{Document, Ownership, Step};
use tokio::time::Instant;

use super::flight::Flight;
use super::retry::Problem;
use super::roster::Role;
use super::service::Turn;
use super::writes::{is_gone, is_release, log, named, objects, trespass, writes};
use crate::port::{BusError, EventBuses, RetryClass};

/// A whole document is not written on a read that is older than this: others may have changed what it carries.
const FRESH: Duration = Duration::from_millis(250);

/// What the steps of one round came to.
pub(super) enum Round {
    /// All were taken: read what came of them.
    Taken,
    /// One was not: read and plan again.
    Again(Duration),
    /// Nothing more can be done now.
    Stop(Problem),
}

impl<B: EventBuses> Flight<'_, B> {
    /// Takes the steps of one round, in their order.
    pub(super) async fn apply(&mut self, steps: &[Step], document: &Document, ownership: &Ownership) -> Round {
        self.written.clear();
        if let Some(problem) = steps.iter().find_map(|step| trespass(step, document, ownership)) {
            return Round::Stop(problem);
        }
        if let Some(before) = self.before_writes.replace(document.clone()) {
            self.compare_foreign(&before, document);
        }
        let mut stopped = None;
        for step in steps {
            // What must go goes on, whatever keeps others from being put.
            let releases = is_release(step, ownership);
            if stopped.is_some() && !releases {
                continue;
            }
            match self.send(step, document, ownership).await {
                Round::Taken => {}
                Round::Stop(problem) if !releases => stopped = Some(problem),
                round => return round,
            }
        }
        stopped.map_or(Round::Taken, Round::Stop)
    }

    async fn send(&mut self, step: &Step, document: &Document, ownership: &Ownership) -> Round {
        let turn = match self.write_turn.take() {
            Some(turn) => turn,
            None => match self.context.service.write_turn(self.bus, step).await {
                Ok(turn) => turn,
                Err(error) => return Round::Stop(Problem::from_error(&error)),
            },
        };
        let old = turn.waited.max(self.answered_at.elapsed()) > FRESH;
        if old && matches!(step, Step::PutDocument { .. }) {
            self.write_turn = Some(Turn { waited: Duration::ZERO });
            return Round::Again(Duration::ZERO);
        }
        for sid in named(step) {
            self.tally(&sid, |tally| tally.sent = true);
        }
        let sent = Instant::now();
        self.memory.at_work = self.roster.members_of(&named(step), ownership);
        let taken = self.take(step, turn).await;
        self.memory.at_work.clear();
        let error = match taken {
            Ok(()) => {
                self.done(step, sent, true);
                return Round::Taken;
            }
            Err(error) if is_gone(step, &error) => {
                self.done(step, sent, false);
                return Round::Taken;
            }
            Err(error) => error,
        };
        match error.class {
            RetryClass::UnknownOutcome => {
                self.memory.lost_answer(sent, self.context.settings.outcome_wait);
                self.unread = true;
            }
            // It failed, and may have done so half-way.
            RetryClass::Transient => self.unread = true,
            RetryClass::ConcurrentModification => {
                self.context.metrics.conflict(self.bus);
                for object in objects(step, &self.context.settings.owner) {
                    self.landing.tallies.entry(object).or_default().conflicts += 1;
                }
            }
            _ => {}
        }
        if self.learns_from(step, document, ownership, &error) {
            return Round::Again(Duration::ZERO);
        }
        match self.attempts.pause_after(error.class, true) {
            Some(pause) => Round::Again(pause),
            None => Round::Stop(Problem::from_write(&error)),
        }
    }

    async fn take(&self, step: &Step, turn: Turn) -> Result<(), BusError> {
        let answer = self.context.service.write(self.bus, step, turn).await;
        log(step, &self.memory.at_work, &answer);
        answer.map(drop)
    }

    /// A step was taken. A removal counts for the object only if there was something to remove.
    fn done(&mut self, step: &Step, sent: Instant, was_there: bool) {
        self.unread = true;
        self.written.extend(writes(step));
        match step {
            Step::PutStatement { sid, .. } => self.tally(sid, |tally| tally.put.extend([sid.clone()])),
            Step::PutDocument { puts, drops, .. } => {
                for sid in puts {
                    self.tally(sid, |tally| tally.put.extend([sid.clone()]));
                }
                for sid in drops {
                    self.tally(sid, |tally| tally.removed.extend([sid.clone()]));
                }
            }
            Step::RemoveStatement { sid } => {
                if was_there {
                    self.tally(sid, |tally| tally.removed.extend([sid.clone()]));
                }
                let owned = self.context.settings.owner.read(sid.as_str());
                let deleting = self.roster.members.iter().find(|member| {
                    matches!(member.role, Role::Deleting(_)) && owned.as_ref().is_some_and(|o| o.object == member.id)
                });
                if let Some(member) = deleting {
                    let removed = self.memory.removed.entry(member.object.uid().to_owned()).or_default();
                    removed.insert(sid.clone(), sent);
                }
            }
        }
    }
}
