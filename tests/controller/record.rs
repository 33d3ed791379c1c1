//! What happened in a scene, as its journals tell it in one order: what the promises are held against.

use std::collections::{BTreeMap, HashMap};
use std::fs;

use axum::http::Method;
use busgrant::controller::permission::FINALIZER;
use busgrant_sim::{Change, JournalEntry, Operation, Writer};
use serde_json::{Map, Value};

use super::front::Passed;
use super::oracle::{self, Statements};
use super::scene::{Scene, writes_policy};

/// The part of a caller's ARN that tells somebody else's calls in the bus's own account from the operator's.
pub(super) const SOMEBODY_ELSE: &str = ":assumed-role/somebody-else/";

/// A bus, by account, Region and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Bus {
    pub(super) account: String,
    pub(super) region: String,
    pub(super) name: String,
}

impl Bus {
    pub(super) fn of_arn(arn: &str) -> Self {
        let parts: Vec<&str> = arn.split(':').collect();
        let name = parts[5].trim_start_matches("event-bus/");
        Self { account: parts[4].to_owned(), region: parts[3].to_owned(), name: name.to_owned() }
    }

    pub(super) fn of_call(call: &JournalEntry) -> Option<Self> {
        let name = call.bus.clone()?;
        Some(Self { account: call.account.clone(), region: call.region.clone(), name })
    }

    pub(super) fn of_change(change: &Change) -> Self {
        Self { account: change.account.clone(), region: change.region.clone(), name: change.bus.clone() }
    }

    /// Whether a change is one of this bus's policy.
    pub(super) fn has(&self, change: &Change) -> bool {
        change.bus == self.name && change.region == self.region && change.account == self.account
    }

    /// Whether a call is about this bus; a list is about every one.
    pub(super) fn is_in(&self, call: &JournalEntry) -> bool {
        let named = call.operation == Operation::ListEventBuses || call.bus.as_deref() == Some(&self.name);
        named && call.account == self.account && call.region == self.region
    }
}

/// What a status said.
#[derive(Debug)]
pub(super) struct Told<'a> {
    pub(super) passed: &'a Passed,
    pub(super) uid: &'a str,
    pub(super) label: String,
    pub(super) ready: bool,
    pub(super) generation: i64,
    pub(super) bus: Option<Bus>,
    arn: &'a str,
    /// How the Sids of its object begin.
    pub(super) prefix: String,
    spec: Option<&'a Value>,
}

impl Told<'_> {
    /// What its bus must hold for the generation that it speaks of.
    pub(super) fn wanted(&self) -> Statements {
        let spec = self.spec.unwrap_or_else(|| panic!("nobody knows the spec of {self:?}"));
        oracle::wanted(spec, self.arn, &self.prefix)
    }

    /// The object's statements in a policy.
    pub(super) fn held(&self, policy: Option<&Value>) -> Statements {
        oracle::of_policy(policy, self.arn, &self.prefix)
    }
}

/// An object was held by our finalizer, or let go.
#[derive(Debug)]
pub(super) struct Hold<'a> {
    pub(super) passed: &'a Passed,
    pub(super) holds: bool,
}

/// What happened in a scene.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) owner: String,
    /// The operator's calls to AWS, in the order of their arrival.
    pub(super) calls: Vec<JournalEntry>,
    /// Every change of a policy.
    pub(super) changes: Vec<Change>,
    /// The operator's requests that may have changed something in Kubernetes.
    pub(super) passed: Vec<Passed>,
    /// Every spec that was ever given to an object, by UID and generation.
    pub(super) given: HashMap<(String, i64), Value>,
    /// When an operator began or ended.
    pub(super) turns: Vec<u64>,
    /// How many operators there were.
    pub(super) operators: usize,
    /// How often anything was asked of the operator.
    pub(super) asked: usize,
    /// Whether somebody else wrote a status.
    pub(super) tampered: bool,
    /// Whether the service itself loses what was written beside a write of ours, as no client can prevent.
    pub(super) overwritten: bool,
    /// How long the operators wait for calls without an answer.
    outcome_wait_millis: i64,
    /// What the operators wrote for people: logs and metrics.
    pub(super) texts: Vec<String>,
    /// The end of it all.
    pub(super) end: u64,
}

impl Record {
    pub(super) fn of(scene: &Scene) -> Self {
        let mut calls = scene.sim.journal();
        calls.retain(|call| !call.caller.contains(SOMEBODY_ELSE) && call.operation != Operation::AssumeRole);
        let mut passed = scene.front.passed();
        passed.extend(scene.restored.borrow().iter().cloned());
        passed.sort_by_key(|passed| passed.mark);
        Self {
            owner: scene.owner.clone(),
            calls,
            changes: scene.sim.changes(),
            passed,
            given: scene.given.borrow().clone(),
            turns: scene.turns.borrow().clone(),
            operators: scene.logs.len(),
            asked: scene.asked.get(),
            tampered: scene.tampered.get(),
            overwritten: scene.overwritten.get(),
            outcome_wait_millis: scene.outcome_wait_millis.get(),
            texts: scene.logs.iter().map(|log| fs::read_to_string(log).unwrap()).chain(scene.metrics()).collect(),
            end: scene.sim.mark(),
        }
    }

    /// How the Sids begin that are ours.
    pub(super) fn owned(&self) -> String {
        format!("bg-{}-", self.owner)
    }

    /// Whether a write without an answer could no longer take effect at a moment, by what we believe of the service.
    pub(super) fn is_spent(&self, write: &JournalEntry, at_millis: i64) -> bool {
        // 100 ms: it was sent before it arrived.
        is_unanswered(write) && write.at_millis + self.outcome_wait_millis - 100 <= at_millis
    }

    /// Every status that was written, in order.
    pub(super) fn statuses(&self) -> impl Iterator<Item = Told<'_>> {
        let written = self.passed.iter().filter(|passed| passed.wrote_status() && !passed.answer.is_null());
        written.map(|passed| self.told(passed))
    }

    pub(super) fn told<'a>(&'a self, passed: &'a Passed) -> Told<'a> {
        let (sent, answer) = (&passed.sent["status"], &passed.answer);
        let text = |value: &'a Value| value.as_str().unwrap();
        let uid = text(&passed.sent["metadata"]["uid"]);
        let (namespace, name) = (text(&answer["metadata"]["namespace"]), text(&answer["metadata"]["name"]));
        let generation = sent["observedGeneration"].as_i64().unwrap();
        let same = answer["metadata"]["generation"].as_i64() == Some(generation);
        let given = self.given.get(&(uid.to_owned(), generation));
        let arn = sent["eventBus"]["arn"].as_str().unwrap_or_default();
        Told {
            passed,
            uid,
            label: format!("{namespace}/{name}"),
            ready: condition(sent, "Ready")["status"] == "True",
            generation,
            bus: (!arn.is_empty()).then(|| Bus::of_arn(arn)),
            arn,
            prefix: oracle::prefix(&self.owner, namespace, name),
            spec: given.or_else(|| same.then(|| &answer["spec"])),
        }
    }

    /// The statuses of each object, by UID.
    pub(super) fn lives(&self) -> BTreeMap<&str, Vec<Told<'_>>> {
        let mut lives: BTreeMap<&str, Vec<Told>> = BTreeMap::new();
        for told in self.statuses() {
            lives.entry(told.uid).or_default().push(told);
        }
        lives
    }

    /// When each object was held and let go, by how its Sids begin.
    pub(super) fn holds(&self) -> BTreeMap<String, Vec<Hold<'_>>> {
        let mut all: BTreeMap<String, Vec<Hold>> = BTreeMap::new();
        for passed in &self.passed {
            let finalizers = passed.sent["metadata"]["finalizers"].as_array();
            let Some(finalizers) = finalizers.filter(|_| passed.method == Method::PATCH) else { continue };
            let holds = finalizers.iter().any(|finalizer| finalizer == FINALIZER);
            // Without an answer nobody knows; what may be held counts as held.
            if passed.status != Some(200) && !(holds && passed.status.is_none()) {
                continue;
            }
            let parts: Vec<&str> = passed.path.rsplit('/').collect();
            let prefix = oracle::prefix(&self.owner, parts[2], parts[0]);
            all.entry(prefix).or_default().push(Hold { passed, holds });
        }
        all
    }

    /// Changes of a bus's policy.
    pub(super) fn changes_of<'a>(&'a self, bus: &'a Bus) -> impl DoubleEndedIterator<Item = &'a Change> {
        self.changes.iter().filter(move |change| bus.has(change))
    }

    /// The policy of a bus at a moment.
    pub(super) fn policy_at<'a>(&'a self, bus: &'a Bus, moment: u64) -> Option<&'a Value> {
        let last = self.changes_of(bus).rfind(|change| change.seq <= moment);
        last.and_then(|change| change.policy.as_ref())
    }

    /// Each change with the policy before it.
    pub(super) fn steps(&self) -> Vec<(Option<&Value>, &Change)> {
        let mut current: BTreeMap<Bus, &Change> = BTreeMap::new();
        let step = |change| {
            let before = current.insert(Bus::of_change(change), change);
            (before.and_then(|before| before.policy.as_ref()), change)
        };
        self.changes.iter().map(step).collect()
    }

    /// The operator's call that made a change, if it was one.
    pub(super) fn call_of(&self, change: &Change) -> Option<&JournalEntry> {
        let Writer::Call(seq) = change.writer else { return None };
        self.calls.iter().find(|call| call.seq == seq)
    }

    /// The policies that a read may have shown.
    pub(super) fn shown<'a>(&'a self, bus: &'a Bus, read: &JournalEntry) -> Vec<Option<&'a Value>> {
        let (begin, end, lags) = (read.seq, read.answered.unwrap(), !read.faults.is_empty());
        // The last one before it began, or one that came while it was under way; where reads lag, any.
        let later = self.changes_of(bus).filter(|change| change.seq <= end && (lags || change.seq > begin));
        let later = later.map(|change| change.policy.as_ref());
        later.chain([self.policy_at(bus, begin)]).chain(lags.then_some(None)).collect()
    }

    /// Reads of a bus that had succeeded by a moment, lists among them.
    pub(super) fn reads<'a>(&'a self, bus: &'a Bus, by: u64) -> impl Iterator<Item = &'a JournalEntry> {
        let read = move |call: &&JournalEntry| {
            let reads = matches!(call.operation, Operation::DescribeEventBus | Operation::ListEventBuses);
            reads && call.succeeded() && !call.client_gone && call.answered.is_some_and(|answered| answered <= by)
        };
        self.calls.iter().filter(move |call| bus.is_in(call)).filter(read)
    }

    /// The last look at a bus alone that had succeeded by a moment.
    pub(super) fn last_look<'a>(&'a self, bus: &'a Bus, by: u64) -> Option<&'a JournalEntry> {
        self.reads(bus, by).filter(|read| read.operation == Operation::DescribeEventBus).max_by_key(|read| read.seq)
    }

    /// Writes to a bus that were sent by a moment.
    pub(super) fn writes<'a>(&'a self, bus: &'a Bus, by: u64) -> impl Iterator<Item = &'a JournalEntry> {
        self.calls.iter().filter(move |call| bus.is_in(call) && writes_policy(call) && call.seq <= by)
    }

    /// The Sids of ours that a write puts, changes or leaves out, against what its sender had read.
    pub(super) fn touched(&self, call: &JournalEntry) -> Vec<String> {
        if let Some(sid) = call.input["StatementId"].as_str() {
            return vec![sid.to_owned()];
        }
        let (Some(text), Some(bus)) = (call.input["Policy"].as_str(), Bus::of_call(call)) else { return Vec::new() };
        let arn = format!("arn:aws:events:{}:{}:event-bus/{}", bus.region, bus.account, bus.name);
        let ours = |policy: Option<&Value>| oracle::of_policy(policy, &arn, &self.owned());
        let document: Value = serde_json::from_str(text).unwrap();
        let (put, had) = (ours(Some(&document)), ours(self.policy_at(&bus, call.seq)));
        let sids = put.keys().chain(had.keys().filter(|sid| !put.contains_key(*sid)));
        sids.filter(|sid| put.get(*sid) != had.get(*sid)).cloned().collect()
    }
}

pub(super) fn is_unanswered(write: &JournalEntry) -> bool {
    write.client_gone || write.status.is_none()
}

/// A condition of a status.
pub(super) fn condition<'a>(status: &'a Value, kind: &str) -> &'a Value {
    let mut all = status["conditions"].as_array().into_iter().flatten();
    all.find(|condition| condition["type"] == kind).unwrap_or(&Value::Null)
}

/// The statements of a policy that are not ours, each as it is written, and whatever else is in the document.
pub(super) fn foreign(policy: Option<&Value>, owned: &str) -> (Vec<String>, Map<String, Value>) {
    let mut rest = policy.and_then(Value::as_object).cloned().unwrap_or_default();
    let all = rest.remove("Statement").unwrap_or_default();
    let all = all.as_array().into_iter().flatten();
    let foreign = all.filter(|one| !one["Sid"].as_str().is_some_and(|sid| sid.starts_with(owned)));
    let mut texts: Vec<String> = foreign.map(Value::to_string).collect();
    texts.sort();
    (texts, rest)
}
