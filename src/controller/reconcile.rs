//! What is done when an object was created, changed or deleted.

use std::sync::Arc;
use std::time::Duration;

use kube::runtime::controller::Action;
use tokio::time::Instant;

use super::context::Context;
use super::kubernetes::Error;
use super::ledger::Fingerprint;
use super::permission::Permission;
use super::retry::Problem;
use crate::api::Reason;
use crate::port::EventBuses;

/// The pause before an object is looked at again that a flight left out.
const LEFT_OUT: Duration = Duration::from_secs(2);

/// Holds a new object, has its bus served, lets go of one whose statements stay.
pub async fn reconcile<B: EventBuses>(object: Arc<Permission>, context: Arc<Context<B>>) -> Result<Action, Error> {
    if context.ledger.is_served(&object, Instant::now()) {
        return Ok(again_at(context.ledger.get(object.uid()).retry_at));
    }
    if object.is_deleting() {
        if !object.is_held() {
            context.ledger.forget(object.uid());
            return Ok(Action::await_change());
        }
        let stays = match context.is_definition_going().await {
            _ if object.is_retained() => true,
            Ok(going) => going,
            Err(error) => {
                let message = format!("while deleting: busgrant's own definition can't be read: {error}");
                let problem = Problem { reason: Reason::AccessDenied, message, mendable: true };
                return Ok(again_at(context.report_problem(&object, &problem).await));
            }
        };
        if stays {
            let note = "its statements stay on the bus";
            context.tell(&object, false, Reason::Retained, "Delete", note);
            context.let_go(&object).await?;
            return Ok(Action::await_change());
        }
    }
    if let (Err(error), false) = (&object.spec, object.is_deleting()) {
        let message = format!("this version of busgrant can't read it, so nothing of it is acted on: {error}");
        let problem = Problem { reason: Reason::Unreadable, message, mendable: false };
        return Ok(again_at(context.report_problem(&object, &problem).await));
    }
    let resolved = match context.identity().await {
        Ok(identity) => context.resolve(&object, &identity),
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
            return Ok(again_at(context.report_problem(&object, &problem).await));
        }
    };
    if !object.is_held() {
        // The watch shows the object again once it is held; until then it does not count.
        context.note_held(&object);
        context.hold(&object).await?;
        return Ok(Action::await_change());
    }
    context.worker(&bus).serve(Arc::clone(&object)).await;
    // From here the bus's worker tries again by itself, unless the flight had to leave the object out.
    let entry = context.ledger.get(object.uid());
    match entry.served {
        Some(served) if served == Fingerprint::of(&object) => Ok(Action::await_change()),
        _ => Ok(Action::requeue(LEFT_OUT)),
    }
}

fn again_at(at: Option<Instant>) -> Action {
    at.map_or_else(Action::await_change, |at| Action::requeue(at.saturating_duration_since(Instant::now())))
}

/// The pause after a call to Kubernetes failed: attempts are counted for each object, whatever the watch brings.
pub fn after_error<B>(object: &Permission, error: &Error, context: &Context<B>) -> Action {
    tracing::warn!(namespace = object.namespace(), name = object.name(), %error, "tried again later");
    context.metrics.reconcile("error");
    let mut attempts = 0;
    context.ledger.update(object.uid(), |entry| {
        if entry.served.as_ref() != Some(&Fingerprint::of(object)) {
            entry.attempts += 1;
        }
        attempts = entry.attempts;
    });
    Action::requeue(super::backoff::jittered(Duration::from_millis(200), attempts.max(1), Duration::from_mins(1)))
}
