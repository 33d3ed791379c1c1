//! What takes effect in another order than it was asked for.

use axum::http::Method;
use busgrant_sim::{Fault, FaultId, FaultKind, JournalEntry, JournalFilter, Operation};
use serde_json::{Value, json};

use super::scene::{BUS, Scene, account, is, spec};
use super::stops::{Asked, Moment};
use crate::support::{PATIENCE, eventually};

/// A call is given up after 1 s and may take effect for 6 s.
const FLAGS: [&str; 4] = ["--aws-call-timeout", "1s", "--outcome-wait", "6s"];

async fn running(purpose: &str) -> Scene {
    let mut scene = Scene::new(purpose).await;
    scene.outcome_wait_millis.set(6_000);
    scene.start(&FLAGS);
    scene
}

fn grant(name: &str) -> Value {
    spec(&json!([account(name, "111122223333")]))
}

fn organization(id: &str) -> Value {
    spec(&json!([{"name": "org", "principals": {"organizationID": id}}]))
}

fn patch(subject: &str) -> Asked {
    Asked { method: Method::PATCH.to_string(), subject: subject.to_owned() }
}

async fn holds(scene: &Scene, spec: &Value) {
    eventually("it holds what it must", PATIENCE, async || {
        let held = scene.held("a");
        if held == scene.wanted("a", spec) { Ok(()) } else { Err(format!("{held:?}")) }
    })
    .await;
}

/// Lets the held call take effect; gives when it has.
async fn lands(scene: &Scene, fault: FaultId) -> u64 {
    let held = scene.sim.held();
    scene.sim.release(fault);
    let landed = || scene.writes(0).iter().find(|call| held.contains(&call.seq)).and_then(|call| call.applied);
    scene.sim.wait_until(|_| landed().is_some()).await;
    landed().unwrap()
}

#[tokio::test]
async fn a_sibling_deleted_before_it_got_its_finalizer_is_never_put() {
    let scene = Scene::running("sibling").await;
    scene.granted("a", &grant("old")).await;
    let stopped = scene.front.stop(&patch("b"), 0, Moment::BeforeItIsPassedOn);
    scene.apply("b", &grant("b")).await;
    stopped.is_there().await;
    scene.delete("b").await;
    scene.gone("b").await;
    // Its sibling is served meanwhile, on the same bus.
    scene.granted("a", &grant("new")).await;
    stopped.let_go().await;
    scene.fence().await;
    let sids = scene.sid("b", "");
    let named = |call: &JournalEntry| call.input["StatementId"].as_str().is_some_and(|sid| sid.starts_with(&sids));
    assert!(!scene.writes(0).iter().any(named), "{:?}", scene.writes(0));
    assert_eq!(scene.held("a"), scene.wanted("a", &grant("new")));
    // Nothing of it is remembered against another of its name.
    scene.granted("b", &grant("b")).await;
    assert_eq!(scene.live().len(), 2);
}

#[tokio::test]
async fn what_a_stale_read_does_not_show_is_removed_all_the_same() {
    let scene = Scene::running("unshown").await;
    scene.granted("a", &grant("a")).await;
    let mark = scene.mark();
    // As the bus was before the statement was put.
    let stale = Fault::new(FaultKind::StaleReadBehind { changes: 1 }).on(Operation::DescribeEventBus).bus(BUS).times(1);
    scene.sim.inject(stale);
    scene.delete("a").await;
    scene.gone("a").await;
    assert!(scene.sim.faults().is_empty(), "no read was stale");
    assert_eq!(scene.writes(mark).len(), 1);
    assert_eq!(scene.policy(), None);
}

#[tokio::test]
async fn a_first_version_that_lands_after_the_second_was_verified_is_undone_before_it_is_ready() {
    let scene = running("versions").await;
    let (first, second) = (organization("o-a1b2c3d4e5"), organization("o-f6g7h8i9j0"));
    let held = Fault::new(FaultKind::HoldBeforeApply { millis: None }).on(Operation::PutPermission).times(1);
    let held = scene.sim.inject(held);
    scene.apply("a", &first).await;
    scene.sim.wait_held(1).await;
    scene.apply("a", &second).await;
    let told = scene.says("a", "OutcomeUnknown").await;
    assert!(is(&told, "Ready", "Unknown"));
    holds(&scene, &second).await;
    let landed = lands(&scene, held).await;
    let undone = scene.ready("a").await;
    assert_eq!(undone.metadata.generation, Some(2));
    assert!(scene.writes(landed).iter().any(JournalEntry::succeeded), "ready without a write after it landed");
    assert_eq!(scene.held("a"), scene.wanted("a", &second));
}

#[tokio::test]
async fn a_first_version_that_lands_when_the_second_is_ready_is_found_and_undone() {
    let scene = running("found").await;
    let (first, second) = (organization("o-a1b2c3d4e5"), organization("o-f6g7h8i9j0"));
    let held = Fault::new(FaultKind::HoldBeforeApply { millis: None }).on(Operation::PutPermission).times(1);
    let held = scene.sim.inject(held);
    scene.apply("a", &first).await;
    scene.sim.wait_held(1).await;
    scene.granted("a", &second).await;
    let landed = lands(&scene, held).await;
    scene.sim.wait_until(|_| scene.writes(landed).iter().any(JournalEntry::succeeded)).await;
    holds(&scene, &second).await;
    scene.event("a", "DriftCorrected").await;
    scene.ready("a").await;
}

#[tokio::test]
async fn a_status_that_was_under_way_when_the_next_generation_came_is_not_written() {
    let scene = Scene::running("generation").await;
    scene.granted("a", &grant("one")).await;
    let stopped = scene.front.stop(&patch("a/status"), 0, Moment::BeforeItIsPassedOn);
    scene.apply("a", &grant("two")).await;
    stopped.is_there().await;
    scene.apply("a", &grant("three")).await;
    // The operator has seen it: what it sees comes in order.
    scene.fence().await;
    let before = scene.front.passed().len();
    stopped.let_go().await;
    let refused = scene.front.passed()[before].clone();
    assert_eq!(refused.status, Some(409), "{refused:?}");
    assert_eq!(refused.sent["status"]["observedGeneration"], 2);
    scene.ready("a").await;
    let passed = scene.front.passed();
    let third = passed.iter().filter(|passed| passed.sent["status"]["observedGeneration"] == 3);
    for status in third {
        let named = status.sent["status"]["statements"].as_array().unwrap();
        assert_eq!(named.len(), 1, "{status:?}");
        assert_eq!(named[0]["statementID"], scene.sid("a", "three-111122223333"));
    }
    assert_eq!(scene.held("a"), scene.wanted("a", &grant("three")));
}

#[tokio::test]
async fn a_call_that_may_take_longer_than_it_is_waited_for_is_no_way_to_start() {
    let mut scene = Scene::new("longer").await;
    scene.start(&["--aws-call-timeout", "6s", "--outcome-wait", "6s"]);
    assert!(!scene.ended().await);
    let calls = scene.sim.journal_of(&JournalFilter::default());
    assert!(calls.is_empty(), "{calls:?}");
}
