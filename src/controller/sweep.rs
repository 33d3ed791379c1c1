//! The look over all buses: one paged list for each account and Region, whatever the number of objects. It finds buses whose
//! policy is not what the last flight read, and at the start those that are as they should be; plans are made on reads of
//! the one bus.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use busgrant_policy::{AccountId, BusArn, Region};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use super::backoff::jittered;
use super::context::Context;
use super::memory::LastRead;
use crate::port::{BusError, BusState, EventBuses, Identity, RetryClass};

type Place = (AccountId, Region);
/// The policy of each bus, by the bus's ARN.
type Policies = HashMap<String, Option<String>>;

/// What the buses of each account and Region held when this process began to act, and when that was asked.
#[derive(Debug, Default)]
pub struct FirstLook(Mutex<HashMap<Place, (Instant, Policies)>>);

impl<B: EventBuses> Context<B> {
    /// What a bus held when this process began to act, each bus told of once: the first that asks has all of its account
    /// and Region listed. Nothing where the list failed, or long after the start.
    pub async fn first_look(&self, bus: &BusArn) -> Option<LastRead> {
        if self.started.elapsed() >= self.settings.outcome_wait {
            return None;
        }
        let place = (bus.account().clone(), bus.region().clone());
        let mut lists = self.first_look.0.lock().await;
        if !lists.contains_key(&place) {
            let asked = Instant::now();
            let policies = self.list(&place).await.unwrap_or_default();
            lists.insert(place.clone(), (asked, policies));
        }
        let (asked, policies) = lists.get_mut(&place)?;
        let policy = policies.remove(&bus.to_string())?;
        Some(LastRead { policy, at: *asked })
    }

    async fn list(&self, (account, region): &Place) -> Result<Policies, BusError> {
        let answer = self.service.list(account, region).await;
        if let Err(error) = &answer {
            tracing::warn!(%account, %region, %error, "the buses can't be looked over by one call");
        }
        Ok(answer?.into_iter().map(|BusState { arn, policy }| (arn, policy)).collect())
    }
}

/// Looks over the buses at every interval, for ever; the first time when no call of a predecessor may take effect any more.
pub async fn sweep<B: EventBuses>(context: Arc<Context<B>>) {
    let interval = context.settings.sweep_interval;
    let mut pause = jittered_interval(interval).min(context.settings.outcome_wait);
    loop {
        sleep(pause).await;
        sweep_once(&context).await;
        pause = jittered_interval(interval);
    }
}

/// Between nine and ten tenths of the interval, so that installations do not all ask at once.
fn jittered_interval(interval: Duration) -> Duration {
    interval * 4 / 5 + jittered(interval / 5, 1, interval / 5)
}

async fn sweep_once<B: EventBuses>(context: &Arc<Context<B>>) {
    forget_what_is_gone(context).await;
    // Under other credentials, other buses would be seen.
    let Ok(Identity { account, .. }) = context.identity().await else { return };
    let mut places: BTreeMap<Place, Vec<_>> = BTreeMap::new();
    for (bus, worker) in context.workers().into_iter().filter(|(bus, _)| *bus.account() == account) {
        let place = (bus.account().clone(), bus.region().clone());
        places.entry(place).or_default().push((bus, worker));
    }
    for (place, workers) in places {
        match context.list(&place).await {
            // A bus that the list lacks is no proof of anything: the worker asks for it by name.
            Ok(policies) => {
                for (bus, worker) in &workers {
                    if worker.compare(policies.get(&bus.to_string())) {
                        context.metrics.confirmed(bus);
                    }
                }
            }
            // What is not allowed stays so: the buses are asked one by one, and their objects say what is missing.
            Err(error) if error.class == RetryClass::Denied => {
                for (_, worker) in &workers {
                    worker.compare(None);
                }
            }
            Err(error) if error.class == RetryClass::NoCredentials => context.forget_identity().await,
            Err(_) => {}
        }
    }
}

async fn forget_what_is_gone<B: EventBuses>(context: &Context<B>) {
    let objects: Vec<_> = context.objects().inspect(|object| context.ledger.shown(object)).collect();
    let present: HashSet<&str> = objects.iter().map(|object| object.uid()).collect();
    let is_there = |uid: &str| present.contains(uid);
    context.ledger.retain(is_there);
    context.quarantine.retain(is_there);
    context.retain_held(is_there);
    context.index.retain(|key| context.object(key).is_some());
    context.retire_workers(|bus| context.index.has_any(bus));
    if context.started.elapsed() >= context.settings.outcome_wait {
        context.first_look.0.lock().await.clear();
    }
}
