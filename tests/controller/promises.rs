//! What every scene must have kept, whatever happened in it; read off both journals, which have one order.

use std::collections::HashMap;

use busgrant_sim::{Change, JournalEntry, Operation};
use serde_json::Value;

use super::effects::{a_change_costs_its_steps, nothing_is_left, only_held_objects_are_served, retries_are_conflicts};
use super::operator::CANARIES;
use super::readiness::{drift_is_told, ready_is_true};
use super::record::{Bus, Record, condition, foreign};
use super::scene::{Scene, writes_policy};

/// A promise, and what it says.
pub(super) type Promise = (&'static str, fn(&Record) -> Result<(), String>);

/// Every promise.
pub(super) const ALL: [Promise; 12] = [
    ("no call names a foreign statement", only_our_sids_are_named),
    ("foreign statements stay as they are", foreign_statements_stay),
    ("a document carries what was read", documents_carry_what_was_read),
    ("conditions are well formed", conditions_are_well_formed),
    ("ready is true", all_that_is_ready_is_true),
    ("drift is told", drift_is_told),
    ("statuses change and never go back", statuses_change_and_never_go_back),
    ("retries are conflicts", retries_are_conflicts),
    ("only held objects are served", only_held_objects_are_served),
    ("nothing is left of what is gone", nothing_is_left),
    ("a change costs its steps", a_change_costs_its_steps),
    ("nothing secret is told", nothing_secret_is_told),
];

/// Holds a scene against every promise.
pub(super) fn kept(scene: &Scene) {
    let record = Record::of(scene);
    for (promise, holds) in ALL {
        if let Err(error) = holds(&record) {
            panic!("not kept: {promise}: {error}");
        }
    }
}

/// An error unless something is so.
pub(super) fn ensure(so: bool, error: impl FnOnce() -> String) -> Result<(), String> {
    if so { Ok(()) } else { Err(error()) }
}

fn only_our_sids_are_named(record: &Record) -> Result<(), String> {
    let owned = record.owned();
    record.calls.iter().try_for_each(|call| {
        let foreign = call.input["StatementId"].as_str().is_some_and(|sid| !sid.starts_with(&owned));
        let all = call.input["RemoveAllPermissions"] == true;
        let sound = !writes_policy(call) || call.input.is_object();
        ensure(!foreign && !all && sound, || format!("{call:?}"))
    })
}

/// No call of ours changes a foreign statement, or anything else of the document that is not a statement; but for what others
/// wrote between our read and our write of a document, which no client can save.
fn foreign_statements_stay(record: &Record) -> Result<(), String> {
    if record.overwritten {
        return Ok(());
    }
    let owned = record.owned();
    for (before, change) in record.steps() {
        let Some(call) = record.call_of(change) else { continue };
        let bus = Bus::of_change(change);
        let look = record.last_look(&bus, call.seq).map_or(0, |look| look.seq);
        let since = |other: &&Change| other.seq > look && other.seq < change.seq && record.call_of(other).is_none();
        if call.input.get("Policy").is_some() && record.changes_of(&bus).any(|other| since(&other)) {
            continue;
        }
        let (texts, rest) = foreign(before, &owned);
        let (left, left_rest) = foreign(change.policy.as_ref(), &owned);
        // With its last statement a document goes as a whole, and begins anew without what it said.
        let same = left_rest == rest || before.is_none() || change.policy.is_none();
        ensure(left == texts && same, || format!("{before:?} became {change:?}"))?;
    }
    Ok(())
}

/// Where the service itself loses what others write, this is what is left to promise.
fn documents_carry_what_was_read(record: &Record) -> Result<(), String> {
    let owned = record.owned();
    let documents = record.calls.iter().filter(|call| call.succeeded());
    for call in documents {
        let (Some(text), Some(bus)) = (call.input["Policy"].as_str(), Bus::of_call(call)) else { continue };
        let sent: Value = serde_json::from_str(text).map_err(|error| format!("{error}: {call:?}"))?;
        let carried = foreign(Some(&sent), &owned).0;
        let look = record.last_look(&bus, call.seq).ok_or_else(|| format!("nothing was read before {call:?}"))?;
        let shown = record.shown(&bus, look);
        let same = shown.iter().any(|shown| foreign(*shown, &owned).0 == carried);
        ensure(same, || format!("{call:?} does not carry what {look:?} showed: {shown:?}"))?;
    }
    Ok(())
}

/// As kstatus, Flux and Argo CD must find them: every verdict has its generation, Ready is always there, and what says that
/// something goes on or is stuck is there only while true, and one at a time.
fn conditions_are_well_formed(record: &Record) -> Result<(), String> {
    record.statuses().try_for_each(|told| {
        let status = &told.passed.sent["status"];
        check_conditions(status).map_err(|wrong| format!("{wrong}: {status}"))
    })
}

fn check_conditions(status: &Value) -> Result<(), String> {
    let (reconciling, stalled) = (condition(status, "Reconciling"), condition(status, "Stalled"));
    for kind in ["Accepted", "Synced", "Ready"] {
        ensure(condition(status, kind).is_object(), || format!("no {kind}"))?;
    }
    let all = status["conditions"].as_array().into_iter().flatten();
    let mut kinds: Vec<&str> = all.clone().filter_map(|one| one["type"].as_str()).collect();
    kinds.sort_unstable();
    ensure(kinds.windows(2).all(|two| two[0] != two[1]), || "one condition twice".to_owned())?;
    for one in all {
        let reason = one["reason"].as_str().unwrap_or_default();
        let known = busgrant::api::Reason::ALL.iter().any(|known| known.as_str() == reason);
        ensure(known, || format!("{reason} is in no list"))?;
        ensure(one["observedGeneration"] == status["observedGeneration"], || "of another generation".to_owned())?;
        ensure(one["message"].as_str().is_some_and(|message| !message.is_empty()), || "no message".to_owned())?;
    }
    for extra in [reconciling, stalled] {
        ensure(extra.is_null() || extra["status"] == "True", || "there, and not true".to_owned())?;
    }
    ensure(reconciling.is_null() || stalled.is_null(), || "both at once".to_owned())?;
    if condition(status, "Ready")["status"] == "True" {
        ensure(reconciling.is_null() && stalled.is_null(), || "ready and not".to_owned())?;
        ensure(condition(status, "Synced")["status"] == "True", || "ready and not synced".to_owned())?;
        let statements = status["statements"].as_array().into_iter().flatten();
        ensure(statements.clone().all(|one| one["synced"] == true), || "ready without a statement".to_owned())?;
    }
    Ok(())
}

fn all_that_is_ready_is_true(record: &Record) -> Result<(), String> {
    record.statuses().filter(|told| told.ready).try_for_each(|told| ready_is_true(record, &told))
}

fn statuses_change_and_never_go_back(record: &Record) -> Result<(), String> {
    let mut last: HashMap<&str, &Value> = HashMap::new();
    for told in record.statuses() {
        let sent = &told.passed.sent["status"];
        let Some(before) = last.insert(told.uid, sent) else { continue };
        ensure(record.tampered || before != sent, || format!("written for nothing: {sent}"))?;
        let generation = |status: &Value| status["observedGeneration"].as_i64();
        ensure(generation(before) <= generation(sent), || format!("went back: {before} {sent}"))?;
        let retries = |status: &Value| status["writes"]["concurrentModificationRetriesTotal"].as_i64();
        ensure(record.tampered || retries(before) <= retries(sent), || format!("counts down: {before} {sent}"))?;
    }
    Ok(())
}

/// What must stay inside the credentials is in no log, status, event or metric.
fn nothing_secret_is_told(record: &Record) -> Result<(), String> {
    let sent = record.passed.iter().map(|passed| format!("{} {}", passed.path, passed.sent));
    let called = record.calls.iter().filter(|call| call.operation != Operation::GetCallerIdentity);
    let called = called.map(|JournalEntry { input, .. }| input.to_string());
    record.texts.iter().cloned().chain(sent).chain(called).try_for_each(|text| {
        let told = CANARIES.iter().find_map(|canary| Some((canary, text.find(canary)?)));
        let around = |at: usize| text.get(at.saturating_sub(300)..at).map(str::to_owned);
        told.map_or(Ok(()), |(canary, at)| Err(format!("{canary} after {:?}", around(at))))
    })
}
