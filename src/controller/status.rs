//! The status of an object, from how it stands, its former status and the time. Pure: written only where it differs.

use busgrant_policy::{BusArn, Document, Ownership};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::judge::{Acceptance, Outcome, Verdict};
use super::writes::Tally;
use crate::api::{EventBusPermissionStatus, EventBusStatus, PolicyStatus, Reason, WritesStatus};

/// How long what somebody may be mending outside the object is called work, before it is called stalled.
const PATIENCE: SignedDuration = SignedDuration::from_secs(120);
/// The longest message that is worth showing.
const LONGEST_MESSAGE: usize = 1000;

/// What the status of every object on a bus repeats.
#[derive(Debug, Clone)]
pub struct BusFacts {
    /// The bus.
    pub bus: BusArn,
    /// Its policy as last read, if it was.
    pub policy: Option<PolicyStatus>,
}

impl BusFacts {
    /// The facts of a read.
    pub fn of(bus: &BusArn, read: Option<&Document>, allowed: usize, ownership: &Ownership) -> Self {
        let policy = read.map(|read| {
            let foreign = read.statements().iter().filter(|live| ownership.is_foreign(live.sid())).count();
            PolicyStatus {
                characters: i64::try_from(read.size()).ok(),
                characters_allowed: i64::try_from(allowed).ok(),
                foreign_statements: i32::try_from(foreign).ok(),
            }
        });
        Self { bus: bus.clone(), policy }
    }

    fn event_bus(&self) -> EventBusStatus {
        EventBusStatus {
            arn: self.bus.to_string(),
            name: Some(self.bus.name().to_string()),
            account_id: Some(self.bus.account().to_string()),
            region: Some(self.bus.region().to_string()),
        }
    }
}

/// The first status of an object: which bus it means, said before anything is written there.
pub fn pinned(
    old: &EventBusPermissionStatus,
    generation: i64,
    acceptance: &Acceptance,
    facts: &BusFacts,
    now: Timestamp,
) -> EventBusPermissionStatus {
    let working = Verdict::Working(Reason::Applying, "the bus is being looked at".to_owned());
    let mut status = old.clone();
    status.conditions = conditions(old, generation, &working, acceptance, false, now);
    status.observed_generation = Some(generation);
    status.event_bus = Some(facts.event_bus());
    status
}

/// The status that says how an object stands. Without facts its bus could not be worked on at all.
pub fn status(
    old: &EventBusPermissionStatus,
    generation: i64,
    outcome: &Outcome,
    facts: Option<&BusFacts>,
    tally: Option<&Tally>,
    now: Timestamp,
) -> EventBusPermissionStatus {
    let statements: Vec<_> = outcome.statements.iter().map(|judged| judged.status.clone()).collect();
    let synced = statements.iter().filter(|statement| statement.synced).count();
    let all_synced = synced == statements.len() && matches!(outcome.verdict, Verdict::InSync);
    let mut status = old.clone();
    status.observed_generation = Some(generation);
    status.conditions = conditions(old, generation, &outcome.verdict, &outcome.acceptance, all_synced, now);
    status.plan.clone_from(&outcome.plan);
    if statements.is_empty() && old.observed_generation != Some(generation) {
        // What was read was read for another generation.
        status.synced_statements = status.synced_statements.map(|_| 0);
        for statement in &mut status.statements {
            (statement.synced, statement.message) = (false, None);
            statement.reason = outcome.verdict.reason().to_string();
        }
    }
    if let Some(facts) = facts {
        status.event_bus.get_or_insert_with(|| facts.event_bus());
        if facts.policy.is_some() {
            status.policy.clone_from(&facts.policy);
        }
        if !statements.is_empty() {
            status.desired_statements = i32::try_from(statements.len()).ok();
            status.synced_statements = i32::try_from(synced).ok();
            status.statements = statements;
        }
    }
    if let Some(tally) = tally.filter(|tally| tally.sent) {
        status.writes = Some(writes(old.writes.clone().unwrap_or_default(), tally, now));
    }
    status
}

/// Whether two statuses differ in what is worth a write: numbers of the whole bus only ride along.
pub fn differs(old: &EventBusPermissionStatus, new: &EventBusPermissionStatus) -> bool {
    let ridden = EventBusPermissionStatus { policy: old.policy.clone(), ..new.clone() };
    ridden != *old
}

fn writes(mut writes: WritesStatus, tally: &Tally, now: Timestamp) -> WritesStatus {
    let add = |total: Option<i64>, more: u32| Some(total.unwrap_or(0) + i64::from(more));
    if !tally.put.is_empty() || !tally.removed.is_empty() {
        writes.last_write_time = Some(time(now));
    }
    writes.concurrent_modification_retries = Some(i64::from(tally.conflicts));
    writes.concurrent_modification_retries_total = add(writes.concurrent_modification_retries_total, tally.conflicts);
    if tally.conflicts > 0 {
        writes.last_concurrent_modification_time = Some(time(now));
    }
    writes.lost_updates = add(writes.lost_updates, tally.lost);
    writes
}

fn conditions(
    old: &EventBusPermissionStatus,
    generation: i64,
    verdict: &Verdict,
    acceptance: &Acceptance,
    all_synced: bool,
    now: Timestamp,
) -> Vec<Condition> {
    let (ready, extra) = match verdict {
        Verdict::InSync => {
            let message = "in the policy; AWS may take about 20 s to act on it".to_owned();
            (("True", Reason::InSync, message), None)
        }
        Verdict::Working(reason, message) => {
            let unknown = matches!(reason, Reason::OutcomeUnknown | Reason::Applying);
            let ready = if unknown { "Unknown" } else { "False" };
            ((ready, *reason, message.clone()), Some("Reconciling"))
        }
        Verdict::Waiting(reason, message) => {
            let kind = if is_patience_over(old, *reason, now) { "Stalled" } else { "Reconciling" };
            (("False", *reason, message.clone()), Some(kind))
        }
        Verdict::Stalled(reason, message) => (("False", *reason, message.clone()), Some("Stalled")),
        Verdict::Paused(message) => (("False", Reason::Paused, message.clone()), None),
        Verdict::Gone => (("False", Reason::Deleting, "its statements are gone".to_owned()), Some("Reconciling")),
    };
    let accepted = match acceptance {
        Acceptance::Accepted => ("True", Reason::Accepted, "every statement of the spec can be served".to_owned()),
        Acceptance::Refused(reason, message) => ("False", *reason, message.clone()),
        Acceptance::Unknown => ("Unknown", ready.1, ready.2.clone()),
    };
    let synced = (
        if all_synced {
            "True"
        } else if ready.0 == "Unknown" {
            "Unknown"
        } else {
            "False"
        },
        ready.1,
        ready.2.clone(),
    );
    let mut wanted = vec![("Accepted", accepted), ("Synced", synced), ("Ready", ready.clone())];
    wanted.extend(extra.map(|kind| (kind, ("True", ready.1, ready.2))));
    let make = |(kind, (status, reason, message)): (&str, (&str, Reason, String))| {
        let before = old.conditions.iter().find(|condition| condition.type_ == kind && condition.status == status);
        // Conditions that exist only while true begin anew with each reason.
        let same = before.filter(|before| extra != Some(kind) || before.reason == reason.as_str());
        Condition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: reason.to_string(),
            message: shortened(message),
            observed_generation: Some(generation),
            last_transition_time: same.map_or_else(|| time(now), |before| before.last_transition_time.clone()),
        }
    };
    wanted.into_iter().map(make).collect()
}

/// When a status that says Reconciling for this reason will say Stalled, if it is not mended.
pub fn patience_ends(status: &EventBusPermissionStatus, reason: Reason) -> Option<Timestamp> {
    let condition = status.conditions.iter().find(|condition| condition.type_ == "Reconciling")?;
    // Others may write times that have no end.
    let end = condition.last_transition_time.0.checked_add(PATIENCE).unwrap_or(Timestamp::MAX);
    (condition.reason == reason.as_str()).then_some(end)
}

fn is_patience_over(old: &EventBusPermissionStatus, reason: Reason, now: Timestamp) -> bool {
    let stalled = old.conditions.iter().any(|c| c.type_ == "Stalled" && c.reason == reason.as_str());
    stalled || patience_ends(old, reason).is_some_and(|end| end <= now)
}

/// Times of Kubernetes have whole seconds; a fraction would make every status differ from itself.
fn time(now: Timestamp) -> Time {
    Time(Timestamp::from_second(now.as_second()).unwrap_or(now))
}

fn shortened(message: String) -> String {
    if message.chars().count() <= LONGEST_MESSAGE {
        return message;
    }
    message.chars().take(LONGEST_MESSAGE - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::super::judge::unworkable;
    use super::super::retry::Problem;
    use super::*;
    use crate::api::StatementStatus;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).unwrap()
    }

    fn after(old: &EventBusPermissionStatus, verdict: Verdict, second: i64) -> EventBusPermissionStatus {
        let outcome = Outcome { verdict, acceptance: Acceptance::Accepted, statements: vec![], plan: vec![] };
        status(old, 1, &outcome, None, None, at(second))
    }

    fn said(status: &EventBusPermissionStatus) -> Vec<String> {
        status.conditions.iter().map(|c| format!("{}={} {}", c.type_, c.status, c.reason)).collect()
    }

    fn denied() -> Verdict {
        Verdict::Waiting(Reason::AccessDenied, "no".to_owned())
    }

    #[test]
    fn what_others_may_mend_is_work_for_two_minutes_and_then_stalled_until_it_is_mended() {
        let first = after(&EventBusPermissionStatus::default(), denied(), 0);
        assert_eq!(said(&first)[2..], ["Ready=False AccessDenied", "Reconciling=True AccessDenied"]);
        assert_eq!(patience_ends(&first, Reason::AccessDenied), Some(at(120)));
        let before = after(&first, denied(), 119);
        assert!(!differs(&first, &before));
        let stalled = after(&before, denied(), 120);
        assert_eq!(said(&stalled)[2..], ["Ready=False AccessDenied", "Stalled=True AccessDenied"]);
        assert!(!differs(&stalled, &after(&stalled, denied(), 500)));
        assert_eq!(said(&after(&stalled, Verdict::InSync, 501))[2..], ["Ready=True InSync"]);
    }

    #[test]
    fn what_was_read_for_another_generation_is_not_said_of_this_one() {
        let synced = StatementStatus { synced: true, reason: "InSync".to_owned(), ..StatementStatus::default() };
        let old = EventBusPermissionStatus {
            observed_generation: Some(1),
            synced_statements: Some(1),
            statements: vec![synced],
            ..EventBusPermissionStatus::default()
        };
        let told = |generation| {
            let problem = Problem { reason: Reason::AccountMismatch, message: "no".to_owned(), mendable: true };
            let new = status(&old, generation, &unworkable(&problem), None, None, at(0));
            (new.synced_statements, new.statements[0].synced, new.statements[0].reason.clone())
        };
        assert_eq!(told(1), (Some(1), true, "InSync".to_owned()));
        assert_eq!(told(2), (Some(0), false, "AccountMismatch".to_owned()));
    }

    #[test]
    fn another_reason_begins_its_own_two_minutes() {
        let first = after(&EventBusPermissionStatus::default(), denied(), 0);
        let other = after(&first, Verdict::Waiting(Reason::EventBusNotFound, "gone".to_owned()), 100);
        assert_eq!(patience_ends(&other, Reason::EventBusNotFound), Some(at(220)));
        assert_eq!(patience_ends(&other, Reason::AccessDenied), None);
    }

    #[test]
    fn the_same_outcome_later_is_the_same_status() {
        let first = after(&EventBusPermissionStatus::default(), Verdict::InSync, 0);
        assert!(!differs(&first, &after(&first, Verdict::InSync, 3600)));
    }

    #[test]
    fn numbers_of_the_whole_bus_alone_are_worth_no_write() {
        let old = after(&EventBusPermissionStatus::default(), Verdict::InSync, 0);
        let policy = PolicyStatus { characters: Some(7), characters_allowed: Some(10), foreign_statements: Some(1) };
        let new = EventBusPermissionStatus { policy: Some(policy), ..old.clone() };
        assert!(!differs(&old, &new));
    }

    #[test]
    fn never_reconciling_and_stalled_at_once() {
        let verdicts = [
            Verdict::InSync,
            Verdict::Working(Reason::Throttled, String::new()),
            denied(),
            Verdict::Stalled(Reason::InvalidStatement, String::new()),
            Verdict::Paused(String::new()),
            Verdict::Gone,
        ];
        let mut status = EventBusPermissionStatus::default();
        for (second, verdict) in (0..).step_by(150).zip(verdicts.iter().cycle().take(30)) {
            status = after(&status, verdict.clone(), second);
            let told = said(&status);
            let extra = told.iter().filter(|c| c.starts_with("Reconciling=") || c.starts_with("Stalled=")).count();
            assert!(extra <= 1 && told.len() == 3 + extra, "{told:?}");
            assert!(status.conditions.iter().all(|c| c.observed_generation == Some(1)));
        }
    }

    #[test]
    fn retries_are_of_the_last_sync_that_wrote_and_in_total() {
        let tally = |conflicts| Tally { conflicts, sent: true, put: ["s".parse().unwrap()].into(), ..Tally::default() };
        let outcome =
            Outcome { verdict: Verdict::InSync, acceptance: Acceptance::Accepted, statements: vec![], plan: vec![] };
        let mut now = status(&EventBusPermissionStatus::default(), 1, &outcome, None, Some(&tally(2)), at(0));
        now = status(&now, 1, &outcome, None, Some(&tally(0)), at(10));
        now = status(&now, 1, &outcome, None, None, at(20));
        let writes = now.writes.unwrap();
        assert_eq!(writes.concurrent_modification_retries, Some(0));
        assert_eq!(writes.concurrent_modification_retries_total, Some(2));
        assert_eq!(writes.last_concurrent_modification_time, Some(Time(at(0))));
        assert_eq!(writes.last_write_time, Some(Time(at(10))));
    }
}
