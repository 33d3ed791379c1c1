//! The watch of the objects of one namespace or all: a store that it keeps up to date, from the start of the process on, and
//! the objects to look at, once this process leads.

use std::time::Duration;

use futures::TryStreamExt;
use futures::stream::{self, BoxStream, StreamExt};
use kube::Api;
use kube::runtime::reflector::Store;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt, reflector, watcher};

use tokio::time::Instant;

use super::permission::Permission;

/// A dead connection to the API server is noticed after this long at most, in seconds.
const WATCH_LIMIT: u32 = 30;

/// What goes on failing is not told each time.
const BETWEEN_WARNINGS: Duration = Duration::from_mins(1);

/// A watch under way.
pub struct Watch {
    events: BoxStream<'static, Result<Event<Permission>, watcher::Error>>,
    /// Every object, as last seen.
    pub store: Store<Permission>,
}

impl Watch {
    /// Begins when it is first followed.
    pub fn new(api: Api<Permission>) -> Self {
        let writer = Writer::new(());
        let store = writer.as_reader();
        let watch = watcher(api, watcher::Config::default().timeout(WATCH_LIMIT)).default_backoff();
        let mut told: Option<Instant> = None;
        let events = reflector(writer, watch).inspect_err(move |error| {
            // It is tried again at once, and then more seldom.
            if told.is_none_or(|told| told.elapsed() >= BETWEEN_WARNINGS) {
                told = Some(Instant::now());
                let hint = "is the definition installed, and may EventBusPermissions be listed and watched?";
                tracing::warn!(%error, hint, "the objects can't be watched; tried again");
            }
        });
        Self { events: events.boxed(), store }
    }

    /// Keeps the store up to date, and does nothing else, for ever.
    pub async fn follow(&mut self) {
        while self.events.next().await.is_some() {}
    }

    /// The objects to look at: all there are, and then those that change. `notice` is shown every event.
    pub fn objects(
        self,
        notice: impl Fn(&Event<Permission>) + Send + 'static,
    ) -> BoxStream<'static, Result<Permission, watcher::Error>> {
        let store = self.store.clone();
        let all = move || stream::iter(store.state()).map(|object| Ok((*object).clone())).boxed();
        let seen = all();
        let changed = self.events.flat_map(move |event| match event {
            Ok(event) => {
                notice(&event);
                match event {
                    Event::Apply(object) => stream::iter([Ok(object)]).boxed(),
                    // A list may have begun before anybody looked.
                    Event::InitDone => all(),
                    Event::Init | Event::InitApply(_) | Event::Delete(_) => stream::empty().boxed(),
                }
            }
            Err(error) => stream::iter([Err(error)]).boxed(),
        });
        seen.chain(changed).boxed()
    }
}
