//! What a status says of the policy is so.

use busgrant_sim::{JournalEntry, Operation};

use super::promises::ensure;
use super::record::{Bus, Record, Told, is_unanswered};

/// So many looks over all buses, one a second, may pass before drift is repaired or told: the first that shows it, one for the
/// repair, and the others for a busy machine.
const SWEEPS: usize = 5;
/// As many more where somebody took back what was just written: 7 s may be spent on looking for it again.
const LOOKING_AGAIN: usize = 8;

/// Ready for a generation: the last read before it came after the last write and held exactly its statements, and no call
/// may still take effect.
pub(super) fn ready_is_true(record: &Record, told: &Told) -> Result<(), String> {
    let (Some(bus), mark) = (&told.bus, told.passed.mark) else {
        return Err(format!("ready on no bus: {told:?}"));
    };
    let wanted = told.wanted();
    let look = record.last_look(bus, mark);
    // What is seen of a bus in a list counts as a read too, where the bus was not looked at since.
    let later = |read: &&JournalEntry| look.is_none_or(|look| read.seq > look.seq);
    let lists = record.reads(bus, mark).filter(|read| read.operation == Operation::ListEventBuses).filter(later);
    let reads: Vec<&JournalEntry> = look.into_iter().chain(lists).collect();
    let after_writes = |read: &JournalEntry| record.writes(bus, mark).all(|write| is_over(record, write, read, told));
    let held = |read: &JournalEntry| record.shown(bus, read).into_iter().any(|policy| told.held(policy) == wanted);
    ensure(reads.iter().any(|read| after_writes(read) && held(read)), || {
        let (writes, changes): (Vec<_>, Vec<_>) =
            (record.writes(bus, mark).collect(), record.changes_of(bus).collect());
        format!(
            "{} was called ready for generation {} at {mark}, and the last read did not hold {wanted:#?}, or came before \
             the last write\nreads: {reads:#?}\nwrites: {writes:#?}\nchanges: {changes:#?}",
            told.label, told.generation
        )
    })
}

/// Whether a write was over before a read began, and can't take effect any more when the status was written.
fn is_over(record: &Record, write: &JournalEntry, read: &JournalEntry, told: &Told) -> bool {
    if is_unanswered(write) {
        let too_late = write.applied.is_none_or(|applied| applied < read.seq || applied > told.passed.mark);
        return record.is_spent(write, told.passed.at_millis) && too_late;
    }
    write.answered.is_some_and(|answered| answered < read.seq)
}

/// A status that says ready is taken back, or made true again, soon after somebody changed the policy. Decidable where the
/// operator was there all the time and nothing kept it from its work.
pub(super) fn drift_is_told(record: &Record) -> Result<(), String> {
    if record.overwritten || record.tampered {
        return Ok(());
    }
    let (lives, holds) = (record.lives(), record.holds());
    for statuses in lives.values() {
        for (number, told) in statuses.iter().enumerate().filter(|(_, told)| told.ready) {
            let next = statuses.get(number + 1).map(|next| next.passed.mark);
            let gone = holds.get(&told.prefix).into_iter().flatten();
            let gone =
                gone.filter(|hold| !hold.holds && hold.passed.mark >= told.passed.mark).map(|hold| hold.passed.mark);
            let end = next.into_iter().chain(gone).min().unwrap_or(record.end);
            stands_until(record, told, end)?;
        }
    }
    Ok(())
}

fn stands_until(record: &Record, told: &Told, end: u64) -> Result<(), String> {
    let Some(bus) = &told.bus else { return Ok(()) };
    let (begin, wanted) = (told.passed.mark, told.wanted());
    let changes = || record.changes_of(bus).filter(|change| change.seq > begin && change.seq <= end);
    let moments = [begin].into_iter().chain(changes().map(|change| change.seq));
    let mut since: Option<u64> = None;
    let mut spans = Vec::new();
    for moment in moments {
        let stands = told.held(record.policy_at(bus, moment)) == wanted;
        match (stands, since) {
            (true, Some(from)) => {
                spans.push((from, moment));
                since = None;
            }
            (false, None) => since = Some(moment),
            _ => {}
        }
    }
    spans.extend(since.map(|from| (from, end)));
    spans.retain(|(_, until)| !is_disturbed(record, bus, begin, *until));
    spans.into_iter().try_for_each(|(from, until)| {
        let lists = record.reads(bus, until).filter(|read| read.operation == Operation::ListEventBuses);
        let seen = lists.filter(|list| list.seq > from).count();
        let allowed = if is_seen(record, bus, from, until) { SWEEPS } else { SWEEPS + LOOKING_AGAIN };
        ensure(seen < allowed, || {
            format!(
                "{} still said ready for generation {} at {until}, {seen} looks after {from}, when this came: {:?}",
                told.label,
                told.generation,
                record.policy_at(bus, from)
            )
        })
    })
}

/// Whether every write of ours up to a moment was seen to stand before another.
fn is_seen(record: &Record, bus: &Bus, before: u64, until: u64) -> bool {
    let look = record.last_look(bus, before).map_or(0, |look| look.seq);
    record.writes(bus, until).all(|write| write.answered.is_some_and(|answered| answered < look))
}

/// Whether anything kept the operator from its work on a bus between two moments.
fn is_disturbed(record: &Record, bus: &Bus, from: u64, until: u64) -> bool {
    let within = |moment: u64| moment >= from && moment <= until;
    let failed = |call: &JournalEntry| !call.faults.is_empty() || !call.succeeded() || call.client_gone;
    let calls = || record.calls.iter().filter(|call| bus.is_in(call) && within(call.seq));
    let refused = record.passed.iter().filter(|passed| within(passed.mark));
    calls().any(failed)
        || refused.into_iter().any(|passed| passed.status.is_none_or(|status| status >= 300))
        || record.turns.iter().any(|turn| within(*turn))
}
