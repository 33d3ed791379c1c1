//! One row's stage: a control plane, a simulated `EventBridge`, a watch, and what a team does.

use std::time::{Duration, Instant};

use busgrant::api::crd_yaml;
use busgrant_sim::{Config, JournalEntry, JournalFilter, Operation, Sim};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::gvk::GroupVersionKind;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::operator::Operator;
use super::plane::ControlPlane;
use super::watch::Watch;

/// Whose the buses are.
pub(crate) const ACCOUNT: &str = "123456789012";
pub(crate) const REGION: &str = "eu-west-1";
const NAMESPACE: &str = "default";

/// The stage.
pub(crate) struct Stage {
    pub(crate) sim: Sim,
    pub(crate) watch: Watch,
    pub(crate) api: Api<DynamicObject>,
    plane: ControlPlane,
}

/// One permission: its name, its bus and its statement.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    pub(crate) name: String,
    pub(crate) bus: String,
    pub(crate) statement: Value,
}

/// A change that was sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    pub(crate) at: Instant,
    pub(crate) generation: i64,
}

impl Stage {
    /// A stage with our definition and no objects.
    pub(crate) async fn new() -> anyhow::Result<Self> {
        let plane = ControlPlane::start()?;
        let client = plane.client().await?;
        let crd: CustomResourceDefinition = serde_saphyr::from_str(&crd_yaml()?)?;
        Api::<CustomResourceDefinition>::all(client.clone()).create(&PostParams::default(), &crd).await?;
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("busgrant.dev", "v1alpha1", "EventBusPermission"));
        let api = Api::namespaced_with(client, NAMESPACE, &kind);
        while api.list(&ListParams::default().limit(1)).await.is_err() {
            sleep(Duration::from_millis(50)).await;
        }
        let sim = Sim::start(Config::default()).await?;
        Ok(Self { sim, watch: Watch::start(api.clone()), api, plane })
    }

    /// Starts the operator with its defaults, but for this rate of calls.
    pub(crate) async fn operator(&self, rate: Option<u32>) -> anyhow::Result<Operator> {
        Operator::start(&self.plane.kubeconfig, self.sim.endpoint(), rate).await
    }

    pub(crate) fn create_bus(&self, name: &str) {
        self.sim.create_bus(ACCOUNT, REGION, name);
    }

    /// Applies a permission as `kubectl apply` does, with what that and common tools leave in the metadata.
    pub(crate) async fn apply(&self, grant: &Grant) -> anyhow::Result<Sent> {
        let spec = json!({"eventBus": {"name": grant.bus}, "statements": [grant.statement]});
        let object = json!({
            "apiVersion": "busgrant.dev/v1alpha1",
            "kind": "EventBusPermission",
            "metadata": {
                "name": grant.name,
                "labels": {"app.kubernetes.io/part-of": "billing", "app.kubernetes.io/managed-by": "kustomize"},
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": spec.to_string()},
            },
            "spec": spec,
        });
        let apply = PatchParams::apply("kubectl").force();
        let at = Instant::now();
        let answer = self.api.patch(&grant.name, &apply, &Patch::Apply(object)).await?;
        Ok(Sent { at, generation: answer.metadata.generation.unwrap_or_default() })
    }

    /// Applies a permission, and gives the time until it was seen Ready, with the status that said so.
    pub(crate) async fn time(&self, grant: &Grant) -> anyhow::Result<(Duration, Value)> {
        let sent = self.apply(grant).await?;
        let ready = self.watch.ready(&grant.name, sent.generation).await?;
        Ok((ready.at.duration_since(sent.at), ready.status))
    }

    /// Applies many permissions, as fast as the API server takes them.
    pub(crate) async fn apply_all(&self, grants: &[Grant]) -> anyhow::Result<()> {
        stream::iter(grants).map(|grant| self.apply(grant)).buffer_unordered(32).try_for_each(async |_| Ok(())).await
    }

    /// The calls to `EventBridge` since then.
    pub(crate) fn calls(&self, since: u64) -> Vec<JournalEntry> {
        let mut calls = self.sim.journal_of(&JournalFilter::since(since));
        calls.retain(|call| call.operation != Operation::GetCallerIdentity);
        calls
    }

    /// The calls since then that a change made: lists are for all buses together.
    pub(crate) fn calls_of_changes(&self, since: u64) -> usize {
        self.calls(since).iter().filter(|call| call.operation != Operation::ListEventBuses).count()
    }

    pub(crate) fn stop(self) -> anyhow::Result<()> {
        drop(self.watch);
        self.plane.stop()
    }
}

/// A statement for one account, which the short form can say.
pub(crate) fn account(number: usize) -> Value {
    json!({"name": "publishers", "principals": {"accountIDs": [format!("1{number:011}")]}})
}

/// A statement that only a whole document can say.
pub(crate) fn by_document(number: usize) -> Value {
    let principals = json!({"accountIDs": [format!("1{number:011}")]});
    json!({"name": "publishers", "principals": principals, "sources": ["com.acme.billing"]})
}

/// Whether a call writes a policy.
pub(crate) fn writes_policy(call: &JournalEntry) -> bool {
    matches!(call.operation, Operation::PutPermission | Operation::RemovePermission)
}

/// How many of these were written by the whole list: pages that begin one.
pub(crate) fn begins_list(call: &JournalEntry) -> bool {
    call.operation == Operation::ListEventBuses && call.input.get("NextToken").is_none_or(Value::is_null)
}
