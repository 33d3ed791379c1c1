//! Whether this process may write: asked before every write, answered from what was last proved of the lease.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// A moment by two clocks. The one stands still while a machine sleeps, the other may be set: whichever says that more time
/// has passed is believed.
#[derive(Debug, Clone, Copy)]
pub struct Moment(Instant, SystemTime);

impl Moment {
    /// This moment.
    pub fn now() -> Self {
        Self(Instant::now(), SystemTime::now())
    }

    /// By the clock that nobody sets.
    pub fn instant(self) -> Instant {
        self.0
    }

    fn elapsed(self) -> Duration {
        self.0.elapsed().max(self.1.elapsed().unwrap_or_default())
    }
}

/// The right to write, shared by all that write.
#[derive(Debug, Clone)]
pub struct Leadership(Arc<Mutex<Proof>>);

#[derive(Debug)]
enum Proof {
    /// There is no lease: this process is told to be the only one.
    NotNeeded,
    /// When the lease was last proved to be ours, if it was, and how long that is good for.
    Lease(Option<Moment>, Duration),
}

impl Leadership {
    /// Of a process that is told to be the only one.
    pub fn alone() -> Self {
        Self(Arc::new(Mutex::new(Proof::NotNeeded)))
    }

    /// Of a process that leads only while it proves it, for so long after each time.
    pub fn by_lease(good_for: Duration) -> Self {
        Self(Arc::new(Mutex::new(Proof::Lease(None, good_for))))
    }

    fn proof(&self) -> MutexGuard<'_, Proof> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a write may be sent now.
    pub fn may_write(&self) -> bool {
        match &*self.proof() {
            Proof::NotNeeded => true,
            Proof::Lease(proved, good_for) => proved.is_some_and(|proved| proved.elapsed() < *good_for),
        }
    }

    /// Whether this process leads, as far as it knows.
    pub fn leads(&self) -> bool {
        !matches!(&*self.proof(), Proof::Lease(None, _))
    }

    /// When the lease was last proved to be ours.
    pub fn proved(&self) -> Option<Moment> {
        match &*self.proof() {
            Proof::NotNeeded => None,
            Proof::Lease(proved, _) => *proved,
        }
    }

    /// The lease was asked for at that moment, and is ours.
    pub fn prove(&self, asked: Moment) {
        if let Proof::Lease(proved, _) = &mut *self.proof() {
            *proved = Some(asked);
        }
    }

    /// The lease is no longer ours, or soon will not be.
    pub fn give_up(&self) {
        if let Proof::Lease(proved, _) = &mut *self.proof() {
            *proved = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD_FOR: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn a_proof_is_good_for_its_time_and_no_longer() {
        let leadership = Leadership::by_lease(GOOD_FOR);
        assert!(!leadership.may_write() && !leadership.leads());
        leadership.prove(Moment::now());
        tokio::time::advance(Duration::from_millis(4999)).await;
        assert!(leadership.may_write());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!leadership.may_write() && leadership.leads());
        leadership.prove(Moment::now());
        assert!(leadership.may_write());
        leadership.give_up();
        assert!(!leadership.may_write() && !leadership.leads());
    }

    #[tokio::test(start_paused = true)]
    async fn a_machine_that_slept_proves_nothing_though_its_clock_stood_still() {
        let leadership = Leadership::by_lease(GOOD_FOR);
        leadership.prove(Moment(Instant::now(), SystemTime::now() - GOOD_FOR));
        assert!(!leadership.may_write());
    }
}
