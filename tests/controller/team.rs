//! What a team does with its objects, and what it sees of them.

use kube::ResourceExt;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

use super::scene::{ACCOUNT, REGION, Scene, account, condition, is};
use crate::support::{PATIENCE, eventually};

impl Scene {
    /// Applies an object as a team does.
    pub(super) async fn apply(&self, name: &str, spec: &Value) -> DynamicObject {
        let object = json!({
            "apiVersion": "busgrant.dev/v1alpha1", "kind": "EventBusPermission", "metadata": {"name": name}, "spec": spec,
        });
        let apply = PatchParams::apply("team").force();
        self.keep(self.api.patch(name, &apply, &Patch::Apply(object)).await.unwrap())
    }

    /// Changes some of an object.
    pub(super) async fn merge(&self, name: &str, change: Value) -> DynamicObject {
        let change = Patch::Merge(change);
        self.keep(self.api.patch(name, &PatchParams::default(), &change).await.unwrap())
    }

    pub(super) async fn annotate(&self, name: &str, annotation: &str, value: Value) {
        self.merge(name, json!({"metadata": {"annotations": {annotation: value}}})).await;
    }

    /// Remembers what an object was given.
    pub(super) fn keep(&self, object: DynamicObject) -> DynamicObject {
        self.asked.update(|asked| asked + 1);
        let key = (object.uid().unwrap(), object.metadata.generation.unwrap());
        self.given.borrow_mut().insert(key, object.data["spec"].clone());
        object
    }

    /// Asks for the deletion of an object, and doesn't wait.
    pub(super) async fn delete(&self, name: &str) {
        self.asked.update(|asked| asked + 1);
        self.api.delete(name, &DeleteParams::default()).await.unwrap();
    }

    pub(super) async fn get(&self, name: &str) -> DynamicObject {
        self.api.get(name).await.unwrap()
    }

    /// Waits until an object is gone.
    pub(super) async fn gone(&self, name: &str) {
        eventually(&format!("{name} goes"), PATIENCE, async || match self.api.get_opt(name).await.unwrap() {
            None => Ok(()),
            Some(object) => Err(told(&object)),
        })
        .await;
    }

    /// Waits until the status of an object, as it is now, passes.
    pub(super) async fn until(&self, name: &str, what: &str, passes: impl Fn(&DynamicObject) -> bool) -> DynamicObject {
        eventually(&format!("{name}: {what}"), PATIENCE, async || {
            let object = self.get(name).await;
            let current = object.data["status"]["observedGeneration"].as_i64() == object.metadata.generation;
            if current && passes(&object) { Ok(object) } else { Err(told(&object)) }
        })
        .await
    }

    /// Waits until an object is ready.
    pub(super) async fn ready(&self, name: &str) -> DynamicObject {
        self.until(name, "ready", |object| is(object, "Ready", "True")).await
    }

    /// Waits until Ready gives this reason.
    pub(super) async fn says(&self, name: &str, reason: &str) -> DynamicObject {
        self.until(name, reason, |object| condition(object, "Ready").is_some_and(|ready| ready["reason"] == reason))
            .await
    }

    /// Applies an object and waits until it is ready.
    pub(super) async fn granted(&self, name: &str, spec: &Value) -> DynamicObject {
        self.apply(name, spec).await;
        self.ready(name).await
    }

    /// Serves an object on a bus of its own: what the operator was asked before is done by then.
    pub(super) async fn fence(&self) {
        self.sim.create_bus(ACCOUNT, REGION, "fence");
        let spec = json!({"eventBus": {"name": "fence"}, "statements": [account("a", "111122223333")]});
        let name = format!("fence-{}", self.sim.mark());
        self.granted(&name, &spec).await;
    }

    /// How often the status of an object was written.
    pub(super) fn status_writes(&self, name: &str) -> usize {
        let passed = self.front.passed();
        passed.iter().filter(|passed| passed.wrote_status() && passed.is_status_of(name)).count()
    }

    /// The reasons of the events about an object.
    pub(super) async fn events(&self, name: &str) -> Vec<String> {
        let events: Api<k8s_openapi::api::events::v1::Event> = Api::namespaced(self.client.clone(), &self.namespace);
        let events = events.list(&kube::api::ListParams::default()).await.unwrap();
        let about = |event: &k8s_openapi::api::events::v1::Event| {
            event.regarding.as_ref().is_some_and(|object| object.name.as_deref() == Some(name))
        };
        events.into_iter().filter(about).filter_map(|event| event.reason).collect()
    }

    /// Waits for an event about an object.
    pub(super) async fn event(&self, name: &str, reason: &str) {
        eventually(&format!("{name}: event {reason}"), PATIENCE, async || {
            let events = self.events(name).await;
            events.iter().any(|event| event == reason).then_some(()).ok_or(format!("{events:?}"))
        })
        .await;
    }
}

fn told(object: &DynamicObject) -> String {
    json!({"generation": object.metadata.generation, "status": object.data["status"]}).to_string()
}
