//! What every scene must have kept, whatever happened in it; read off both journals, which have one order.

use std::collections::HashMap;
use std::fs;

use busgrant_sim::{Change, JournalEntry, JournalFilter, Operation, Writer};
use serde_json::Value;

use super::front::Passed;
use super::operator::SECRET;
use super::oracle;
use super::scene::{Scene, writes_policy};

pub(super) fn kept(scene: &Scene) {
    let owned = format!("bg-{}-", scene.owner);
    only_our_sids_are_named(scene, &owned);
    if !scene.overwritten.get() {
        foreign_statements_are_carried(scene, &owned);
    }
    let passed = scene.front.passed();
    let statuses: Vec<&Passed> =
        passed.iter().filter(|passed| passed.wrote_status() && !passed.answer.is_null()).collect();
    for status in &statuses {
        conditions_are_well_formed(&status.sent["status"]);
        if condition(&status.sent["status"], "Ready")["status"] == "True" {
            ready_is_true(scene, status).unwrap();
        }
    }
    statuses_change_and_never_go_back(&statuses, scene.tampered.get());
    nothing_secret_is_told(scene, &passed);
}

fn only_our_sids_are_named(scene: &Scene, owned: &str) {
    for call in scene.sim.journal() {
        if let Some(sid) = call.input["StatementId"].as_str() {
            assert!(sid.starts_with(owned), "names a foreign statement: {call:?}");
        }
        assert!(call.input["RemoveAllPermissions"] != true, "removes everything: {call:?}");
    }
}

fn foreign_statements_are_carried(scene: &Scene, owned: &str) {
    let foreign = |change: Option<&Change>| -> Vec<String> {
        let policy = change.and_then(|change| change.policy.as_ref());
        let all = policy.and_then(|policy| policy["Statement"].as_array()).into_iter().flatten();
        let foreign = all.filter(|one| !one["Sid"].as_str().is_some_and(|sid| sid.starts_with(owned)));
        let mut texts: Vec<String> = foreign.map(Value::to_string).collect();
        texts.sort();
        texts
    };
    let mut before: HashMap<(String, String), Change> = HashMap::new();
    for change in scene.sim.changes() {
        let bus = (change.region.clone(), change.bus.clone());
        if let Writer::Call(_) = change.writer {
            assert_eq!(
                foreign(before.get(&bus)),
                foreign(Some(&change)),
                "a call of ours changed foreign statements: {change:?}"
            );
        }
        before.insert(bus, change);
    }
}

fn condition<'a>(status: &'a Value, kind: &str) -> &'a Value {
    let mut all = status["conditions"].as_array().into_iter().flatten();
    all.find(|condition| condition["type"] == kind).unwrap_or(&Value::Null)
}

/// As kstatus, Flux and Argo CD must find them: every verdict has its generation, Ready is always there, and what says that
/// something goes on or is stuck is there only while true, and one at a time.
fn conditions_are_well_formed(status: &Value) {
    let (reconciling, stalled) = (condition(status, "Reconciling"), condition(status, "Stalled"));
    for kind in ["Accepted", "Synced", "Ready"] {
        assert!(condition(status, kind).is_object(), "no {kind}: {status}");
    }
    for one in status["conditions"].as_array().unwrap() {
        assert_eq!(one["observedGeneration"], status["observedGeneration"], "{status}");
        let reason = one["reason"].as_str().unwrap();
        let known = busgrant::api::Reason::ALL.iter().any(|known| known.as_str() == reason);
        assert!(known, "{reason} is in no list: {status}");
        assert!(one["message"].as_str().is_some_and(|message| !message.is_empty()), "{status}");
    }
    for extra in [reconciling, stalled] {
        assert!(extra.is_null() || extra["status"] == "True", "{status}");
    }
    assert!(reconciling.is_null() || stalled.is_null(), "both at once: {status}");
    if condition(status, "Ready")["status"] == "True" {
        assert!(reconciling.is_null() && stalled.is_null(), "ready and not: {status}");
        assert_eq!(condition(status, "Synced")["status"], "True", "{status}");
    }
}

/// Ready for a generation: a read after the last write held exactly its statements, and no call may still take effect.
pub(super) fn ready_is_true(scene: &Scene, status: &Passed) -> Result<(), String> {
    let sent = &status.sent["status"];
    let generation = sent["observedGeneration"].as_i64().unwrap();
    let uid = status.sent["metadata"]["uid"].as_str().unwrap().to_owned();
    let given = scene.given.borrow();
    let spec = given.get(&(uid, generation)).or_else(|| {
        let same = status.answer["metadata"]["generation"].as_i64() == Some(generation);
        same.then(|| &status.answer["spec"])
    });
    let spec = spec.unwrap_or_else(|| panic!("the scene does not know the spec of {}", status.answer));
    let name = status.answer["metadata"]["name"].as_str().unwrap();
    let arn = sent["eventBus"]["arn"].as_str().unwrap();
    let prefix = oracle::prefix(&scene.owner, &scene.namespace, name);
    let wanted = oracle::wanted(spec, arn, &prefix);
    let parts: Vec<&str> = arn.split(':').collect();
    let bus = parts[5].trim_start_matches("event-bus/");
    let about = |bus: Option<&str>| JournalFilter {
        region: Some(parts[3].to_owned()),
        bus: bus.map(str::to_owned),
        ..JournalFilter::default()
    };
    let changes = scene.sim.changes_of(&about(Some(bus)));
    let calls = scene.sim.journal_of(&about(None));
    let reads = calls.iter().filter(|call| {
        let this = call.operation == Operation::DescribeEventBus && call.bus.as_deref() == Some(bus);
        let answered = call.answered.is_some_and(|answered| answered <= status.mark);
        (this || call.operation == Operation::ListEventBuses) && call.succeeded() && answered
    });
    let writes: Vec<&JournalEntry> = calls
        .iter()
        .filter(|call| writes_policy(call) && call.bus.as_deref() == Some(bus) && call.seq <= status.mark)
        .collect();
    let outcome_wait = scene.outcome_wait_millis.get();
    let last = |read: &&JournalEntry| writes.iter().all(|write| is_over(write, read, status, outcome_wait));
    let held = |read: &&JournalEntry| {
        let (begin, end) = (read.seq, read.answered.unwrap());
        let lags = !read.faults.is_empty();
        let policies = changes.iter().filter(|change| change.seq <= end);
        // It showed the last policy before it began, or one that came while it was under way.
        let before = policies.clone().rfind(|change| change.seq <= begin);
        let shown = policies.filter(|change| lags || change.seq > begin);
        let shown = shown.map(|change| change.policy.as_ref());
        let shown = shown.chain([before.and_then(|change| change.policy.as_ref())]);
        shown.into_iter().any(|policy| oracle::of_policy(policy, arn, &prefix) == wanted)
    };
    let proof = reads.clone().filter(last).find(held);
    proof.map(|_| ()).ok_or_else(|| {
        format!(
            "{name} was called ready for generation {generation} at {} without a read after the last write that held \
             {wanted:#?}\nreads: {:?}\nwrites: {writes:#?}\nchanges: {changes:#?}",
            status.mark,
            reads.map(|read| read.seq).collect::<Vec<_>>(),
        )
    })
}

/// Whether a write was over before a read began, and can't take effect any more when the status was written.
fn is_over(write: &JournalEntry, read: &JournalEntry, status: &Passed, outcome_wait: i64) -> bool {
    let unanswered = write.client_gone || write.status.is_none();
    if unanswered {
        // 100 ms: it was sent before it arrived.
        let waited = write.at_millis + outcome_wait - 100 <= status.at_millis;
        waited && write.applied.is_none_or(|applied| applied < read.seq || applied > status.mark)
    } else {
        write.answered.is_some_and(|answered| answered < read.seq)
    }
}

fn statuses_change_and_never_go_back(statuses: &[&Passed], tampered: bool) {
    let mut last: HashMap<&str, &Value> = HashMap::new();
    for status in statuses {
        let uid = status.sent["metadata"]["uid"].as_str().unwrap();
        let sent = &status.sent["status"];
        if let Some(before) = last.insert(uid, sent) {
            assert!(tampered || before != sent, "written for nothing: {sent}");
            let generation = |status: &Value| status["observedGeneration"].as_i64();
            assert!(generation(before) <= generation(sent), "went back: {before} {sent}");
        }
    }
}

fn nothing_secret_is_told(scene: &Scene, passed: &[Passed]) {
    for log in &scene.logs {
        assert!(!fs::read_to_string(log).unwrap().contains(SECRET), "{}", log.display());
    }
    for request in passed {
        assert!(!request.sent.to_string().contains(SECRET), "{request:?}");
    }
}
