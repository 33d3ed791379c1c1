//! What every part of the controller shares.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use busgrant_policy::{AccountId, BusArn};
use kube::runtime::events::Recorder;
use kube::runtime::reflector::Store;
use tokio::sync::{OnceCell, RwLock};
use tokio::time::Instant;

use super::ledger::Ledger;
use super::metrics::Metrics;
use super::permission::Permission;
use super::retry::Problem;
use super::settings::Settings;
use super::worker::Worker;
use crate::api::{Home, Reason};
use crate::port::{BusError, EventBuses, Identity};

/// The controller's state. The buses' policies and the objects are elsewhere: this can be lost at any time.
pub struct Context<B> {
    /// The service.
    pub buses: B,
    /// Kubernetes.
    pub client: kube::Client,
    /// What the installer decided.
    pub settings: Settings,
    /// Every object that is watched, one store for each namespace that is served.
    pub stores: Vec<Store<Permission>>,
    /// What was done for each object.
    pub ledger: Ledger,
    /// Counters.
    pub metrics: Metrics,
    /// Publishes events about objects.
    pub recorder: Recorder,
    /// When this process began to act.
    pub started: Instant,
    inherited: OnceCell<HashSet<String>>,
    workers: Mutex<HashMap<BusArn, Worker>>,
    identity: RwLock<Option<Identity>>,
}

impl<B: EventBuses> Context<B> {
    /// A context without workers.
    pub fn new(
        buses: B,
        client: kube::Client,
        settings: Settings,
        stores: Vec<Store<Permission>>,
        metrics: Metrics,
        recorder: Recorder,
    ) -> Self {
        Self {
            buses,
            client,
            settings,
            stores,
            ledger: Ledger::default(),
            metrics,
            recorder,
            started: Instant::now(),
            inherited: OnceCell::new(),
            workers: Mutex::default(),
            identity: RwLock::default(),
        }
    }

    /// Every object, as last seen.
    pub fn objects(&self) -> impl Iterator<Item = Arc<Permission>> + '_ {
        self.stores.iter().flat_map(Store::state)
    }

    /// The objects, by UID, that a predecessor may have been working on when it ended: those that were held before this
    /// process held any. Waits until every object was seen once.
    pub async fn inherited(&self) -> &HashSet<String> {
        let collect = || async {
            for store in &self.stores {
                // An error says that the watch is gone, with the controller.
                let _ = store.wait_until_ready().await;
            }
            self.objects()
                .filter(|object| object.is_held())
                .map(|object| object.uid().to_owned())
                .collect()
        };
        self.inherited.get_or_init(collect).await
    }

    /// The worker of a bus, made when it is first needed.
    pub fn worker(self: &Arc<Self>, bus: &BusArn) -> Worker {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers
            .entry(bus.clone())
            .or_insert_with(|| Worker::start(Arc::clone(self), bus.clone()))
            .clone()
    }

    /// Every bus that has a worker.
    pub fn workers(&self) -> Vec<(BusArn, Worker)> {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers
            .iter()
            .map(|(bus, worker)| (bus.clone(), worker.clone()))
            .collect()
    }

    /// Whose credentials we have, asked once and again after credentials failed.
    pub async fn identity(&self) -> Result<Identity, BusError> {
        if let Some(identity) = self.identity.read().await.clone() {
            return Ok(identity);
        }
        let mut slot = self.identity.write().await;
        if let Some(identity) = slot.clone() {
            return Ok(identity);
        }
        let answer = self.buses.identity().await;
        self.metrics.call("GetCallerIdentity", answer.as_ref().err());
        let identity = answer?;
        tracing::info!(account = %identity.account, partition = identity.partition, "credentials found");
        *slot = Some(identity.clone());
        Ok(identity)
    }

    /// The credentials failed: whose they are must be asked again.
    pub async fn forget_identity(&self) {
        *self.identity.write().await = None;
    }

    /// The bus that an object means, checked to be one that we may touch for it.
    pub async fn resolve(&self, object: &Permission) -> Result<BusArn, Problem> {
        let spec = object
            .event_bus
            .as_ref()
            .map_err(|error| Problem::permanent(Reason::Unreadable, error.clone()))?;
        let identity = self.identity().await.map_err(|error| Problem::from_error(&error))?;
        self.check_account(&identity.account)?;
        let named = spec
            .region
            .as_deref()
            .or_else(|| spec.arn.as_deref().and_then(|arn| arn.split(':').nth(3)));
        let region = self
            .buses
            .home_region()
            .or_else(|| named?.parse().ok())
            .ok_or_else(|| {
                let message = "eventBus.region must be set: the controller has no Region of its own (AWS_REGION)";
                Problem {
                    reason: Reason::EventBusNotFound,
                    message: message.to_owned(),
                    mendable: true,
                }
            })?;
        let home = Home {
            partition: identity.partition,
            region,
            account: identity.account,
        };
        let bus = spec
            .resolve(&home)
            .map_err(|wrong| Problem::permanent(Reason::InvalidStatement, wrong.join("; ")))?;
        if let Some(pinned) = object.pinned_bus().filter(|pinned| *pinned != bus.to_string()) {
            let message = format!(
                "eventBus now means {bus}, and this object's statements were put on {pinned}; nothing is written or removed \
                 on either. Give the controller its former Region and account, or make a new object"
            );
            return Err(Problem {
                reason: Reason::BusChanged,
                message,
                mendable: false,
            });
        }
        if *bus.account() != home.account {
            let message = format!(
                "the event bus is in account {}, and the controller's credentials belong to {}",
                bus.account(),
                home.account
            );
            return Err(Problem {
                reason: Reason::AccountMismatch,
                message,
                mendable: true,
            });
        }
        Ok(bus)
    }

    fn check_account(&self, actual: &AccountId) -> Result<(), Problem> {
        match &self.settings.account {
            Some(wanted) if wanted != actual => {
                let message = format!("the controller's credentials belong to account {actual}, and must to {wanted}");
                Err(Problem {
                    reason: Reason::AccountMismatch,
                    message,
                    mendable: true,
                })
            }
            _ => Ok(()),
        }
    }
}
