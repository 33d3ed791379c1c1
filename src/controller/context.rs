//! What every part of the controller shares.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use busgrant_policy::{AccountId, BusArn};
use kube::runtime::events::Recorder;
use kube::runtime::reflector::{ObjectRef, Store};
use tokio::sync::RwLock;
use tokio::time::Instant;

use super::gauges::Observed;
use super::health::is_filled;
use super::index::{Index, Key};
use super::leadership::Leadership;
use super::ledger::Ledger;
use super::metrics::Metrics;
use super::permission::Permission;
use super::quarantine::Quarantine;
use super::retry::Problem;
use super::service::Service;
use super::settings::Settings;
use super::standing::Standing;
use super::sweep::FirstLook;
use super::worker::Worker;
use crate::api::{EventBusPermissionStatus, Home, Reason};
use crate::port::{BusError, EventBuses, Identity};

/// How long a failure to learn whose the credentials are is not asked about again.
const FAILURE: Duration = Duration::from_millis(500);
/// How long an answer is believed that does not fit the objects.
const DOUBT: Duration = Duration::from_secs(5);

/// The controller's state. The buses' policies and the objects are elsewhere: this can be lost at any time.
pub struct Context<B> {
    /// The service.
    pub service: Service<B>,
    /// Kubernetes.
    pub client: kube::Client,
    /// What the installer decided.
    pub settings: Settings,
    /// Every object that is watched, one store for each namespace that is served.
    pub stores: Vec<Store<Permission>>,
    /// Which of them may be on which bus.
    pub index: Index,
    /// What was done for each object.
    pub ledger: Ledger,
    /// Objects whose handling panicked.
    pub quarantine: Quarantine,
    /// What the buses held when this process began to act.
    pub first_look: FirstLook,
    /// Counters.
    pub metrics: Metrics,
    /// Publishes events about objects.
    pub recorder: Recorder,
    /// Whether this process may write.
    pub leadership: Leadership,
    /// When this process began to act.
    pub started: Instant,
    /// Objects that this process held first, by UID.
    held: Mutex<HashSet<String>>,
    /// Read by every flight, written by the end: nothing is under way when the lease is given up.
    pub flights: RwLock<()>,
    ends: AtomicBool,
    /// Whether every object of the stores was noted in the index.
    indexed: AtomicBool,
    workers: Mutex<HashMap<BusArn, Worker>>,
    /// Whose credentials we have, or why that is not known, and since when.
    identity: RwLock<Option<(Result<Identity, BusError>, Instant)>>,
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
        leadership: Leadership,
    ) -> Self {
        Self {
            service: Service::new(buses, settings.requests_per_second, metrics.clone()),
            client,
            settings,
            stores,
            index: Index::default(),
            ledger: Ledger::default(),
            quarantine: Quarantine::default(),
            first_look: FirstLook::default(),
            metrics,
            recorder,
            leadership,
            started: Instant::now(),
            held: Mutex::default(),
            flights: RwLock::default(),
            ends: AtomicBool::new(false),
            indexed: AtomicBool::new(false),
            workers: Mutex::default(),
            identity: RwLock::default(),
        }
    }

    /// Every object, as last seen.
    pub fn objects(&self) -> impl Iterator<Item = Arc<Permission>> + '_ {
        self.stores.iter().flat_map(Store::state)
    }

    /// Every object that may be on a bus, as last seen.
    pub fn objects_on(&self, bus: &BusArn) -> Vec<Arc<Permission>> {
        if !self.indexed.load(Ordering::Acquire) {
            if !self.are_stores_filled() {
                return self.objects().collect();
            }
            self.objects().for_each(|object| self.index.note(&object));
            self.indexed.store(true, Ordering::Release);
        }
        self.index.on(bus).iter().filter_map(|key| self.object(key)).collect()
    }

    /// Whether every object was seen that was there at the start.
    pub fn are_stores_filled(&self) -> bool {
        self.stores.iter().all(is_filled)
    }

    /// One object, as last seen.
    pub fn object(&self, (namespace, name): &Key) -> Option<Arc<Permission>> {
        let object = ObjectRef::new(name).within(namespace);
        self.stores.iter().find_map(|store| store.get(&object))
    }

    /// The status of an object: what we wrote last, where the object was read before.
    pub fn status_of(&self, object: &Permission) -> Arc<EventBusPermissionStatus> {
        let key = (object.namespace().into(), object.name().into());
        self.ledger.status_of(object, || self.object(&key).filter(|newest| newest.uid() == object.uid()))
    }

    /// No call waits for its turn any more, and what can't be done is left to a successor to tell.
    pub fn end(&self) {
        self.ends.store(true, Ordering::Release);
        self.service.close();
    }

    /// Whether the controller is about to end.
    pub fn is_ending(&self) -> bool {
        self.ends.load(Ordering::Acquire)
    }

    /// Whether a predecessor may have been working on an object when it ended: one that is held, and not by this process.
    pub fn is_inherited(&self, object: &Permission) -> bool {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        object.is_held() && !held.contains(object.uid())
    }

    /// This process is about to hold an object.
    pub fn note_held(&self, object: &Permission) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(object.uid().to_owned());
    }

    /// It could not be held.
    pub fn note_not_held(&self, object: &Permission) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(object.uid());
    }

    /// Forgets what was held and is gone.
    pub fn retain_held(&self, is_there: impl Fn(&str) -> bool) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).retain(|uid| is_there(uid));
    }

    /// The worker of a bus, made when it is first needed.
    pub fn worker(self: &Arc<Self>, bus: &BusArn) -> Worker {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        // One that ended against all reason is followed by another.
        if workers.get(bus).is_some_and(Worker::has_ended) {
            workers.remove(bus);
        }
        let start = || {
            self.metrics.meet(bus);
            Worker::start(Arc::clone(self), bus.clone())
        };
        workers.entry(bus.clone()).or_insert_with(start).clone()
    }

    /// Lets the workers go that nobody uses and that have nothing to remember.
    pub fn retire_workers(&self, is_used: impl Fn(&BusArn) -> bool) {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers.retain(|bus, worker| {
            if is_used(bus) {
                return true;
            }
            if worker.may_retire() {
                self.metrics.forget(bus);
                return false;
            }
            worker.leave();
            true
        });
    }

    /// Every bus that has a worker.
    pub fn workers(&self) -> Vec<(BusArn, Worker)> {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers.iter().map(|(bus, worker)| (bus.clone(), worker.clone())).collect()
    }

    /// Whose credentials we have, asked once and again after credentials failed. A failure stands for a moment, since every
    /// object asks.
    pub async fn identity(&self) -> Result<Identity, BusError> {
        if let Some(answer) = standing(self.identity.read().await.as_ref()) {
            return answer;
        }
        let mut slot = self.identity.write().await;
        if let Some(answer) = standing(slot.as_ref()) {
            return answer;
        }
        let answer = self.service.identity().await;
        match &answer {
            Ok(Identity { account, partition }) => tracing::info!(%account, partition, "credentials found"),
            Err(error) => tracing::warn!(%error, "whose the credentials are is not known"),
        }
        *slot = Some((answer.clone(), Instant::now()));
        answer
    }

    /// The credentials failed: whose they are must be asked again.
    pub async fn forget_identity(&self) {
        self.forget_identity_since(Duration::ZERO).await;
    }

    /// The credentials are not those that objects were served with: whose they are must be asked again, and not by every one
    /// of them.
    pub async fn doubt_identity(&self) {
        self.forget_identity_since(DOUBT).await;
    }

    async fn forget_identity_since(&self, age: Duration) {
        let mut slot = self.identity.write().await;
        if slot.as_ref().is_some_and(|(answer, since)| answer.is_ok() && since.elapsed() >= age) {
            *slot = None;
        }
    }

    /// The bus that an object means, checked to be one that these credentials may touch for it.
    pub fn resolve(&self, object: &Permission, identity: &Identity) -> Result<BusArn, Problem> {
        let spec = object.event_bus().map_err(|error| Problem::permanent(Reason::Unreadable, error))?;
        self.check_account(&identity.account)?;
        let named = spec.region.as_deref().or_else(|| spec.arn.as_deref().and_then(|arn| arn.split(':').nth(3)));
        let region = self.service.home_region().or_else(|| named?.parse().ok()).ok_or_else(|| {
            let message = "eventBus.region must be set: the controller has no Region of its own (AWS_REGION)";
            Problem { reason: Reason::EventBusNotFound, message: message.to_owned(), mendable: true }
        })?;
        let home = Home { partition: identity.partition.clone(), region, account: identity.account.clone() };
        let bus =
            spec.resolve(&home).map_err(|wrong| Problem::permanent(Reason::InvalidStatement, wrong.join("; ")))?;
        if let Some(pinned) = object.pinned_bus().filter(|pinned| *pinned != bus.to_string()) {
            let message = format!(
                "eventBus now means {bus}, and this object's statements were put on {pinned}; nothing is written or removed \
                 on either. Give the controller its former Region and account, or make a new object"
            );
            return Err(Problem { reason: Reason::BusChanged, message, mendable: false });
        }
        if *bus.account() != home.account {
            let message = format!(
                "the event bus is in account {}, and the controller's credentials belong to {}",
                bus.account(),
                home.account
            );
            return Err(Problem { reason: Reason::AccountMismatch, message, mendable: true });
        }
        Ok(bus)
    }

    fn check_account(&self, actual: &AccountId) -> Result<(), Problem> {
        match &self.settings.account {
            Some(wanted) if wanted != actual => {
                let message = format!("the controller's credentials belong to account {actual}, and must to {wanted}");
                Err(Problem { reason: Reason::AccountMismatch, message, mendable: true })
            }
            _ => Ok(()),
        }
    }
}

impl<B: EventBuses> Observed for Context<B> {
    fn objects(&self) -> Vec<Arc<Permission>> {
        Self::objects(self).collect()
    }

    fn standing(&self, object: &Permission) -> Option<Standing> {
        self.ledger.standing(object.uid())
    }

    fn queue_depth(&self) -> usize {
        self.workers().iter().map(|(_, worker)| worker.open()).sum()
    }
}

fn standing(slot: Option<&(Result<Identity, BusError>, Instant)>) -> Option<Result<Identity, BusError>> {
    let (answer, since) = slot?;
    (answer.is_ok() || since.elapsed() < FAILURE).then(|| answer.clone())
}
