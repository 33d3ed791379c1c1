//! What the server, the control API and the handle share: the world under one lock, its clock, and waiting for both.

use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::config::Config;
use crate::world::World;

#[derive(Debug)]
pub(crate) struct Core {
    world: Mutex<World>,
    /// Told of everything that happens, so that those who wait look again.
    changed: Notify,
}

impl Core {
    pub(crate) fn new(config: &Config) -> std::io::Result<Self> {
        Ok(Self { world: Mutex::new(World::new(config)?), changed: Notify::new() })
    }

    /// The world, at the present time. A panic of another holder is its test's failure, not ours.
    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.tick();
        world
    }

    pub(crate) fn now(&self) -> i64 {
        self.lock().now
    }

    /// Changes the world and tells those who wait.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.notify_waiters();
        result
    }

    /// Waits until a condition holds, looking again after everything that happens.
    pub(crate) async fn wait_until(&self, mut condition: impl FnMut() -> bool) {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable(); // before the look, so that nothing falls between
            if condition() {
                return;
            }
            changed.await;
        }
    }

    /// Sleeps until the clock has moved so far, woken early when a test advances it.
    pub(crate) async fn sleep(&self, millis: u64) {
        let until = self.now().saturating_add_unsigned(millis);
        while let Ok(left @ 1..) = u64::try_from(until - self.now()) {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(left)) => {}
                () = self.wait_until(|| self.now() >= until) => {}
            }
        }
    }
}
