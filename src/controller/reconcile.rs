//! What is done when an object was created, changed or deleted.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use kube::runtime::controller::Action;
use tokio::time::{Instant, sleep_until};

use super::backoff::jittered;
use super::context::Context;
use super::kubernetes::Error;
use super::ledger::Fingerprint;
use super::metrics::Reconciled;
use super::permission::Permission;
use super::retry::Problem;
use crate::api::{DeletionPolicy, Reason};
use crate::port::EventBuses;

/// The pauses before an object is looked at again that a flight left out: the first and the longest.
const LEFT_OUT: (Duration, Duration) = (Duration::from_secs(2), Duration::from_mins(1));

/// [`attend`], as kube's controller calls it.
pub async fn reconcile<B: EventBuses>(object: Arc<Permission>, context: Arc<Context<B>>) -> Result<Action, Error> {
    let again = guarded(&object, &context).await?;
    Ok(again.map_or_else(Action::await_change, |at| Action::requeue(at.saturating_duration_since(Instant::now()))))
}

/// [`attend`] for an object that a flight left out, after a pause and until it comes to an end.
pub async fn reconcile_later<B: EventBuses>(object: Arc<Permission>, context: Arc<Context<B>>) {
    let key = (object.namespace().into(), object.name().into());
    let mut times = 0;
    context.ledger.update(object.uid(), |entry| {
        entry.left_out = if entry.served.is_some() { 1 } else { entry.left_out + 1 };
        times = entry.left_out;
    });
    let mut at = Instant::now() + jittered(LEFT_OUT.0, times, LEFT_OUT.1);
    loop {
        sleep_until(at).await;
        let Some(current) = context.object(&key) else { return };
        at = match guarded(&current, &context).await {
            Ok(Some(again)) => again,
            Ok(None) => return,
            Err(error) => Instant::now() + pause_after(&current, &error, &context),
        };
    }
}

/// An object at which the controller itself fails, fails alone.
async fn guarded<B: EventBuses>(object: &Arc<Permission>, context: &Arc<Context<B>>) -> Result<Option<Instant>, Error> {
    let began = Instant::now();
    context.metrics.begins(context.settings.concurrency);
    let attended = AssertUnwindSafe(attend(object, context)).catch_unwind().await;
    let how = match &attended {
        Ok(Ok(None)) => Reconciled::Success,
        Ok(Ok(Some(_))) => Reconciled::RequeueAfter,
        Ok(Err(_)) => Reconciled::Error,
        Err(_) => Reconciled::Panic,
    };
    context.metrics.ended(how, began.elapsed());
    match attended {
        Ok(attended) => attended,
        Err(_) => Ok(Some(context.isolate(object).await)),
    }
}

/// Holds a new object, has its bus served, lets go of one whose statements stay. Gives when to look at it again, if nothing
/// else comes before. It does not wait for the bus: a bus that is slow holds up no other.
async fn attend<B: EventBuses>(object: &Arc<Permission>, context: &Arc<Context<B>>) -> Result<Option<Instant>, Error> {
    if context.ledger.is_served(object, Instant::now()) {
        return Ok(context.ledger.get(object.uid()).next_look(object));
    }
    if let Some(until) = context.quarantine.until(object) {
        return Ok(Some(until));
    }
    context.index.note(object);
    if object.is_deleting() {
        if !object.is_held() {
            context.ledger.forget(object.uid());
            return Ok(None);
        }
        match stays(object, context).await {
            Ok(true) => {
                context.let_stay(object).await?;
                return Ok(None);
            }
            Ok(false) => {}
            Err(problem) => return Ok(context.report_problem(object, &problem).await),
        }
    }
    if let (Some(error), false) = (object.unreadable(), object.is_deleting()) {
        let message = format!("this version of busgrant can't read it, so nothing of it is acted on: {error}");
        let problem = Problem { reason: Reason::Unreadable, message, mendable: false };
        return Ok(context.report_problem(object, &problem).await);
    }
    let resolved = match context.identity().await {
        Ok(identity) => context.resolve(object, &identity),
        Err(error) => Err(Problem::from_error(&error)),
    };
    let bus = match resolved {
        Ok(bus) => bus,
        Err(problem) => {
            match problem.reason {
                Reason::CredentialsUnavailable => context.forget_identity().await,
                Reason::AccountMismatch | Reason::BusChanged => context.doubt_identity().await,
                _ => {}
            }
            return Ok(context.report_problem(object, &problem).await);
        }
    };
    if !object.is_held() {
        // The watch shows the object again once it is held; until then it does not count.
        context.note_held(object);
        if let Err(error) = context.hold(object).await {
            // A predecessor may have held it a moment ago.
            context.note_not_held(object);
            return Err(error);
        }
        return Ok(None);
    }
    context.metrics.queued();
    context.worker(&bus).ask(Arc::clone(object));
    // From here the bus's worker tries again by itself.
    Ok(None)
}

/// Whether the statements of an object that is being deleted stay on the bus.
async fn stays<B>(object: &Permission, context: &Context<B>) -> Result<bool, Problem> {
    let policy = object.deletion_policy();
    if policy == Ok(DeletionPolicy::Retain) {
        return Ok(true);
    }
    let going = context.is_definition_going().await.map_err(|error| {
        let reason = if error.is_forbidden() { Reason::AccessDenied } else { Reason::Deleting };
        let message = format!("while deleting: busgrant's own definition can't be read: {error}");
        Problem { reason, message, mendable: true }
    })?;
    match policy {
        _ if going => Ok(true),
        Ok(_) => Ok(false),
        Err(wrong) => {
            let message =
                format!("while deleting: {wrong}; set it to Delete or Retain, so that it is clear what is to go");
            Err(Problem::permanent(Reason::Unreadable, message))
        }
    }
}

/// What kube's controller does after a call to Kubernetes failed.
pub fn after_error<B>(object: &Permission, error: &Error, context: &Context<B>) -> Action {
    Action::requeue(pause_after(object, error, context))
}

/// The pause after a call to Kubernetes failed: attempts are counted for each object, whatever the watch brings.
fn pause_after<B>(object: &Permission, error: &Error, context: &Context<B>) -> Duration {
    tracing::warn!(namespace = object.namespace(), name = object.name(), %error, "tried again later");
    let mut attempts = 0;
    context.ledger.update(object.uid(), |entry| {
        if entry.served.as_ref() != Some(&Fingerprint::of(object)) {
            entry.attempts += 1;
        }
        attempts = entry.attempts;
    });
    jittered(Duration::from_millis(200), attempts.max(1), Duration::from_mins(1))
}
