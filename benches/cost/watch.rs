//! What anybody sees who watches the objects: when each was Ready, for which generation, and what its status said then.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::Context as _;
use futures::StreamExt;
use kube::api::{Api, DynamicObject};
use kube::runtime::watcher::{self, Event, watcher};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use super::operator::PATIENCE;

/// An object that said Ready.
#[derive(Debug, Clone)]
pub(crate) struct Ready {
    pub(crate) at: Instant,
    pub(crate) generation: i64,
    /// The first status that said so of this generation.
    pub(crate) status: Value,
}

/// A watch over all objects. It ends with this.
pub(crate) struct Watch {
    seen: Arc<Seen>,
    task: AbortHandle,
}

#[derive(Default)]
struct Seen {
    ready: Mutex<(HashMap<String, Ready>, u64)>,
    changed: Notify,
}

impl Watch {
    /// Watches from now on.
    pub(crate) fn start(api: Api<DynamicObject>) -> Self {
        let seen = Arc::new(Seen::default());
        let watching = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            let mut events = watcher(api, watcher::Config::default()).boxed();
            while let Some(event) = events.next().await {
                match event {
                    Ok(Event::Apply(object) | Event::InitApply(object)) => watching.see(&object),
                    Ok(_) => {}
                    Err(error) => eprintln!("watch: {error}"),
                }
            }
        });
        Self { seen, task: task.abort_handle() }
    }

    /// How many changes of objects it has seen.
    pub(crate) fn changes(&self) -> u64 {
        self.seen.look(|_, changes| *changes)
    }

    /// How many objects are Ready as they were last seen to be.
    pub(crate) fn count(&self) -> usize {
        self.seen.look(|ready, _| ready.len())
    }

    /// Waits until an object is Ready for this generation or a later one.
    pub(crate) async fn ready(&self, name: &str, generation: i64) -> anyhow::Result<Ready> {
        let find =
            || self.seen.look(|ready, _| ready.get(name).filter(|ready| ready.generation >= generation).cloned());
        self.until(find).await.with_context(|| format!("{name} is not Ready"))
    }

    /// Waits until so many objects were Ready.
    pub(crate) async fn all_ready(&self, objects: usize) -> anyhow::Result<()> {
        self.until(|| (self.count() >= objects).then_some(())).await.with_context(|| format!("{} Ready", self.count()))
    }

    async fn until<T>(&self, find: impl Fn() -> Option<T>) -> Result<T, Elapsed> {
        let look = async {
            loop {
                let mut changed = std::pin::pin!(self.seen.changed.notified());
                changed.as_mut().enable(); // before the look, so that no event falls between
                if let Some(found) = find() {
                    return found;
                }
                changed.await;
            }
        };
        timeout(PATIENCE, look).await
    }
}

impl Seen {
    fn look<T>(&self, look: impl FnOnce(&mut HashMap<String, Ready>, &mut u64) -> T) -> T {
        let mut seen = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        let (ready, changes) = &mut *seen;
        look(ready, changes)
    }

    fn see(&self, object: &DynamicObject) {
        let at = Instant::now();
        let status = &object.data["status"];
        let conditions = status["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
        let is_ready = conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
        let told = status["observedGeneration"].as_i64();
        let (name, generation) = (object.metadata.name.clone(), object.metadata.generation);
        self.look(|ready, changes| {
            *changes += 1;
            let (Some(name), Some(generation)) = (name, generation) else { return };
            let is_new = ready.get(&name).is_none_or(|ready| ready.generation < generation);
            if is_ready && told == Some(generation) && is_new {
                ready.insert(name, Ready { at, generation, status: status.clone() });
            }
        });
        self.changed.notify_waiters();
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}
