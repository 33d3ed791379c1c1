//! Our definition deleted with all its objects, as `kubectl delete crd` does: no grant goes with it.

use busgrant::api::crd_yaml;
use busgrant_sim::{Config, Fault, FaultKind, Operation};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use kube::api::{Api, DeleteParams};
use serde_json::{Value, json};

use super::scene::{ACCOUNT, BUS, REGION, Scene, account, spec};
use crate::support::{ControlPlane, PATIENCE, eventually, install_crds_again};

fn grant(name: &str) -> Value {
    spec(&json!([
        account(name, "111122223333"),
        {"name": "long", "principals": {"accountIDs": ["111122223333"]}, "sources": [name]},
    ]))
}

/// Deletes the definition, and waits until it is gone.
async fn definition_goes(client: &Client) {
    let definitions = Api::<CustomResourceDefinition>::all(client.clone());
    let name = "eventbuspermissions.busgrant.dev";
    definitions.delete(name, &DeleteParams::default()).await.unwrap();
    eventually("the definition goes", PATIENCE, async || match definitions.get_opt(name).await.unwrap() {
        None => Ok(()),
        Some(definition) => Err(format!("{:?}", definition.status)),
    })
    .await;
}

#[tokio::test]
async fn with_the_definition_go_all_objects_and_no_grant() {
    // The definition is one for the whole cluster, and the other tests need it.
    let plane = tokio::task::spawn_blocking(ControlPlane::start).await.unwrap().unwrap();
    let client = plane.client().await;
    let yaml = crd_yaml().unwrap();
    install_crds_again(&client, &yaml).await;
    let mut scene = Scene::on(client.clone(), "crd", Config::default()).await;
    scene.start(&[]);
    for name in ["a", "b", "paused"] {
        scene.granted(name, &grant("one")).await;
    }
    scene.annotate("paused", "busgrant.dev/paused", json!("true")).await;
    let before = scene.sim.policy_text(ACCOUNT, REGION, BUS).unwrap();
    let mark = scene.mark();

    definition_goes(&client).await;
    scene.looked_over(3).await;
    assert_eq!(scene.sim.policy_text(ACCOUNT, REGION, BUS), Some(before.clone()));

    // With a definition there are objects again, and they own what they had.
    install_crds_again(&client, &yaml).await;
    for name in ["a", "b", "paused"] {
        scene.granted(name, &grant("one")).await;
    }
    assert_eq!(scene.sim.policy_text(ACCOUNT, REGION, BUS), Some(before));
    assert!(scene.writes(mark).is_empty(), "{:?}", scene.writes(mark));
    scene.granted("a", &grant("two")).await;
    assert_eq!(scene.held("a"), scene.wanted("a", &grant("two")));
    for name in ["a", "b", "paused"] {
        scene.delete(name).await;
        scene.gone(name).await;
    }
    assert_eq!(scene.policy(), None);
}

#[tokio::test]
async fn an_object_that_could_not_go_before_goes_with_the_definition() {
    let plane = tokio::task::spawn_blocking(ControlPlane::start).await.unwrap().unwrap();
    let client = plane.client().await;
    install_crds_again(&client, &crd_yaml().unwrap()).await;
    let mut scene = Scene::on(client.clone(), "crd", Config::default()).await;
    scene.start(&[]);
    scene.granted("a", &grant("one")).await;
    let before = scene.sim.policy_text(ACCOUNT, REGION, BUS).unwrap();
    scene.sim.inject(Fault::new(FaultKind::AccessDenied).on(Operation::RemovePermission));
    scene.delete("a").await;
    scene.says("a", "AccessDenied").await;

    definition_goes(&client).await;
    assert_eq!(scene.sim.policy_text(ACCOUNT, REGION, BUS), Some(before));
}
