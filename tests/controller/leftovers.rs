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
use super::link::Line;
use super::operator::Start;
use super::promises;
use super::scene::{ACCOUNT, REGION, Scene, bus_arn, condition};
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
