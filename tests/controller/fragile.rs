//! The controller failing at an object: here the service that it calls panics where that object's statement is put.

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::Mutex;
use std::time::Duration;

use busgrant::api::{Consent, crd_yaml};
use busgrant::controller::health::Health;
use busgrant::controller::leadership::Leadership;
use busgrant::controller::metrics::Metrics;
use busgrant::controller::{self, settings::Settings};
use busgrant::port::{BusError, BusPage, BusState, EventBuses, Identity, Receipt, RetryClass};
use busgrant_policy::{BusArn, DocumentWrites, Region, ShortForm, Sid};
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::gvk::GroupVersionKind;
use serde_json::json;
use tokio::sync::oneshot;

use super::scene::{account, condition, is};
use crate::support::{PATIENCE, client, eventually, install_crds, unique_namespace};

const HOME: &str = "eu-west-1";
/// A put for this account panics.
const FATAL: &str = "666666666666";

/// One bus, whose statements are accounts by Sid.
#[derive(Default)]
struct Fragile(Mutex<BTreeMap<Sid, String>>);

impl EventBuses for Fragile {
    fn call_limit(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn home_region(&self) -> Option<Region> {
        HOME.parse().ok()
    }

    async fn identity(&self) -> Result<Identity, BusError> {
        Ok(Identity { account: "123456789012".parse().unwrap(), partition: "aws".to_owned() })
    }

    async fn describe(&self, bus: &BusArn) -> Result<BusState, BusError> {
        let statements = self.0.lock().unwrap();
        let statements = statements.iter().map(|(sid, account)| {
            json!({"Sid": sid.as_str(), "Effect": "Allow", "Principal": {"AWS": format!("arn:aws:iam::{account}:root")},
                   "Action": "events:PutEvents", "Resource": bus.to_string()})
        });
        let policy = json!({"Version": "2012-10-17", "Statement": statements.collect::<Vec<_>>()});
        Ok(BusState { arn: bus.to_string(), policy: Some(policy.to_string()) })
    }

    async fn list(&self, _: &Region, _: Option<&str>) -> Result<BusPage, BusError> {
        Ok(BusPage::default())
    }

    async fn put_statement(&self, _: &BusArn, sid: &Sid, form: &ShortForm) -> Result<Receipt, BusError> {
        let ShortForm::Account(account) = form else { return Ok(Receipt::default()) };
        assert_ne!(account.as_str(), FATAL);
        self.0.lock().unwrap().insert(sid.clone(), account.to_string());
        Ok(Receipt::default())
    }

    async fn put_document(&self, _: &BusArn, _: &str) -> Result<Receipt, BusError> {
        let message = "this bus takes no documents".to_owned();
        Err(BusError { class: RetryClass::Invalid, operation: "PutPermission", code: None, message, request_id: None })
    }

    async fn remove_statement(&self, _: &BusArn, sid: &Sid) -> Result<Receipt, BusError> {
        self.0.lock().unwrap().remove(sid);
        Ok(Receipt::default())
    }
}

#[tokio::test]
async fn an_object_at_which_the_controller_fails_fails_alone() {
    let kubernetes = client().await;
    install_crds(&kubernetes, &crd_yaml().unwrap()).await;
    let namespace = unique_namespace(&kubernetes, "fragile").await;
    let settings = Settings {
        owner: "fragile".parse().unwrap(),
        account: None,
        namespaces: vec![namespace.clone()],
        consent: Consent::default(),
        document_writes: DocumentWrites::Allow,
        policy_quota: 10_240,
        sweep_interval: Duration::from_mins(10),
        outcome_wait: Duration::from_secs(2),
        requests_per_second: 20,
        concurrency: 4,
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let metrics = Metrics::new(true);
    let health = Health::new(Leadership::alone());
    let ended = async { drop(stopped.await) };
    let running = tokio::spawn(controller::run(
        Fragile::default(),
        kubernetes.clone(),
        settings,
        metrics.clone(),
        health,
        ready(()),
        ended,
    ));

    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("busgrant.dev", "v1alpha1", "EventBusPermission"));
    let api: Api<DynamicObject> = Api::namespaced_with(kubernetes, &namespace, &kind);
    let apply = async |name: &str, who: &str| {
        let spec = json!({"eventBus": {"name": "orders"}, "statements": [account("a", who)]});
        let object = json!({
            "apiVersion": "busgrant.dev/v1alpha1", "kind": "EventBusPermission", "metadata": {"name": name}, "spec": spec,
        });
        api.patch(name, &PatchParams::apply("team").force(), &Patch::Apply(object)).await.unwrap();
    };
    let says = async |name: &str, what: &str, passes: &dyn Fn(&DynamicObject) -> bool| {
        eventually(&format!("{name}: {what}"), PATIENCE, async || {
            let object = api.get(name).await.unwrap();
            let current = object.data["status"]["observedGeneration"].as_i64() == object.metadata.generation;
            if current && passes(&object) { Ok(()) } else { Err(object.data["status"].to_string()) }
        })
        .await;
    };
    let ready = |object: &DynamicObject| is(object, "Ready", "True");
    let failed = |object: &DynamicObject| condition(object, "Ready").is_some_and(|c| c["reason"] == "InternalError");

    apply("before", "111122223333").await;
    says("before", "ready", &ready).await;
    apply("fatal", FATAL).await;
    says("fatal", "the controller failed", &failed).await;
    apply("after", "444455556666").await;
    says("after", "ready", &ready).await;
    says("before", "still ready", &ready).await;
    let told = metrics.text().unwrap().collect::<String>();
    let panics = "controller_runtime_reconcile_panics_total{controller=\"eventbuspermission\"} 1";
    assert!(told.contains(panics), "{told}");
    // A change of the object is tried at once.
    apply("fatal", "777788889999").await;
    says("fatal", "ready", &ready).await;

    stop.send(()).unwrap();
    running.await.unwrap();
}
