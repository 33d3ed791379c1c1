//! Watches `EventBusPermission` objects and makes the policy of each bus hold what they say.
//!
//! An object that changed asks the worker of its bus for a flight ([`worker`]); one flight serves every object of the bus
//! ([`roster`]): observe, plan, apply and verify ([`flight`]), and then report ([`judge`], [`status`], [`report`]).
//! The [`mod@sweep`] finds what others changed. Nothing here names AWS: the service is an [`crate::port::EventBuses`].

mod apply;
pub mod backoff;
mod confirm;
pub mod context;
pub mod flight;
pub mod foreign;
pub mod gauges;
pub mod health;
pub mod index;
pub mod judge;
pub mod kept;
mod known;
pub mod kubernetes;
pub mod leadership;
pub mod lease;
pub mod ledger;
mod lessons;
pub mod memory;
pub mod metrics;
pub mod permission;
mod process;
pub mod quarantine;
pub mod rate;
pub mod reconcile;
pub mod report;
pub mod retry;
pub mod roster;
mod seen;
pub mod series;
pub mod service;
pub mod settings;
pub mod standing;
pub mod statements;
pub mod status;
pub mod sweep;
pub mod vanish;
pub mod watch;
pub mod worker;
pub mod writes;

use futures::future::{join_all, select};
use futures::{FutureExt, StreamExt};
use kube::Api;
use kube::runtime::controller::{Config, Controller};
use kube::runtime::events::{Recorder, Reporter};
use std::future::Future;
use std::sync::{Arc, Weak};

use self::context::Context;
use self::gauges::Observed;
use self::health::Health;
use self::metrics::Metrics;
use self::settings::Settings;
use self::watch::Watch;
use crate::port::EventBuses;

/// Watches from now on, acts when `leads` comes, and runs until `stop` comes and what is under way is finished.
pub async fn run<B: EventBuses>(
    buses: B,
    client: kube::Client,
    settings: Settings,
    metrics: Metrics,
    health: Health,
    leads: impl Future<Output = ()>,
    stop: impl Future<Output = ()> + Send + Sync + 'static,
) {
    let stop = stop.shared();
    let mut watches: Vec<Watch> = match settings.namespaces.as_slice() {
        [] => vec![Watch::new(Api::all(client.clone()))],
        some => some.iter().map(|namespace| Watch::new(Api::namespaced(client.clone(), namespace))).collect(),
    };
    let stores: Vec<_> = watches.iter().map(|watch| watch.store.clone()).collect();
    health.needs(stores.clone());
    tokio::select! {
        () = leads => {}
        () = stop.clone() => return,
        // They never end: a standby takes over with what it has seen.
        _ = join_all(watches.iter_mut().map(Watch::follow)) => {}
    }
    let reporter = Reporter { controller: "busgrant".to_owned(), instance: None };
    let recorder = Recorder::new(client.clone(), reporter);
    let context = Context::new(buses, client, settings, stores, metrics, recorder, health.leadership);
    let context = Arc::new(context);
    let observed: Weak<dyn Observed> = Arc::<Context<B>>::downgrade(&context);
    context.metrics.look_at(observed);
    act(context, watches, stop).await;
}

/// Serves the objects until `stop` comes, then finishes what is under way.
async fn act<B: EventBuses>(
    context: Arc<Context<B>>,
    watches: Vec<Watch>,
    stop: impl Future<Output = ()> + Clone + Send + Sync + 'static,
) {
    // Asked for at once, so that the first change does not have to wait; a failure is told by the objects.
    let first = Arc::clone(&context);
    tokio::spawn(async move { first.identity().await.map(drop) });
    let sweep = sweep::sweep(Arc::clone(&context)).boxed();
    let controllers = watches.into_iter().map(|watch| {
        let store = watch.store.clone();
        let noticing = Arc::clone(&context);
        let objects = watch.objects(move |event| noticing.notice(event));
        let controller = Controller::for_stream(objects, store)
            .with_config(Config::default().concurrency(context.settings.concurrency))
            .graceful_shutdown_on(stop.clone());
        let results = controller.run(
            reconcile::reconcile,
            |object, error, context| reconcile::after_error(&object, error, &context),
            Arc::clone(&context),
        );
        results.for_each(|result| {
            if let Err(error) = result {
                tracing::debug!(%error, "watch");
            }
            std::future::ready(())
        })
    });
    let controllers = join_all(controllers);
    // kube's controller does not end before it has seen all objects: until then nothing is under way.
    let early_stop = async {
        stop.clone().await;
        if context.are_stores_filled() {
            std::future::pending::<()>().await;
        }
    };
    select(sweep, select(controllers, early_stop.boxed()).boxed()).await;
    // Flights that nobody waits for end too, and no more begin.
    context.end();
    let _closed = context.flights.write().await;
}
