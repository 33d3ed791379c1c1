//! What the controller writes is no difference to what Git holds: `kubectl diff` finds none, whichever way it was applied.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use super::scene::{Scene, account, is, spec};
use crate::support::{control_plane, kubectl_with_input, stdout};

/// How Git's tools apply, as kubectl says it.
const WAYS: [&str; 2] = ["--server-side=false", "--server-side"];

/// A manifest as a team keeps it in Git.
fn manifest(scene: &Scene, name: &str, spec: &Value) -> String {
    let metadata = json!({"name": name, "namespace": scene.namespace, "labels": {"team": "billing"},
        "annotations": {"example.com/contact": "billing@example.com"}});
    json!({"apiVersion": "busgrant.dev/v1alpha1", "kind": "EventBusPermission", "metadata": metadata, "spec": spec})
        .to_string()
}

async fn applied(scene: &Scene, name: &str, way: &str, spec: &Value) -> String {
    let manifest = manifest(scene, name, spec);
    stdout(&kubectl_with_input(&["apply", way, "-f-"], &manifest).await);
    scene.keep(scene.get(name).await);
    manifest
}

/// Neither way of comparing finds a difference, and applying again changes nothing.
async fn is_as_in_git(scene: &Scene, name: &str, way: &str, manifest: &str) {
    let before = scene.get(name).await.metadata.resource_version;
    for compared in WAYS {
        let diff = kubectl_with_input(&["diff", compared, "-f-"], manifest).await;
        // What was applied one way is somebody else's field to the other, which is no matter of ours.
        let conflict = String::from_utf8_lossy(&diff.stderr).contains("conflict");
        assert!(diff.status.success() || (compared != way && conflict), "{name}, {way}, {compared}: {diff:?}");
    }
    stdout(&kubectl_with_input(&["apply", way, "-f-"], manifest).await);
    assert_eq!(scene.get(name).await.metadata.resource_version, before, "{name}, {way}");
}

#[tokio::test]
async fn a_ready_object_is_as_it_is_in_git() {
    let scene = Scene::running("gitready").await;
    let anything = json!([
        account("a", "111122223333"),
        {"name": "b", "description": "sources", "principals": {"accountIDs": ["111122223333", "444455556666"]},
            "sources": ["com.acme.billing"], "detailTypes": ["InvoicePaid"]},
        {"name": "c", "access": "ManageOwnRules", "principals": {"principalARNs": ["arn:aws:iam::111122223333:root"]}},
        {"name": "d", "principals": {"organizationID": "o-a1b2c3d4e5"}},
    ]);
    for (name, way) in [("client", WAYS[0]), ("server", WAYS[1])] {
        let manifest = applied(&scene, name, way, &spec(&anything)).await;
        scene.ready(name).await;
        is_as_in_git(&scene, name, way, &manifest).await;
    }
}

#[tokio::test]
async fn so_is_one_that_is_observed_or_paused() {
    let scene = Scene::running("gitobserved").await;
    let mut observed = spec(&json!([account("a", "111122223333")]));
    observed["managementPolicy"] = json!("Observe");
    for (name, way) in [("client", WAYS[0]), ("server", WAYS[1])] {
        let manifest = applied(&scene, name, way, &observed).await;
        scene.says(name, "DriftDetected").await;
        is_as_in_git(&scene, name, way, &manifest).await;
    }
    let enforced = spec(&json!([account("a", "444455556666")]));
    for (name, way) in [("paused-client", WAYS[0]), ("paused-server", WAYS[1])] {
        let manifest = applied(&scene, name, way, &enforced).await;
        scene.ready(name).await;
        // As a person or an action of Argo CD does, beside Git.
        scene.annotate(name, "busgrant.dev/paused", json!("true")).await;
        scene.annotate(name, "busgrant.dev/reconcile-at", json!("2026-11-25T02:00:00Z")).await;
        let handled =
            scene.until(name, "handled", |object| object.data["status"]["lastHandledReconcileAt"].is_string()).await;
        assert!(is(&handled, "Ready", "True"));
        is_as_in_git(&scene, name, way, &manifest).await;
    }
}

/// As it is printed, in a shell.
#[tokio::test]
async fn the_recipe_that_has_a_bus_looked_at_works() {
    let scene = Scene::running("gitlook").await;
    scene.granted("billing", &spec(&json!([account("a", "111122223333")]))).await;
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/gitops.md")).unwrap();
    let (_, section) = page.split_once("\n## Look now\n").unwrap();
    let recipe = section.split("```").nth(1).unwrap().trim_start_matches("sh\n");
    let script = format!("set -e\n{}", recipe.replace("-n billing", &format!("-n {}", scene.namespace)));
    let plane = control_plane();
    let path = format!("{}:{}", plane.bin.display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).env("PATH", path).env("KUBECONFIG", &plane.kubeconfig);
    let mark = scene.mark();
    let said = tokio::task::spawn_blocking(move || shell.output().unwrap()).await.unwrap();
    scene.keep(scene.get("billing").await);
    assert!(stdout(&said).contains("condition met"), "{said:?}");
    assert!(!scene.calls(mark).is_empty(), "the bus was not looked at");
}
