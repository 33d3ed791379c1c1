//! What the controller counts as it goes. Names that controller-runtime has are its own, so that dashboards for other
//! controllers work; ours begin with `busgrant_`. docs/metrics.md lists them all. What stands at a moment is in [`gauges`].
//!
//! [`gauges`]: super::gauges

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use busgrant_policy::BusArn;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode_registry;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::gauges::{BusNumbers, Gauges, Observed};
use super::leadership::Leadership;
use super::process::Process;
use super::series::Pieces;
use crate::port::BusError;

/// What controller-runtime would call this controller and its queue.
pub(super) const CONTROLLER: &str = "eventbuspermission";

/// Upper bounds of durations, in seconds.
const SECONDS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// What is done about drift, and what happens to statements of others.
const DRIFT_ACTIONS: [&str; 2] = ["put", "remove"];
const FOREIGN_CHANGES: [&str; 2] = ["changed", "vanished"];

type Durations<L> = Family<L, Histogram, fn() -> Histogram>;

/// A call to AWS.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Call {
    operation: &'static str,
    code: String,
    region: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Operation {
    operation: &'static str,
}

/// A bus, by its ARN.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Bus {
    bus: String,
}

/// What happened to a statement of somebody else's.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ForeignChange {
    bus: String,
    kind: &'static str,
}

/// What was done about a change by others.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Drift {
    bus: String,
    action: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Controller {
    controller: &'static str,
}

/// How a reconciliation ended.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Ended {
    controller: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Queue {
    controller: &'static str,
    name: &'static str,
}

/// How a reconciliation ended, as controller-runtime calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reconciled {
    /// Nothing is left to do before something changes.
    Success,
    /// It will be looked at again.
    RequeueAfter,
    /// Kubernetes gave no answer, or a wrong one.
    Error,
    /// The controller itself failed.
    Panic,
}

/// Every counter.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    gauges: Arc<Gauges>,
    calls: Family<Call, Counter>,
    call_seconds: Durations<Operation>,
    conflicts: Family<Bus, Counter>,
    lost_updates: Family<Bus, Counter>,
    flights: Family<Bus, Counter>,
    drift: Family<Drift, Counter>,
    foreign_changes: Family<ForeignChange, Counter>,
    status_writes: Counter,
    reconciles: Family<Ended, Counter>,
    reconcile_errors: Family<Controller, Counter>,
    terminal_errors: Family<Controller, Counter>,
    panics: Family<Controller, Counter>,
    reconcile_seconds: Durations<Controller>,
    active: Family<Controller, Gauge>,
    most_active: Family<Controller, Gauge>,
    queue_adds: Family<Queue, Counter>,
    queue_seconds: Durations<Queue>,
    work_seconds: Durations<Queue>,
}

const THIS: Controller = Controller { controller: CONTROLLER };
const QUEUE: Queue = Queue { controller: CONTROLLER, name: CONTROLLER };

fn durations<L: Clone + std::hash::Hash + Eq>() -> Durations<L> {
    Family::new_with_constructor(|| Histogram::new(SECONDS))
}

impl Metrics {
    /// Counters at zero, registered. With `per_object`, every object's conditions are told by series of their own.
    pub fn new(per_object: bool) -> Self {
        let metrics = Self {
            registry: Arc::default(),
            gauges: Arc::new(Gauges::new(per_object)),
            calls: Family::default(),
            call_seconds: durations(),
            conflicts: Family::default(),
            lost_updates: Family::default(),
            flights: Family::default(),
            drift: Family::default(),
            foreign_changes: Family::default(),
            status_writes: Counter::default(),
            reconciles: Family::default(),
            reconcile_errors: Family::default(),
            terminal_errors: Family::default(),
            panics: Family::default(),
            reconcile_seconds: durations(),
            active: Family::default(),
            most_active: Family::default(),
            queue_adds: Family::default(),
            queue_seconds: durations(),
            work_seconds: durations(),
        };
        metrics.register();
        // There from the start, so that the first one counts as an increase.
        for zero in [&metrics.reconcile_errors, &metrics.terminal_errors, &metrics.panics] {
            drop(zero.get_or_create(&THIS));
        }
        metrics
    }

    fn register(&self) {
        let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let r = &mut *registry;
        r.register("busgrant_aws_requests", "Calls to AWS, by error code, or ok", self.calls.clone());
        r.register("busgrant_aws_request_duration_seconds", "Time that calls to AWS took", self.call_seconds.clone());
        r.register(
            "busgrant_concurrent_modifications",
            "Writes that met another writer and were made again",
            self.conflicts.clone(),
        );
        r.register(
            "busgrant_lost_updates",
            "Writes that AWS confirmed and that were not in the policy afterwards",
            self.lost_updates.clone(),
        );
        r.register("busgrant_flights", "Read, plan, write and verify rounds of a bus", self.flights.clone());
        r.register("busgrant_drift", "Statements of ours that others changed and we put right", self.drift.clone());
        r.register(
            "busgrant_foreign_statement_changes",
            "Statements of others that changed or vanished between a read before a write of ours and the read after",
            self.foreign_changes.clone(),
        );
        r.register("busgrant_status_writes", "Statuses written to Kubernetes", self.status_writes.clone());
        r.register("controller_runtime_reconcile", "Reconciliations, by result", self.reconciles.clone());
        r.register(
            "controller_runtime_reconcile_errors",
            "Reconciliations for which Kubernetes gave no answer, or a wrong one",
            self.reconcile_errors.clone(),
        );
        r.register(
            "controller_runtime_terminal_reconcile_errors",
            "Objects that became Stalled: a person must act",
            self.terminal_errors.clone(),
        );
        r.register(
            "controller_runtime_reconcile_panics",
            "Objects at which the controller itself failed, each of which is then left alone for a while",
            self.panics.clone(),
        );
        r.register(
            "controller_runtime_reconcile_time_seconds",
            "Time of a reconciliation, which does not wait for its bus",
            self.reconcile_seconds.clone(),
        );
        r.register("controller_runtime_active_workers", "Reconciliations under way", self.active.clone());
        r.register(
            "controller_runtime_max_concurrent_reconciles",
            "Reconciliations that may be under way at a time",
            self.most_active.clone(),
        );
        r.register("workqueue_adds", "Objects that were given to their bus", self.queue_adds.clone());
        r.register(
            "workqueue_queue_duration_seconds",
            "Time that an object waited for its bus",
            self.queue_seconds.clone(),
        );
        r.register(
            "workqueue_work_duration_seconds",
            "Time from then on until its status was told",
            self.work_seconds.clone(),
        );
        let version = ("version", env!("CARGO_PKG_VERSION"));
        let revision = ("revision", option_env!("BUSGRANT_REVISION").unwrap_or("unknown"));
        r.register("busgrant_build", "What is running", Info::new([version, revision]));
        r.register_collector(Box::new(Arc::clone(&self.gauges)));
        r.register_collector(Box::new(Process));
    }

    /// A call was made.
    pub fn call(&self, operation: &'static str, region: Option<&str>, error: Option<&BusError>, took: Duration) {
        let code = match error {
            None => "ok".to_owned(),
            Some(error) => error.code.clone().unwrap_or_else(|| format!("{:?}", error.class)),
        };
        let region = region.unwrap_or_default().to_owned();
        self.calls.get_or_create(&Call { operation, code, region }).inc();
        self.call_seconds.get_or_create(&Operation { operation }).observe(took.as_secs_f64());
    }

    /// A bus is looked after from now on. Its counters begin at zero, so that the first of anything counts as an increase.
    pub fn meet(&self, bus: &BusArn) {
        let labels = Bus { bus: bus.to_string() };
        for zero in [&self.conflicts, &self.lost_updates, &self.flights] {
            drop(zero.get_or_create(&labels));
        }
        for kind in FOREIGN_CHANGES {
            drop(self.foreign_changes.get_or_create(&ForeignChange { bus: bus.to_string(), kind }));
        }
        for action in DRIFT_ACTIONS {
            drop(self.drift.get_or_create(&Drift { bus: bus.to_string(), action }));
        }
    }

    /// A write met another writer.
    pub fn conflict(&self, bus: &BusArn) {
        self.conflicts.get_or_create(&Bus { bus: bus.to_string() }).inc();
    }

    /// A confirmed write was not there.
    pub fn lost_update(&self, bus: &BusArn) {
        self.lost_updates.get_or_create(&Bus { bus: bus.to_string() }).inc();
    }

    /// A flight landed, with this read, if it had one.
    pub fn flight(&self, bus: &BusArn, read: Option<BusNumbers>) {
        self.flights.get_or_create(&Bus { bus: bus.to_string() }).inc();
        if let Some(read) = read {
            self.gauges.read(bus, read);
        }
    }

    /// A bus was seen to be as it was last read.
    pub fn confirmed(&self, bus: &BusArn) {
        self.gauges.confirmed(bus);
    }

    /// What others did to statements of ours was put right.
    pub fn drift(&self, bus: &BusArn, put: usize, removed: usize) {
        for (action, count) in DRIFT_ACTIONS.into_iter().zip([put, removed]) {
            if count > 0 {
                let drift = Drift { bus: bus.to_string(), action };
                self.drift.get_or_create(&drift).inc_by(count as u64);
            }
        }
    }

    /// A statement of somebody else's changed or vanished around a write of ours.
    pub fn foreign_change(&self, bus: &BusArn, kind: &'static str) {
        self.foreign_changes.get_or_create(&ForeignChange { bus: bus.to_string(), kind }).inc();
    }

    /// A bus has no objects any more.
    pub fn forget(&self, bus: &BusArn) {
        let labels = Bus { bus: bus.to_string() };
        self.conflicts.remove(&labels);
        self.lost_updates.remove(&labels);
        self.flights.remove(&labels);
        for kind in FOREIGN_CHANGES {
            self.foreign_changes.remove(&ForeignChange { bus: bus.to_string(), kind });
        }
        for action in DRIFT_ACTIONS {
            self.drift.remove(&Drift { bus: bus.to_string(), action });
        }
        self.gauges.forget(bus);
    }

    /// A status was written.
    pub fn status_write(&self) {
        self.status_writes.inc();
    }

    /// A person must act for an object, from now on.
    pub fn stalled(&self) {
        self.terminal_errors.get_or_create(&THIS).inc();
    }

    /// The controller itself failed at an object or a bus.
    pub fn panicked(&self) {
        self.panics.get_or_create(&THIS).inc();
    }

    /// A reconciliation begins, of so many at most.
    pub fn begins(&self, most: u16) {
        self.most_active.get_or_create(&THIS).set(i64::from(most));
        self.active.get_or_create(&THIS).inc();
    }

    /// It ended.
    pub fn ended(&self, how: Reconciled, took: Duration) {
        self.active.get_or_create(&THIS).dec();
        self.reconcile_seconds.get_or_create(&THIS).observe(took.as_secs_f64());
        let result = match how {
            Reconciled::Success => "success",
            Reconciled::RequeueAfter => "requeue_after",
            Reconciled::Error | Reconciled::Panic => "error",
        };
        if how == Reconciled::Error {
            self.reconcile_errors.get_or_create(&THIS).inc();
        }
        self.reconciles.get_or_create(&Ended { controller: CONTROLLER, result }).inc();
    }

    /// An object was given to its bus.
    pub fn queued(&self) {
        self.queue_adds.get_or_create(&QUEUE).inc();
    }

    /// An object's bus has come to it, after so long, and was done with it after so long again.
    pub fn served(&self, waited: Duration, took: Duration) {
        self.queue_seconds.get_or_create(&QUEUE).observe(waited.as_secs_f64());
        self.work_seconds.get_or_create(&QUEUE).observe(took.as_secs_f64());
    }

    /// Whether this process leads is told from now on.
    pub fn tell_leadership(&self, lease: String, leadership: Leadership) {
        self.gauges.tell_leadership(lease, leadership);
    }

    /// What stands at the moment of asking is looked up there from now on.
    pub(super) fn look_at(&self, observed: Weak<dyn Observed>) {
        self.gauges.look_at(observed);
    }

    /// Everything in the text format of `OpenMetrics`.
    pub fn text(&self) -> Result<Pieces, fmt::Error> {
        let mut counted = String::new();
        encode_registry(&mut counted, &self.registry.lock().unwrap_or_else(PoisonError::into_inner))?;
        Ok(Pieces::new(counted, self.gauges.each_object()))
    }
}
