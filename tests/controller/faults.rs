//! The service as it is on a bad day: conflicts, throttling, errors, calls without an answer, reads that lag.

use std::time::{Duration, Instant};

use busgrant_sim::{Fault, FaultKind, Operation};
use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::scene::{Scene, account, condition, is, spec};

fn grant() -> Value {
    spec(&json!([account("a", "111122223333")]))
}

fn writes(object: &DynamicObject) -> &Value {
    &object.data["status"]["writes"]
}

#[tokio::test]
async fn conflicts_are_retried_and_counted() {
    let scene = Scene::running("conflict").await;
    scene.sim.inject(Fault::new(FaultKind::ConcurrentModification).times(1));
    let object = scene.granted("a", &grant()).await;
    assert_eq!(writes(&object)["concurrentModificationRetries"], 1);
    assert_eq!(writes(&object)["concurrentModificationRetriesTotal"], 1);
    assert!(writes(&object)["lastConcurrentModificationTime"].is_string());

    scene.sim.inject(Fault::new(FaultKind::ConcurrentModification).times(3));
    let started = Instant::now();
    let object = scene.granted("a", &spec(&json!([account("a", "111122223333"), account("b", "111122223333")]))).await;
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    assert_eq!(writes(&object)["concurrentModificationRetries"], 3);
    assert_eq!(writes(&object)["concurrentModificationRetriesTotal"], 4);

    let object = scene.granted("a", &grant()).await;
    assert_eq!(writes(&object)["concurrentModificationRetries"], 0);
    assert_eq!(writes(&object)["concurrentModificationRetriesTotal"], 4);
    assert_eq!(scene.held("a"), scene.wanted("a", &grant()));
}

#[tokio::test]
async fn a_document_that_meets_another_writer_is_one_retry_of_each_object_in_it() {
    let scene = Scene::running("documents").await;
    let by_document =
        |name: &str| json!({"name": name, "principals": {"accountIDs": ["111122223333"]}, "sources": [name]});
    let both = spec(&json!([by_document("one"), by_document("two")]));
    scene.granted("carried", &both).await;
    scene.sim.inject(Fault::new(FaultKind::ConcurrentModification).times(3));
    let object = scene.granted("a", &both).await;
    assert_eq!(writes(&object)["concurrentModificationRetriesTotal"], 3);
    assert_eq!(writes(&scene.get("carried").await)["concurrentModificationRetriesTotal"], 0);
}

#[tokio::test]
async fn throttling_and_errors_pass() {
    let scene = Scene::running("errors").await;
    let kinds =
        [FaultKind::Throttling, FaultKind::TooManyRequests, FaultKind::InternalError, FaultKind::ServiceUnavailable];
    for (number, kind) in kinds.into_iter().enumerate() {
        for operation in [Operation::PutPermission, Operation::DescribeEventBus] {
            scene.sim.inject(Fault::new(kind.clone()).on(operation).times(2));
        }
        let grant = spec(&json!([account(&format!("a{number}"), "111122223333")]));
        scene.granted("a", &grant).await;
        assert_eq!(scene.held("a"), scene.wanted("a", &grant));
    }
    scene.sim.inject(Fault::new(FaultKind::ServiceUnavailable).on(Operation::RemovePermission).times(2));
    scene.delete("a").await;
    scene.gone("a").await;
    assert_eq!(scene.policy(), None);
}

#[tokio::test]
async fn a_long_outage_is_told_and_waited_out() {
    let scene = Scene::running("outage").await;
    scene.granted("old", &grant()).await;
    let outage = scene.sim.inject(Fault::new(FaultKind::ServiceUnavailable));
    scene.apply("a", &grant()).await;
    let object = scene.says("a", "ServiceUnavailable").await;
    assert!(is(&object, "Reconciling", "True") && condition(&object, "Stalled").is_none());
    scene.sim.clear_fault(outage);
    scene.ready("a").await;
    scene.ready("old").await;
}

/// A put whose connection breaks, before or after it took effect: nobody can tell which.
async fn without_an_answer(purpose: &str, kind: FaultKind) {
    let scene = Scene::running(purpose).await;
    scene.granted("old", &grant()).await;
    scene.sim.inject(Fault::new(kind).on(Operation::PutPermission).times(1));
    scene.apply("a", &grant()).await;
    let object = scene.says("a", "OutcomeUnknown").await;
    assert!(is(&object, "Ready", "Unknown") && is(&object, "Reconciling", "True"));
    assert!(!scene.held("a").is_empty(), "it is put again at once, and only not called ready");
    // promises::kept sees to it that it is not ready before it can no longer land.
    scene.ready("a").await;
    scene.ready("old").await;
}

#[tokio::test]
async fn a_put_that_was_done_without_an_answer() {
    without_an_answer("dropped", FaultKind::DropAfterApply).await;
}

#[tokio::test]
async fn a_put_that_was_not_done_and_not_answered() {
    without_an_answer("unsent", FaultKind::DropBeforeApply).await;
}

#[tokio::test]
async fn a_removal_without_an_answer_keeps_the_object_until_it_can_no_longer_land() {
    let scene = Scene::running("removal").await;
    scene.granted("a", &grant()).await;
    scene.sim.inject(Fault::new(FaultKind::DropAfterApply).on(Operation::RemovePermission).times(1));
    let dropped = scene.sim.now_millis();
    scene.delete("a").await;
    scene.gone("a").await;
    assert!(scene.sim.now_millis() - dropped >= 11_000, "it went before the call could no longer land");
    assert_eq!(scene.policy(), None);
    let last = scene.writes(0).pop().unwrap();
    assert_eq!(last.operation, Operation::RemovePermission);
    assert!(last.at_millis - dropped >= 11_000, "what was sent beside that call proves nothing: {last:?}");
}

#[tokio::test]
async fn a_put_that_lands_after_its_client_gave_up_is_undone() {
    let scene = Scene::running("late").await;
    // The client waits for 10 s.
    scene
        .sim
        .inject(Fault::new(FaultKind::HoldBeforeApply { millis: Some(10_500) }).on(Operation::PutPermission).times(1));
    scene.apply("a", &grant()).await;
    scene.sim.wait_held(1).await;
    let renamed = spec(&json!([account("b", "111122223333")]));
    scene.apply("a", &renamed).await;
    scene.ready("a").await;
    assert_eq!(scene.held("a"), scene.wanted("a", &renamed));
}

#[tokio::test]
async fn a_lost_update_is_counted_and_done_again() {
    let scene = Scene::running("lost").await;
    scene.sim.inject(Fault::new(FaultKind::LostUpdate { kept: None }).times(1));
    let object = scene.granted("a", &grant()).await;
    assert_eq!(writes(&object)["lostUpdates"], 1);
    assert_eq!(scene.held("a"), scene.wanted("a", &grant()));
}

#[tokio::test]
async fn a_read_that_lags_is_no_lost_update() {
    let scene = Scene::running("stale").await;
    scene.granted("a", &grant()).await;
    scene.sim.inject(Fault::new(FaultKind::StaleReadBehind { changes: 1 }).on(Operation::DescribeEventBus).times(2));
    let more = spec(&json!([account("a", "111122223333"), account("b", "111122223333")]));
    let object = scene.granted("a", &more).await;
    assert_eq!(writes(&object)["lostUpdates"], 0);
    assert_eq!(scene.held("a"), scene.wanted("a", &more));
    scene.sim.inject(Fault::new(FaultKind::StaleReadBehind { changes: 2 }).on(Operation::DescribeEventBus).times(2));
    scene.delete("a").await;
    scene.gone("a").await;
    assert_eq!(scene.policy(), None);
}
