//! Status tells the truth or nothing. [`super::promises`] holds every status of every scene against the bus; here are scenes
//! that make it hard, and proof that it would notice.

use busgrant_sim::{Fault, FaultKind, ForeignWriter, Operation, Semantics, Settings};
use futures::future::join_all;
use serde_json::{Value, json};

use super::promises::ready_is_true;
use super::scene::{ACCOUNT, BUS, REGION, Scene, account, spec};

fn grant(name: &str) -> Value {
    spec(
        &json!([account(name, "111122223333"), {"name": "long", "principals": {"accountIDs": ["111122223333"]}, "sources": [name]}]),
    )
}

#[tokio::test]
async fn a_lie_would_be_noticed() {
    let scene = Scene::running("lie").await;
    let first = scene.mark();
    scene.granted("a", &grant("one")).await;
    scene.granted("a", &grant("two")).await;
    scene.fence().await;
    let passed = scene.front.passed();
    let mut told = passed.iter().filter(|passed| passed.wrote_status() && passed.is_status_of("a"));
    let ready = told.next_back().unwrap().clone();
    ready_is_true(&scene, &ready).unwrap();

    let mut early = ready.clone();
    early.mark = first;
    assert!(ready_is_true(&scene, &early).is_err(), "before the first read");
    let mut unread = ready.clone();
    unread.mark = scene.writes(0).last().unwrap().answered.unwrap();
    assert!(ready_is_true(&scene, &unread).is_err(), "between the last write and the read");
    let mut older = ready.clone();
    older.sent["status"]["observedGeneration"] = json!(1);
    assert!(ready_is_true(&scene, &older).is_err(), "for what is no longer there");
}

#[tokio::test]
async fn edits_that_overtake_each_other() {
    let scene = Scene::running("overtake").await;
    scene.granted("a", &grant("start")).await;
    for _ in 0..3 {
        let held = scene
            .sim
            .inject(Fault::new(FaultKind::HoldBeforeApply { millis: None }).on(Operation::PutPermission).times(1));
        scene.apply("a", &grant("first")).await;
        scene.sim.wait_held(1).await;
        scene.apply("a", &grant("second")).await;
        scene.fence().await;
        scene.sim.release(held);
        scene.ready("a").await;
        assert_eq!(scene.held("a"), scene.wanted("a", &grant("second")));
        scene.granted("a", &grant("start")).await;
    }
    for number in 0..20 {
        scene.apply("a", &grant(&format!("n{number}"))).await;
    }
    scene.ready("a").await;
    assert_eq!(scene.held("a"), scene.wanted("a", &grant("n19")));
}

/// Several objects on a slow bus with writers that overwrite each other, and errors.
async fn turmoil(purpose: &str, semantics: Semantics, seed: u64) {
    let scene = Scene::running(purpose).await;
    scene.overwritten.set(semantics == Semantics::LastWriterWins);
    scene.sim.set(Settings { semantics, gap_millis: 5, ..Settings::default() });
    scene.sim.start_foreign_writer(ForeignWriter {
        account: ACCOUNT.to_owned(),
        region: REGION.to_owned(),
        bus: BUS.to_owned(),
        per_second: 20.0,
        seed,
        documents: false,
    });
    scene.sim.inject(Fault::new(FaultKind::Throttling).rate(0.1, seed));
    scene.sim.inject(Fault::new(FaultKind::ConcurrentModification).rate(0.1, seed + 1));
    scene.sim.inject(Fault::new(FaultKind::InternalError).rate(0.1, seed + 2));
    let short = |name: String| spec(&json!([account(&name, "111122223333")]));
    let names = ["a", "b", "c", "d"];
    for round in 0..3 {
        join_all(names.map(async |name| scene.apply(name, &short(format!("r{round}"))).await)).await;
        scene.fence().await;
    }
    scene.delete("d").await;
    scene.sim.stop_foreign_writers();
    scene.sim.clear_faults();
    for name in ["a", "b", "c"] {
        scene.ready(name).await;
        let wanted = scene.wanted(name, &short("r2".to_owned()));
        crate::support::eventually("it holds what it must", crate::support::PATIENCE, async || {
            let held = scene.held(name);
            if held == wanted { Ok(()) } else { Err(format!("{held:?}")) }
        })
        .await;
    }
    scene.gone("d").await;
}

#[tokio::test]
async fn where_the_last_writer_wins() {
    turmoil("lww", Semantics::LastWriterWins, 7).await;
}

#[tokio::test]
async fn where_conflicts_are_told() {
    turmoil("cme", Semantics::ConflictDetection, 11).await;
}
