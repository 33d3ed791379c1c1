//! What follows a failed call, by its retry class: how soon a flight goes on, and what an object is told.

use std::time::Duration;

use super::backoff::jittered;
use crate::api::Reason;
use crate::port::{BusError, RetryClass};

/// What follows a failed call.
#[derive(Debug, Clone, Copy)]
struct Rule {
    /// What an object says meanwhile.
    reason: Reason,
    /// How often a flight goes on by itself, and its first pause; then it lands, and the bus is tried again later.
    within_flight: Option<(u32, Duration)>,
    /// Whether it is a matter of time alone: the object is Reconciling. Otherwise somebody has to mend something, and it
    /// becomes Stalled after a while.
    passes: bool,
}

/// The longest pause within a flight.
const LONGEST: Duration = Duration::from_millis(500);
/// The first pause between flights that did not end well.
const FIRST_BETWEEN: Duration = Duration::from_secs(1);
/// The longest of what passes: when it has passed, everything is served again soon.
const LONGEST_PASSING: Duration = Duration::from_secs(15);
/// The longest of what somebody has to mend.
const LONGEST_BETWEEN: Duration = Duration::from_mins(1);

/// The one place that says what follows a failed call.
fn rule(class: RetryClass) -> Rule {
    const SOON: Duration = Duration::from_millis(20);
    const LATER: Duration = Duration::from_millis(100);
    let passing = |reason, times, pause| Rule { reason, within_flight: Some((times, pause)), passes: true };
    let mending = |reason| Rule { reason, within_flight: None, passes: false };
    match class {
        RetryClass::ConcurrentModification => passing(Reason::ConcurrentModification, 12, SOON),
        RetryClass::Throttled => passing(Reason::Throttled, 4, LATER),
        RetryClass::Transient => passing(Reason::ServiceUnavailable, 4, LATER),
        RetryClass::UnknownOutcome => passing(Reason::OutcomeUnknown, 4, LATER),
        RetryClass::NotSent => Rule { reason: Reason::Applying, within_flight: None, passes: true },
        RetryClass::Denied => mending(Reason::AccessDenied),
        RetryClass::NoCredentials => mending(Reason::CredentialsUnavailable),
        RetryClass::NotFound => mending(Reason::EventBusNotFound),
        RetryClass::TooLong => mending(Reason::PolicyFull),
        RetryClass::Disabled => mending(Reason::OperationDisabled),
        RetryClass::Invalid => mending(Reason::StatementRefused),
    }
}

/// A write that did not find something failed for a moment: whether the bus is gone, the next read says.
fn class_of_write(class: RetryClass) -> RetryClass {
    if class == RetryClass::NotFound { RetryClass::Transient } else { class }
}

/// The pause before a bus is tried again on which an object was not served so many times in a row.
pub fn pause_between_flights(reason: Reason, attempts: u32) -> Duration {
    let longest = if passes(reason) { LONGEST_PASSING } else { LONGEST_BETWEEN };
    jittered(FIRST_BETWEEN, attempts, longest)
}

fn passes(reason: Reason) -> bool {
    let by_class = |class: &RetryClass| rule(*class).passes && rule(*class).reason == reason;
    RetryClass::ALL.iter().any(by_class)
}

/// What keeps objects from being served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The reason.
    pub reason: Reason,
    /// What is wrong, and what must be.
    pub message: String,
    /// Whether it can be mended outside the object, so that trying again makes sense soon.
    pub mendable: bool,
}

impl Problem {
    /// A problem that lies in the object itself.
    pub fn permanent(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), mendable: false }
    }

    /// A failed call as what it means for an object.
    pub fn from_error(error: &BusError) -> Self {
        Self { reason: rule(error.class).reason, message: error.to_string(), mendable: true }
    }

    /// A failed write as what it means for an object.
    pub fn from_write(error: &BusError) -> Self {
        Self { reason: rule(class_of_write(error.class)).reason, ..Self::from_error(error) }
    }

    /// Whether it is a matter of time alone: the object is being worked on. Otherwise somebody has to mend something.
    pub fn passes(&self) -> bool {
        passes(self.reason)
    }
}

/// The attempts of one flight.
#[derive(Debug, Default)]
pub struct Attempts {
    conflicts: u32,
    failures: u32,
}

impl Attempts {
    /// The pause before the flight goes on, or none where it must land.
    pub fn pause_after(&mut self, class: RetryClass, write: bool) -> Option<Duration> {
        let class = if write { class_of_write(class) } else { class };
        let (times, shortest) = rule(class).within_flight?;
        let count = match class {
            RetryClass::ConcurrentModification => &mut self.conflicts,
            _ => &mut self.failures,
        };
        *count += 1;
        (*count <= times).then(|| jittered(shortest, *count, LONGEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_conflicts_in_a_row_are_over_within_three_seconds() {
        let mut attempts = Attempts::default();
        let pauses = (0..8).map(|_| attempts.pause_after(RetryClass::ConcurrentModification, true).unwrap());
        assert!(pauses.sum::<Duration>() < Duration::from_secs(3));
    }

    #[test]
    fn attempts_are_bounded_and_what_a_person_must_mend_is_not_repeated() {
        let mut attempts = Attempts::default();
        assert_eq!(attempts.pause_after(RetryClass::Denied, true), None);
        assert_eq!(attempts.pause_after(RetryClass::NotFound, false), None);
        let granted = (0..100).filter_map(|_| attempts.pause_after(RetryClass::Throttled, true)).count();
        assert_eq!(granted, 4);
        assert!(attempts.pause_after(RetryClass::ConcurrentModification, true).is_some());
    }

    #[test]
    fn what_passes_is_tried_again_within_seconds_of_its_passing_and_the_rest_within_a_minute() {
        for (reason, longest) in
            [(Reason::Throttled, 15), (Reason::ConcurrentModification, 15), (Reason::AccessDenied, 60)]
        {
            let pause = pause_between_flights(reason, 100);
            let longest = Duration::from_secs(longest);
            assert!(longest / 2 <= pause && pause <= longest, "{reason}: {pause:?}");
            assert!(pause_between_flights(reason, 1) <= Duration::from_secs(1));
        }
    }
}
