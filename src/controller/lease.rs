//! One leader per owner, by a Lease: taken and renewed only against the resource version that was read, given up when it
//! can no longer be proved, released on a graceful end.
//!
//! A holder is taken for gone when its record has not changed for the lease's duration by our own clock, so that clocks
//! may differ, though not their pace (as in client-go's leader election).

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease as Record, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Api;
use kube::api::PostParams;
use tokio::time::{Instant, sleep, timeout};

use super::kubernetes::{Error, bounded};

/// How long a holder that says nothing is believed to be there.
const DURATION: Duration = Duration::from_secs(15);
/// How long a holder that can't renew goes on. It is over well before others may take the lease.
const DEADLINE: Duration = Duration::from_secs(10);
/// How often it is renewed, or tried for.
const PERIOD: Duration = Duration::from_secs(2);

/// The lease of one owner, tried for by one process.
pub struct Lease {
    api: Api<Record>,
    name: String,
    identity: String,
}

impl Lease {
    /// The lease of that name; `identity` must differ between processes.
    pub fn new(client: kube::Client, namespace: &str, name: String, identity: String) -> Self {
        Self { api: Api::namespaced(client, namespace), name, identity }
    }

    /// Waits until the lease is ours; gives the time from which it is proved to be.
    pub async fn acquire(&self) -> Instant {
        let mut seen: Option<(Option<LeaseSpec>, Instant)> = None;
        loop {
            let asked = Instant::now();
            match self.try_for(&mut seen).await {
                Ok(true) => {
                    tracing::info!(lease = self.name, identity = self.identity, "leads");
                    return asked;
                }
                Ok(false) => {}
                Err(error) => tracing::debug!(lease = self.name, %error, "not acquired"),
            }
            sleep(PERIOD).await;
        }
    }

    /// Renews the lease for as long as it can be proved to be ours, and comes back when it no longer can.
    pub async fn keep(&self, mut proved: Instant) {
        loop {
            sleep(PERIOD).await;
            let left = DEADLINE.saturating_sub(proved.elapsed());
            let asked = Instant::now();
            match timeout(left, self.renew()).await {
                Ok(Ok(true)) => proved = asked,
                Ok(Ok(false)) => return tracing::error!(lease = self.name, "somebody else leads"),
                Ok(Err(error)) => tracing::warn!(lease = self.name, %error, "not renewed"),
                Err(_) => {}
            }
            if proved.elapsed() >= DEADLINE {
                return tracing::error!(lease = self.name, "the lease could not be renewed in time");
            }
        }
    }

    /// Gives the lease up, so that the next need not wait.
    pub async fn release(&self) {
        let released = async {
            let Some(mut record) = bounded(self.api.get_opt(&self.name)).await? else {
                return Ok(());
            };
            if holder(&record) == Some(&self.identity) {
                record.spec.get_or_insert_default().holder_identity = None;
                self.replace(&record).await?;
            }
            Ok::<(), Error>(())
        };
        if let Err(error) = released.await {
            tracing::warn!(lease = self.name, %error, "not released");
        }
    }

    async fn try_for(&self, seen: &mut Option<(Option<LeaseSpec>, Instant)>) -> Result<bool, Error> {
        let Some(mut record) = bounded(self.api.get_opt(&self.name)).await? else {
            let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
            let record = Record { metadata, spec: Some(self.held(None)) };
            return bounded(self.api.create(&PostParams::default(), &record)).await.map(|_| true);
        };
        if seen.as_ref().is_none_or(|(spec, _)| *spec != record.spec) {
            *seen = Some((record.spec.clone(), Instant::now()));
        }
        let silent = seen.as_ref().is_some_and(|(_, since)| since.elapsed() >= DURATION);
        if holder(&record).is_some() && !silent {
            return Ok(false);
        }
        record.spec = Some(self.held(record.spec.as_ref()));
        self.replace(&record).await.map(|()| true)
    }

    async fn renew(&self) -> Result<bool, Error> {
        let Some(mut record) = bounded(self.api.get_opt(&self.name)).await? else {
            return Ok(false);
        };
        if holder(&record) != Some(&self.identity) {
            return Ok(false);
        }
        record.spec.get_or_insert_default().renew_time = Some(MicroTime(Timestamp::now()));
        self.replace(&record).await.map(|()| true)
    }

    /// Refused by the API server where anybody wrote since the record was read.
    async fn replace(&self, record: &Record) -> Result<(), Error> {
        bounded(self.api.replace(&self.name, &PostParams::default(), record)).await.map(drop)
    }

    fn held(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let now = Some(MicroTime(Timestamp::now()));
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: now.clone(),
            renew_time: now,
            lease_transitions: Some(before.and_then(|spec| spec.lease_transitions).map_or(0, |count| count + 1)),
            ..LeaseSpec::default()
        }
    }
}

fn holder(record: &Record) -> Option<&String> {
    record.spec.as_ref()?.holder_identity.as_ref().filter(|holder| !holder.is_empty())
}
