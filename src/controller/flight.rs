//! One flight: a bus is read, planned, written and read again until it holds what it should, or something is in the way.
//! Only one is under way on a bus at any time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use busgrant_policy::{BusArn, Claim, Document, DocumentWrites, Finding, Limits, ObjectId, Ownership, Plan, Sid, plan};
use tokio::time::{Instant, sleep};

use super::apply::Round;
use super::context::Context;
use super::foreign::{ForeignChange, foreign_changes};
use super::memory::{LastRead, Memory};
use super::rate::Urgency;
use super::retry::{Attempts, Problem};
use super::roster::{Role, Roster};
use super::service::Turn;
use super::writes::{Kind, Tally, named, writes};
use crate::api::Reason;
use crate::port::{BusError, EventBuses, RetryClass};

/// Reads that look again for what a write was confirmed for, before it is called lost.
const SECOND_LOOKS: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];
/// A flight lands after writes were lost so many times, each of which takes seconds to be sure of.
const MOST_LOSSES: u32 = 2;
/// A flight that never comes to rest lands after this many rounds.
const ROUNDS: u32 = 60;

/// How a flight ended.
#[derive(Debug, Default)]
pub struct Landing {
    /// The last read, if no write came after it.
    pub read: Option<Document>,
    /// When that was.
    pub read_at: Option<Instant>,
    /// What kept it from its end.
    pub trouble: Option<Problem>,
    /// Claims that can't be served.
    pub findings: Vec<Finding>,
    /// What would be done for objects that are only watched.
    pub watched: Plan,
    /// What was done, by object.
    pub tallies: BTreeMap<ObjectId, Tally>,
    /// Whether nothing was asked for, since the first look at all buses showed that nothing is to do.
    pub confirmed_only: bool,
    /// Statements of others that vanished or changed between the read before the last writes and the one after.
    pub foreign: Vec<ForeignChange>,
}

/// A flight under way.
pub struct Flight<'a, B> {
    pub(super) context: &'a Context<B>,
    pub(super) bus: &'a BusArn,
    pub(super) roster: &'a mut Roster,
    pub(super) memory: &'a mut Memory,
    pub(super) landing: Landing,
    /// Confirmed to be put (or removed), and not yet seen.
    pub(super) written: BTreeSet<(Sid, Kind)>,
    /// Whether something may have changed by us since the last read.
    pub(super) unread: bool,
    pub(super) read_at: Instant,
    /// When the answer to the last read came: until then others may have written what it does not show.
    pub(super) answered_at: Instant,
    /// The policy of the last read, as it came.
    pub(super) policy: Option<String>,
    /// The read on which the last writes were made.
    pub(super) before_writes: Option<Document>,
    /// The turn of the first read, if it came already.
    read_turn: Option<Turn>,
    /// The turn of a write that came so late that the policy is read again first.
    pub(super) write_turn: Option<Turn>,
    /// Statements of ours that stand with a dead principal although the service took them.
    reset: BTreeSet<Sid>,
    pub(super) attempts: Attempts,
    looks: usize,
    /// How often writes of this flight were lost.
    losses: u32,
    pub(super) singly: bool,
}

impl<'a, B: EventBuses> Flight<'a, B> {
    /// A flight for the objects that are on the bus now.
    pub fn new(
        context: &'a Context<B>,
        bus: &'a BusArn,
        roster: &'a mut Roster,
        memory: &'a mut Memory,
        read_turn: Option<Turn>,
    ) -> Self {
        Self {
            context,
            bus,
            roster,
            memory,
            landing: Landing::default(),
            written: BTreeSet::new(),
            unread: false,
            read_at: Instant::now(),
            answered_at: Instant::now(),
            policy: None,
            before_writes: None,
            read_turn,
            write_turn: None,
            reset: BTreeSet::new(),
            attempts: Attempts::default(),
            looks: 0,
            losses: 0,
            singly: false,
        }
    }

    /// Flies until the plan is empty or something is in the way.
    pub async fn fly(mut self) -> Landing {
        let before = self.memory.last_read.take();
        let stood = before.as_ref().map(|read| self.standing(read)).unwrap_or_default();
        let mut known = before.and_then(|read| self.usable(read));
        // A read of before is good for a plan, and for nothing that is told.
        self.unread = known.is_some();
        let mut first = true;
        for _ in 0..ROUNDS {
            let document = match known.take() {
                Some(document) => document,
                None => match self.observe().await {
                    Ok(document) => document,
                    Err(error) => match self.attempts.pause_after(error.class, false) {
                        Some(pause) => {
                            sleep(pause).await;
                            continue;
                        }
                        None => return self.land(None, Some(Problem::from_error(&error))),
                    },
                },
            };
            if std::mem::take(&mut first) {
                self.notice_disturbance(&stood, &document);
            }
            let (plan, ownership) = self.plan(&document);
            if self.looks_again(&document, &plan).await {
                continue;
            }
            if self.losses >= MOST_LOSSES {
                // Who asked meanwhile is served first.
                self.landing.findings = plan.findings;
                let message = "AWS confirmed writes that the policy does not hold afterwards: somebody else writes at the same \
                               time, and they are made again";
                let problem =
                    Problem { reason: Reason::ConcurrentModification, message: message.to_owned(), mendable: true };
                return self.land(Some(document), Some(problem));
            }
            if plan.steps.is_empty() {
                self.landing.findings = plan.findings;
                self.landing.confirmed_only = self.unread;
                return self.land(Some(document), None);
            }
            let steps = &plan.steps[..plan.before_read];
            let sids: Vec<Sid> = steps.iter().flat_map(named).collect();
            if self.context.confirm(self.roster, &sids, &ownership).await {
                // That may have taken long, and what is left to do is to be planned on what is there by now.
                continue;
            }
            match self.apply(steps, &document, &ownership).await {
                Round::Taken => {}
                Round::Again(pause) => sleep(pause).await,
                Round::Stop(problem) => {
                    self.landing.findings = plan.findings;
                    let read = if self.unread { self.observe().await.ok() } else { Some(document) };
                    return self.land(read, Some(problem));
                }
            }
        }
        let message = "the bus changed under every write; it is tried again".to_owned();
        let problem = Problem { reason: Reason::ConcurrentModification, message, mendable: true };
        let read = self.observe().await.ok();
        self.land(read, Some(problem))
    }

    async fn observe(&mut self) -> Result<Document, BusError> {
        let urgency = if self.roster.has_deleting() { Urgency::Removal } else { Urgency::Other };
        let turn = match self.read_turn.take() {
            Some(turn) => turn,
            None => self.context.service.read_turn(self.bus, urgency).await?,
        };
        let asked = Instant::now();
        let state = self.context.service.describe(self.bus, turn).await?;
        let answered_at = Instant::now();
        let unreadable = |message: String| BusError {
            class: RetryClass::Transient,
            operation: "DescribeEventBus",
            code: None,
            message,
            request_id: None,
        };
        if state.arn != self.bus.to_string() {
            return Err(unreadable(format!("{} was asked for and {} came", self.bus, state.arn)));
        }
        let document = Document::parse(state.policy.as_deref()).map_err(|error| unreadable(error.to_string()))?;
        self.unread = false;
        (self.read_at, self.answered_at) = (asked, answered_at);
        self.policy = state.policy;
        self.memory.unlearn_quota(document.size());
        Ok(document)
    }

    pub(super) fn limits(&self) -> Limits {
        let now = Instant::now();
        let settings = &self.context.settings;
        // A document must not be written while an older one may still land over it.
        let waiting = self.memory.is_outcome_open(now);
        Limits {
            characters: self.memory.quota(settings.policy_quota, now),
            document_writes: if waiting { DocumentWrites::Deny } else { settings.document_writes },
            refused: self.memory.refused(now),
            contended: self.memory.contended(now),
            blocking: self.memory.blocking(now),
            reset: self.reset.clone(),
            singly: self.singly,
        }
    }

    fn plan(&mut self, document: &Document) -> (Plan, Ownership) {
        // The service keeps a dead principal of ours even where the same content is put again.
        let put = self.written.iter().filter(|(_, kind)| *kind == Kind::Put).map(|(sid, _)| sid);
        let dead = put.filter(|sid| {
            document
                .get(sid.as_str())
                .is_some_and(|live| live.meaning().is_none() && live.dead_principals().count() > 0)
        });
        self.reset = dead.cloned().collect();
        self.plan_with(document, &self.limits(), false)
    }

    pub(super) fn plan_with(&self, document: &Document, limits: &Limits, watched_too: bool) -> (Plan, Ownership) {
        let mut buried = self.memory.buried(Instant::now());
        buried.retain(|id| !self.roster.members.iter().any(|member| member.id == *id));
        let ownership = self.roster.ownership(self.context, self.memory, &buried, watched_too);
        let claims: Vec<Claim> = self.roster.claims(watched_too);
        (plan(&claims, document, &ownership, limits), ownership)
    }

    /// Whether a write that was confirmed is not to be seen, and is given time: a read may lag behind.
    async fn looks_again(&mut self, document: &Document, plan: &Plan) -> bool {
        let planned = plan.steps.iter().flat_map(writes);
        let missing: BTreeSet<(Sid, Kind)> = planned.filter(|write| self.written.contains(write)).collect();
        if missing.is_empty() || !self.reset.is_empty() {
            self.looks = 0;
            self.written.clear();
            return false;
        }
        // What is still there although it was removed is removed again soon, whatever the read is worth.
        let removals = missing.iter().any(|(_, kind)| *kind == Kind::Remove);
        let looks = if removals { &SECOND_LOOKS[..1] } else { &SECOND_LOOKS[..] };
        if let Some(pause) = looks.get(self.looks) {
            self.looks += 1;
            sleep(*pause).await;
            return true;
        }
        tracing::warn!(?missing, size = document.size(), "confirmed writes are not in the policy: lost updates");
        for (sid, _) in &missing {
            self.tally(sid, |tally| tally.lost += 1);
            self.context.metrics.lost_update(self.bus);
        }
        self.looks = 0;
        self.losses += 1;
        self.written.clear();
        false
    }

    pub(super) fn tally(&mut self, sid: &Sid, change: impl FnOnce(&mut Tally)) {
        if let Some(owned) = self.context.settings.owner.read(sid.as_str()) {
            change(self.landing.tallies.entry(owned.object).or_default());
        }
    }

    pub(super) fn compare_foreign(&mut self, before: &Document, after: &Document) {
        self.landing.foreign.extend(foreign_changes(before, after, &self.context.settings.owner));
    }

    fn land(mut self, read: Option<Document>, trouble: Option<Problem>) -> Landing {
        if let Some(document) = &read {
            if self.roster.members.iter().any(|member| matches!(member.role, Role::Watched(_))) {
                // What would be done, not what may be done just now.
                let document_writes = self.context.settings.document_writes;
                let limits = Limits { document_writes, ..self.limits() };
                self.landing.watched = self.plan_with(document, &limits, true).0;
            }
            if let Some(before) = self.before_writes.take() {
                self.compare_foreign(&before, document);
            }
            self.memory.last_read = Some(LastRead { policy: self.policy.take(), at: self.read_at });
            self.landing.read_at = Some(self.read_at);
        }
        self.memory.has_landed = true;
        self.landing.read = read;
        self.landing.trouble = trouble;
        self.landing
    }
}
