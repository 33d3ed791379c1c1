//! What is remembered of one bus between flights. Nothing of it decides whose a statement is; losing it costs calls only.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use busgrant_policy::{ObjectId, Owner, Sid};
use tokio::time::Instant;

use super::backoff::jittered;
use super::permission::Permission;
use crate::api::naming::object_id;

/// How long a statement of a deleted object is looked out for, since a call that was late may bring it back.
const TOMBSTONE: Duration = Duration::from_hours(1);
/// How long a refused statement is left alone: from the first to the longest.
const REFUSAL: (Duration, Duration) = (Duration::from_secs(10), Duration::from_mins(10));
/// A statement that others changed so often within this time is contended, and put again only after as long.
const CONTENTION: (usize, Duration) = (3, Duration::from_mins(10));

/// The pauses between attempts to remove what an object left that is gone: the first and the longest.
const BEFORE_REMOVALS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// A policy as it was read. Kept as text, which takes a fraction of what it takes parsed.
#[derive(Debug, Clone)]
pub struct LastRead {
    /// The policy, if the bus had one.
    pub policy: Option<String>,
    /// When it was asked for.
    pub at: Instant,
}

impl LastRead {
    /// Whether it held statements of that owner; a text that only speaks of one counts as well.
    pub fn holds_any_of(&self, owner: &Owner) -> bool {
        let policy = self.policy.as_deref().unwrap_or_default();
        policy.split('"').any(|word| owner.owns(word))
    }
}

/// What is remembered of one bus.
#[derive(Debug, Default)]
pub struct Memory {
    /// The last read that no write came after.
    pub last_read: Option<LastRead>,
    /// When the sweep last saw the policy of the last read, unless it has seen another since.
    pub confirmed: Option<Instant>,
    /// Whether a flight of this process has landed.
    pub has_landed: bool,
    /// The objects that are being worked for at this moment: where the controller fails, it fails at these.
    pub at_work: Vec<Arc<Permission>>,
    /// Until when a call without an answer may still take effect.
    pub unknown_until: Option<Instant>,
    /// Whether that call may have been a predecessor's, so that nothing of ours was in it.
    pub unknown_inherited: bool,
    /// Sids whose removal was confirmed, with the time when it was sent, by the UID of the object that is being deleted.
    pub removed: HashMap<String, BTreeMap<Sid, Instant>>,
    /// Flights in a row that had to leave an object out.
    pub left_out: u32,
    /// Flights in a row after which statements of objects that are gone may still be there.
    pub owes: u32,
    /// Until when the bus is left alone, after the controller failed at it.
    pub quiet_until: Option<Instant>,
    /// The quota, where the service proved it smaller than we were told, and until when that is believed.
    quota: Option<(usize, Instant)>,
    tombstones: BTreeMap<ObjectId, Tombstone>,
    refused: HashMap<String, Refusal>,
    blocking: HashMap<String, Refusal>,
    /// Statements of ours that others changed, by what the statement says.
    disturbed: HashMap<String, Disturbance>,
}

#[derive(Debug)]
struct Tombstone {
    uid: String,
    until: Instant,
}

#[derive(Debug, Default)]
struct Disturbance {
    /// When others changed it, the last times.
    changes: VecDeque<Instant>,
    contended_until: Option<Instant>,
}

#[derive(Debug, Clone)]
struct Refusal {
    message: String,
    until: Instant,
    wait: Duration,
}

impl Memory {
    /// Whether a call may still take effect.
    pub fn is_outcome_open(&self, now: Instant) -> bool {
        self.unknown_until.is_some_and(|until| now < until)
    }

    /// A call of ours, sent at that time, had no answer.
    pub fn lost_answer(&mut self, sent: Instant, wait: Duration) {
        let until = sent + wait;
        self.unknown_until = Some(self.unknown_until.map_or(until, |open| open.max(until)));
        self.unknown_inherited = false;
    }

    /// A predecessor may have sent calls until then.
    pub fn inherit(&mut self, until: Instant) {
        if self.unknown_until.is_none() {
            self.unknown_until = Some(until);
            self.unknown_inherited = true;
        }
    }

    /// What a predecessor may have sent is no longer waited for on this bus.
    pub fn forget_inherited(&mut self) {
        if self.unknown_inherited {
            self.unknown_until = None;
            self.unknown_inherited = false;
        }
    }

    /// Whether there is nothing that a later flight must know.
    pub fn is_blank(&self, now: Instant) -> bool {
        !self.is_outcome_open(now) && self.buried(now).is_empty()
    }

    /// Others changed or removed a statement that stood.
    pub fn disturb(&mut self, text: String, now: Instant) {
        let (often, within) = CONTENTION;
        self.disturbed.retain(|_, before| before.is_recent(now));
        let Disturbance { changes, contended_until } = self.disturbed.entry(text).or_default();
        changes.push_back(now);
        changes.retain(|at| now < *at + within);
        // Once contended it stays so, unless it is left in peace for as long.
        if changes.len() >= often || contended_until.is_some() {
            *contended_until = Some(now + within);
        }
    }

    /// Statements of ours that others change again and again, so that they are not put again now.
    pub fn contended(&self, now: Instant) -> BTreeSet<String> {
        let held = |one: &Disturbance| one.contended_until.is_some_and(|until| now < until);
        self.disturbed.iter().filter(|(_, one)| held(one)).map(|(text, _)| text.clone()).collect()
    }

    /// Whether a confirmed removal that was sent then need not be sent again. Beside a call that may still take effect none
    /// proves anything: where the last writer wins, one undoes the other. So it is made once more when that is over.
    pub fn is_settled(&self, sent: Instant, now: Instant) -> bool {
        self.unknown_until.is_none_or(|until| now < until || until <= sent)
    }

    /// How many characters a policy may have, where so many are said to be allowed.
    pub fn quota(&self, told: usize, now: Instant) -> usize {
        let learnt = self.quota.filter(|(_, until)| now < *until);
        learnt.map_or(told, |(quota, _)| quota.min(told))
    }

    /// The service refused a policy of more than so many characters. It may have been full by others for a moment only, or
    /// the quota may be raised: it is tried again.
    pub fn learn_quota(&mut self, quota: usize, now: Instant) {
        self.quota = Some((quota, now + REFUSAL.1));
    }

    /// A policy of that length stands, so it is allowed.
    pub fn unlearn_quota(&mut self, length: usize) {
        self.quota = self.quota.filter(|(quota, _)| length <= *quota);
    }

    /// The object's statements are gone; should one come back, it is to be removed.
    pub fn bury(&mut self, object: ObjectId, uid: &str, now: Instant) {
        self.tombstones.retain(|_, tombstone| now < tombstone.until);
        self.tombstones.insert(object, Tombstone { uid: uid.to_owned(), until: now + TOMBSTONE });
    }

    /// The same for an object whose statements may be there.
    pub fn bury_object(&mut self, object: &Permission) {
        if let Ok(id) = object_id(object.namespace(), object.name()) {
            self.bury(id, object.uid(), Instant::now());
            self.owes = self.owes.max(1);
        }
    }

    /// When the statements of objects that are gone are to be removed, where they may still be there.
    pub fn owes_again(&mut self) -> Option<Instant> {
        (self.owes > 0).then(|| {
            let pause = jittered(BEFORE_REMOVALS.0, self.owes, BEFORE_REMOVALS.1);
            self.owes += 1;
            Instant::now() + pause
        })
    }

    /// Whether this very object was buried: the watch may show it for a moment yet.
    pub fn is_buried(&self, object: &ObjectId, uid: &str) -> bool {
        self.tombstones.get(object).is_some_and(|tombstone| tombstone.uid == uid)
    }

    /// An object of that name is there again, and owns its statements.
    pub fn unbury(&mut self, object: &ObjectId) {
        self.tombstones.remove(object);
    }

    /// Objects whose statements must not come back.
    pub fn buried(&self, now: Instant) -> Vec<ObjectId> {
        self.tombstones
            .iter()
            .filter(|(_, tombstone)| now < tombstone.until)
            .map(|(object, _)| object.clone())
            .collect()
    }

    /// The service refused this statement of ours.
    pub fn refuse(&mut self, text: String, message: String, now: Instant) {
        remember(&mut self.refused, text, message, now);
    }

    /// The service refuses any document with this statement of somebody else's.
    pub fn block(&mut self, text: String, message: String, now: Instant) {
        remember(&mut self.blocking, text, message, now);
    }

    /// Statements of ours not to be tried now.
    pub fn refused(&self, now: Instant) -> BTreeSet<String> {
        current(&self.refused, now)
    }

    /// Statements of others that keep any document from being taken.
    pub fn blocking(&self, now: Instant) -> BTreeSet<String> {
        current(&self.blocking, now)
    }

    /// What the service said of a statement that it refused.
    pub fn refusal(&self, text: &str) -> Option<&str> {
        self.refused.get(text).map(|refusal| refusal.message.as_str())
    }

    /// When something that waits here may go on.
    pub fn next_change(&self, now: Instant) -> Option<Instant> {
        let refusals = self.refused.values().chain(self.blocking.values()).map(|refusal| refusal.until);
        let quota = self.quota.map(|(_, until)| until);
        let contentions = self.disturbed.values().filter_map(|one| one.contended_until);
        refusals.chain(contentions).chain(self.unknown_until).chain(quota).filter(|at| now < *at).min()
    }
}

impl Disturbance {
    fn is_recent(&self, now: Instant) -> bool {
        let last = self.changes.back().copied().max(self.contended_until);
        last.is_some_and(|last| now < last + CONTENTION.1)
    }
}

fn remember(refusals: &mut HashMap<String, Refusal>, text: String, message: String, now: Instant) {
    // What nobody has tried for long is no longer wanted.
    refusals.retain(|_, refusal| now < refusal.until + REFUSAL.1);
    let wait = refusals.get(&text).map_or(REFUSAL.0, |before| (before.wait * 2).min(REFUSAL.1));
    refusals.insert(text, Refusal { message, until: now + wait, wait });
}

fn current(refusals: &HashMap<String, Refusal>, now: Instant) -> BTreeSet<String> {
    refusals.iter().filter(|(_, refusal)| now < refusal.until).map(|(text, _)| text.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn what_others_changed_three_times_in_ten_minutes_waits_ten_minutes() {
        let (mut memory, start) = (Memory::default(), Instant::now());
        let contended = |memory: &Memory, at| memory.contended(at).len();
        for minute in [0, 4, 9] {
            assert_eq!(contended(&memory, start + minute * MINUTE), 0);
            memory.disturb("statement".to_owned(), start + minute * MINUTE);
        }
        assert_eq!(contended(&memory, start + 9 * MINUTE), 1);
        assert_eq!(memory.next_change(start + 9 * MINUTE), Some(start + 19 * MINUTE));
        assert_eq!(contended(&memory, start + 19 * MINUTE), 0);
        // Put again, and changed again: once is enough now.
        memory.disturb("statement".to_owned(), start + 20 * MINUTE);
        assert_eq!(contended(&memory, start + 29 * MINUTE), 1);
        // Put again, and left in peace.
        memory.disturb("statement".to_owned(), start + 50 * MINUTE);
        assert_eq!(contended(&memory, start + 50 * MINUTE), 0);
    }

    #[test]
    fn what_others_change_now_and_then_is_put_again_at_once() {
        let (mut memory, start) = (Memory::default(), Instant::now());
        for minute in [0, 6, 12, 18, 24] {
            memory.disturb("statement".to_owned(), start + minute * MINUTE);
            assert!(memory.contended(start + minute * MINUTE).is_empty(), "{minute}");
        }
    }
}
