//! After a flight: each object's status, events and finalizer, and when it is to be tried again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use busgrant_policy::{BusArn, Document, DocumentWrites, Ownership};
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use jiff::Timestamp;
use tokio::time::Instant;

use super::backoff::jittered;
use super::context::Context;
use super::flight::Landing;
use super::foreign::ForeignChange;
use super::gauges::BusNumbers;
use super::judge::{Circumstances, Outcome, Verdict, count, judge, unworkable};
use super::ledger::Fingerprint;
use super::memory::Memory;
use super::permission::Permission;
use super::retry::{Problem, pause_between_flights};
use super::roster::{Member, Role, Roster};
use super::standing::Standing;
use super::statements::Judged;
use super::status::{BusFacts, differs, patience_ends, status};
use super::writes::Tally;
use crate::api::{EventBusPermissionStatus, Reason};
use crate::port::{EventBuses, Identity};

/// How many objects are told at a time.
const AT_ONCE: usize = 16;
/// The pauses before a status is written that could not be.
const FIRST_RETRY: Duration = Duration::from_millis(200);
const LAST_RETRY: Duration = Duration::from_mins(1);
/// An object that was in sync keeps its status through this many failed reads.
const FORGIVEN: u32 = 5;

/// What a flight saw and did, as far as one object's report needs it.
#[derive(Default)]
struct Seen<'a> {
    facts: Option<&'a BusFacts>,
    tally: Option<&'a Tally>,
    /// Whether the policy was read, or may have been changed by us: otherwise nothing new is known of it.
    changed: bool,
    /// Whether something kept the flight from its end.
    troubled: bool,
    /// Whether all that is waited for is what a predecessor may have sent.
    inherited: bool,
    /// When what is remembered of the bus next allows more, where that is all that is waited for.
    settles: Option<Instant>,
}

impl<B: EventBuses> Context<B> {
    /// Reports how a flight ended to each object; gives when the bus is to be tried again.
    pub async fn report(
        &self,
        bus: &BusArn,
        roster: &Roster,
        memory: &mut Memory,
        landing: &Landing,
    ) -> Option<Instant> {
        let now = Instant::now();
        let buried = memory.buried(now);
        let ownership = roster.ownership(self, memory, &buried, false);
        let allowed = memory.quota(self.settings.policy_quota, now);
        let facts = BusFacts::of(bus, landing.read.as_ref(), allowed, &ownership);
        self.metrics.flight(bus, landing.read.as_ref().map(|read| numbers(read, allowed, &ownership)));
        let settles = memory.next_change(now);
        let sent = landing.tallies.values().any(|tally| tally.sent);
        let read_at = landing.read_at.unwrap_or(now);
        self.report_foreign(bus, roster, landing);
        let (mut reports, mut failed) = (Vec::new(), Vec::new());
        for member in roster.members.iter().filter(|member| !matches!(member.role, Role::Shielded)) {
            let around = Circumstances {
                ownership: &ownership,
                outcome_open: self.is_open_for(member, memory, read_at, landing.tallies.get(&member.id)),
                documents_allowed: self.settings.document_writes == DocumentWrites::Allow,
                refusal: &|text| memory.refusal(text).map(str::to_owned),
            };
            let Ok(outcome) = catch_unwind(AssertUnwindSafe(|| judge(member, landing, &around))) else {
                failed.push(member);
                continue;
            };
            let seen = Seen {
                facts: Some(&facts),
                tally: landing.tallies.get(&member.id),
                changed: landing.read.is_some() || sent,
                troubled: landing.trouble.is_some(),
                inherited: memory.unknown_inherited && memory.is_outcome_open(read_at),
                settles: settles.filter(|_| landing.trouble.is_none()),
            };
            let report = AssertUnwindSafe(self.report_one(member, outcome, seen)).catch_unwind();
            reports.push(report.map(move |ended| ended.map_err(|_| member)).boxed());
        }
        let (mut ends, mut isolated) = (Vec::new(), None);
        for ended in at_once(reports).await {
            match ended {
                Ok(end) => ends.push(end),
                Err(member) => failed.push(member),
            }
        }
        for member in failed {
            isolated = Some(self.isolate(&member.object).await);
        }
        for gone in ends.iter().filter_map(|(gone, _)| *gone) {
            memory.bury(gone.id.clone(), gone.object.uid(), now);
        }
        ends.into_iter().filter_map(|(_, at)| at).chain(settles).chain(isolated).min()
    }

    /// Tells what happened to statements of others between our reads, to the objects that had something written.
    fn report_foreign(&self, bus: &BusArn, roster: &Roster, landing: &Landing) {
        let Some(first) = landing.foreign.first() else { return };
        for change in &landing.foreign {
            let ForeignChange { sid, before, after } = change;
            tracing::warn!(%bus, sid, before, after, "somebody else's statement is not what it was before our write");
            self.metrics.foreign_change(bus, if after.is_some() { "changed" } else { "vanished" });
        }
        let more = match landing.foreign.len() {
            1 => String::new(),
            several => format!(" (and {} more)", several - 1),
        };
        let note =
            format!("between our reads before and after a write, the foreign statement {}{more}", first.summary());
        let sent = |member: &&Member| landing.tallies.get(&member.id).is_some_and(|tally| tally.sent);
        for member in roster.members.iter().filter(sent) {
            self.tell(&member.object, true, Reason::ForeignStatementChanged, "Verify", &note);
        }
    }

    /// Leaves an object alone at which the controller itself failed, and says so; gives until when.
    pub async fn isolate(&self, object: &Permission) -> Instant {
        let until = self.quarantine.put(object);
        self.metrics.panicked();
        tracing::error!(
            namespace = object.namespace(),
            name = object.name(),
            "panicked at an object, which is left alone"
        );
        let message = "busgrant itself failed at this object, which is left alone for a while; what it has on the bus stays. \
                       Please report this with the controller's log";
        let problem = Problem { reason: Reason::InternalError, message: message.to_owned(), mendable: true };
        if AssertUnwindSafe(self.report_problem(object, &problem)).catch_unwind().await.is_err() {
            tracing::error!(namespace = object.namespace(), name = object.name(), "panicked while saying so");
        }
        until
    }

    /// Whether all that may be on a bus was said to stand.
    pub fn may_stand(&self, bus: &BusArn) -> bool {
        let objects = self.objects_on(bus);
        !objects.is_empty() && objects.iter().all(|object| is_ready(&self.status_of(object), object))
    }

    /// Whether all that is on a bus was said to stand, so that a read that agrees changes nothing.
    pub fn are_ready(&self, roster: &Roster) -> bool {
        let mut members = roster.members.iter().filter(|member| !matches!(member.role, Role::Shielded)).peekable();
        let is_there = members.peek().is_some();
        is_there && members.all(|member| is_ready(&self.status_of(&member.object), &member.object))
    }

    /// Lets a member go whose statements are gone, or tells it how it stands.
    async fn report_one<'m>(
        &self,
        member: &'m Member,
        outcome: Outcome,
        seen: Seen<'_>,
    ) -> (Option<&'m Member>, Option<Instant>) {
        if outcome.verdict == Verdict::Gone {
            match self.let_go(&member.object).await {
                Ok(()) => {
                    if let Some(tally) = seen.tally {
                        self.tell_writes(&member.object, tally, false);
                    }
                    self.ledger.let_go(&member.object);
                    return (Some(member), None);
                }
                Err(error) => tracing::warn!(object = member.label(), %error, "can't be let go yet"),
            }
        }
        (None, self.tell_outcome(&member.object, &outcome, &seen).await)
    }

    /// Reports every object of a bus that nothing can be done for: whose the credentials are is not known.
    pub async fn report_unidentified(&self, bus: &BusArn, problem: &Problem) -> Option<Instant> {
        let on_bus = self.objects_on(bus).into_iter();
        let arn = bus.to_string();
        let objects: Vec<_> = on_bus.filter(|object| object.pinned_bus() == Some(&arn)).collect();
        let reports = objects.iter().map(|object| self.report_problem(object, problem).boxed()).collect();
        at_once(reports).await.into_iter().flatten().min()
    }

    /// Reports every object of a bus that is not in the account of the credentials.
    pub async fn report_elsewhere(&self, bus: &BusArn, identity: &Identity) -> Option<Instant> {
        self.doubt_identity().await;
        let arn = bus.to_string();
        let on_bus = self.objects_on(bus).into_iter();
        let objects: Vec<_> = on_bus.filter(|object| object.pinned_bus() == Some(&arn)).collect();
        let problems = objects.iter().filter_map(|object| Some((object, self.resolve(object, identity).err()?)));
        let reports =
            problems.map(|(object, problem)| async move { self.report_problem(object, &problem).await }.boxed());
        at_once(reports.collect()).await.into_iter().flatten().min()
    }

    /// Reports an object whose bus can't be worked on; gives when it is to be tried again.
    pub async fn report_problem(&self, object: &Permission, problem: &Problem) -> Option<Instant> {
        self.tell_outcome(object, &unworkable(problem), &Seen::default()).await
    }

    async fn tell_outcome(&self, object: &Permission, outcome: &Outcome, seen: &Seen<'_>) -> Option<Instant> {
        let entry = self.ledger.get(object.uid());
        let fingerprint = Fingerprint::of(object);
        let unchanged = entry.served.as_ref() == Some(&fingerprint);
        let attempts = match is_open(&outcome.verdict, seen.troubled) {
            true if unchanged => entry.attempts + 1,
            open => u32::from(open),
        };
        let old = self.status_of(object);
        let forgiven = matches!(outcome.verdict, Verdict::Working(..)) && !seen.changed && attempts <= FORGIVEN;
        // What a predecessor said of this generation holds until its calls can no longer change it.
        let waits = matches!(outcome.verdict, Verdict::Working(Reason::OutcomeUnknown, _)) && seen.inherited;
        let told = old.observed_generation == Some(object.generation()) && !object.is_deleting();
        let ready = is_ready(&old, object);
        let passing = (forgiven && ready) || (waits && told && !ready);
        let mut new = status(&old, object.generation(), outcome, seen.facts, seen.tally, Timestamp::now());
        new.last_handled_reconcile_at = object.reconcile_at().or(new.last_handled_reconcile_at);
        if let Some(tally) = seen.tally {
            let drifted = entry.in_sync && unchanged;
            if let Some(facts) = seen.facts.filter(|_| drifted) {
                self.metrics.drift(&facts.bus, tally.put.len(), tally.removed.len());
            }
            self.tell_writes(object, tally, drifted);
        }
        let standing = Standing::of(&new.conditions, outcome.verdict.reason());
        if standing.is_stalled() && !entry.standing.is_some_and(Standing::is_stalled) {
            self.metrics.stalled();
        }
        let mut written = true;
        if old.observed_generation.is_some_and(|seen| seen > object.generation()) {
            tracing::debug!(object = object.name(), "a newer generation was reported already");
        } else if differs(&old, &new) && !passing {
            match self.write_status(object, &new).await {
                Ok(()) => {
                    let (namespace, name, generation) = (object.namespace(), object.name(), object.generation());
                    let (ready, reason) = (standing.ready(), standing.reason.as_str());
                    tracing::info!(namespace, name, generation, ready, reason, "status written");
                    self.tell_trouble(object, &old, outcome);
                }
                Err(error) if error.is_gone() => {}
                Err(error) => {
                    written = false;
                    tracing::warn!(namespace = object.namespace(), name = object.name(), %error, "the status can't be written");
                }
            }
        } else if !passing {
            self.ledger.agrees(object);
        }
        let retry = match outcome.verdict {
            _ if !written => Some(Instant::now() + jittered(FIRST_RETRY, attempts.max(1), LAST_RETRY)),
            _ if attempts == 0 => None,
            // Only time helps, and how long is known.
            Verdict::Working(Reason::OutcomeUnknown, _)
            | Verdict::Waiting(Reason::StatementRefused | Reason::DocumentBlocked | Reason::Contended, _)
                if seen.settles.is_some() =>
            {
                seen.settles
            }
            _ => Some(Instant::now() + pause_between_flights(outcome.verdict.reason(), attempts)),
        };
        let stalls = until_patience_ends(&new, &outcome.verdict).map(|end| Instant::now() + end);
        let retry = retry.into_iter().chain(stalls).min();
        self.ledger.update(object.uid(), |entry| {
            entry.served = Some(fingerprint);
            entry.in_sync = outcome.verdict == Verdict::InSync || (passing && entry.in_sync);
            entry.attempts = attempts;
            entry.retry_at = retry;
            entry.standing = Some(standing);
        });
        retry
    }

    fn tell_trouble(&self, object: &Permission, old: &EventBusPermissionStatus, outcome: &Outcome) {
        let (Verdict::Waiting(reason, message) | Verdict::Stalled(reason, message)) = &outcome.verdict else {
            return;
        };
        let ready = old.conditions.iter().find(|condition| condition.type_ == "Ready");
        if ready.is_none_or(|ready| ready.reason != reason.as_str()) {
            self.tell(object, true, *reason, "Sync", message);
        }
        for Judged { reason, status } in outcome.statements.iter().filter(|judged| !judged.status.synced) {
            tracing::info!(namespace = object.namespace(), name = object.name(), statement = status.name, %reason, "not served");
        }
    }

    fn tell_writes(&self, object: &Permission, tally: &Tally, was_in_sync: bool) {
        let put: Vec<&str> = tally.put.iter().map(busgrant_policy::Sid::as_str).collect();
        let removed: Vec<&str> = tally.removed.iter().map(busgrant_policy::Sid::as_str).collect();
        if was_in_sync && !(put.is_empty() && removed.is_empty()) {
            let note = format!("put back {}", count(put.len() + removed.len(), "statement"));
            self.tell(object, false, Reason::DriftCorrected, "Sync", &note);
        }
        if !put.is_empty() {
            let note = format!("put {}: {}", count(put.len(), "statement"), put.join(", "));
            self.tell(object, false, Reason::StatementsPut, "Put", &note);
        }
        if !removed.is_empty() {
            let note = format!("removed {}: {}", count(removed.len(), "statement"), removed.join(", "));
            self.tell(object, false, Reason::StatementsRemoved, "Remove", &note);
        }
    }

    /// A call of ours without an answer keeps every object of the bus from being ready. What a predecessor may have left
    /// keeps only those from it that were not ready before, or were not found so: it may have been at the same repair.
    fn is_open_for(&self, member: &Member, memory: &Memory, read_at: Instant, tally: Option<&Tally>) -> bool {
        let was_ready = || is_ready(&self.status_of(&member.object), &member.object);
        let stands = memory.unknown_inherited && tally.is_none_or(|tally| !tally.sent) && was_ready();
        memory.is_outcome_open(read_at) && !stands
    }
}

/// Whether a status says that this very generation stands.
fn is_ready(status: &EventBusPermissionStatus, object: &Permission) -> bool {
    let ready = || status.conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
    status.observed_generation == Some(object.generation()) && !object.is_deleting() && ready()
}

/// Does some at a time of what is to be done, and gives the results in their order.
pub(super) async fn at_once<T>(work: Vec<BoxFuture<'_, T>>) -> Vec<T> {
    stream::iter(work).buffered(AT_ONCE).collect().await
}

/// Whether an object is to be tried again: it is at work or waits, or it stands still for a reason of its own while something
/// else kept its other statements from being served. A bus may be the one that was meant first again, with other credentials.
fn is_open(verdict: &Verdict, troubled: bool) -> bool {
    match verdict {
        Verdict::Working(..) | Verdict::Waiting(..) | Verdict::Gone => true,
        Verdict::Stalled(reason, _) => troubled || *reason == Reason::BusChanged,
        Verdict::InSync | Verdict::Paused(_) => false,
    }
}

/// How long until what somebody may be mending is called stalled, which the status is to say at once.
fn until_patience_ends(status: &EventBusPermissionStatus, verdict: &Verdict) -> Option<Duration> {
    let Verdict::Waiting(reason, _) = verdict else {
        return None;
    };
    let left = patience_ends(status, *reason)?.duration_since(Timestamp::now());
    Some(Duration::try_from(left).unwrap_or_default() + Duration::from_millis(100))
}

/// A policy in numbers.
fn numbers(read: &Document, allowed: usize, ownership: &Ownership) -> BusNumbers {
    let orphaned = |sid: &str| ownership.read(Some(sid)).is_none_or(|owned| ownership.stance(&owned.object).is_none());
    let sids = || read.statements().iter().map(|live| live.sid());
    let foreign = sids().filter(|sid| ownership.is_foreign(*sid)).count();
    let ours = sids().filter(|sid| !ownership.is_foreign(*sid));
    BusNumbers {
        characters: read.size(),
        allowed,
        own: read.statements().len() - foreign,
        orphaned: ours.flatten().filter(|sid| orphaned(sid)).count(),
        foreign,
    }
}
