//! What a change costs, and that no change costs nothing.

use busgrant_sim::{Fault, FaultKind, JournalFilter, Operation};
use futures::future::join_all;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::scene::{ACCOUNT, REGION, Scene, account, spec};

fn by_document(name: &str, source: &str) -> Value {
    json!({"name": name, "principals": {"accountIDs": ["111122223333"]}, "sources": [source]})
}

fn deny(name: &str) -> Value {
    json!({"name": name, "raw": {"effect": "Deny", "principal": {"AWS": ["444455556666"]}, "actions": ["events:PutEvents"]}})
}

#[tokio::test]
async fn no_change_costs_nothing() {
    let scene = Scene::running("nochange").await;
    let grant = spec(&json!([account("a", "111122223333"), by_document("b", "com.acme")]));
    let before = scene.granted("a", &grant).await;
    let (mark, writes) = (scene.mark(), scene.status_writes("a"));

    let again = scene.apply("a", &grant).await;
    assert_eq!(again.resource_version(), before.resource_version());
    scene.merge("a", json!({"metadata": {"labels": {"team": "billing"}}})).await;
    scene.annotate("a", "example.com/seen", json!("yes")).await;
    scene.fence().await;

    assert!(scene.calls(mark).is_empty(), "{:?}", scene.calls(mark));
    assert_eq!(scene.status_writes("a"), writes);
}

#[tokio::test]
async fn a_restart_writes_nothing() {
    let mut scene = Scene::running("restart").await;
    let grant = spec(&json!([account("a", "111122223333"), by_document("b", "com.acme"), deny("c")]));
    scene.granted("a", &grant).await;
    scene.granted("b", &spec(&json!([account("a", "444455556666")]))).await;
    let watched = json!({"eventBus": {"name": "orders"}, "managementPolicy": "Observe", "statements": [account("a", "111122223333")]});
    scene.apply("watched", &watched).await;
    scene.says("watched", "DriftDetected").await;
    let versions = async || {
        let names = ["a", "b", "watched"];
        join_all(names.map(async |name| scene.get(name).await.resource_version())).await
    };
    let before = versions().await;
    scene.stop().await;
    let mark = scene.mark();
    scene.start(&[]);
    scene.fence().await;
    scene.sim.wait_until(|_| !scene.calls(mark).is_empty()).await;
    scene.fence().await;

    assert!(scene.writes(mark).is_empty(), "{:?}", scene.writes(mark));
    let versions = async || {
        let names = ["a", "b", "watched"];
        join_all(names.map(async |name| scene.get(name).await.resource_version())).await
    };
    assert_eq!(versions().await, before);
}

/// Does a change, waits until it is served, and checks that it took so many writes and two calls more at most.
async fn costs(scene: &Scene, what: &str, writes: usize, change: impl AsyncFnOnce()) {
    let mark = scene.mark();
    change().await;
    scene.fence().await;
    let made: Vec<_> = scene.calls(mark).iter().map(|call| (call.operation, call.input.clone())).collect();
    assert_eq!(scene.writes(mark).len(), writes, "{what}: {made:#?}");
    assert!(made.len() <= writes + 2, "{what}: {} calls for {writes} writes: {made:#?}", made.len());
}

#[tokio::test]
async fn a_change_of_n_steps_costs_n_and_two() {
    let mut scene = Scene::new("cost").await;
    scene.start(&["--sweep-interval", "10m"]);
    let scene = &scene;
    let put = async |name: &'static str, statements: Value| {
        scene.granted(name, &spec(&statements)).await;
    };
    let delete = async |name: &'static str| {
        scene.delete(name).await;
        scene.gone(name).await;
    };
    let (one, other) = ("111122223333", "444455556666");
    costs(scene, "create", 1, || put("short", json!([account("a", one)]))).await;
    costs(scene, "another account", 2, || put("short", json!([account("a", other)]))).await;
    costs(scene, "a new name", 2, || put("short", json!([account("b", other)]))).await;
    costs(scene, "one more", 1, || put("short", json!([account("b", other), account("c", one)]))).await;
    costs(scene, "one less", 1, || put("short", json!([account("b", other)]))).await;
    costs(scene, "create by document", 1, || put("long", json!([by_document("a", "com.acme")]))).await;
    costs(scene, "another source", 1, || put("long", json!([by_document("a", "com.acme.more")]))).await;
    costs(scene, "a new name by document", 1, || put("long", json!([by_document("b", "com.acme.more")]))).await;
    costs(scene, "a Deny and an Allow", 1, || put("deny", json!([deny("no"), account("yes", one)]))).await;
    costs(scene, "without its Deny", 1, || put("deny", json!([account("yes", one)]))).await;
    costs(scene, "delete by document", 1, || delete("long")).await;
    costs(scene, "delete", 1, || delete("short")).await;
    costs(scene, "delete the last", 1, || delete("deny")).await;
    assert_eq!(scene.policy(), None);
}

#[tokio::test]
async fn twenty_changes_at_once_are_few_flights() {
    let mut scene = Scene::new("twenty").await;
    scene.start(&["--sweep-interval", "10m"]);
    let names: Vec<String> = (0..20).map(|number| format!("p{number}")).collect();
    let mark = scene.mark();
    let first = spec(&json!([account("a", "111122223333")]));
    join_all(names.iter().map(|name| scene.granted(name, &first))).await;
    let reads = |mark| scene.calls(mark).len() - scene.writes(mark).len();
    assert_eq!(scene.writes(mark).len(), 20);
    assert!(reads(mark) <= 20, "{} reads for 20 new objects", reads(mark));

    // While a flight is held up, all the others gather for the next.
    let mark = scene.mark();
    let held = scene.sim.inject(
        Fault::new(FaultKind::HoldBeforeApply { millis: None }).on(Operation::PutPermission).bus("orders").times(1),
    );
    let second = spec(&json!([account("b", "111122223333")]));
    join_all(names.iter().map(|name| scene.apply(name, &second))).await;
    scene.sim.wait_held(1).await;
    scene.fence().await;
    scene.sim.release(held);
    join_all(names.iter().map(|name| scene.ready(name))).await;
    assert_eq!(scene.writes(mark).len(), 40);
    assert!(reads(mark) <= 6, "{} reads for 20 edits", reads(mark));
}

#[tokio::test]
async fn an_idle_operator_lists_the_buses_and_nothing_else() {
    let scene = Scene::running("idle").await;
    for number in 0..8 {
        let bus = format!("bus{}", number % 4);
        scene.sim.create_bus(ACCOUNT, REGION, &bus);
        let grant = json!({"eventBus": {"name": bus}, "statements": [account("a", "111122223333"), by_document("b", "com.acme")]});
        scene.granted(&format!("a{number}"), &grant).await;
    }
    let lists = |since| {
        let calls = scene.sim.journal_of(&JournalFilter::since(since));
        calls.iter().filter(|call| call.operation == Operation::ListEventBuses).count()
    };
    // The first look after a change may still look closer.
    let mark = scene.mark();
    scene.sim.wait_until(|_| lists(mark) >= 2).await;
    let (mark, passed) = (scene.mark(), scene.front.passed().len());
    scene.sim.wait_until(|_| lists(mark) >= 4).await;
    let calls = scene.sim.journal_of(&JournalFilter::since(mark));
    assert_eq!(calls.len(), lists(mark), "{calls:?}");
    assert_eq!(scene.front.passed().len(), passed, "it wrote to Kubernetes");
}
