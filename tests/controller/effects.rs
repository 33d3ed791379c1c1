//! What the operator did, and what is left of it.

use std::collections::{BTreeMap, BTreeSet};

use busgrant_sim::{Change, JournalEntry, Operation};
use serde_json::Value;

use super::front::Passed;
use super::oracle;
use super::promises::ensure;
use super::record::{Bus, Hold, Record};

/// The retries that a status tells of are the conflicts that the service told of. Decidable where one operator saw them all
/// and could write every status.
pub(super) fn retries_are_conflicts(record: &Record) -> Result<(), String> {
    let refused = record.passed.iter().any(|passed| passed.path.ends_with("/status") && passed.status != Some(200));
    if refused || record.tampered || record.operators > 1 {
        return Ok(());
    }
    let conflicts = record.calls.iter().filter(|call| call.error.as_deref() == Some("ConcurrentModificationException"));
    let conflicts: Vec<(u64, Vec<String>)> =
        conflicts.map(|call| (call.answered.unwrap(), record.touched(call))).collect();
    let lives = record.lives();
    let mut uids: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for told in lives.values().flatten() {
        uids.entry(&told.prefix).or_default().insert(told.uid);
    }
    for told in lives.values().flatten().filter(|told| uids[told.prefix.as_str()].len() == 1) {
        let ours = |sids: &[String]| sids.iter().any(|sid| sid.starts_with(&told.prefix));
        let met = conflicts.iter().filter(|(answered, sids)| *answered <= told.passed.mark && ours(sids)).count();
        let writes = &told.passed.sent["status"]["writes"];
        let told_of = writes["concurrentModificationRetriesTotal"].as_u64().unwrap_or(0);
        ensure(usize::try_from(told_of) == Ok(met), || {
            format!("{} told of {told_of} retries at {} and met {met} conflicts", told.label, told.passed.mark)
        })?;
    }
    Ok(())
}

/// A statement is put only for an object that the API server has shown with our finalizer, and that was not let go since.
pub(super) fn only_held_objects_are_served(record: &Record) -> Result<(), String> {
    let holds = record.holds();
    let puts = record.calls.iter().filter(|call| call.operation == Operation::PutPermission);
    for put in puts {
        let document: Value =
            put.input["Policy"].as_str().map(|text| serde_json::from_str(text).unwrap()).unwrap_or_default();
        let statements = document["Statement"].as_array().into_iter().flatten();
        let kept: BTreeSet<&str> = statements.filter_map(|one| one["Sid"].as_str()).collect();
        let touched = record.touched(put);
        // A document leaves out what goes, which is no put.
        let puts = touched.iter().filter(|sid| put.input["Policy"].is_null() || kept.contains(sid.as_str()));
        for sid in puts {
            let of_object = holds.iter().find(|(prefix, _)| sid.starts_with(prefix.as_str()));
            let before = of_object.map(|(_, holds)| holds.iter().filter(|hold| hold.passed.mark < put.seq));
            let held = before.and_then(Iterator::last).is_some_and(|hold| hold.holds);
            ensure(held, || format!("{sid} was put for an object that nothing held: {put:?}"))?;
        }
    }
    Ok(())
}

/// Once an object is let go nothing of it is on the bus, unless its statements were to stay; and what others or a call that
/// was thought lost bring back is not ours to prevent.
pub(super) fn nothing_is_left(record: &Record) -> Result<(), String> {
    let steps = record.steps();
    for (prefix, holds) in record.holds() {
        for (number, gone) in holds.iter().enumerate().filter(|(_, hold)| !hold.holds && !stays(record, hold)) {
            // It never had a bus, or it had one.
            let Some(arn) = gone.passed.answer["status"]["eventBus"]["arn"].as_str() else { continue };
            let bus = Bus::of_arn(arn);
            let again = holds.get(number + 1).map_or(record.end, |again| again.passed.mark);
            let on_bus = steps.iter().filter(|(_, change)| bus.has(change) && change.seq <= again);
            let (earlier, later): (Vec<_>, Vec<_>) = on_bus.partition(|(_, change)| change.seq <= gone.passed.mark);
            let held = |policy: Option<&Value>| oracle::of_policy(policy, arn, &prefix);
            // What is there, and the change that brought it.
            let mut there: BTreeMap<String, &Change> = BTreeMap::new();
            let take = |(before, change): &(Option<&Value>, &'_ Change)| {
                let (had, has) = (held(*before), held(change.policy.as_ref()));
                let more = has.keys().filter(|sid| !had.contains_key(*sid)).cloned().collect::<Vec<_>>();
                (has, more)
            };
            for step in &earlier {
                let (has, more) = take(step);
                there.retain(|sid, _| has.contains_key(sid));
                there.extend(more.into_iter().map(|sid| (sid, step.1)));
            }
            // Where the last look lagged, nobody could know.
            let last_look = record.last_look(&bus, gone.passed.mark).filter(|look| look.faults.is_empty());
            for (sid, change) in there {
                let late = record.call_of(change).is_none_or(|call| record.is_spent(call, gone.passed.at_millis));
                let unseen = last_look.is_none_or(|look| change.seq > look.seq && late);
                ensure(unseen, || format!("{sid} stood when {} was let go: {change:?}", gone.passed.path))?;
            }
            for step in &later {
                let (_, more) = take(step);
                let call = record.call_of(step.1);
                let late = call.is_none_or(|call| record.is_spent(call, gone.passed.at_millis));
                ensure(more.is_empty() || late, || format!("{more:?} came after {}: {call:?}", gone.passed.path))?;
            }
        }
    }
    Ok(())
}

/// Whether an object's statements were to stay.
fn stays(record: &Record, gone: &Hold) -> bool {
    let name = &gone.passed.answer["metadata"]["name"];
    let told = |passed: &&Passed| passed.sent["reason"] == "Retained" && passed.sent["regarding"]["name"] == *name;
    gone.passed.answer["spec"]["deletionPolicy"] == "Retain" || record.passed.iter().any(|passed| told(&passed))
}

/// A change costs two reads beside its writes, no put is made that changes nothing, and what was not asked for costs nothing
/// but the look over all buses. Decidable where nothing failed and nobody else wrote.
pub(super) fn a_change_costs_its_steps(record: &Record) -> Result<(), String> {
    let is = |operation| move |call: &&JournalEntry| call.operation == operation;
    let started = record.calls.first().map_or(0, |call| call.seq);
    let others = record.changes.iter().any(|change| change.seq > started && record.call_of(change).is_none());
    let failed = |call: &JournalEntry| !call.succeeded() || !call.faults.is_empty();
    let refused = record.passed.iter().any(Passed::is_refused);
    if others || refused || record.tampered || record.operators > 1 || record.calls.iter().any(failed) {
        return Ok(());
    }
    let idle =
        record.calls.iter().filter(is(Operation::PutPermission)).find(|put| put.policy_before == put.policy_after);
    ensure(idle.is_none(), || format!("changes nothing: {idle:?}"))?;
    let looks = record.calls.iter().filter(is(Operation::DescribeEventBus)).count();
    let lists = record.calls.iter().filter(is(Operation::ListEventBuses)).count();
    let let_go = record.holds().values().flatten().filter(|hold| !hold.holds).count();
    let asked = record.asked + let_go;
    // A list that was on its way while a flight wrote may ask for another look.
    ensure(looks <= 2 * asked + lists, || format!("{looks} reads and {lists} lists for {asked} changes"))?;
    let told = record.statuses().count();
    ensure(told <= 3 * asked, || format!("{told} statuses for {asked} changes"))
}
