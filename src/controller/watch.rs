//! The watch of the objects of one namespace or all: a store that it keeps up to date, from the start of the process on, and
//! the objects to look at, once this process leads.

use futures::stream::{self, BoxStream, StreamExt};
use kube::Api;
use kube::runtime::reflector::Store;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt, reflector, watcher};

use super::permission::Permission;

/// A dead connection to the API server is noticed after this long at most, in seconds.
const WATCH_LIMIT: u32 = 30;

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
        Self { events: reflector(writer, watch).boxed(), store }
    }

    /// Keeps the store up to date, and does nothing else, for ever.
    pub async fn follow(&mut self) {
        while let Some(event) = self.events.next().await {
            if let Err(error) = event {
                tracing::debug!(%error, "watch");
            }
        }
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
