//! What deleting an object does, and what may hold it up.

use busgrant_sim::{Fault, FaultKind, ForeignWrite, Operation};
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::scene::{ACCOUNT, BUS, REGION, Scene, account, bus_arn, message, spec};
use crate::support::{PATIENCE, eventually};

fn grant() -> Value {
    spec(&json!([
        account("a", "111122223333"),
        {"name": "b", "principals": {"accountIDs": ["111122223333"]}, "sources": ["com.acme"]},
    ]))
}

#[tokio::test]
async fn siblings_stay() {
    let scene = Scene::running("siblings").await;
    scene.granted("goes", &grant()).await;
    scene.granted("stays", &grant()).await;
    scene.delete("goes").await;
    scene.gone("goes").await;
    assert!(scene.held("goes").is_empty());
    assert_eq!(scene.held("stays"), scene.wanted("stays", &grant()));
    scene.event("goes", "StatementsRemoved").await;
}

#[tokio::test]
async fn retained_statements_stay_and_are_owned_again() {
    let scene = Scene::running("retain").await;
    let mut retained = grant();
    retained["deletionPolicy"] = json!("Retain");
    scene.granted("a", &retained).await;
    let mark = scene.mark();
    scene.delete("a").await;
    scene.gone("a").await;
    scene.event("a", "Retained").await;
    assert_eq!(scene.held("a"), scene.wanted("a", &retained));

    scene.granted("a", &grant()).await;
    assert!(scene.writes(mark).is_empty(), "{:?}", scene.writes(mark));
    scene.delete("a").await;
    scene.gone("a").await;
    assert!(scene.held("a").is_empty());
}

#[tokio::test]
async fn with_its_bus_everything_is_gone() {
    let scene = Scene::running("busgone").await;
    scene.granted("a", &grant()).await;
    scene.sim.delete_bus(ACCOUNT, REGION, BUS);
    scene.says("a", "EventBusNotFound").await;
    scene.delete("a").await;
    scene.gone("a").await;
}

#[tokio::test]
async fn what_never_had_a_bus_goes() {
    let scene = Scene::running("nobus").await;
    scene.apply("a", &json!({"eventBus": {"name": "nowhere"}, "statements": [account("a", "111122223333")]})).await;
    scene.says("a", "EventBusNotFound").await;
    scene.delete("a").await;
    scene.gone("a").await;
}

#[tokio::test]
async fn denied_access_holds_it_up_and_says_so() {
    let scene = Scene::running("denied").await;
    scene.granted("a", &grant()).await;
    let denied = scene.sim.inject(Fault::new(FaultKind::AccessDenied).on(Operation::RemovePermission));
    scene.delete("a").await;
    let object = scene.says("a", "AccessDenied").await;
    assert!(message(&object).contains("RemovePermission"), "{}", message(&object));
    assert!(!object.finalizers().is_empty());
    assert_eq!(scene.held("a"), scene.wanted("a", &grant()));
    scene.event("a", "AccessDenied").await;
    scene.sim.clear_fault(denied);
    scene.gone("a").await;
    assert!(scene.held("a").is_empty());
}

#[tokio::test]
async fn it_goes_while_paused_and_while_only_observed() {
    let scene = Scene::running("ignores").await;
    let mut observed = grant();
    scene.granted("observed", &observed).await;
    scene.granted("paused", &grant()).await;
    observed["managementPolicy"] = json!("Observe");
    scene.granted("observed", &observed).await;
    scene.annotate("paused", "busgrant.dev/paused", json!("true")).await;
    for name in ["observed", "paused"] {
        scene.delete(name).await;
        scene.gone(name).await;
        assert!(scene.held(name).is_empty());
    }
}

#[tokio::test]
async fn a_namespace_goes_with_its_objects() {
    let scene = Scene::running("goes").await;
    scene.granted("a", &grant()).await;
    scene.granted("b", &grant()).await;
    let namespaces = Api::<Namespace>::all(scene.client.clone());
    namespaces.delete(&scene.namespace, &DeleteParams::default()).await.unwrap();
    eventually("the namespace goes", PATIENCE, async || match namespaces.get_opt(&scene.namespace).await.unwrap() {
        None => Ok(()),
        Some(namespace) => Err(format!("{:?}", namespace.status)),
    })
    .await;
    assert_eq!(scene.policy(), None);
}

#[tokio::test]
async fn with_the_definition_goes_no_grant() {
    let scene = Scene::running("definition").await;
    scene.granted("a", &grant()).await;
    scene.front.definition_terminates(true);
    scene.delete("a").await;
    scene.gone("a").await;
    assert_eq!(scene.held("a"), scene.wanted("a", &grant()));
    scene.front.definition_terminates(false);
    let mark = scene.mark();
    scene.granted("a", &grant()).await;
    assert!(scene.writes(mark).is_empty(), "{:?}", scene.writes(mark));
}

#[tokio::test]
async fn what_comes_back_is_removed_again() {
    let scene = Scene::running("again").await;
    scene.granted("a", &grant()).await;
    let back = scene.statement("a", "a-111122223333").unwrap();
    scene.delete("a").await;
    scene.gone("a").await;
    for _ in 0..2 {
        scene.sim.foreign_write(ACCOUNT, REGION, BUS, &ForeignWrite::Put { statement: back.clone() });
        eventually("it is removed", PATIENCE, async || scene.policy().map_or(Ok(()), Err)).await;
    }
}

#[tokio::test]
async fn a_forged_status_gives_nothing() {
    let scene = Scene::running("forged").await;
    let foreign = json!({
        "Sid": "legacy-app", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::999988887777:root"},
        "Action": "events:PutEvents", "Resource": bus_arn(BUS),
    });
    scene.sim.foreign_write(ACCOUNT, REGION, BUS, &ForeignWrite::Put { statement: foreign.clone() });
    scene.granted("victim", &grant()).await;
    let object = scene.granted("thief", &grant()).await;
    scene.annotate("thief", "busgrant.dev/paused", json!("true")).await;
    let mut statements = object.data["status"]["statements"].as_array().unwrap().clone();
    for sid in ["legacy-app".to_owned(), scene.sid("victim", "a-111122223333"), scene.sid("victim", "b")] {
        let mut forged = statements[0].clone();
        forged["statementID"] = json!(sid);
        statements.push(forged);
    }
    scene.tampered.set(true);
    let forged = Patch::Merge(json!({"status": {"statements": statements}}));
    scene.api.patch_status("thief", &PatchParams::default(), &forged).await.unwrap();
    scene.delete("thief").await;
    scene.gone("thief").await;
    assert!(scene.held("thief").is_empty());
    assert_eq!(scene.held("victim"), scene.wanted("victim", &grant()));
    assert!(scene.live().contains(&foreign));
}

#[tokio::test]
async fn what_was_deleted_without_an_operator_is_removed_by_the_next() {
    let mut scene = Scene::running("later").await;
    scene.granted("a", &grant()).await;
    scene.stop().await;
    scene.delete("a").await;
    scene.start(&[]);
    scene.gone("a").await;
    assert_eq!(scene.policy(), None);
}
