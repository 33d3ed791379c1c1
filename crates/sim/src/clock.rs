//! The simulator's clock: the machine's, plus what tests advanced it by. Everything that waits, waits on it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;

#[derive(Debug, Default)]
pub(crate) struct Clock {
    advanced_millis: AtomicI64,
    moved: Notify,
}

impl Clock {
    /// Milliseconds since the epoch.
    pub(crate) fn now(&self) -> i64 {
        let machine = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(machine.as_millis()).unwrap_or(i64::MAX) + self.advanced_millis.load(Ordering::Acquire)
    }

    pub(crate) fn advance(&self, millis: i64) {
        self.advanced_millis.fetch_add(millis.max(0), Ordering::AcqRel);
        self.moved.notify_waiters();
    }

    /// Sleeps until the clock shows `until`, woken early when a test advances it.
    pub(crate) async fn sleep_until(&self, until: i64) {
        loop {
            let mut moved = std::pin::pin!(self.moved.notified());
            moved.as_mut().enable(); // before the clock is read, so that no advance falls between
            let Ok(left @ 1..) = u64::try_from(until - self.now()) else {
                return;
            };
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(left)) => {}
                () = &mut moved => {}
            }
        }
    }
}
