//! How a run ended, and what the undisturbed run allows.

use std::collections::BTreeMap;

use busgrant_sim::{Change, JournalEntry, JournalFilter, Operation, Writer};
use kube::ResourceExt;
use serde_json::{Value, json};

use super::point::Trap;
use super::scenario::{Marks, Scenario};
use crate::controller::oracle;
use crate::controller::scene::{BUS, Scene, bus_arn, writes_policy};
use crate::controller::stops::Asked;

/// How a run ended.
#[derive(Debug)]
pub(super) struct End {
    /// The objects and the policy, without what differs from run to run.
    state: Value,
    /// How often each write was sent after the change.
    writes: BTreeMap<String, usize>,
}

impl End {
    pub(super) async fn of(scene: &Scene, scenario: &Scenario, marks: &Marks) -> Self {
        Self { state: state(scene, scenario).await, writes: writes(scene, scenario, marks) }
    }

    /// Allows what another undisturbed run did as well.
    pub(super) fn allow(&mut self, other: Self) {
        assert_eq!(self.state, other.state, "two undisturbed runs end differently");
        for (write, times) in other.writes {
            let most = self.writes.entry(write).or_default();
            *most = times.max(*most);
        }
    }

    /// Whether this is how a run may end: in the same state as the undisturbed run, with nothing written that is not written
    /// there, and each as often as there, but for
    /// - what was interrupted, and what it undid when it came late, if it is a document: once more;
    /// - an object's status: once more by each operator that began with what another left, to say that it waits for its calls;
    /// - a removal for a deleted object: twice by each of those, and once by one that saw everything. It is sent, whatever a
    ///   read shows, until it is confirmed, and who knew of that is gone; and again when no call can come between any more.
    pub(super) fn check(&self, reference: &Self, repeated: &[String], scenario: &Scenario) -> Result<(), String> {
        if self.state != reference.state {
            return Err(format!("it ended as {:#}\nand undisturbed as {:#}", self.state, reference.state));
        }
        let heirs = if scenario.unattended { 2 } else { 1 };
        let names = scenario.names();
        let deleted = || names.iter().filter(|(_, stays)| !**stays).map(|(name, _)| format!("remove {name}/"));
        for (write, times) in &self.writes {
            let undisturbed = reference.writes.get(write).copied().unwrap_or_default();
            let is_status = write.starts_with("PATCH ") && write.ends_with("/status");
            let is_release = undisturbed > 0 && deleted().any(|removal| write.starts_with(&removal));
            let most = if is_release {
                2 * heirs + usize::from(!scenario.unattended)
            } else {
                undisturbed + usize::from(repeated.contains(write)) + if is_status { heirs } else { 0 }
            };
            if *times > most {
                return Err(format!("{write}: sent {times} times, undisturbed {undisturbed}, and {most} at most"));
            }
        }
        Ok(())
    }

    pub(super) fn assert_still(&self, later: &Self) {
        assert_eq!(self.state, later.state, "what arrived when all was over had an effect");
    }
}

/// The writes that a trap stopped, as they are counted.
pub(super) fn interrupted(scene: &Scene, scenario: &Scenario, trap: &Trap) -> Vec<String> {
    match trap {
        Trap::Kubernetes(asked, _) => kubernetes_write(asked).into_iter().collect(),
        Trap::Aws(_) => {
            let held = scene.sim.held();
            let calls = scene.sim.journal();
            let held = calls.iter().filter(|call| held.contains(&call.seq));
            held.flat_map(|call| aws_writes(scene, scenario, call)).collect()
        }
    }
}

async fn state(scene: &Scene, scenario: &Scenario) -> Value {
    let mut objects = BTreeMap::new();
    for (name, object) in scenario.objects(scene).await {
        let Some(object) = object else {
            objects.insert(name, Value::Null);
            continue;
        };
        let mut status = object.data["status"].clone();
        // The numbers of the bus only ride along, and who knew of its own writes may be gone.
        for field in ["policy", "writes"] {
            status.as_object_mut().unwrap().remove(field);
        }
        for condition in status["conditions"].as_array_mut().unwrap() {
            condition.as_object_mut().unwrap().remove("lastTransitionTime");
        }
        let status = status.to_string().replace(&oracle::prefix(&scene.owner, &scene.namespace, name), "");
        objects.insert(
            name,
            json!({
                "generation": object.metadata.generation, "finalizers": object.finalizers(), "spec": object.data["spec"],
                "status": serde_json::from_str::<Value>(&status).unwrap(),
            }),
        );
    }
    json!({"objects": objects, "statements": statements(scene, scenario, scene.policy().as_ref())})
}

/// Every statement of a policy, by the object and name, or by the Sid of what is no object's.
fn statements(scene: &Scene, scenario: &Scenario, policy: Option<&Value>) -> BTreeMap<String, Value> {
    let mut all = oracle::of_policy(policy, &bus_arn(BUS), "");
    for name in scenario.names().into_keys() {
        let prefix = oracle::prefix(&scene.owner, &scene.namespace, name);
        all = all.into_iter().map(|(sid, statement)| (renamed(&sid, &prefix, name), statement)).collect();
    }
    all
}

fn renamed(sid: &str, prefix: &str, name: &str) -> String {
    sid.strip_prefix(prefix).map_or_else(|| sid.to_owned(), |rest| format!("{name}/{rest}"))
}

fn writes(scene: &Scene, scenario: &Scenario, marks: &Marks) -> BTreeMap<String, usize> {
    let calls = scene.sim.journal_of(&JournalFilter::since(marks.sim));
    let calls = calls.iter().flat_map(|call| aws_writes(scene, scenario, call));
    let asked = scene.front.asked();
    let asked = asked[marks.asked..].iter().filter_map(kubernetes_write);
    let mut writes = BTreeMap::new();
    for write in calls.chain(asked) {
        *writes.entry(write).or_default() += 1;
    }
    writes
}

fn kubernetes_write(asked: &Asked) -> Option<String> {
    (asked.method != "GET").then(|| format!("{} {}", asked.method, asked.subject))
}

/// What a call does to which statements. A document does what it would change, had it been applied when it arrived.
fn aws_writes(scene: &Scene, scenario: &Scenario, call: &JournalEntry) -> Vec<String> {
    if !writes_policy(call) {
        return Vec::new();
    }
    if let Some(document) = call.input["Policy"].as_str() {
        let changes = scene.sim.changes();
        let before = changes.iter().rfind(|change| change.seq < call.seq).and_then(|change| change.policy.as_ref());
        let before = statements(scene, scenario, before);
        return difference(&before, &statements(scene, scenario, serde_json::from_str(document).ok().as_ref()));
    }
    let mut named = call.input["StatementId"].as_str().unwrap().to_owned();
    for name in scenario.names().into_keys() {
        named = renamed(&named, &oracle::prefix(&scene.owner, &scene.namespace, name), name);
    }
    let verb = if call.operation == Operation::PutPermission { "put" } else { "remove" };
    vec![format!("{verb} {named}")]
}

/// What was undone by the call whose sender was killed.
pub(super) fn undone(scene: &Scene, scenario: &Scenario) -> Vec<String> {
    let (changes, calls) = (scene.sim.changes(), scene.sim.journal());
    let orphaned = |seq| calls.iter().any(|call| call.seq == seq && call.client_gone);
    let late = |change: &Change| matches!(change.writer, Writer::Call(seq) if orphaned(seq));
    let Some(late) = changes.iter().rposition(late).filter(|place| *place > 0) else { return Vec::new() };
    let [before, after] = [late - 1, late].map(|place| statements(scene, scenario, changes[place].policy.as_ref()));
    difference(&after, &before)
}

/// The writes that make one policy of another.
fn difference(before: &BTreeMap<String, Value>, after: &BTreeMap<String, Value>) -> Vec<String> {
    let put = after.iter().filter(|(name, statement)| before.get(*name) != Some(*statement));
    let removed = before.keys().filter(|name| !after.contains_key(*name));
    put.map(|(name, _)| format!("put {name}")).chain(removed.map(|name| format!("remove {name}"))).collect()
}

/// Who had access before and after had it all the time.
pub(super) fn nobody_lost_access(scene: &Scene, scenario: &Scenario, marks: &Marks) {
    let grants =
        |change: &Change| -> Vec<Value> { statements(scene, scenario, change.policy.as_ref()).into_values().collect() };
    let changes = scene.sim.changes();
    let start = |change: &Change| change.seq <= marks.sim || change.writer == Writer::Foreign;
    let Some(first) = changes.iter().rposition(start) else { return };
    let (before, after) = (grants(&changes[first]), grants(changes.last().unwrap()));
    for change in &changes[first..] {
        let held = grants(change);
        for grant in before.iter().filter(|grant| after.contains(grant)) {
            assert!(held.contains(grant), "{grant} was gone for a while: {change:?}");
        }
    }
}
