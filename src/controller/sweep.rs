//! The look over all buses: one paged list for each Region, whatever the number of objects. It only finds buses whose policy
//! is not what the last flight read; plans are made on reads of the one bus.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use busgrant_policy::{Document, Region};
use tokio::time::sleep;

use super::backoff::jittered;
use super::context::Context;
use crate::port::{BusState, EventBuses, Identity, RetryClass};

/// Looks over the buses at every interval, for ever.
pub async fn sweep<B: EventBuses>(context: Arc<Context<B>>) {
    loop {
        // Between nine and ten tenths of the interval, so that installations do not all ask at once.
        let interval = context.settings.sweep_interval;
        sleep(interval * 4 / 5 + jittered(interval / 5, 1, interval / 5)).await;
        sweep_once(&context).await;
    }
}

async fn sweep_once<B: EventBuses>(context: &Arc<Context<B>>) {
    let present: HashSet<String> = context.objects().map(|object| object.uid().to_owned()).collect();
    context.ledger.retain(|uid| present.contains(uid));
    context.retain_held(|uid| present.contains(uid));
    // Under other credentials, other buses would be seen.
    let Ok(Identity { account, .. }) = context.identity().await else { return };
    let mut regions: BTreeMap<Region, Vec<_>> = BTreeMap::new();
    for (bus, worker) in context.workers().into_iter().filter(|(bus, _)| *bus.account() == account) {
        regions.entry(bus.region().clone()).or_default().push((bus, worker));
    }
    for (region, workers) in regions {
        let answer = context.buses.list(&region).await;
        context.metrics.call("ListEventBuses", answer.as_ref().err());
        match answer {
            Ok(buses) => {
                let policies: BTreeMap<String, BusState> =
                    buses.into_iter().map(|bus| (bus.arn.clone(), bus)).collect();
                for (bus, worker) in workers {
                    // A bus that the list lacks is no proof of anything: the worker asks for it by name.
                    let listed = policies.get(&bus.to_string());
                    worker.compare(listed.and_then(|state| Document::parse(state.policy.as_deref()).ok()).as_ref());
                }
            }
            Err(error) => {
                tracing::warn!(%region, %error, "the buses can't be looked over by one call");
                if error.class == RetryClass::NoCredentials {
                    context.forget_identity().await;
                }
                // What is not allowed stays so: the buses are asked one by one, and their objects say what is missing.
                if error.class == RetryClass::Denied {
                    for (_, worker) in workers {
                        worker.compare(None);
                    }
                }
            }
        }
    }
}
