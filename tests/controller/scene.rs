//! One test's stage: a namespace, a bus, an operator, and what a team does with kubectl.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use busgrant::api::crd_yaml;
use busgrant_sim::{Config, JournalEntry, JournalFilter, Operation, Sim};
use kube::api::{Api, ApiResource, DynamicObject};
use kube::core::gvk::GroupVersionKind;
use serde_json::{Value, json};

use super::front::{Front, Passed};
use super::link::{Gate, Line};
use super::operator::{CANARIES, Environment, OUTCOME_WAIT_MILLIS, Operator, Start};
use super::{oracle, promises};
use crate::support;

/// Whose the bus is.
pub(super) const ACCOUNT: &str = "123456789012";
pub(super) const REGION: &str = "eu-west-1";
/// The bus of most scenes.
pub(super) const BUS: &str = "orders";

/// The stage.
pub(super) struct Scene {
    pub(super) sim: Sim,
    pub(super) namespace: String,
    pub(super) owner: String,
    pub(super) client: kube::Client,
    pub(super) api: Api<DynamicObject>,
    pub(super) front: Front,
    /// Every spec that was ever given to an object, by UID and generation.
    pub(super) given: RefCell<HashMap<(String, i64), Value>>,
    /// Whether somebody else wrote a status.
    pub(super) tampered: Cell<bool>,
    /// Whether the service itself loses what was written beside a write of ours, as no client can prevent.
    pub(super) overwritten: Cell<bool>,
    /// When an operator began or ended.
    pub(super) turns: RefCell<Vec<u64>>,
    /// Objects that came with our finalizer, as if the operator had held them.
    pub(super) restored: RefCell<Vec<Passed>>,
    /// How often anything was asked of the operator.
    pub(super) asked: Cell<usize>,
    /// How long its operators wait for calls without an answer, in milliseconds.
    pub(super) outcome_wait_millis: Cell<i64>,
    pub(super) logs: Vec<PathBuf>,
    environment: Environment,
    directory: PathBuf,
    operator: Option<Operator>,
    /// What the last operator's metrics were at its end.
    last_metrics: Option<String>,
}

impl Scene {
    /// A bus named orders, and no operator yet.
    pub(super) async fn new(purpose: &str) -> Self {
        Self::with(purpose, Config::default()).await
    }

    /// The same, with an operator.
    pub(super) async fn running(purpose: &str) -> Self {
        let mut scene = Self::new(purpose).await;
        scene.start(&[]);
        scene
    }

    pub(super) async fn with(purpose: &str, config: Config) -> Self {
        let client = support::client().await;
        support::install_crds(&client, &crd_yaml().unwrap()).await;
        Self::on(client, purpose, config).await
    }

    /// The same on any control plane that has our definition.
    pub(super) async fn on(client: kube::Client, purpose: &str, config: Config) -> Self {
        let sim = Sim::start(config).await.unwrap();
        sim.create_bus(ACCOUNT, REGION, BUS);
        let namespace = support::unique_namespace(&client, purpose).await;
        let owner = format!("t{}", namespace.rsplit('-').next().unwrap());
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{namespace}-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let front = Front::start(client.clone(), sim.state().clone()).await;
        let kubeconfig = directory.join("kubeconfig");
        fs::write(&kubeconfig, kubeconfig_of(&front.url)).unwrap();
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("busgrant.dev", "v1alpha1", "EventBusPermission"));
        Self {
            environment: Environment {
                kubeconfig,
                endpoint: sim.endpoint().to_owned(),
                namespace: namespace.clone(),
                owner: owner.clone(),
            },
            api: Api::namespaced_with(client.clone(), &namespace, &kind),
            sim,
            namespace,
            owner,
            client,
            front,
            given: RefCell::default(),
            tampered: Cell::default(),
            overwritten: Cell::default(),
            turns: RefCell::default(),
            restored: RefCell::default(),
            asked: Cell::default(),
            outcome_wait_millis: Cell::new(OUTCOME_WAIT_MILLIS),
            logs: Vec::new(),
            directory,
            operator: None,
            last_metrics: None,
        }
    }

    /// From the next start on the operator calls the service over this line.
    pub(super) fn call_over(&mut self, line: &Line) {
        self.environment.endpoint.clone_from(&line.url);
    }

    /// From the next start on the operator reaches Kubernetes through this gate.
    pub(super) fn go_through(&mut self, gate: &Gate) {
        fs::write(&self.environment.kubeconfig, kubeconfig_of(&gate.url)).unwrap();
    }

    /// From the next start on the operator reaches Kubernetes without a gate.
    pub(super) fn go_directly(&mut self) {
        fs::write(&self.environment.kubeconfig, kubeconfig_of(&self.front.url)).unwrap();
    }

    /// Starts the operator, with these flags beside those of every scene.
    pub(super) fn start(&mut self, flags: &[&'static str]) {
        self.start_as(&Start { flags: flags.to_vec(), ..Start::default() });
    }

    pub(super) fn start_as(&mut self, start: &Start) {
        self.operator = Some(self.start_beside(start));
    }

    /// Starts an operator that the scene does not look after.
    pub(super) fn start_beside(&mut self, start: &Start) -> Operator {
        self.turn();
        let operator = Operator::start(&self.environment, start, &self.directory, self.logs.len());
        self.logs.push(operator.log.clone());
        operator
    }

    /// Ends the operator as Kubernetes does.
    pub(super) async fn stop(&mut self) {
        self.turn();
        self.last_metrics = self.metrics();
        self.operator.take().unwrap().stop().await;
        self.turn();
    }

    /// Ends the operator wherever it is.
    pub(super) fn kill(&mut self) {
        self.turn();
        self.operator = None;
    }

    /// The running operator.
    pub(super) fn operator(&self) -> &Operator {
        self.operator.as_ref().unwrap()
    }

    pub(super) fn turn(&self) {
        self.turns.borrow_mut().push(self.sim.mark());
    }

    /// Waits until all buses have been looked over so many times by calls that are yet to come.
    pub(super) async fn looked_over(&self, times: usize) {
        let mark = self.mark();
        let lists = || self.sim.journal_of(&JournalFilter::since(mark)).iter().filter(|call| is_list(call)).count();
        self.sim.wait_until(|_| lists() >= times).await;
    }

    /// The operator's metrics.
    pub(super) fn metrics(&self) -> Option<String> {
        self.operator.as_ref().map_or_else(|| self.last_metrics.clone(), Operator::metrics)
    }

    /// Waits until the operator has ended by itself, and tells whether it was content.
    pub(super) async fn ended(&mut self) -> bool {
        self.operator.take().unwrap().ended().await
    }

    pub(super) fn policy(&self) -> Option<Value> {
        self.sim.policy(ACCOUNT, REGION, BUS)
    }

    /// Every statement on the bus.
    pub(super) fn live(&self) -> Vec<Value> {
        let policy = self.policy().unwrap_or_default();
        policy["Statement"].as_array().cloned().unwrap_or_default()
    }

    pub(super) fn sid(&self, object: &str, statement: &str) -> String {
        oracle::prefix(&self.owner, &self.namespace, object) + statement
    }

    /// The statement of an object, as it is on the bus.
    pub(super) fn statement(&self, object: &str, statement: &str) -> Option<Value> {
        self.sim.statement(ACCOUNT, REGION, BUS, &self.sid(object, statement))
    }

    /// The object's statements on the bus.
    pub(super) fn held(&self, name: &str) -> oracle::Statements {
        self.held_on(BUS, name)
    }

    /// The object's statements on a bus.
    pub(super) fn held_on(&self, bus: &str, name: &str) -> oracle::Statements {
        let prefix = oracle::prefix(&self.owner, &self.namespace, name);
        oracle::of_policy(self.sim.policy(ACCOUNT, REGION, bus).as_ref(), &bus_arn(bus), &prefix)
    }

    /// What the bus must hold for a spec of that object.
    pub(super) fn wanted(&self, name: &str, spec: &Value) -> oracle::Statements {
        self.wanted_on(BUS, name, spec)
    }

    /// What a bus must hold for a spec of that object.
    pub(super) fn wanted_on(&self, bus: &str, name: &str, spec: &Value) -> oracle::Statements {
        oracle::wanted(spec, &bus_arn(bus), &oracle::prefix(&self.owner, &self.namespace, name))
    }

    pub(super) fn mark(&self) -> u64 {
        self.sim.mark()
    }

    /// The calls about the bus since then: the sweep's lists are about all of them, and not counted.
    pub(super) fn calls(&self, since: u64) -> Vec<JournalEntry> {
        self.sim.journal_of(&JournalFilter { bus: Some(BUS.to_owned()), ..JournalFilter::since(since) })
    }

    pub(super) fn writes(&self, since: u64) -> Vec<JournalEntry> {
        let mut calls = self.calls(since);
        calls.retain(writes_policy);
        calls
    }
}

fn kubeconfig_of(server: &str) -> String {
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": server}}],
        "users": [{"name": "nobody", "user": {"token": CANARIES[2]}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "nobody"}}],
    });
    kubeconfig.to_string()
}

impl Drop for Scene {
    fn drop(&mut self) {
        let running = self.operator.as_mut().is_none_or(Operator::is_running);
        self.last_metrics = self.metrics();
        // Before the simulator, whose port another may have next.
        self.operator = None;
        if std::thread::panicking() {
            for log in &self.logs {
                eprintln!("--- {}\n{}", log.display(), fs::read_to_string(log).unwrap_or_default());
            }
            return;
        }
        assert!(running, "the operator ended by itself: {:?}", self.logs);
        promises::kept(self);
        let _ = fs::remove_dir_all(&self.directory);
    }
}

pub(super) fn writes_policy(call: &JournalEntry) -> bool {
    matches!(call.operation, Operation::PutPermission | Operation::RemovePermission)
}

/// Whether a call is a look over all buses that was answered.
pub(super) fn is_list(call: &JournalEntry) -> bool {
    call.operation == Operation::ListEventBuses && call.succeeded()
}

pub(super) fn bus_arn(name: &str) -> String {
    format!("arn:aws:events:{REGION}:{ACCOUNT}:event-bus/{name}")
}

/// A spec for the scene's bus.
pub(super) fn spec(statements: &Value) -> Value {
    json!({"eventBus": {"name": BUS}, "statements": statements})
}

/// A statement for one account.
pub(super) fn account(name: &str, account: &str) -> Value {
    json!({"name": name, "principals": {"accountIDs": [account]}})
}

/// A condition of an object.
pub(super) fn condition<'a>(object: &'a DynamicObject, kind: &str) -> Option<&'a Value> {
    let conditions = object.data["status"]["conditions"].as_array()?;
    conditions.iter().find(|condition| condition["type"] == kind)
}

/// Whether a condition has that status.
pub(super) fn is(object: &DynamicObject, kind: &str, status: &str) -> bool {
    condition(object, kind).is_some_and(|condition| condition["status"] == status)
}

/// What Ready says.
pub(super) fn message(object: &DynamicObject) -> String {
    let message = condition(object, "Ready").map(|ready| ready["message"].as_str().unwrap().to_owned());
    message.unwrap_or_default()
}
