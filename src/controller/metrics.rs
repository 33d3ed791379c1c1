//! Counters of what the controller does.

use std::sync::{Arc, Mutex, PoisonError};

use busgrant_policy::BusArn;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::port::BusError;

/// A call to AWS.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Call {
    operation: String,
    code: String,
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
    kind: String,
}

/// How a reconciliation ended.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Result {
    result: String,
}

/// Every counter.
#[derive(Clone, Default)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    calls: Family<Call, Counter>,
    conflicts: Family<Bus, Counter>,
    lost_updates: Family<Bus, Counter>,
    orphans: Family<Bus, Gauge>,
    flights: Family<Bus, Counter>,
    reconciles: Family<Result, Counter>,
    status_writes: Counter,
    foreign_changes: Family<ForeignChange, Counter>,
    panics: Counter,
}

impl Metrics {
    /// Counters at zero, registered.
    pub fn new() -> Self {
        let metrics = Self::default();
        {
            let mut registry = metrics.registry.lock().unwrap_or_else(PoisonError::into_inner);
            registry.register(
                "busgrant_aws_requests",
                "Calls to AWS, by operation and error code",
                metrics.calls.clone(),
            );
            registry.register(
                "busgrant_concurrent_modifications",
                "Writes that met another writer and were made again",
                metrics.conflicts.clone(),
            );
            registry.register(
                "busgrant_lost_updates",
                "Writes that AWS confirmed and that were not in the policy afterwards",
                metrics.lost_updates.clone(),
            );
            registry.register(
                "busgrant_orphaned_statements",
                "Live statements of this owner that no object claims",
                metrics.orphans.clone(),
            );
            registry.register(
                "busgrant_flights",
                "Read, plan, write and verify rounds of a bus",
                metrics.flights.clone(),
            );
            registry.register(
                "busgrant_status_writes",
                "Statuses written to Kubernetes",
                metrics.status_writes.clone(),
            );
            registry.register(
                "busgrant_foreign_statement_changes",
                "Statements of others that changed or vanished between a read before a write of ours and the read after",
                metrics.foreign_changes.clone(),
            );
            registry.register(
                "controller_runtime_reconcile_panics",
                "Objects at which the controller itself failed, each of which is then left alone for a while",
                metrics.panics.clone(),
            );
            registry.register("controller_runtime_reconcile", "Reconciliations, by result", metrics.reconciles.clone());
        }
        metrics
    }

    /// A call was made.
    pub fn call(&self, operation: &str, error: Option<&BusError>) {
        let code = match error {
            None => "ok".to_owned(),
            Some(error) => error.code.clone().unwrap_or_else(|| format!("{:?}", error.class)),
        };
        self.calls.get_or_create(&Call { operation: operation.to_owned(), code }).inc();
    }

    /// A write met another writer.
    pub fn conflict(&self, bus: &BusArn) {
        self.conflicts.get_or_create(&Bus { bus: bus.to_string() }).inc();
    }

    /// A confirmed write was not there.
    pub fn lost_update(&self, bus: &BusArn) {
        self.lost_updates.get_or_create(&Bus { bus: bus.to_string() }).inc();
    }

    /// A flight landed, and this many statements of ours have no object.
    pub fn flight(&self, bus: &BusArn, orphans: Option<usize>) {
        let bus = Bus { bus: bus.to_string() };
        self.flights.get_or_create(&bus).inc();
        if let Some(orphans) = orphans.and_then(|orphans| i64::try_from(orphans).ok()) {
            self.orphans.get_or_create(&bus).set(orphans);
        }
    }

    /// A statement of somebody else's changed or vanished around a write of ours.
    pub fn foreign_change(&self, bus: &BusArn, kind: &str) {
        let labels = ForeignChange { bus: bus.to_string(), kind: kind.to_owned() };
        self.foreign_changes.get_or_create(&labels).inc();
    }

    /// The controller itself failed at an object or a bus.
    pub fn panicked(&self) {
        self.panics.inc();
    }

    /// A bus has no objects any more.
    pub fn forget(&self, bus: &BusArn) {
        let labels = Bus { bus: bus.to_string() };
        self.conflicts.remove(&labels);
        self.lost_updates.remove(&labels);
        self.orphans.remove(&labels);
        self.flights.remove(&labels);
        for kind in ["changed", "vanished"] {
            self.foreign_changes.remove(&ForeignChange { bus: bus.to_string(), kind: kind.to_owned() });
        }
    }

    /// A status was written.
    pub fn status_write(&self) {
        self.status_writes.inc();
    }

    /// An object was reconciled.
    pub fn reconcile(&self, result: &str) {
        self.reconciles.get_or_create(&Result { result: result.to_owned() }).inc();
    }

    /// Everything in the text format of `OpenMetrics`.
    pub fn text(&self) -> std::result::Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry.lock().unwrap_or_else(PoisonError::into_inner))?;
        Ok(text)
    }
}
