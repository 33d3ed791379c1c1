//! The writes of a flight: what each does to which statements, and what was done for each object.

use std::collections::BTreeSet;
use std::sync::Arc;

use busgrant_policy::{Document, ObjectId, Owner, Ownership, Sid, Stance, Step};

use super::permission::Permission;
use super::retry::Problem;
use crate::api::Reason;
use crate::port::{BusError, Receipt, RetryClass};

/// What one flight did for one object.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Tally {
    /// Statements put.
    pub put: BTreeSet<Sid>,
    /// Statements removed.
    pub removed: BTreeSet<Sid>,
    /// Calls that met another writer and were made again.
    pub conflicts: u32,
    /// Writes that were confirmed and were not there.
    pub lost: u32,
    /// Whether it had calls sent at all.
    pub sent: bool,
}

/// What a write does to a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// It is written, new or over the one that is there.
    Put,
    /// It goes.
    Remove,
}

/// What a step does to which statements.
pub fn writes(step: &Step) -> Vec<(Sid, Kind)> {
    match step {
        Step::PutStatement { sid, .. } => vec![(sid.clone(), Kind::Put)],
        Step::RemoveStatement { sid } => vec![(sid.clone(), Kind::Remove)],
        Step::PutDocument { puts, drops, .. } => {
            let puts = puts.iter().map(|sid| (sid.clone(), Kind::Put));
            puts.chain(drops.iter().map(|sid| (sid.clone(), Kind::Remove))).collect()
        }
    }
}

/// The Sids that a step names.
pub fn named(step: &Step) -> Vec<Sid> {
    writes(step).into_iter().map(|(sid, _)| sid).collect()
}

/// The objects that a step is about, each once, however many of their statements it names.
pub fn objects(step: &Step, owner: &Owner) -> BTreeSet<ObjectId> {
    named(step).iter().filter_map(|sid| Some(owner.read(sid.as_str())?.object)).collect()
}

/// What no plan may ever ask for, checked once more before anything is sent: a request that names a Sid that is not ours, or
/// a document without a statement of somebody else's as it was read.
pub fn trespass(step: &Step, document: &Document, ownership: &Ownership) -> Option<Problem> {
    let named = named(step).into_iter().find(|sid| ownership.is_foreign(Some(sid.as_str())));
    let dropped = match step {
        Step::PutDocument { text, .. } => {
            let mut foreign = document.statements().iter().filter(|live| ownership.is_foreign(live.sid()));
            foreign.find(|live| !text.contains(live.text())).map(|live| live.sid().unwrap_or_default().to_owned())
        }
        _ => None,
    };
    let sid = named.map(|sid| sid.to_string()).or(dropped)?;
    tracing::error!(sid, "the plan touches a foreign statement");
    let message = format!("a plan that touches the foreign statement {sid} was refused: please report this");
    Some(Problem { reason: Reason::InternalError, message, mendable: true })
}

/// Whether a step removes a statement of an object that goes as a whole.
pub fn is_release(step: &Step, ownership: &Ownership) -> bool {
    let Step::RemoveStatement { sid } = step else {
        return false;
    };
    let owned = ownership.read(Some(sid.as_str()));
    owned.is_some_and(|owned| matches!(ownership.stance(&owned.object), Some(Stance::Released { .. })))
}

/// A statement that is to go and is not there is gone; whether the bus is, the next read says.
pub fn is_gone(step: &Step, error: &BusError) -> bool {
    error.class == RetryClass::NotFound && matches!(step, Step::RemoveStatement { .. })
}

/// Says what was written for which objects, and what the service said.
pub fn log(step: &Step, objects: &[Arc<Permission>], answer: &Result<Receipt, BusError>) {
    let step_text = summary(step);
    let (namespace, name, generation, others) = match objects {
        [] => Default::default(),
        [first, others @ ..] => (Some(first.namespace()), Some(first.name()), Some(first.generation()), others.len()),
    };
    let also = (others > 0).then_some(others);
    match answer {
        Ok(Receipt { request_id }) => {
            tracing::info!(namespace, name, generation, also, step = step_text, aws_request_id = request_id, "written");
        }
        Err(BusError { request_id, .. }) if answer.as_ref().is_err_and(|error| is_gone(step, error)) => {
            tracing::info!(namespace, name, step = step_text, aws_request_id = request_id, "was not there");
        }
        Err(error) => {
            let BusError { code, request_id, .. } = error;
            tracing::warn!(
                namespace, name, generation, also, step = step_text, code, aws_request_id = request_id, %error,
                "the write failed"
            );
        }
    }
}

/// A step in a few words, for the log.
fn summary(step: &Step) -> String {
    match step {
        Step::PutStatement { sid, .. } => format!("put {sid}"),
        Step::RemoveStatement { sid } => format!("remove {sid}"),
        Step::PutDocument { text, puts, .. } => {
            let puts: Vec<&str> = puts.iter().map(Sid::as_str).collect();
            format!("document of {} characters with {}", text.len(), puts.join(", "))
        }
    }
}
