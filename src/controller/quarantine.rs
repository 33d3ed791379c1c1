//! Objects at which the controller itself failed: each is left alone, longer each time, until its spec changes.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::ledger::Fingerprint;
use super::permission::Permission;

/// How long an object is left alone: the first time and at most.
const WAIT: (Duration, Duration) = (Duration::from_secs(30), Duration::from_hours(1));

/// The objects that are left alone, by UID.
#[derive(Debug, Default)]
pub struct Quarantine(Mutex<HashMap<String, Case>>);

#[derive(Debug)]
struct Case {
    object: Fingerprint,
    wait: Duration,
    until: Instant,
}

impl Quarantine {
    fn cases(&self) -> MutexGuard<'_, HashMap<String, Case>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves an object alone; gives until when.
    pub fn put(&self, object: &Permission) -> Instant {
        let fingerprint = Fingerprint::of(object);
        let mut cases = self.cases();
        let again = cases.get(object.uid()).filter(|case| case.object == fingerprint);
        let wait = again.map_or(WAIT.0, |case| (case.wait * 2).min(WAIT.1));
        let until = Instant::now() + wait;
        cases.insert(object.uid().to_owned(), Case { object: fingerprint, wait, until });
        until
    }

    /// Until when an object is left alone, if it is.
    pub fn until(&self, object: &Permission) -> Option<Instant> {
        let cases = self.cases();
        let case = cases.get(object.uid()).filter(|case| case.object == Fingerprint::of(object))?;
        (Instant::now() < case.until).then_some(case.until)
    }

    /// Forgets objects that are gone.
    pub fn retain(&self, is_there: impl Fn(&str) -> bool) {
        self.cases().retain(|uid, _| is_there(uid));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(generation: i64) -> Permission {
        serde_json::from_value(json!({"metadata": {"uid": "u", "generation": generation}})).unwrap()
    }

    fn holds(quarantine: &Quarantine, object: &Permission) -> bool {
        quarantine.until(object).is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn an_object_is_left_alone_longer_each_time_until_its_spec_changes() {
        let quarantine = Quarantine::default();
        quarantine.put(&object(1));
        assert!(holds(&quarantine, &object(1)));
        assert!(!holds(&quarantine, &object(2)));
        tokio::time::advance(Duration::from_secs(30)).await;
        assert!(!holds(&quarantine, &object(1)));
        quarantine.put(&object(1));
        tokio::time::advance(Duration::from_secs(59)).await;
        assert!(holds(&quarantine, &object(1)));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!holds(&quarantine, &object(1)));
        quarantine.put(&object(2));
        tokio::time::advance(Duration::from_secs(30)).await;
        assert!(!holds(&quarantine, &object(2)));
    }
}
