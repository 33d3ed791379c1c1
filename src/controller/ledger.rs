//! What was done for each object, kept by UID: so that the echo of our own writes costs nothing, and attempts are counted
//! whatever the watch brings.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::permission::Permission;
use crate::api::EventBusPermissionStatus;

/// What of an object decides what is done for it. An object of the same fingerprint needs nothing new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    generation: i64,
    deleting: bool,
    held: bool,
    paused: bool,
}

impl Fingerprint {
    /// The fingerprint of an object as it was read.
    pub fn of(object: &Permission) -> Self {
        Self {
            generation: object.generation(),
            deleting: object.is_deleting(),
            held: object.is_held(),
            paused: object.is_paused(),
        }
    }
}

/// What is remembered of one object.
#[derive(Debug, Default, Clone)]
pub struct Entry {
    /// What was last acted on.
    pub served: Option<Fingerprint>,
    /// Whether the last read held exactly its statements.
    pub in_sync: bool,
    /// Attempts in a row that did not end well.
    pub attempts: u32,
    /// When it is to be tried again, where nothing else happens before.
    pub retry_at: Option<Instant>,
    /// The status that we wrote last, with its resource version, until the watch has shown it.
    written: Option<(u64, Arc<EventBusPermissionStatus>)>,
}

/// Every object's entry, by UID.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<HashMap<String, Entry>>);

impl Ledger {
    fn entries(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The entry of an object, empty for a new one.
    pub fn get(&self, uid: &str) -> Entry {
        self.entries().get(uid).cloned().unwrap_or_default()
    }

    /// Changes the entry of an object.
    pub fn update(&self, uid: &str, change: impl FnOnce(&mut Entry)) {
        change(self.entries().entry(uid.to_owned()).or_default());
    }

    /// Forgets an object that is gone.
    pub fn forget(&self, uid: &str) {
        self.entries().remove(uid);
    }

    /// Keeps only objects that still are.
    pub fn retain(&self, is_there: impl Fn(&str) -> bool) {
        self.entries().retain(|uid, _| is_there(uid));
    }

    /// Whether this very object was acted on already, and neither a retry is due nor its status was changed by others.
    pub fn is_served(&self, object: &Permission, now: Instant) -> bool {
        let entry = self.get(object.uid());
        let due = entry.retry_at.is_some_and(|at| at <= now);
        entry.served == Some(Fingerprint::of(object)) && !due && !entry.was_overwritten(object)
    }

    /// Whether this very object, or a later one of it, was acted on.
    pub fn was_served(&self, object: &Permission) -> bool {
        let served = self.get(object.uid()).served;
        served.is_some_and(|served| served == Fingerprint::of(object) || served.generation > object.generation())
    }

    /// The status of an object: what we wrote last, where the watch has not shown that yet.
    pub fn status_of(&self, object: &Permission) -> Arc<EventBusPermissionStatus> {
        match self.get(object.uid()).written {
            Some((version, status)) if version > resource_version(object) => status,
            _ => Arc::new(object.status.clone()),
        }
    }

    /// The newest resource version of an object that we know of.
    pub fn newest_version(&self, object: &Permission) -> String {
        let written = self.get(object.uid()).written.map_or(0, |(version, _)| version);
        written.max(resource_version(object)).to_string()
    }

    /// Remembers a status that the API server took.
    pub fn wrote(&self, answer: &Permission, status: EventBusPermissionStatus) {
        let version = resource_version(answer);
        self.update(answer.uid(), |entry| entry.written = Some((version, Arc::new(status))));
    }
}

impl Entry {
    /// Whether somebody else wrote the status after we did.
    fn was_overwritten(&self, object: &Permission) -> bool {
        self.written
            .as_ref()
            .is_some_and(|(version, status)| resource_version(object) > *version && object.status != **status)
    }
}

/// Resource versions grow, as those of one object may be compared (KEP-5504).
fn resource_version(object: &Permission) -> u64 {
    object.metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0)
}
