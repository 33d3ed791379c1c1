//! One worker for each bus: one flight at a time. Whoever asks while one is under way shares the next.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use busgrant_policy::{BusArn, Document};
use futures::FutureExt;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tracing::Instrument;

use super::backoff::jittered;
use super::context::Context;
use super::flight::Flight;
use super::memory::Memory;
use super::permission::Permission;
use super::retry::Problem;
use super::roster::Roster;
use crate::api::Reason;
use crate::port::EventBuses;

/// A flight that panicked is not tried again at once.
const AFTER_PANIC: Duration = Duration::from_mins(1);

/// The first pause before objects are tried again that Kubernetes gave no answer for.
const AFTER_LEFT_OUT: Duration = Duration::from_millis(500);

/// The way to a bus's worker.
#[derive(Debug, Clone)]
pub struct Worker {
    requests: mpsc::UnboundedSender<Request>,
    seen: Arc<Seen>,
}

/// What the bus was last seen to hold, as a digest, and when that was last confirmed.
type Seen = Mutex<Option<(u64, Instant)>>;

#[derive(Debug)]
enum Request {
    /// An object wants to be served; answered when a flight that began after this has landed.
    Serve(Arc<Permission>, oneshot::Sender<()>),
    /// The bus was seen to differ from the last read.
    Changed,
}

impl Worker {
    /// Starts the worker of a bus.
    pub fn start<B: EventBuses>(context: Arc<Context<B>>, bus: BusArn) -> Self {
        let (requests, inbox) = mpsc::unbounded_channel();
        let seen = Arc::new(Seen::default());
        let span = tracing::info_span!(parent: None, "bus", %bus);
        let work = work(Arc::downgrade(&context), bus, inbox, Arc::clone(&seen));
        drop(context);
        tokio::spawn(work.instrument(span));
        Self { requests, seen }
    }

    /// Waits for a flight that sees this object as it is now or newer.
    pub async fn serve(&self, object: Arc<Permission>) {
        let (answer, landed) = oneshot::channel();
        if self.requests.send(Request::Serve(object, answer)).is_ok() {
            // An error says that the worker is gone, with the controller.
            let _ = landed.await;
        }
    }

    /// Has the bus looked at, if its policy is not what it was last seen to be.
    pub fn compare(&self, policy: Option<&Document>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match (&mut *seen, policy.map(digest)) {
            (Some((known, at)), Some(listed)) if *known == listed => *at = Instant::now(),
            _ => drop(self.requests.send(Request::Changed)),
        }
    }
}

async fn work<B: EventBuses>(
    context: Weak<Context<B>>,
    bus: BusArn,
    mut inbox: mpsc::UnboundedReceiver<Request>,
    seen: Arc<Seen>,
) {
    let mut memory = Memory::default();
    let mut wake: Option<Instant> = None;
    loop {
        let mut requests = Vec::new();
        tokio::select! {
            request = inbox.recv() => match request {
                Some(request) => requests.push(request),
                None => return,
            },
            () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
        }
        while let Ok(request) = inbox.try_recv() {
            requests.push(request);
        }
        let Some(context) = context.upgrade() else { return };
        if is_needed(&context, &requests, wake) {
            let _flying = context.flights.read().await;
            let confirmed = seen.lock().unwrap_or_else(PoisonError::into_inner).map(|(_, at)| at);
            let changed = requests.iter().any(|request| matches!(request, Request::Changed));
            memory.last_read = memory.last_read.filter(|_| !changed).zip(confirmed).map(|((read, _), at)| (read, at));
            let flight = AssertUnwindSafe(fly(&context, &bus, &mut memory, &seen)).catch_unwind().await;
            wake = flight.unwrap_or_else(|_| {
                tracing::error!("a flight panicked; the bus is left alone for a minute");
                Some(Instant::now() + AFTER_PANIC)
            });
        }
        for request in requests {
            if let Request::Serve(_, answer) = request {
                let _ = answer.send(());
            }
        }
    }
}

/// Whether anything that was asked for is not done yet: the last flight may have served objects that asked meanwhile.
fn is_needed<B>(context: &Context<B>, requests: &[Request], wake: Option<Instant>) -> bool {
    let now = Instant::now();
    let open = requests.iter().any(|request| match request {
        Request::Serve(object, _) => !context.ledger.is_served(object, now),
        Request::Changed => true,
    });
    open || wake.is_some_and(|wake| wake <= now)
}

async fn fly<B: EventBuses>(
    context: &Arc<Context<B>>,
    bus: &BusArn,
    memory: &mut Memory,
    seen: &Seen,
) -> Option<Instant> {
    let identity = match context.identity().await {
        Ok(identity) => identity,
        Err(error) => return context.report_unidentified(bus, &Problem::from_error(&error)).await,
    };
    if *bus.account() != identity.account {
        return context.report_elsewhere(bus, &identity).await;
    }
    let mut roster = Roster::of(context, bus, &identity);
    for member in &roster.members {
        memory.unbury(&member.id);
    }
    if roster.members.iter().any(|member| context.is_inherited(&member.object)) {
        memory.inherit(context.started + context.settings.outcome_wait);
    }
    if roster.has_deleting() {
        let going = context.is_definition_going().await;
        roster.left_out = going.is_err();
        if !matches!(going, Ok(false)) {
            roster.shield_deleting();
        }
    }
    context.pin(bus, &mut roster).await;
    let landing = Flight::new(context, bus, &roster, memory).fly().await;
    let read = landing.read.as_ref().map(|read| (digest(read), Instant::now()));
    *seen.lock().unwrap_or_else(PoisonError::into_inner) = read;
    if landing.trouble.as_ref().is_some_and(|trouble| trouble.reason == Reason::CredentialsUnavailable) {
        context.forget_identity().await;
    }
    let retry = context.report(bus, &roster, memory, &landing).await;
    memory.left_out = if roster.left_out { memory.left_out + 1 } else { 0 };
    let again = roster.left_out.then(|| Instant::now() + jittered(AFTER_LEFT_OUT, memory.left_out, AFTER_PANIC));
    retry.into_iter().chain(again).min()
}

/// A number that says whether two reads hold the same statements, in whatever order.
fn digest(document: &Document) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut texts: Vec<&str> =
        document.statements().iter().map(busgrant_policy::document::LiveStatement::text).collect();
    texts.sort_unstable();
    let mut hasher = DefaultHasher::new();
    (document.knows_variables(), texts).hash(&mut hasher);
    hasher.finish()
}
