//! What follows a failed call, by its retry class: how soon a flight goes on, and what an object is told.

use std::time::Duration;

use super::backoff::jittered;
use crate::api::Reason;
use crate::port::{BusError, RetryClass};

/// How often a flight goes on after a conflict with another writer, before it lands and is tried again later.
const CONFLICTS: u32 = 12;
/// How often it goes on after a call that was throttled, failed or had no answer.
const FAILURES: u32 = 4;
/// The longest pause within a flight.
const LONGEST: Duration = Duration::from_millis(500);

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
        let reason = match error.class {
            RetryClass::ConcurrentModification => Reason::ConcurrentModification,
            RetryClass::Throttled => Reason::Throttled,
            RetryClass::Transient => Reason::ServiceUnavailable,
            RetryClass::UnknownOutcome => Reason::OutcomeUnknown,
            RetryClass::Denied => Reason::AccessDenied,
            RetryClass::NoCredentials => Reason::CredentialsUnavailable,
            RetryClass::NotFound => Reason::EventBusNotFound,
            RetryClass::TooLong => Reason::PolicyFull,
            RetryClass::Disabled => Reason::OperationDisabled,
            RetryClass::Invalid => Reason::StatementRefused,
            RetryClass::NotSent => Reason::Applying,
        };
        Self { reason, message: error.to_string(), mendable: true }
    }

    /// A failed write as what it means for an object. That something was not found says nothing of the bus: a read does.
    pub fn from_write(error: &BusError) -> Self {
        match error.class {
            RetryClass::NotFound => Self { reason: Reason::ServiceUnavailable, ..Self::from_error(error) },
            _ => Self::from_error(error),
        }
    }

    /// Whether it is a matter of time alone: the object is being worked on. Otherwise somebody has to mend something.
    pub fn passes(&self) -> bool {
        matches!(
            self.reason,
            Reason::ConcurrentModification
                | Reason::Throttled
                | Reason::ServiceUnavailable
                | Reason::OutcomeUnknown
                | Reason::Applying
        )
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
        let (count, limit, shortest) = match class {
            RetryClass::ConcurrentModification => (&mut self.conflicts, CONFLICTS, Duration::from_millis(20)),
            RetryClass::Throttled | RetryClass::Transient | RetryClass::UnknownOutcome => {
                (&mut self.failures, FAILURES, Duration::from_millis(100))
            }
            // The next read tells whether the bus is gone.
            RetryClass::NotFound if write => (&mut self.failures, FAILURES, Duration::from_millis(100)),
            _ => return None,
        };
        *count += 1;
        (*count <= limit).then(|| jittered(shortest, *count, LONGEST))
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
}
