//! Statements of others stay as they are, byte by byte, and are never named: whatever they are, whatever we do beside them,
//! and whatever goes wrong meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use busgrant_sim::{Config, Fault, FaultKind, ForeignWrite};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::drawn;
use super::link::Gate;
use super::scene::{ACCOUNT, BUS, REGION, Scene, bus_arn, spec};
use super::seeds::{Random, each_seed};
use crate::support::{PATIENCE, eventually};

/// How many statements others have.
const THEIRS: usize = 30;
/// How many changes a read may lag behind.
const MOST_BEHIND: usize = 3;
/// Room for all of them.
const QUOTA: usize = 40_000;

/// The text of each statement on the bus that is not ours, sorted, exactly as the service keeps it.
fn texts(scene: &Scene) -> Vec<String> {
    let Some(policy) = scene.sim.policy_text(ACCOUNT, REGION, BUS) else { return Vec::new() };
    let document: BTreeMap<&str, &RawValue> = serde_json::from_str(&policy).unwrap();
    let statements: Vec<&RawValue> = serde_json::from_str(document["Statement"].get()).unwrap();
    let ours = format!("\"bg-{}-", scene.owner);
    let texts = statements.into_iter().map(|one| one.get().to_owned());
    let mut theirs: Vec<String> = texts.filter(|text| !text.contains(&format!("\"Sid\":{ours}"))).collect();
    theirs.sort();
    theirs
}

/// Any fault that others' statements have nothing to do with.
fn fault(random: &mut Random) -> Fault {
    let kind = match random.below(9) {
        0 => FaultKind::ConcurrentModification,
        1 => FaultKind::Throttling,
        2 => FaultKind::InternalError,
        3 => FaultKind::LostUpdate { kept: None },
        4 => FaultKind::StaleReadBehind { changes: random.between(1, MOST_BEHIND) },
        5 => FaultKind::Latency { millis: 150 },
        6 => FaultKind::HoldAfterApply { millis: Some(400) },
        7 => FaultKind::Error { status: 400, code: "SomethingNew".to_owned(), message: "new".to_owned() },
        _ => FaultKind::ShuffleStatements,
    };
    Fault::new(kind).bus(BUS).rate(0.3, random.seed()).times(4)
}

/// Objects that come, change and go beside statements of others, with and without some that no document may carry.
async fn beside(purpose: &str, seed: u64, carried: bool) {
    let mut random = Random::new(seed);
    let mut config = Config::default();
    config.settings.policy_quota = QUOTA;
    let mut scene = Scene::with(purpose, config).await;
    let mut foreign: Vec<Value> = (0..THEIRS).map(|number| drawn::foreign(&mut random, &scene.owner, number)).collect();
    if !carried {
        for one in foreign.iter_mut().step_by(7) {
            one.as_object_mut().unwrap().remove("Sid");
        }
        foreign[1]["Sid"] = foreign[2]["Sid"].clone();
    }
    let policy = json!({"Version": "2012-10-17", "Id": "żółć", "Statement": foreign});
    // Long ago: no read of today lags so far behind that it lacks them, and one that did could only be believed.
    for _ in 0..=MOST_BEHIND {
        scene.sim.put_policy(ACCOUNT, REGION, BUS, Some(policy.clone()));
    }
    let before = texts(&scene);
    assert_eq!(before.len(), THEIRS);
    scene.start(&["--policy-quota", "40000"]);

    let mut given: BTreeMap<&str, Value> = BTreeMap::new();
    for _ in 0..10 {
        let name = *random.pick(&["x", "y", "z"]);
        if random.percent(50) {
            scene.sim.inject(fault(&mut random));
        }
        if given.contains_key(name) && random.percent(20) {
            scene.delete(name).await;
            scene.gone(name).await;
            given.remove(name);
        } else {
            let few = if carried { drawn::statements(&mut random, 4) } else { drawn::short_statements(&mut random, 4) };
            scene.apply(name, &spec(&few)).await;
            given.insert(name, spec(&few));
        }
        if random.percent(40) {
            scene.fence().await;
        }
        assert_eq!(texts(&scene), before);
    }
    scene.sim.clear_faults();
    for (name, spec) in &given {
        scene.ready(name).await;
        assert_eq!(scene.held(name), scene.wanted(name, spec));
    }
    assert_eq!(texts(&scene), before);
    assert_eq!(scene.policy().unwrap()["Id"], "żółć");
    if carried {
        assert!(scene.calls(0).iter().any(|call| call.input.get("Policy").is_some()), "no document was written");
    }
}

#[tokio::test]
async fn statements_of_others_stay_beside_documents() {
    each_seed(100, 3, async |seed| beside("carried", seed, true).await).await;
}

#[tokio::test]
async fn statements_of_others_stay_where_no_document_can_carry_them() {
    each_seed(200, 2, async |seed| beside("uncarried", seed, false).await).await;
}

#[tokio::test]
async fn what_others_wrote_since_the_last_look_is_carried() {
    each_seed(300, 1, async |seed| {
        let mut random = Random::new(seed);
        let mut scene = Scene::new("since").await;
        // No look over all buses finds it first.
        scene.start(&["--sweep-interval", "10m"]);
        let mut sids: Vec<String> = Vec::new();
        for _ in 0..12 {
            let removed = if random.percent(30) { sids.pop() } else { None };
            let write = match removed {
                Some(sid) => ForeignWrite::Remove { sid },
                None => ForeignWrite::Put { statement: drawn::foreign(&mut random, &scene.owner, sids.len()) },
            };
            if let ForeignWrite::Put { statement } = &write {
                sids.push(statement["Sid"].as_str().unwrap().to_owned());
            }
            scene.sim.foreign_write(ACCOUNT, REGION, BUS, &write);
            let before = texts(&scene);
            scene.granted("a", &spec(&drawn::statements(&mut random, 5))).await;
            assert_eq!(texts(&scene), before);
        }
    })
    .await;
}

/// The API server takes its time to show an object as it is, and somebody writes to the bus meanwhile.
#[tokio::test]
async fn a_document_carries_what_others_put_while_an_object_was_being_confirmed() {
    let mut scene = Scene::new("meanwhile").await;
    let gate = Gate::before(&scene.front.url).await;
    scene.go_through(&gate);
    scene.start(&["--sweep-interval", "10m"]);
    let long = |source: &str| {
        spec(&json!([{"name": "long", "principals": {"accountIDs": ["111122223333"]}, "sources": [source]}]))
    };
    scene.granted("a", &long("one")).await;
    gate.shut("/eventbuspermissions/a");
    let mark = scene.mark();
    scene.apply("a", &long("two")).await;
    eventually("it asks for the object", PATIENCE, async || if gate.stopped() > 0 { Ok(()) } else { Err("no") }).await;
    assert!(!scene.calls(mark).is_empty(), "the bus was read before");
    let theirs = json!({"Sid": "meanwhile", "Effect": "Allow", "Principal": "*", "Action": "events:PutEvents", "Resource": bus_arn(BUS)});
    scene.sim.foreign_write(ACCOUNT, REGION, BUS, &ForeignWrite::Put { statement: theirs });
    // By then the read is older than a document may be planned on.
    sleep(Duration::from_millis(400)).await;
    gate.open();
    scene.ready("a").await;
    assert_eq!(scene.held("a"), scene.wanted("a", &long("two")));
    assert!(scene.sim.statement(ACCOUNT, REGION, BUS, "meanwhile").is_some(), "it wrote over what it had not read");
}
