//! Watches `EventBusPermission` objects and makes the policy of each bus hold what they say.
//!
//! An object that changed asks the worker of its bus for a flight ([`worker`]); one flight serves every object of the bus
//! ([`roster`]): observe, plan, apply and verify ([`flight`]), and then report ([`judge`], [`status`], [`report`]).
//! The [`mod@sweep`] finds what others changed. Nothing here names AWS: the service is an [`crate::port::EventBuses`].

pub mod backoff;
mod confirm;
pub mod context;
pub mod flight;
pub mod foreign;
pub mod index;
pub mod judge;
pub mod kept;
mod known;
pub mod kubernetes;
pub mod lease;
pub mod ledger;
mod lessons;
pub mod memory;
pub mod metrics;
pub mod permission;
pub mod quarantine;
pub mod rate;
pub mod reconcile;
pub mod report;
pub mod retry;
pub mod roster;
pub mod service;
pub mod settings;
pub mod statements;
pub mod status;
pub mod sweep;
pub mod vanish;
pub mod worker;
pub mod writes;

use futures::future::{join_all, select};
use futures::{FutureExt, StreamExt, TryStreamExt};
use kube::Api;
use kube::runtime::controller::{Config, Controller};
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::store::Writer;
use kube::runtime::{WatchStreamExt, reflector, watcher};
use std::future::Future;
use std::sync::Arc;

use self::context::Context;
use self::metrics::Metrics;
use self::permission::Permission;
use self::settings::Settings;
use crate::port::EventBuses;

/// A dead connection to the API server is noticed after this long at most, in seconds.
const WATCH_LIMIT: u32 = 30;

/// Runs until `stop` comes, then finishes what is under way.
pub async fn run<B: EventBuses>(
    buses: B,
    client: kube::Client,
    settings: Settings,
    metrics: Metrics,
    stop: impl Future<Output = ()> + Send + Sync + 'static,
) {
    let stop = stop.shared();
    let apis: Vec<Api<Permission>> = match settings.namespaces.as_slice() {
        [] => vec![Api::all(client.clone())],
        some => some.iter().map(|namespace| Api::namespaced(client.clone(), namespace)).collect(),
    };
    let limits = Config::default().concurrency(settings.concurrency);
    let writers: Vec<Writer<Permission>> = apis.iter().map(|_| Writer::new(())).collect();
    let stores: Vec<_> = writers.iter().map(Writer::as_reader).collect();
    let reporter = Reporter { controller: "busgrant".to_owned(), instance: None };
    let recorder = Recorder::new(client.clone(), reporter);
    let context = Arc::new(Context::new(buses, client, settings, stores.clone(), metrics, recorder));
    // Asked for at once, so that the first change does not have to wait; a failure is told by the objects.
    let first = Arc::clone(&context);
    tokio::spawn(async move { first.identity().await.map(drop) });
    let sweep = sweep::sweep(Arc::clone(&context)).boxed();
    let watches = apis.into_iter().zip(writers).zip(stores).map(|((api, writer), store)| {
        let watch = reflector(writer, watcher(api, watcher::Config::default().timeout(WATCH_LIMIT)));
        let noticing = Arc::clone(&context);
        let watch = watch.inspect_ok(move |event| noticing.notice(event)).applied_objects();
        let controller = Controller::for_stream(watch, store);
        let controller = controller.with_config(limits.clone()).graceful_shutdown_on(stop.clone());
        let metrics = context.metrics.clone();
        let results = controller.run(
            reconcile::reconcile,
            |object, error, context| reconcile::after_error(&object, error, &context),
            Arc::clone(&context),
        );
        results.for_each(move |result| {
            match result {
                Ok(_) => metrics.reconcile("success"),
                Err(error) => tracing::debug!(%error, "watch"),
            }
            std::future::ready(())
        })
    });
    // kube's controller does not end before it has seen all objects: until then nothing is under way.
    let stopped = stop.clone();
    let early_stop = async {
        stopped.await;
        if context.are_stores_filled() {
            std::future::pending::<()>().await;
        }
    };
    select(sweep, select(join_all(watches), early_stop.boxed()).boxed()).await;
    // Flights that nobody waits for end too, and no more begin.
    context.end();
    let _closed = context.flights.write().await;
}
