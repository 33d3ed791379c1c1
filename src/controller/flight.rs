//! One flight: a bus is read, planned, written and read again until it holds what it should, or something is in the way.
//! Only one is under way on a bus at any time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use busgrant_policy::{
    BusArn, Claim, Document, DocumentWrites, Finding, Limits, ObjectId, Ownership, Plan, Sid, Step, plan,
};
use tokio::time::{Instant, sleep};

use super::context::Context;
use super::memory::Memory;
use super::retry::{Attempts, Problem};
use super::roster::{Role, Roster};
use super::writes::{Kind, Tally, is_gone, is_release, named, summary, trespass, writes};
use crate::api::Reason;
use crate::port::{BusError, EventBuses, RetryClass};

/// Reads that look again for what a write was confirmed for, before it is called lost.
const SECOND_LOOKS: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];
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
}

/// A flight under way.
pub struct Flight<'a, B> {
    context: &'a Context<B>,
    bus: &'a BusArn,
    roster: &'a Roster,
    memory: &'a mut Memory,
    landing: Landing,
    /// Confirmed to be put (or removed), and not yet seen.
    written: BTreeSet<(Sid, Kind)>,
    /// Whether something may have changed by us since the last read.
    unread: bool,
    read_at: Instant,
    attempts: Attempts,
    looks: usize,
    singly: bool,
}

/// What the steps of one round came to.
enum Round {
    /// All were taken: read what came of them.
    Taken,
    /// One was not: read and plan again.
    Again(Duration),
    /// Nothing more can be done now.
    Stop(Problem),
}

impl<'a, B: EventBuses> Flight<'a, B> {
    /// A flight for the objects that are on the bus now.
    pub fn new(context: &'a Context<B>, bus: &'a BusArn, roster: &'a Roster, memory: &'a mut Memory) -> Self {
        Self {
            context,
            bus,
            roster,
            memory,
            landing: Landing::default(),
            written: BTreeSet::new(),
            unread: false,
            read_at: Instant::now(),
            attempts: Attempts::default(),
            looks: 0,
            singly: false,
        }
    }

    /// Flies until the plan is empty or something is in the way.
    pub async fn fly(mut self) -> Landing {
        let mut known = self.memory.last_read.take().and_then(|(document, at)| self.usable(document, at));
        // A read of before is good for a plan, and for nothing that is told.
        self.unread = known.is_some();
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
            let (plan, ownership) = self.plan(&document);
            if self.looks_again(&document, &plan).await {
                continue;
            }
            if plan.steps.is_empty() {
                self.landing.findings = plan.findings;
                return self.land(Some(document), None);
            }
            let steps = &plan.steps[..plan.before_read];
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

    /// A read of an earlier flight, where it saves one: in a change of two stages the read between them checks everything
    /// that the first was planned on.
    fn usable(&self, document: Document, at: Instant) -> Option<Document> {
        let young = at.elapsed() < 2 * self.context.settings.sweep_interval;
        if !young || self.memory.is_outcome_open(Instant::now()) {
            return None;
        }
        let (plan, _) = self.plan_with(&document, &self.limits(), false);
        let two_stages = 0 < plan.before_read && plan.before_read < plan.steps.len();
        let narrow = !plan.steps.iter().any(|step| matches!(step, Step::PutDocument { .. }));
        (two_stages && narrow).then_some(document)
    }

    async fn observe(&mut self) -> Result<Document, BusError> {
        let asked = Instant::now();
        let answer = self.context.buses.describe(self.bus).await;
        self.context.metrics.call("DescribeEventBus", answer.as_ref().err());
        let state = answer?;
        let unreadable = |message: String| BusError {
            class: RetryClass::Transient,
            operation: "DescribeEventBus",
            code: None,
            message,
        };
        if state.arn != self.bus.to_string() {
            return Err(unreadable(format!("{} was asked for and {} came", self.bus, state.arn)));
        }
        let document = Document::parse(state.policy.as_deref()).map_err(|error| unreadable(error.to_string()))?;
        self.unread = false;
        self.read_at = asked;
        self.memory.unlearn_quota(document.size());
        Ok(document)
    }

    fn limits(&self) -> Limits {
        let now = Instant::now();
        let settings = &self.context.settings;
        // A document must not be written while an older one may still land over it.
        let waiting = self.memory.is_outcome_open(now);
        Limits {
            characters: self.memory.quota(settings.policy_quota, now),
            document_writes: if waiting { DocumentWrites::Deny } else { settings.document_writes },
            refused: self.memory.refused(now),
            blocking: self.memory.blocking(now),
            reset: self.memory.reset.clone(),
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
        self.memory.reset = dead.cloned().collect();
        self.plan_with(document, &self.limits(), false)
    }

    fn plan_with(&self, document: &Document, limits: &Limits, watched_too: bool) -> (Plan, Ownership) {
        let mut buried = self.memory.buried(Instant::now());
        buried.retain(|id| !self.roster.members.iter().any(|member| member.id == *id));
        let ownership = self.roster.ownership(self.context, self.memory, &buried, watched_too);
        let claims: Vec<Claim> = self.roster.claims(watched_too);
        (plan(&claims, document, &ownership, limits), ownership)
    }

    /// Whether a write that was confirmed is not to be seen, and is given time: a read may lag behind.
    async fn looks_again(&mut self, document: &Document, plan: &Plan) -> bool {
        let planned = plan.steps.iter().flat_map(writes);
        let missing: BTreeSet<Sid> = planned.filter(|write| self.written.contains(write)).map(|(sid, _)| sid).collect();
        if missing.is_empty() || !self.memory.reset.is_empty() {
            self.looks = 0;
            self.written.clear();
            return false;
        }
        if let Some(pause) = SECOND_LOOKS.get(self.looks) {
            self.looks += 1;
            sleep(*pause).await;
            return true;
        }
        tracing::warn!(?missing, size = document.size(), "confirmed writes are not in the policy: lost updates");
        for sid in &missing {
            self.tally(sid, |tally| tally.lost += 1);
            self.context.metrics.lost_update(self.bus);
        }
        self.looks = 0;
        self.written.clear();
        false
    }

    async fn apply(&mut self, steps: &[Step], document: &Document, ownership: &Ownership) -> Round {
        self.written.clear();
        if let Some(problem) = steps.iter().find_map(|step| trespass(step, document, ownership)) {
            return Round::Stop(problem);
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
        for sid in named(step) {
            self.tally(&sid, |tally| tally.sent = true);
        }
        let sent = Instant::now();
        let error = match self.take(step).await {
            Err(error) if !is_gone(step, &error) => error,
            _ => {
                self.done(step, sent);
                return Round::Taken;
            }
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
                for sid in named(step) {
                    self.tally(&sid, |tally| tally.conflicts += 1);
                }
            }
            _ => {}
        }
        if self.refused(step, document, ownership, &error) {
            return Round::Again(Duration::ZERO);
        }
        match self.attempts.pause_after(error.class, true) {
            Some(pause) => Round::Again(pause),
            None => Round::Stop(Problem::from_write(&error)),
        }
    }

    async fn take(&self, step: &Step) -> Result<(), BusError> {
        let buses = &self.context.buses;
        tracing::info!(step = %summary(step), "write");
        let (operation, answer) = match step {
            Step::PutStatement { sid, form } => ("PutPermission", buses.put_statement(self.bus, sid, form).await),
            Step::PutDocument { text, .. } => ("PutPermission", buses.put_document(self.bus, text).await),
            Step::RemoveStatement { sid } => ("RemovePermission", buses.remove_statement(self.bus, sid).await),
        };
        self.context.metrics.call(operation, answer.as_ref().err());
        match &answer {
            Err(error) if is_gone(step, error) => tracing::info!(step = %summary(step), "was not there"),
            Err(error) => tracing::warn!(step = %summary(step), code = error.code, %error, "the write failed"),
            Ok(()) => {}
        }
        answer
    }

    fn done(&mut self, step: &Step, sent: Instant) {
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
                self.tally(sid, |tally| tally.removed.extend([sid.clone()]));
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

    /// Takes note where the service refused what a step says, so that the next plan does without.
    fn refused(&mut self, step: &Step, document: &Document, ownership: &Ownership, error: &BusError) -> bool {
        let now = Instant::now();
        match (error.class, step) {
            (RetryClass::Invalid, Step::PutStatement { sid, .. }) => self.refuse(sid, error),
            (RetryClass::Invalid, Step::PutDocument { puts, .. }) if puts.len() == 1 => {
                let foreign = document.statements().iter().filter(|live| ownership.is_foreign(live.sid()));
                let suspects: Vec<&str> = foreign
                    .filter(|live| live.sid().is_none() || live.dead_principals().next().is_some())
                    .map(busgrant_policy::document::LiveStatement::text)
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

    fn tally(&mut self, sid: &Sid, change: impl FnOnce(&mut Tally)) {
        if let Some(owned) = self.context.settings.owner.read(sid.as_str()) {
            change(self.landing.tallies.entry(owned.object).or_default());
        }
    }

    fn land(mut self, read: Option<Document>, trouble: Option<Problem>) -> Landing {
        if let Some(document) = &read {
            if self.roster.members.iter().any(|member| matches!(member.role, Role::Watched(_))) {
                // What would be done, not what may be done just now.
                let document_writes = self.context.settings.document_writes;
                let limits = Limits { document_writes, ..self.limits() };
                self.landing.watched = self.plan_with(document, &limits, true).0;
            }
            self.memory.last_read = Some((document.clone(), self.read_at));
            self.landing.read_at = Some(self.read_at);
        }
        self.landing.read = read;
        self.landing.trouble = trouble;
        self.landing
    }
}
