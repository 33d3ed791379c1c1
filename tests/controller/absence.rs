//! Nothing is removed because something was not seen: a cache that is not filled, rights that are lost, a scope that is
//! narrower than before, a cluster that came back from a backup, an object that can't be read any more.

use axum::http::{Method, StatusCode};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::front::{Passed, UNREADABLE};
use super::link::Gate;
use super::oracle::{self, Statements};
use super::scene::{ACCOUNT, BUS, REGION, Scene, account, bus_arn, is, spec};
use crate::support::{PATIENCE, eventually, unique_namespace};

fn grant(name: &str) -> Value {
    spec(&json!([
        account(name, "111122223333"),
        {"name": "long", "principals": {"accountIDs": ["111122223333"]}, "sources": [name]},
    ]))
}

/// Another namespace with objects on the same bus.
struct Neighbour {
    namespace: String,
    api: Api<DynamicObject>,
}

impl Neighbour {
    async fn of(scene: &Scene) -> Self {
        let namespace = unique_namespace(&scene.client, "neighbour").await;
        let kind = kube::api::ApiResource::from_gvk(&kube::core::gvk::GroupVersionKind::gvk(
            "busgrant.dev",
            "v1alpha1",
            "EventBusPermission",
        ));
        Self { api: Api::namespaced_with(scene.client.clone(), &namespace, &kind), namespace }
    }

    async fn granted(&self, scene: &Scene, name: &str, spec: &Value) {
        let object = json!({"apiVersion": "busgrant.dev/v1alpha1", "kind": "EventBusPermission", "metadata": {"name": name}, "spec": spec});
        let apply = PatchParams::apply("team").force();
        scene.keep(self.api.patch(name, &apply, &Patch::Apply(object)).await.unwrap());
        eventually(&format!("{name} of the neighbour is ready"), PATIENCE, async || {
            let object = self.api.get(name).await.unwrap();
            let current = object.data["status"]["observedGeneration"].as_i64() == object.metadata.generation;
            if current && is(&object, "Ready", "True") { Ok(()) } else { Err(object.data["status"].to_string()) }
        })
        .await;
    }

    async fn gone(&self, name: &str) {
        let gone = async || self.api.get_opt(name).await.unwrap().map_or(Ok(()), |object| Err(object.data.to_string()));
        eventually(&format!("{name} of the neighbour goes"), PATIENCE, gone).await;
    }

    fn held(&self, scene: &Scene, name: &str) -> Statements {
        oracle::of_policy(scene.policy().as_ref(), &bus_arn(BUS), &oracle::prefix(&scene.owner, &self.namespace, name))
    }

    fn wanted(&self, scene: &Scene, name: &str, spec: &Value) -> Statements {
        oracle::wanted(spec, &bus_arn(BUS), &oracle::prefix(&scene.owner, &self.namespace, name))
    }
}

/// Starts the operator for these namespaces.
fn starts_for(scene: &mut Scene, namespaces: &[&str]) {
    let namespaces: &'static str = namespaces.join(",").leak();
    scene.start(&["--watch-namespaces", namespaces]);
}

/// Waits until so many statements are counted that have no object.
async fn orphans_are(scene: &Scene, number: u64) {
    let counted = async || {
        let metrics = scene.metrics().unwrap();
        let of_buses = metrics.lines().filter(|line| line.starts_with("busgrant_orphaned_statements{"));
        let orphans: u64 = of_buses.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum();
        if orphans == number { Ok(()) } else { Err(format!("{orphans} orphans")) }
    };
    eventually(&format!("{number} orphans are counted"), PATIENCE, counted).await;
}

/// Puts an object back as it was in a backup, with finalizer and status.
async fn is_restored(scene: &Scene, backup: &DynamicObject) {
    let mut object = backup.clone();
    (object.metadata.managed_fields, object.metadata.resource_version, object.metadata.uid) = (None, None, None);
    let name = backup.name_any();
    scene.restored.borrow_mut().push(Passed {
        mark: scene.mark(),
        at_millis: scene.sim.now_millis(),
        method: Method::PATCH,
        path: format!("/namespaces/{}/eventbuspermissions/{name}", scene.namespace),
        sent: json!({"metadata": object.metadata}),
        status: Some(200),
        answer: json!(object),
    });
    scene.tampered.set(true);
    let created = scene.keep(scene.api.create(&PostParams::default(), &object).await.unwrap());
    object.metadata = created.metadata;
    scene.api.replace_status(&name, &PostParams::default(), &object).await.unwrap();
}

#[tokio::test]
async fn a_cache_that_is_not_filled_removes_nothing() {
    let mut scene = Scene::new("unfilled").await;
    let neighbour = Neighbour::of(&scene).await;
    let (own, other) = (scene.namespace.clone(), neighbour.namespace.clone());
    starts_for(&mut scene, &[&own, &other]);
    scene.granted("a", &grant("one")).await;
    scene.granted("b", &grant("one")).await;
    neighbour.granted(&scene, "stays", &grant("one")).await;
    neighbour.granted(&scene, "goes", &grant("one")).await;
    scene.stop().await;
    let before = scene.policy();

    let gate = Gate::before(&scene.front.url).await;
    scene.go_through(&gate);
    gate.shut("/eventbuspermissions");
    let mark = scene.mark();
    starts_for(&mut scene, &[&own, &other]);
    eventually("both lists hang", PATIENCE, async || if gate.stopped() >= 2 { Ok(()) } else { Err(gate.stopped()) })
        .await;
    // Now the one list is answered and the other still hangs: the bus is worked on with half of its objects unseen.
    gate.shut(&format!("/namespaces/{other}/eventbuspermissions"));
    neighbour.api.delete("goes", &DeleteParams::default()).await.unwrap();
    scene.delete("b").await;
    scene.gone("b").await;
    scene.granted("a", &grant("two")).await;
    scene.looked_over(3).await;
    for name in ["stays", "goes"] {
        assert_eq!(neighbour.held(&scene, name), neighbour.wanted(&scene, name, &grant("one")), "{before:?}");
    }
    let touched = |name: &str| oracle::prefix(&scene.owner, &other, name);
    let named = scene.writes(mark).iter().any(|call| call.input["StatementId"].to_string().contains(&touched("stays")));
    assert!(!named);

    gate.open();
    neighbour.gone("goes").await;
    assert!(neighbour.held(&scene, "goes").is_empty());
    neighbour.granted(&scene, "stays", &grant("two")).await;
    orphans_are(&scene, 0).await;
}

#[tokio::test]
async fn rights_that_are_lost_remove_nothing() {
    let mut scene = Scene::new("rights").await;
    let gate = Gate::before(&scene.front.url).await;
    scene.go_through(&gate);
    scene.start(&[]);
    for name in ["stays", "edited", "goes"] {
        scene.granted(name, &grant("one")).await;
    }
    let before = scene.policy();
    let mark = scene.mark();
    gate.refuse("/eventbuspermissions", StatusCode::FORBIDDEN);
    gate.cut();
    eventually("the watch is refused", PATIENCE, async || if gate.stopped() > 0 { Ok(()) } else { Err("not yet") })
        .await;
    scene.delete("goes").await;
    scene.apply("edited", &grant("two")).await;
    scene.looked_over(4).await;
    assert_eq!(scene.policy(), before);
    assert!(scene.writes(mark).is_empty(), "{:?}", scene.writes(mark));
    assert!(scene.get("goes").await.finalizers().contains(&"busgrant.dev/statements".to_owned()));

    gate.open();
    scene.gone("goes").await;
    scene.ready("edited").await;
    assert!(scene.held("goes").is_empty());
    assert_eq!(scene.held("edited"), scene.wanted("edited", &grant("two")));
    assert_eq!(scene.held("stays"), scene.wanted("stays", &grant("one")));
}

#[tokio::test]
async fn a_narrower_scope_removes_nothing() {
    let mut scene = Scene::new("scope").await;
    let neighbour = Neighbour::of(&scene).await;
    let (own, other) = (scene.namespace.clone(), neighbour.namespace.clone());
    starts_for(&mut scene, &[&own, &other]);
    scene.granted("a", &grant("one")).await;
    neighbour.granted(&scene, "stays", &grant("one")).await;
    neighbour.granted(&scene, "goes", &grant("one")).await;
    orphans_are(&scene, 0).await;
    scene.stop().await;

    starts_for(&mut scene, &[&own]);
    neighbour.api.delete("goes", &DeleteParams::default()).await.unwrap();
    scene.granted("a", &grant("two")).await;
    scene.looked_over(3).await;
    for name in ["stays", "goes"] {
        assert_eq!(neighbour.held(&scene, name), neighbour.wanted(&scene, name, &grant("one")));
    }
    orphans_are(&scene, 4).await;
    scene.stop().await;

    starts_for(&mut scene, &[&own, &other]);
    neighbour.gone("goes").await;
    assert!(neighbour.held(&scene, "goes").is_empty());
    orphans_are(&scene, 0).await;
}

#[tokio::test]
async fn a_cluster_from_a_backup_removes_nothing_of_what_it_lacks() {
    let mut scene = Scene::running("backup").await;
    scene.granted("edited", &grant("one")).await;
    scene.granted("deleted", &grant("one")).await;
    let backup = [scene.get("edited").await, scene.get("deleted").await];
    // After the backup was made.
    scene.granted("edited", &grant("two")).await;
    scene.granted("new", &grant("one")).await;
    scene.delete("deleted").await;
    scene.gone("deleted").await;
    scene.stop().await;

    for name in ["edited", "new"] {
        let forget = Patch::Merge(json!({"metadata": {"finalizers": null}}));
        scene.api.patch(name, &PatchParams::default(), &forget).await.unwrap();
        scene.delete(name).await;
        scene.gone(name).await;
    }
    for object in &backup {
        is_restored(&scene, object).await;
    }
    let mark = scene.mark();
    scene.start(&[]);
    // What the cluster says now is put, and what it can't speak of stays.
    for name in ["edited", "deleted"] {
        eventually(&format!("{name} stands as in the backup"), PATIENCE, async || {
            let held = scene.held(name);
            if held == scene.wanted(name, &grant("one")) { Ok(()) } else { Err(format!("{held:?}")) }
        })
        .await;
        scene.ready(name).await;
    }
    scene.looked_over(2).await;
    assert_eq!(scene.held("new"), scene.wanted("new", &grant("one")));
    orphans_are(&scene, 2).await;
    let prefix = oracle::prefix(&scene.owner, &scene.namespace, "new");
    assert!(!scene.writes(mark).iter().any(|call| call.input["StatementId"].to_string().contains(&prefix)));

    let mark = scene.mark();
    scene.granted("new", &grant("one")).await;
    assert!(scene.writes(mark).is_empty(), "it owns them again: {:?}", scene.writes(mark));
    orphans_are(&scene, 0).await;
    scene.delete("new").await;
    scene.gone("new").await;
    assert!(scene.held("new").is_empty());
}

#[tokio::test]
async fn what_can_not_be_read_any_more_keeps_what_it_had() {
    let mut scene = Scene::running("unread").await;
    let mut retained = grant("one");
    retained["deletionPolicy"] = json!("Retain");
    scene.granted("a", &grant("one")).await;
    scene.granted("retained", &retained).await;
    scene.granted("sibling", &grant("one")).await;
    let mark = scene.mark();
    for name in ["a", "retained"] {
        let mut edited = grant("two");
        edited["deletionPolicy"] = if name == "a" { json!("Delete") } else { json!("Retain") };
        scene.merge(name, json!({"metadata": {"annotations": {UNREADABLE: "yes"}}, "spec": edited})).await;
        scene.says(name, "Unreadable").await;
    }
    for _ in 0..2 {
        scene.granted("sibling", &grant("two")).await;
        scene.looked_over(2).await;
        scene.sim.foreign_write(
            ACCOUNT,
            REGION,
            BUS,
            &busgrant_sim::ForeignWrite::Remove { sid: scene.sid("sibling", "long") },
        );
        scene.looked_over(2).await;
        scene.stop().await;
        scene.start(&[]);
        scene.granted("sibling", &grant("one")).await;
    }
    for name in ["a", "retained"] {
        assert_eq!(scene.held(name), scene.wanted(name, &grant("one")));
        let prefix = oracle::prefix(&scene.owner, &scene.namespace, name);
        let named = scene.writes(mark).iter().any(|call| call.input["StatementId"].to_string().contains(&prefix));
        assert!(!named, "{name} was written for");
    }

    // What is to become of its statements can be read, whatever else can't.
    for name in ["a", "retained"] {
        scene.delete(name).await;
        scene.gone(name).await;
    }
    assert!(scene.held("a").is_empty());
    assert_eq!(scene.held("retained"), scene.wanted("retained", &grant("one")));
}
