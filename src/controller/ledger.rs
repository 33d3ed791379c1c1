//! What was done for each object, kept by UID: so that the echo of our own writes costs nothing, and attempts are counted
//! whatever the watch brings.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::permission::{Permission, digest_of};
use super::standing::Standing;
use crate::api::EventBusPermissionStatus;

/// What of an object decides what is done for it. An object of the same fingerprint needs nothing new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    generation: i64,
    deleting: bool,
    held: bool,
    paused: bool,
    /// A hash of what somebody asked to have it looked at with.
    asked: u64,
}

impl Fingerprint {
    /// The fingerprint of an object as it was read.
    pub fn of(object: &Permission) -> Self {
        Self {
            generation: object.generation(),
            deleting: object.is_deleting(),
            held: object.is_held(),
            paused: object.is_paused(),
            asked: BuildHasherDefault::<DefaultHasher>::default().hash_one(object.reconcile_at()),
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
    /// What its status was told to say.
    pub standing: Option<Standing>,
    /// Attempts in a row that did not end well.
    pub attempts: u32,
    /// When it is to be tried again, where nothing else happens before.
    pub retry_at: Option<Instant>,
    written: Option<Written>,
}

/// The status that we wrote last.
#[derive(Debug, Clone)]
struct Written {
    /// The resource version that the API server gave it.
    version: u64,
    digest: u64,
    /// The status itself, until the watch has shown it: then the object has it.
    status: Option<Arc<EventBusPermissionStatus>>,
}

/// Every object's entry, by UID.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<HashMap<Box<str>, Entry>>);

impl Ledger {
    fn entries(&self) -> MutexGuard<'_, HashMap<Box<str>, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The entry of an object, empty for a new one.
    pub fn get(&self, uid: &str) -> Entry {
        self.entries().get(uid).cloned().unwrap_or_default()
    }

    /// Changes the entry of an object.
    pub fn update(&self, uid: &str, change: impl FnOnce(&mut Entry)) {
        change(self.entries().entry(uid.into()).or_default());
    }

    /// Nothing is left to do for an object, though the watch may show it for a moment yet.
    pub fn let_go(&self, object: &Permission) {
        let served = Some(Fingerprint::of(object));
        self.update(object.uid(), |entry| *entry = Entry { served, ..Entry::default() });
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
        self.shown(object);
        let entry = self.get(object.uid());
        let due = entry.retry_at.is_some_and(|at| at <= now);
        entry.served == Some(Fingerprint::of(object)) && !due && !entry.was_overwritten(object)
    }

    /// Whether this very object, or a later one of it, was acted on.
    pub fn was_served(&self, object: &Permission) -> bool {
        let served = self.get(object.uid()).served;
        served.is_some_and(|served| served == Fingerprint::of(object) || served.generation > object.generation())
    }

    /// The watch has shown an object: a status that we wrote before need not be kept as well.
    pub fn shown(&self, object: &Permission) {
        let mut entries = self.entries();
        let written = entries.get_mut(object.uid()).and_then(|entry| entry.written.as_mut());
        if let Some(written) = written.filter(|written| written.version <= object.resource_version()) {
            written.status = None;
        }
    }

    /// The status of an object: what we wrote last, where that is newer. The watch shows the object's newest.
    pub fn status_of(
        &self,
        object: &Permission,
        newest: impl FnOnce() -> Option<Arc<Permission>>,
    ) -> Arc<EventBusPermissionStatus> {
        match self.get(object.uid()).written.filter(|written| written.version > object.resource_version()) {
            Some(Written { status: Some(status), .. }) => status,
            Some(_) => Arc::new(newest().map_or_else(|| object.status(), |newest| newest.status())),
            None => Arc::new(object.status()),
        }
    }

    /// The newest resource version of an object that we know of.
    pub fn newest_version(&self, object: &Permission) -> String {
        let written = self.get(object.uid()).written.map_or(0, |written| written.version);
        written.max(object.resource_version()).to_string()
    }

    /// Remembers a status that the API server took.
    pub fn wrote(&self, answer: &Permission, status: EventBusPermissionStatus) {
        let (version, digest) = (answer.resource_version(), digest_of(&status));
        let written = Written { version, digest, status: Some(Arc::new(status)) };
        self.update(answer.uid(), |entry| entry.written = Some(written));
    }
}

impl Entry {
    /// Whether somebody else wrote the status after we did.
    fn was_overwritten(&self, object: &Permission) -> bool {
        let newer = self.written.as_ref().filter(|written| object.resource_version() > written.version);
        newer.is_some_and(|written| object.status_digest() != written.digest)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn object(version: &str, status: &Value) -> Permission {
        let metadata = json!({"uid": "u", "generation": 1, "resourceVersion": version});
        serde_json::from_value(json!({"metadata": metadata, "status": status})).unwrap()
    }

    #[test]
    fn a_status_that_we_wrote_counts_from_the_answer_on_whoever_keeps_it() {
        let (old, new) = (json!({"observedGeneration": 1}), json!({"observedGeneration": 2}));
        let (before, after) = (object("5", &old), Arc::new(object("7", &new)));
        let ledger = Ledger::default();
        let newest = || Some(Arc::clone(&after));
        assert_eq!(*ledger.status_of(&before, newest), before.status());
        ledger.wrote(&object("7", &json!(null)), after.status());
        assert_eq!(*ledger.status_of(&before, || None), after.status());
        ledger.shown(&before);
        assert_eq!(*ledger.status_of(&before, || None), after.status());
        ledger.shown(&after);
        assert_eq!(*ledger.status_of(&before, newest), after.status());
        assert_eq!(ledger.newest_version(&before), "7");
    }

    #[tokio::test]
    async fn an_object_whose_status_others_wrote_is_not_served() {
        let ours = json!({"conditions": [{
            "type": "Ready", "status": "True", "reason": "InSync", "message": "", "observedGeneration": 1,
            "lastTransitionTime": "2026-11-24T12:00:00Z",
        }]});
        let (ledger, now) = (Ledger::default(), Instant::now());
        let written = object("7", &ours);
        ledger.update("u", |entry| entry.served = Some(Fingerprint::of(&written)));
        ledger.wrote(&written, written.status());
        assert!(ledger.is_served(&written, now));
        assert!(ledger.is_served(&object("8", &ours), now));
        assert!(!ledger.is_served(&object("8", &json!({"observedGeneration": 1})), now));
        assert!(!ledger.is_served(&object("8", &json!(null)), now));
    }
}
