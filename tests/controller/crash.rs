//! The operator killed with a call under way, which takes effect later.

use busgrant_sim::{Fault, FaultId, FaultKind, Operation};
use serde_json::{Value, json};

use super::scene::{ACCOUNT, BUS, REGION, Scene, account, spec};
use crate::support::{PATIENCE, eventually};

fn grant(name: &str) -> Value {
    spec(&json!([account(name, "111122223333")]))
}

/// Kills the operator while its next write is held.
async fn killed_while_writing(scene: &mut Scene, change: impl AsyncFnOnce(&Scene)) -> FaultId {
    let fault = Fault::new(FaultKind::HoldBeforeApply { millis: None });
    let fault = fault.on(Operation::PutPermission).on(Operation::RemovePermission).times(1);
    let held = scene.sim.inject(fault);
    change(scene).await;
    scene.sim.wait_held(1).await;
    scene.kill();
    held
}

async fn holds(scene: &Scene, spec: &Value) {
    eventually("it holds what it must", PATIENCE, async || {
        let held = scene.held("a");
        if held == scene.wanted("a", spec) { Ok(()) } else { Err(format!("{held:?}")) }
    })
    .await;
}

#[tokio::test]
async fn a_put_that_lands_beside_its_repetition() {
    let mut scene = Scene::running("create").await;
    let held = killed_while_writing(&mut scene, async |scene| drop(scene.apply("a", &grant("a")).await)).await;
    scene.start(&[]);
    holds(&scene, &grant("a")).await;
    scene.sim.release(held);
    scene.ready("a").await;
    holds(&scene, &grant("a")).await;
}

#[tokio::test]
async fn a_put_that_lands_after_the_edit_that_took_it_back() {
    let mut scene = Scene::running("edit").await;
    let held = killed_while_writing(&mut scene, async |scene| drop(scene.apply("a", &grant("one")).await)).await;
    scene.start(&[]);
    scene.apply("a", &grant("two")).await;
    scene.ready("a").await;
    scene.sim.release(held);
    eventually("it lands", PATIENCE, async || {
        let landed = scene.writes(0).first().and_then(|call| call.applied);
        landed.ok_or("not yet")
    })
    .await;
    holds(&scene, &grant("two")).await;
    scene.ready("a").await;
}

#[tokio::test]
async fn a_put_that_lands_while_its_object_is_being_deleted() {
    let mut scene = Scene::running("delete").await;
    let held = killed_while_writing(&mut scene, async |scene| drop(scene.apply("a", &grant("a")).await)).await;
    scene.delete("a").await;
    scene.start(&[]);
    let mark = scene.mark();
    // The first look finds nothing to remove; the put lands behind it.
    scene.sim.wait_until(|_| !scene.calls(mark).is_empty()).await;
    scene.fence().await;
    scene.sim.release(held);
    scene.gone("a").await;
    assert_eq!(scene.policy(), None);
}

#[tokio::test]
async fn a_put_that_lands_after_its_object_is_gone() {
    let mut scene = Scene::running("resurrect").await;
    let held = killed_while_writing(&mut scene, async |scene| drop(scene.apply("a", &grant("a")).await)).await;
    scene.delete("a").await;
    scene.start(&[]);
    scene.gone("a").await;
    scene.sim.release(held);
    eventually("it lands", PATIENCE, async || {
        let landed = scene.writes(0).first().and_then(|call| call.applied);
        landed.ok_or("not yet")
    })
    .await;
    eventually("it is removed again", PATIENCE, async || scene.policy().map_or(Ok(()), Err)).await;
}

#[tokio::test]
async fn a_put_that_lands_after_another_leader_has_cleaned_up() {
    let mut scene = Scene::new("leader").await;
    scene.start(&["--leader-elect"]);
    let held = killed_while_writing(&mut scene, async |scene| drop(scene.apply("a", &grant("a")).await)).await;
    scene.delete("a").await;
    // It leads once the other's lease has run out.
    scene.start(&["--leader-elect"]);
    scene.gone("a").await;
    scene.sim.release(held);
    scene.sim.wait_until(|_| scene.writes(0).first().is_some_and(|call| call.applied.is_some())).await;
    eventually("it is removed again", PATIENCE, async || scene.policy().map_or(Ok(()), Err)).await;
}

#[tokio::test]
async fn a_removal_that_lands_after_its_statement_is_wanted_again() {
    let mut scene = Scene::running("wanted").await;
    let both = spec(&json!([account("a", "111122223333"), account("b", "111122223333")]));
    scene.granted("a", &both).await;
    let held = killed_while_writing(&mut scene, async |scene| drop(scene.apply("a", &grant("a")).await)).await;
    scene.apply("a", &both).await;
    scene.start(&[]);
    scene.ready("a").await;
    scene.sim.release(held);
    eventually("it lands", PATIENCE, async || {
        let calls = scene.writes(0);
        let landed = calls.iter().find(|call| call.operation == Operation::RemovePermission);
        landed.and_then(|call| call.applied).ok_or("not yet")
    })
    .await;
    holds(&scene, &both).await;
    scene.event("a", "DriftCorrected").await;
}

/// What a predecessor called ready stays so while its calls may land, unless it may have been repairing it.
#[tokio::test]
async fn a_document_that_lands_beside_the_repair_of_a_statement_that_it_lacks() {
    let mut scene = Scene::running("repair").await;
    let document = spec(&json!([{"name": "a", "principals": {"accountIDs": ["111122223333"]}, "sources": ["acme"]}]));
    scene.granted("short", &grant("a")).await;
    scene.granted("whole", &document).await;
    let empty = async |scene: &Scene| assert!(scene.sim.put_policy(ACCOUNT, REGION, BUS, None));
    let held = killed_while_writing(&mut scene, empty).await;
    scene.start(&[]);
    eventually("it is put back", PATIENCE, async || scene.statement("short", "a-111122223333").ok_or("not yet")).await;
    scene.says("short", "OutcomeUnknown").await;
    scene.sim.release(held);
    scene.ready("whole").await;
    scene.ready("short").await;
    assert_eq!(scene.held("short"), scene.wanted("short", &grant("a")));
    assert_eq!(scene.held("whole"), scene.wanted("whole", &document));
}
