//! A story with one change in it, and how it is played.

use std::collections::BTreeMap;
use std::time::Duration;

use busgrant_sim::{JournalEntry, JournalFilter, Operation};
use kube::api::DynamicObject;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use crate::controller::scene::{ACCOUNT, BUS, REGION, Scene, bus_arn};
use crate::support::{PATIENCE, eventually};

/// A call may take 1.5 s and is waited for 2 s, so that a run does not last.
const FLAGS: [&str; 4] = ["--aws-call-timeout", "1500ms", "--outcome-wait", "2s"];
const OUTCOME_WAIT_MILLIS: i64 = 2_000;

/// What people do.
#[derive(Debug, Clone)]
pub(super) enum Act {
    /// A team applies an object.
    Apply(&'static str, Value),
    /// A team deletes an object.
    Delete(&'static str),
    /// Somebody removes all statements of an object from the bus.
    Take(&'static str),
}

/// A story with one change in it.
#[derive(Debug, Clone)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    /// What was done, and served, before the change.
    pub(super) before: Vec<Act>,
    /// What is done at once.
    pub(super) change: Vec<Act>,
    /// Whether no operator runs while it is done.
    pub(super) unattended: bool,
    pub(super) sweep_interval: &'static str,
}

/// Where the journals stood when the operator could first see the change.
#[derive(Debug)]
pub(super) struct Marks {
    pub(super) sim: u64,
    pub(super) asked: usize,
}

impl Scenario {
    /// All but the change, on a bus that somebody else uses too.
    pub(super) async fn stage(&self) -> (Scene, Marks) {
        let mut scene = Scene::new("kill").await;
        scene.outcome_wait_millis.set(OUTCOME_WAIT_MILLIS);
        let foreign = json!({"Version": "2012-10-17", "Statement": [{
            "Sid": "legacy-app", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::999988887777:root"},
            "Action": "events:PutEvents", "Resource": bus_arn(BUS),
        }]});
        scene.sim.put_policy(ACCOUNT, REGION, BUS, Some(foreign));
        self.start(&mut scene);
        for act in &self.before {
            act.perform(&scene).await;
        }
        at_rest(&scene, &self.before).await;
        if self.unattended {
            scene.stop().await;
        }
        let marks = Marks { sim: scene.mark(), asked: scene.front.asked().len() };
        (scene, marks)
    }

    pub(super) fn start(&self, scene: &mut Scene) {
        let mut flags = FLAGS.to_vec();
        flags.extend(["--sweep-interval", self.sweep_interval]);
        scene.start(&flags);
    }

    pub(super) async fn change(&self, scene: &mut Scene) {
        // All of it is seen at once, so that every run takes the same steps.
        scene.front.pause_view();
        for act in &self.change {
            act.perform(scene).await;
        }
        scene.front.resume_view();
        if self.unattended {
            self.start(scene);
        }
    }

    /// Whether its objects are called ready all the time, which then does not tell when all is done, and only a look over all
    /// buses tells that there is something to do.
    pub(super) fn is_silent(&self) -> bool {
        self.change.iter().all(|act| matches!(act, Act::Take(_)))
    }

    /// Waits until all that was asked for is done, and whatever an operator that was started then may wait for.
    pub(super) async fn rest_after(&self, scene: &Scene, mark: u64) {
        if self.is_silent() {
            // It looks over all buses every second, and so has done all that it does within the outcome wait.
            let lists = || scene.sim.journal_of(&JournalFilter::since(mark)).into_iter().filter(is_list);
            scene.sim.wait_until(|_| lists().count() >= 3).await;
        }
        self.rest(scene).await;
    }

    /// Waits until all that was asked for is done.
    pub(super) async fn rest(&self, scene: &Scene) {
        at_rest(scene, self.before.iter().chain(&self.change)).await;
    }

    /// Every object there was, and whether it is to be there in the end.
    pub(super) fn names(&self) -> BTreeMap<&'static str, bool> {
        let outcome = outcome(self.before.iter().chain(&self.change));
        outcome.into_iter().map(|(name, spec)| (name, spec.is_some())).collect()
    }

    pub(super) async fn objects(&self, scene: &Scene) -> BTreeMap<&'static str, Option<DynamicObject>> {
        let mut objects = BTreeMap::new();
        for name in self.names().into_keys() {
            objects.insert(name, scene.api.get_opt(name).await.unwrap());
        }
        objects
    }

    /// Waits until an operator that was started when the journals stood so has seen what there is.
    pub(super) async fn looked(&self, scene: &Scene, mark: u64, lists: usize) {
        eventually("it looks at what there is", PATIENCE, async || {
            if scene.front.lists() == lists {
                return Err("it has not listed the objects");
            }
            if has_read(scene, mark) || self.objects(scene).await.values().all(Option::is_none) {
                return Ok(());
            }
            Err("it has not read the bus")
        })
        .await;
    }
}

fn is_list(call: &JournalEntry) -> bool {
    call.operation == Operation::ListEventBuses && call.succeeded()
}

/// Whether the bus was read since then.
pub(super) fn has_read(scene: &Scene, mark: u64) -> bool {
    let reads = [Operation::DescribeEventBus, Operation::ListEventBuses];
    let calls = scene.sim.journal_of(&JournalFilter::since(mark));
    calls.iter().any(|call| reads.contains(&call.operation) && call.succeeded())
}

impl Act {
    async fn perform(&self, scene: &Scene) {
        match self {
            Self::Apply(name, spec) => drop(scene.apply(name, spec).await),
            Self::Delete(name) => scene.delete(name).await,
            Self::Take(name) => {
                // The status tells the time of the last write in seconds, and is not written while that is the same.
                sleep_until(Instant::now() + Duration::from_secs(1)).await;
                let mut policy = scene.policy().unwrap();
                let prefix = scene.sid(name, "");
                let statements = policy["Statement"].as_array_mut().unwrap();
                statements.retain(|one| !one["Sid"].as_str().is_some_and(|sid| sid.starts_with(&prefix)));
                assert!(scene.sim.put_policy(ACCOUNT, REGION, BUS, Some(policy)));
            }
        }
    }
}

/// The spec of each object once these acts are done; none of one that is deleted.
fn outcome<'a>(acts: impl IntoIterator<Item = &'a Act>) -> BTreeMap<&'static str, Option<&'a Value>> {
    let mut specs = BTreeMap::new();
    for act in acts {
        match act {
            Act::Apply(name, spec) => drop(specs.insert(*name, Some(spec))),
            Act::Delete(name) => drop(specs.insert(*name, None)),
            Act::Take(_) => {}
        }
    }
    specs
}

async fn at_rest<'a>(scene: &Scene, acts: impl IntoIterator<Item = &'a Act>) {
    for (name, spec) in outcome(acts) {
        let Some(spec) = spec else {
            scene.gone(name).await;
            continue;
        };
        scene.ready(name).await;
        eventually("it holds what it must", PATIENCE, async || {
            let held = scene.held(name);
            if held == scene.wanted(name, spec) { Ok(()) } else { Err(format!("{held:?}")) }
        })
        .await;
    }
}
