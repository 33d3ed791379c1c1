//! One worker for each bus: one flight at a time. Whoever asks while one is under way shares the next.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use busgrant_policy::BusArn;
use busgrant_policy::document::LiveStatement;
use futures::FutureExt;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::Instrument;

use super::backoff::jittered;
use super::context::Context;
use super::flight::{Flight, Landing};
use super::memory::Memory;
use super::permission::Permission;
use super::rate::Urgency;
use super::reconcile::reconcile_later;
use super::retry::Problem;
use super::roster::Roster;
use super::seen::SeenPolicy;
use super::service::Turn;
use crate::api::Reason;
use crate::port::{BusError, EventBuses};

/// A flight that panicked is not tried again at once.
const AFTER_PANIC: Duration = Duration::from_mins(1);

/// The first pause before objects are tried again that Kubernetes gave no answer for.
const AFTER_LEFT_OUT: Duration = Duration::from_millis(500);

/// Who asks so soon after a flight is one of many that were changed at once: the next flight waits for those that follow, this
/// long for each and no longer in all.
const HEELS: Duration = Duration::from_millis(250);
const GAP: Duration = Duration::from_millis(10);
const LONGEST_GATHERING: Duration = Duration::from_millis(100);

/// The way to a bus's worker.
#[derive(Debug, Clone)]
pub struct Worker {
    requests: mpsc::UnboundedSender<Request>,
    seen: Arc<Seen>,
}

/// What a worker shows of itself.
#[derive(Debug, Default)]
struct Seen {
    policy: Mutex<Option<SeenPolicy>>,
    /// Requests that are not dealt with yet.
    open: AtomicUsize,
    /// Whether the worker waits for nothing and has nothing to remember.
    is_idle: AtomicBool,
    /// Whether the bus was looked at since its last object went, for what that left behind.
    was_left: AtomicBool,
}

#[derive(Debug)]
enum Request {
    /// An object wants to be served, since then.
    Serve(Arc<Permission>, Instant),
    /// An object was deleted before its statements were removed.
    Bury(Arc<Permission>),
    /// The bus was seen to differ from the last read.
    Changed,
}

impl Worker {
    /// Starts the worker of a bus.
    pub fn start<B: EventBuses>(context: Arc<Context<B>>, bus: BusArn) -> Self {
        let (requests, inbox) = mpsc::unbounded_channel();
        let seen = Arc::new(Seen::default());
        let work = work(Arc::downgrade(&context), bus, inbox, Arc::clone(&seen));
        drop(context);
        tokio::spawn(work);
        Self { requests, seen }
    }

    /// Has an object served, by a flight that sees it as it is now or newer.
    pub fn ask(&self, object: Arc<Permission>) {
        self.seen.was_left.store(false, Ordering::Release);
        self.send(Request::Serve(object, Instant::now()));
    }

    /// Has the statements removed of an object that is gone.
    pub fn bury(&self, object: Arc<Permission>) {
        self.send(Request::Bury(object));
    }

    /// The bus has no objects: it is looked at once more, so that what they left is counted.
    pub fn leave(&self) {
        if !self.seen.was_left.swap(true, Ordering::AcqRel) {
            self.send(Request::Changed);
        }
    }

    fn send(&self, request: Request) {
        self.seen.open.fetch_add(1, Ordering::AcqRel);
        // An error says that the worker is gone, with the controller.
        let _ = self.requests.send(request);
    }

    /// Has the bus looked at, if its policy is not what it was last seen to be; gives whether it is. Nothing: it was not to
    /// be seen.
    pub fn compare(&self, policy: Option<&Option<String>>) -> bool {
        let mut seen = self.seen.policy();
        let same = match (&mut *seen, policy) {
            (Some(seen), Some(policy)) => seen.confirm(policy.as_deref()),
            _ => false,
        };
        if !same {
            self.send(Request::Changed);
        }
        same
    }

    /// Whether nobody serves it any more.
    pub fn has_ended(&self) -> bool {
        self.requests.is_closed()
    }

    /// Requests that are not dealt with yet.
    pub fn open(&self) -> usize {
        self.seen.open.load(Ordering::Acquire)
    }

    /// Whether nobody else can reach this worker, and it has nothing to do and to remember.
    pub fn may_retire(&self) -> bool {
        // The worker's task holds the other one.
        let Seen { open, is_idle, .. } = &*self.seen;
        Arc::strong_count(&self.seen) == 2 && open.load(Ordering::Acquire) == 0 && is_idle.load(Ordering::Acquire)
    }
}

impl Request {
    fn object(self) -> Option<Arc<Permission>> {
        match self {
            Self::Serve(object, _) => Some(object),
            Self::Bury(_) | Self::Changed => None,
        }
    }
}

impl Seen {
    fn policy(&self) -> MutexGuard<'_, Option<SeenPolicy>> {
        self.policy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn work<B: EventBuses>(
    context: Weak<Context<B>>,
    bus: BusArn,
    mut inbox: mpsc::UnboundedReceiver<Request>,
    seen: Arc<Seen>,
) {
    let mut memory = Memory::default();
    let (mut wake, mut landed): (Option<Instant>, Option<Instant>) = (None, None);
    loop {
        let mut requests = Vec::new();
        tokio::select! {
            request = inbox.recv() => match request {
                Some(request) => requests.push(request),
                None => return,
            },
            () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
        }
        seen.is_idle.store(false, Ordering::Release);
        while let Ok(request) = inbox.try_recv() {
            requests.push(request);
        }
        if landed.is_some_and(|landed| landed.elapsed() < HEELS) {
            gather(&mut inbox, &mut requests).await;
        }
        let Some(context) = context.upgrade() else { return };
        for request in &requests {
            if let Request::Bury(object) = request {
                memory.bury_object(object);
            }
        }
        let began = Instant::now();
        if let Some(until) = memory.quiet_until.take() {
            // What is asked for meanwhile waits in the inbox.
            sleep_until(until).await;
        }
        if is_needed(&context, &requests, wake) {
            let flying = context.flights.read().await;
            if context.is_ending() {
                return;
            }
            let changed = requests.iter().any(|request| matches!(request, Request::Changed));
            memory.confirmed = seen.policy().filter(|_| !changed).map(|seen| seen.at);
            // One number for all that is logged of it.
            let id = format!("{:016x}", RandomState::new().build_hasher().finish());
            let span = tracing::info_span!(parent: None, "flight", %bus, reconcile_id = id);
            let flight = fly(&context, &bus, &mut memory, &seen, urgency(&requests)).instrument(span);
            // Boxed, so that a bus at rest has no room for a flight.
            wake = match AssertUnwindSafe(Box::pin(flight)).catch_unwind().await {
                Ok(wake) => wake,
                Err(_) => Some(after_panic(&context, &mut memory).await),
            };
            drop(flying);
        }
        landed = Some(Instant::now());
        for request in &requests {
            if let Request::Serve(_, asked) = request {
                context.metrics.served(began.saturating_duration_since(*asked), began.elapsed());
            }
        }
        let dealt_with = requests.len();
        // A flight may have had to leave an object out, or it may mean another bus by now.
        let asked = requests.into_iter().filter_map(Request::object).map(|object| (object.uid().to_owned(), object));
        for object in asked.collect::<HashMap<_, _>>().into_values() {
            if !context.ledger.was_served(&object) {
                tokio::spawn(reconcile_later(object, Arc::clone(&context)));
            }
        }
        // A bus with statements of ours is looked at on, with objects or without.
        let holds_ours = memory.last_read.as_ref().is_some_and(|read| read.holds_any_of(&context.settings.owner));
        let is_idle = wake.is_none() && memory.is_blank(Instant::now()) && !holds_ours;
        seen.is_idle.store(is_idle, Ordering::Release);
        seen.open.fetch_sub(dealt_with, Ordering::AcqRel);
    }
}

/// Waits until nobody asks any more, or long enough.
async fn gather(inbox: &mut mpsc::UnboundedReceiver<Request>, requests: &mut Vec<Request>) {
    let until = Instant::now() + LONGEST_GATHERING;
    while let Ok(Some(request)) = timeout_at(until.min(Instant::now() + GAP), inbox.recv()).await {
        requests.push(request);
    }
}

/// Whether the flight failed at some objects, which are left alone, or it is not known at which; gives when to try again.
async fn after_panic<B: EventBuses>(context: &Context<B>, memory: &mut Memory) -> Instant {
    let now = Instant::now();
    // Whatever was being sent may have been.
    memory.lost_answer(now, context.settings.outcome_wait);
    let failed_at = std::mem::take(&mut memory.at_work);
    if failed_at.is_empty() {
        context.metrics.panicked();
        tracing::error!("a flight panicked; the bus is left alone for a minute");
        memory.quiet_until = Some(now + AFTER_PANIC);
        return now + AFTER_PANIC;
    }
    for object in failed_at {
        context.isolate(&object).await;
    }
    now + AFTER_LEFT_OUT
}

/// Whether anything that was asked for is not done yet: the last flight may have served objects that asked meanwhile.
fn is_needed<B>(context: &Context<B>, requests: &[Request], wake: Option<Instant>) -> bool {
    let now = Instant::now();
    let open = requests.iter().any(|request| match request {
        Request::Serve(object, _) => !context.ledger.is_served(object, now),
        Request::Bury(_) | Request::Changed => true,
    });
    open || wake.is_some_and(|wake| wake <= now)
}

/// Whether something is to be taken away.
fn urgency(requests: &[Request]) -> Urgency {
    let removes = |request: &Request| match request {
        Request::Serve(object, _) => object.is_deleting(),
        Request::Bury(_) => true,
        Request::Changed => false,
    };
    if requests.iter().any(removes) { Urgency::Removal } else { Urgency::Other }
}

/// The turn of a flight's first read. The first flight may have no need of it.
async fn first_turn<B: EventBuses>(
    context: &Context<B>,
    bus: &BusArn,
    memory: &Memory,
    urgency: Urgency,
) -> Result<Option<Turn>, BusError> {
    if !memory.has_landed {
        return Ok(None);
    }
    context.service.read_turn(bus, urgency).await.map(Some)
}

async fn fly<B: EventBuses>(
    context: &Arc<Context<B>>,
    bus: &BusArn,
    memory: &mut Memory,
    seen: &Seen,
    urgency: Urgency,
) -> Option<Instant> {
    let identity = match context.identity().await {
        Ok(identity) => identity,
        Err(error) => {
            let retry = context.report_unidentified(bus, &Problem::from_error(&error)).await;
            return retry.into_iter().chain(memory.owes_again()).min();
        }
    };
    if *bus.account() != identity.account {
        let retry = context.report_elsewhere(bus, &identity).await;
        return retry.into_iter().chain(memory.owes_again()).min();
    }
    // The turn comes first: whoever asks while it is waited for shares this flight.
    let Ok(turn) = first_turn(context, bus, memory, urgency).await else { return None };
    // So does the first look, which the first flights of all buses wait for: their rosters together would take much memory.
    let first_look = if !memory.has_landed && context.may_stand(bus) { context.first_look(bus).await } else { None };
    let mut roster = Roster::of(context, bus, &identity);
    let mut isolated = None;
    for object in std::mem::take(&mut roster.panicked) {
        isolated = Some(context.isolate(&object).await);
    }
    roster.members.retain(|member| !memory.is_buried(&member.id, member.object.uid()));
    for member in &roster.members {
        memory.unbury(&member.id);
    }
    // Kept until the watch no longer shows the object: one that was let go may still be there.
    memory.removed.retain(|uid, _| roster.members.iter().any(|member| member.object.uid() == uid));
    if roster.members.iter().any(|member| context.is_inherited(&member.object)) {
        memory.inherit(context.started + context.settings.outcome_wait);
    }
    if !memory.has_landed && context.are_ready(&roster) {
        memory.last_read = first_look;
    }
    if roster.has_deleting() {
        let going = context.is_definition_going().await;
        roster.left_out = going.is_err();
        if matches!(going, Ok(true)) {
            // Nothing else tells those that were being deleted before.
            for object in roster.deleting() {
                roster.left_out |= context.let_stay(&object).await.is_err();
            }
        }
        if !matches!(going, Ok(false)) {
            roster.shield_deleting();
        }
    }
    context.pin(bus, &mut roster).await;
    let landing = Flight::new(context, bus, &mut roster, memory, turn).fly().await;
    if landing.trouble.is_some() && context.is_ending() {
        return None;
    }
    let read = memory.last_read.as_ref().filter(|_| landing.read.is_some());
    *seen.policy() = read.and_then(|read| SeenPolicy::of(read.policy.as_deref()));
    if landing.trouble.as_ref().is_some_and(|trouble| trouble.reason == Reason::CredentialsUnavailable) {
        context.forget_identity().await;
    }
    if landing.confirmed_only {
        // What a predecessor may have sent, the sweep after the wait shows.
        memory.forget_inherited();
    }
    let retry = context.report(bus, &roster, memory, &landing).await;
    memory.left_out = if roster.left_out { memory.left_out + 1 } else { 0 };
    let again = roster.left_out.then(|| Instant::now() + jittered(AFTER_LEFT_OUT, memory.left_out, AFTER_PANIC));
    let owes = owes_removals(context, memory, &landing).then(|| memory.owes_again()).flatten();
    retry.into_iter().chain(again).chain(isolated).chain(roster.quarantined_until).chain(owes).min()
}

/// Whether statements of objects that are gone may be on the bus after a flight: nobody else has it tried again for them.
fn owes_removals<B>(context: &Context<B>, memory: &mut Memory, landing: &Landing) -> bool {
    let buried = memory.buried(Instant::now());
    let theirs = |sid: &str| context.settings.owner.read(sid).is_some_and(|owned| buried.contains(&owned.object));
    let owes = match &landing.read {
        Some(read) => read.statements().iter().filter_map(LiveStatement::sid).any(theirs),
        None => memory.owes > 0 && !buried.is_empty(),
    };
    memory.owes = if owes { memory.owes.max(1) } else { 0 };
    owes
}
