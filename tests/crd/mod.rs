//! The definition of `EventBusPermission` on a real API server: what it takes, what it refuses and in which words, how
//! several appliers share an object, and what kubectl tells about it.

use busgrant::api::crd_yaml;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::core::gvk::GroupVersionKind;
use serde_json::{Value, json};

use crate::support;

mod admission;
mod applied;
mod cases;
mod committed;
mod explained;
mod validated;

/// The objects of a namespace of its own, on a server that has the definition.
async fn permissions(purpose: &str) -> (String, Api<DynamicObject>) {
    let client = support::client().await;
    support::install_crds(&client, &crd_yaml().unwrap()).await;
    let namespace = support::unique_namespace(&client, purpose).await;
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("busgrant.dev", "v1alpha1", "EventBusPermission"));
    let api = Api::namespaced_with(client, &namespace, &kind);
    (namespace, api)
}

/// An object of that spec, not yet sent.
fn object(name: &str, spec: &Value) -> DynamicObject {
    let object = json!({
        "apiVersion": "busgrant.dev/v1alpha1", "kind": "EventBusPermission", "metadata": {"name": name}, "spec": spec,
    });
    serde_json::from_value(object).unwrap()
}

fn spec(statements: &Value) -> Value {
    json!({"eventBus": {"name": "orders"}, "statements": statements})
}

fn one_account(name: &str) -> Value {
    json!({"name": name, "principals": {"accountIDs": ["111122223333"]}})
}

/// The same, once kubectl knows the kind too: discovery and the published schemas follow the definition a moment later.
async fn permissions_for_kubectl(purpose: &str) -> (String, Api<DynamicObject>) {
    let permissions = permissions(purpose).await;
    support::eventually("kubectl knows the kind", support::PATIENCE, async || {
        let output = support::kubectl(&["explain", "ebp.spec.eventBus"]).await;
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    })
    .await;
    permissions
}
