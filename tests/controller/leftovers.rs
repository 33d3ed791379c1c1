//! Nothing is left of an object that is gone, however late a call for it takes effect.

use std::collections::BTreeMap;

use busgrant_sim::{Fault, FaultKind, ForeignWrite, Operation};
use futures::StreamExt;
use futures::future::join_all;
use futures::stream;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams};
use serde_json::{Value, json};

use super::drawn;
use super::link::{Gate, Line};
use super::operator::Start;
use super::promises;
use super::scene::{ACCOUNT, BUS, REGION, Scene, account, bus_arn, condition, message};
use super::seeds::{Random, each_seed};
use crate::support::{PATIENCE, eventually};

/// The outcome wait of the operators of all scenes.
const OUTCOME_WAIT_MILLIS: usize = 11_000;

/// How long calls are held, in hundredths of the outcome wait.
const HELD: [(usize, usize); 8] = [(10, 20), (30, 50), (60, 75), (80, 90), (91, 96), (96, 99), (120, 150), (170, 200)];

/// How many buses the storm is over.
const BUSES: usize = 10;

/// What becomes of an object while a put for it is under way.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Deleted,
    Edited,
}

/// Puts whose client gives up at once and that take effect after a while, which the object may not live to see.
async fn late_puts(purpose: &str, seed: u64) {
    let mut random = Random::new(seed);
    let mut scene = Scene::new(purpose).await;
    let line = Line::to(scene.sim.endpoint()).await;
    scene.call_over(&line);
    scene.start(&[]);
    let mut objects: BTreeMap<String, (Fate, Value)> = BTreeMap::new();
    for (number, (least, most)) in random.shuffled(HELD.to_vec()).into_iter().enumerate() {
        let bus = format!("bus{number}");
        scene.sim.create_bus(ACCOUNT, REGION, &bus);
        let theirs = json!({"Sid": "theirs", "Effect": "Allow", "Principal": "*", "Action": "events:PutEvents", "Resource": bus_arn(&bus)});
        scene.sim.foreign_write(ACCOUNT, REGION, &bus, &ForeignWrite::Put { statement: theirs });
        let millis = random.between(least, most) * OUTCOME_WAIT_MILLIS / 100;
        let hold = FaultKind::HoldBeforeApply { millis: Some(u64::try_from(millis).unwrap()) };
        scene.sim.inject(Fault::new(hold).on(Operation::PutPermission).bus(&bus).times(1));
        let fate = if random.percent(70) { Fate::Deleted } else { Fate::Edited };
        let spec = json!({"eventBus": {"name": bus}, "statements": drawn::statements(&mut random, 2)});
        scene.apply(&bus, &spec).await;
        objects.insert(bus, (fate, spec));
    }
    scene.sim.wait_held(HELD.len()).await;
    line.cut();

    for (name, (fate, spec)) in &mut objects {
        if random.percent(50) {
            scene
                .until(name, "no answer", |object| {
                    condition(object, "Ready").is_some_and(|ready| ready["status"] == "Unknown")
                })
                .await;
        }
        match fate {
            Fate::Deleted => scene.delete(name).await,
            Fate::Edited => {
                spec["statements"] = drawn::statements(&mut random, 2);
                scene.apply(name, spec).await;
            }
        }
    }
    // What was left behind by a call that came before its object was let go, the promises of every scene find.
    join_all(objects.iter().map(async |(name, (fate, _))| match fate {
        Fate::Deleted => scene.gone(name).await,
        Fate::Edited => drop(scene.ready(name).await),
    }))
    .await;
    scene.sim.wait_until(|sim| sim.held().is_empty()).await;
    let landed = scene.sim.journal().into_iter().filter(|call| call.client_gone && call.applied.is_some()).count();
    assert_eq!(landed, HELD.len(), "every put took effect, and nobody heard of it");
    for (name, (fate, spec)) in &objects {
        let wanted = if *fate == Fate::Edited { scene.wanted_on(name, name, spec) } else { BTreeMap::default() };
        eventually(&format!("{name}, {fate:?}, holds what it must"), PATIENCE, async || {
            let held = scene.held_on(name, name);
            if held == wanted { Ok(()) } else { Err(format!("{held:?}")) }
        })
        .await;
        assert!(scene.sim.statement(ACCOUNT, REGION, name, "theirs").is_some());
    }
}

#[tokio::test]
async fn nothing_is_left_when_puts_take_effect_late() {
    each_seed(600, 1, async |seed| late_puts("late", seed).await).await;
}

/// One object of the storm: it comes, may change, and may go at once, or later, or go and come again.
async fn comes_and_may_go(scene: &Scene, name: &str, seed: u64) -> bool {
    let mut random = Random::new(seed);
    let bus = format!("bus{}", random.below(BUSES));
    let spec =
        |random: &mut Random| json!({"eventBus": {"name": bus}, "statements": drawn::short_statements(random, 2)});
    scene.apply(name, &spec(&mut random)).await;
    if random.percent(30) {
        scene.ready(name).await;
    }
    if random.percent(30) {
        scene.apply(name, &spec(&mut random)).await;
    }
    let goes = random.percent(60);
    if goes {
        scene.delete(name).await;
    }
    if goes && random.percent(30) {
        scene.gone(name).await;
        scene.apply(name, &spec(&mut random)).await;
        return true;
    }
    !goes
}

#[tokio::test]
async fn a_storm_of_objects_that_come_and_go_leaves_nothing() {
    each_seed(700, 1, async |seed| {
        let mut random = Random::new(seed);
        let mut scene = Scene::new("storm").await;
        scene.start_as(&Start { requests_per_second: Some(500), ..Start::default() });
        let buses: Vec<String> = (0..BUSES).map(|number| format!("bus{number}")).collect();
        for bus in &buses {
            scene.sim.create_bus(ACCOUNT, REGION, bus);
        }
        let objects: Vec<(String, u64)> = (0..200).map(|number| (format!("o{number}"), random.seed())).collect();
        let storm = stream::iter(&objects).map(|(name, seed)| comes_and_may_go(&scene, name, *seed));
        let stay: Vec<bool> = storm.buffered(24).collect().await;
        let staying = || objects.iter().zip(&stay).filter(|(_, stays)| **stays).map(|((name, _), _)| name);
        assert!(staying().count() > 50);
        stream::iter(staying().step_by(2)).for_each_concurrent(24, async |name| scene.delete(name).await).await;
        let namespaces = Api::<Namespace>::all(scene.client.clone());
        namespaces.delete(&scene.namespace, &DeleteParams::default()).await.unwrap();
        eventually("the namespace goes", PATIENCE, async || {
            match namespaces.get_opt(&scene.namespace).await.unwrap() {
                None => Ok(()),
                Some(namespace) => Err(format!("{:?}", namespace.status)),
            }
        })
        .await;
        // If anything is left, they say how it came about.
        promises::kept(&scene);
        for bus in &buses {
            assert_eq!(scene.sim.policy(ACCOUNT, REGION, bus), None);
        }
    })
    .await;
}

#[tokio::test]
async fn what_was_put_for_an_object_that_was_deleted_while_it_was_being_held_is_removed() {
    let mut scene = Scene::new("held").await;
    let gate = Gate::before(&scene.front.url).await;
    scene.go_through(&gate);
    scene.start(&[]);
    let grant = |policy: &str| {
        let long = json!({"name": "long", "principals": {"accountIDs": ["111122223333"]}, "sources": ["s"]});
        json!({"eventBus": {"name": BUS}, "deletionPolicy": policy, "statements": [account("a", "111122223333"), long]})
    };
    for (name, policy) in [("goes", "Delete"), ("retained", "Retain"), ("stripped", "Delete"), ("sibling", "Delete")] {
        scene.granted(name, &grant(policy)).await;
    }
    for (name, held) in [("goes", true), ("retained", true), ("stripped", false)] {
        gate.shows_them_go_held(held);
        // It is not to be held again in between.
        gate.shut(&format!("/eventbuspermissions/{name}"));
        scene.merge(name, json!({"metadata": {"finalizers": null}})).await;
        scene.delete(name).await;
        scene.gone(name).await;
        gate.open();
        // What comes later shows that this was seen.
        scene.fence().await;
    }
    let none = async || if scene.held("goes").is_empty() { Ok(()) } else { Err(format!("{:?}", scene.held("goes"))) };
    eventually("nothing is left of what went while it was being held", PATIENCE, none).await;
    scene.looked_over(2).await;
    // What was to stay stays, and what a person took our finalizer from is theirs to remove.
    for (name, policy) in [("retained", "Retain"), ("stripped", "Delete"), ("sibling", "Delete")] {
        assert_eq!(scene.held(name), scene.wanted(name, &grant(policy)));
    }
}

#[tokio::test]
async fn what_comes_back_after_its_object_is_gone_is_removed_however_often_that_fails() {
    let mut scene = Scene::new("returns").await;
    scene.start(&[]);
    let grant = json!({"eventBus": {"name": BUS}, "statements": [account("a", "111122223333")]});
    scene.granted("goes", &grant).await;
    scene.granted("stays", &grant).await;
    let statement = scene.sim.statement(ACCOUNT, REGION, BUS, &scene.sid("goes", "a-111122223333")).unwrap();
    scene.delete("goes").await;
    scene.gone("goes").await;
    let denied = scene.sim.inject(Fault::new(FaultKind::AccessDenied).on(Operation::RemovePermission));
    let mark = scene.mark();
    scene.sim.foreign_write(ACCOUNT, REGION, BUS, &ForeignWrite::Put { statement });
    let refused = || scene.writes(mark).iter().filter(|call| call.error.is_some()).count();
    scene.sim.wait_until(|_| refused() >= 2).await;
    scene.sim.clear_fault(denied);
    eventually("nothing is left", PATIENCE, async || {
        let held = scene.held("goes");
        if held.is_empty() { Ok(()) } else { Err(format!("{held:?}")) }
    })
    .await;
    assert_eq!(scene.held("stays"), scene.wanted("stays", &grant));
}

#[tokio::test]
async fn what_is_to_become_of_the_statements_must_be_readable_before_they_go() {
    let mut scene = Scene::new("policy").await;
    let gate = Gate::before(&scene.front.url).await;
    scene.go_through(&gate);
    scene.start(&[]);
    let grant = json!({"eventBus": {"name": BUS}, "statements": [account("a", "111122223333")]});
    scene.granted("a", &grant).await;
    // As a later version's definition would allow.
    gate.rewrites("\"deletionPolicy\":\"Delete\"", "\"deletionPolicy\":\"Archive\"");
    gate.cut();
    scene.delete("a").await;
    scene.until("a", "it says what it can't read", |object| message(object).contains("Archive")).await;
    assert_eq!(scene.held("a"), scene.wanted("a", &grant));
    // The version that knows it.
    scene.stop().await;
    gate.rewrites("", "");
    scene.start(&[]);
    scene.gone("a").await;
    assert!(scene.held("a").is_empty());
}
