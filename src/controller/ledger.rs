//! What was done for each object, kept by UID: so that the echo of our own writes costs nothing, and attempts are counted
//! whatever the watch brings.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::backoff::jittered;
use super::permission::{Permission, digest_of};
use super::standing::Standing;
use crate::api::EventBusPermissionStatus;

/// How long a status stays as others wrote it over ours, the second time and at most: two installations that serve the same
/// objects would undo each other's for ever.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(5));
/// After so long without a write of ours, others' count anew.
const REST: Duration = Duration::from_mins(20);

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
    /// How often flights left it out since it was last served.
    pub left_out: u32,
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
    at: Instant,
    /// How often others have written over what we wrote, without a rest.
    overwrites: u32,
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

    /// What the status of an object was told to say.
    pub fn standing(&self, uid: &str) -> Option<Standing> {
        self.entries().get(uid).and_then(|entry| entry.standing)
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
        entry.served == Some(Fingerprint::of(object)) && entry.next_look(object).is_none_or(|at| now < at)
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

    /// Remembers a status that the API server took in place of that of the object as it was read.
    pub fn wrote(&self, before: &Permission, answer: &Permission, status: EventBusPermissionStatus) {
        let (version, digest, at) = (answer.resource_version(), digest_of(&status), Instant::now());
        self.update(answer.uid(), |entry| {
            let former = entry.written.as_ref().filter(|written| written.at + REST > at);
            let more = u32::from(entry.overwritten(before).is_some());
            let overwrites = former.map_or(0, |written| written.overwrites) + more;
            entry.written = Some(Written { version, digest, at, overwrites, status: Some(Arc::new(status)) });
        });
    }

    /// The status of an object as it was read says what we would write, whoever wrote it.
    pub fn agrees(&self, object: &Permission) {
        self.update(object.uid(), |entry| {
            if let Some(written) = entry.written.as_mut().filter(|w| w.version < object.resource_version()) {
                (written.version, written.digest) = (object.resource_version(), object.status_digest());
                written.status = None;
            }
        });
    }
}

impl Written {
    /// How long a status stays as others wrote it.
    fn patience(&self) -> Duration {
        if self.overwrites == 0 { Duration::ZERO } else { jittered(PATIENCE.0, self.overwrites, PATIENCE.1) }
    }
}

impl Entry {
    /// When an object that was acted on is to be looked at again, if nothing else happens before. A status that others
    /// write as often as we do is written more and more seldom.
    pub fn next_look(&self, object: &Permission) -> Option<Instant> {
        let overwritten = self.overwritten(object).map(|written| written.at + written.patience());
        self.retry_at.into_iter().chain(overwritten).min()
    }

    /// What we wrote, where somebody else wrote the status after us.
    fn overwritten(&self, object: &Permission) -> Option<&Written> {
        let newer = self.written.as_ref().filter(|written| object.resource_version() > written.version);
        newer.filter(|written| object.status_digest() != written.digest)
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
        ledger.wrote(&before, &object("7", &json!(null)), after.status());
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
        let ledger = Ledger::default();
        let written = object("7", &ours);
        ledger.update("u", |entry| entry.served = Some(Fingerprint::of(&written)));
        ledger.wrote(&object("6", &json!(null)), &written, written.status());
        assert!(ledger.is_served(&written, Instant::now()));
        assert!(ledger.is_served(&object("8", &ours), Instant::now()));
        assert!(!ledger.is_served(&object("8", &json!({"observedGeneration": 1})), Instant::now()));
        assert!(!ledger.is_served(&object("8", &json!(null)), Instant::now()));
        ledger.agrees(&object("8", &json!({"observedGeneration": 1})));
        assert!(ledger.is_served(&object("9", &json!({"observedGeneration": 1})), Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn who_writes_over_a_status_again_and_again_is_answered_more_and_more_seldom() {
        let (ours, theirs) = (json!({"observedGeneration": 1}), json!({"observedGeneration": 2}));
        let ledger = Ledger::default();
        let mut before = object("1", &json!(null));
        ledger.update("u", |entry| entry.served = Some(Fingerprint::of(&before)));
        let (start, mut version, mut writes) = (Instant::now(), 1, 0);
        while start.elapsed() < Duration::from_mins(10) {
            version += 1;
            let written = object(&version.to_string(), &ours);
            ledger.wrote(&before, &written, written.status());
            writes += 1;
            version += 1;
            before = object(&version.to_string(), &theirs);
            while ledger.is_served(&before, Instant::now()) {
                tokio::time::advance(Duration::from_secs(1)).await;
            }
        }
        assert!((3..20).contains(&writes), "{writes} writes in ten minutes");
    }
}
