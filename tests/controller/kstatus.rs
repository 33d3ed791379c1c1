//! How kstatus (Flux, `kpt`, `helm --wait`) and Argo CD's health check read the objects at each turn of their lives.

use busgrant_sim::{Fault, FaultKind, Operation};
use kube::api::DynamicObject;
use serde_json::json;

use super::scene::{Scene, account, is, spec};

/// What kstatus makes of an object of a kind that it doesn't know: pkg/kstatus/status of kubernetes-sigs/cli-utils,
/// `checkGenericProperties`, then `checkReadyCondition`.
fn kstatus(object: &DynamicObject) -> &'static str {
    if object.metadata.deletion_timestamp.is_some() {
        return "Terminating";
    }
    let status = &object.data["status"];
    if status["observedGeneration"].as_i64().is_some_and(|observed| Some(observed) != object.metadata.generation) {
        return "InProgress";
    }
    let conditions = || status["conditions"].as_array().into_iter().flatten();
    for condition in conditions().filter(|condition| condition["status"] == "True") {
        match condition["type"].as_str() {
            Some("Reconciling") => return "InProgress",
            Some("Stalled") => return "Failed",
            _ => {}
        }
    }
    match conditions().find(|condition| condition["type"] == "Ready") {
        Some(ready) if ready["status"] != "True" => "InProgress",
        _ => "Current",
    }
}

/// What Argo CD's health.lua says that looks at the same conditions.
fn argo(object: &DynamicObject) -> &'static str {
    let status = &object.data["status"];
    if status["conditions"].is_null() || status["observedGeneration"].as_i64() != object.metadata.generation {
        return "Progressing";
    }
    let told = [
        ("Stalled", "True", "Degraded"),
        ("Reconciling", "True", "Progressing"),
        ("Ready", "True", "Healthy"),
        ("Ready", "False", "Degraded"),
    ];
    let first = told.into_iter().find(|(kind, status, _)| is(object, kind, status));
    first.map_or("Progressing", |(_, _, health)| health)
}

fn read(object: &DynamicObject) -> (&'static str, &'static str) {
    (kstatus(object), argo(object))
}

#[tokio::test]
async fn each_turn_reads_as_it_is() {
    let mut scene = Scene::new("kstatus").await;
    let grant = spec(&json!([account("a", "111122223333")]));
    let created = scene.apply("a", &grant).await;
    assert_eq!(read(&created), ("InProgress", "Progressing"), "new, and nobody has looked");

    let held =
        scene.sim.inject(Fault::new(FaultKind::HoldBeforeApply { millis: None }).on(Operation::PutPermission).times(1));
    scene.start(&[]);
    scene.sim.wait_held(1).await;
    assert_eq!(read(&scene.get("a").await), ("InProgress", "Progressing"), "being put");
    scene.sim.release(held);
    assert_eq!(read(&scene.ready("a").await), ("Current", "Healthy"));

    let held =
        scene.sim.inject(Fault::new(FaultKind::HoldBeforeApply { millis: None }).on(Operation::PutPermission).times(1));
    let edited = scene.apply("a", &spec(&json!([account("b", "111122223333")]))).await;
    assert_eq!(read(&edited), ("InProgress", "Progressing"), "edited");
    scene.sim.wait_held(1).await;
    assert_eq!(read(&scene.get("a").await), ("InProgress", "Progressing"), "being edited");
    scene.sim.release(held);
    assert_eq!(read(&scene.ready("a").await), ("Current", "Healthy"));

    let invalid = json!({"name": "x", "raw": {"effect": "Allow", "principal": {"AWS": ["111122223333"]}, "actions": ["events:DeleteEventBus"]}});
    scene.apply("a", &spec(&json!([invalid]))).await;
    assert_eq!(read(&scene.says("a", "InvalidStatement").await), ("Failed", "Degraded"));

    let mut observed = grant.clone();
    observed["managementPolicy"] = json!("Observe");
    scene.apply("observed", &observed).await;
    assert_eq!(read(&scene.says("observed", "DriftDetected").await), ("Failed", "Degraded"));

    let nowhere = json!({"eventBus": {"name": "nowhere"}, "statements": [account("a", "111122223333")]});
    scene.apply("nowhere", &nowhere).await;
    assert_eq!(
        read(&scene.says("nowhere", "EventBusNotFound").await),
        ("InProgress", "Progressing"),
        "it may yet come"
    );

    let denied = scene.sim.inject(Fault::new(FaultKind::AccessDenied).on(Operation::RemovePermission));
    scene.delete("a").await;
    assert_eq!(read(&scene.says("a", "AccessDenied").await), ("Terminating", "Progressing"));
    scene.sim.clear_fault(denied);
    scene.gone("a").await;
}
