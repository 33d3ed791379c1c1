//! One leader per owner, by a Lease: taken and renewed only against the resource version that was read, given up when it
//! can no longer be proved, released on a graceful end.
//!
//! A holder is taken for gone when its record has not changed for the lease's duration by our own clock, so that clocks
//! may differ (as in client-go's leader election). kube-lease-manager does not say when the lease was last proved, which
//! [`Leadership`] has to know before every write.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease as Record, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Api;
use kube::api::PostParams;
use tokio::time::{Instant, sleep, timeout};

use super::kubernetes::{Error, bounded};
use super::leadership::{Leadership, Moment};

/// The times of a lease, as client-go names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// How long a holder that says nothing is believed to be there.
    pub duration: Duration,
    /// How long a holder that can't renew goes on.
    pub renew_deadline: Duration,
    /// How often it is renewed, or tried for.
    pub retry_period: Duration,
}

impl Terms {
    /// How long after the lease was proved a call may begin that takes as long as `call` at most: it is over before anybody
    /// else may lead.
    ///
    /// # Errors
    ///
    /// Says which times don't fit together.
    pub fn good_for(self, call: Duration) -> Result<Duration, String> {
        let Self { duration, renew_deadline, retry_period } = self;
        if renew_deadline >= duration {
            return Err(format!("--lease-renew-deadline must be shorter than --lease-duration, {duration:?}"));
        }
        let longest = duration.saturating_sub(retry_period * 2);
        if retry_period * 2 > renew_deadline {
            return Err(format!(
                "--lease-retry-period must be at most half of --lease-renew-deadline, {renew_deadline:?}"
            ));
        }
        if call > longest {
            return Err(format!(
                "--aws-call-timeout must be at most {longest:?}, so that a call is over before another replica may lead \
                 (--lease-duration less two of --lease-retry-period)"
            ));
        }
        Ok(renew_deadline.min(duration.saturating_sub(call)))
    }
}

/// The lease of one owner, tried for by one process.
pub struct Lease {
    api: Api<Record>,
    name: String,
    identity: String,
    terms: Terms,
    leadership: Leadership,
}

impl Lease {
    /// The lease of that name; `identity` must differ between processes. What is proved is told to `leadership`.
    pub fn new(
        client: kube::Client,
        namespace: &str,
        name: String,
        identity: String,
        terms: Terms,
        leadership: Leadership,
    ) -> Self {
        Self { api: Api::namespaced(client, namespace), name, identity, terms, leadership }
    }

    /// Waits until the lease is ours.
    pub async fn acquire(&self) {
        let mut seen: Option<(Option<LeaseSpec>, Instant)> = None;
        loop {
            let asked = Moment::now();
            match timeout(self.attempt(), self.try_for(&mut seen)).await {
                Ok(Ok(true)) => {
                    self.leadership.prove(asked);
                    tracing::info!(lease = self.name, identity = self.identity, "leads");
                    return;
                }
                Ok(Ok(false)) => {}
                Ok(Err(error)) => tracing::debug!(lease = self.name, %error, "not acquired"),
                Err(_) => tracing::debug!(lease = self.name, "not acquired: no answer"),
            }
            // One that says nothing is taken over the moment it may be.
            let silent_at = seen.as_ref().map(|(_, since)| *since + self.terms.duration);
            let left = silent_at.map_or(self.terms.retry_period, |at| at.saturating_duration_since(Instant::now()));
            sleep(left.clamp(Duration::from_millis(50), self.terms.retry_period)).await;
        }
    }

    /// Renews the lease for as long as it can be proved to be ours, and comes back when it no longer can.
    pub async fn keep(&self) {
        let Some(mut proved) = self.leadership.proved().map(Moment::instant) else { return };
        loop {
            sleep(self.terms.retry_period).await;
            let left = self.terms.renew_deadline.saturating_sub(proved.elapsed());
            let asked = Moment::now();
            match timeout(left.min(self.attempt()), self.renew()).await {
                Ok(Ok(true)) => {
                    self.leadership.prove(asked);
                    proved = asked.instant();
                }
                Ok(Ok(false)) => {
                    self.leadership.give_up();
                    return tracing::error!(lease = self.name, "somebody else leads");
                }
                Ok(Err(error)) => tracing::warn!(lease = self.name, %error, "not renewed"),
                Err(_) => tracing::warn!(lease = self.name, "not renewed: no answer"),
            }
            if proved.elapsed() >= self.terms.renew_deadline {
                self.leadership.give_up();
                return tracing::error!(lease = self.name, "the lease could not be renewed in time");
            }
        }
    }

    /// Gives the lease up, so that the next need not wait. Nothing is written after it.
    pub async fn release(&self) {
        self.leadership.give_up();
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

    /// The longest that one try may take: a connection that died leaves time for another.
    fn attempt(&self) -> Duration {
        self.terms.renew_deadline / 2
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
        let silent = seen.as_ref().is_some_and(|(_, since)| since.elapsed() >= self.terms.duration);
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
            lease_duration_seconds: i32::try_from(self.terms.duration.as_secs().max(1)).ok(),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(duration: u64, renew_deadline: u64, retry_period: u64) -> Terms {
        let [duration, renew_deadline, retry_period] =
            [duration, renew_deadline, retry_period].map(Duration::from_secs);
        Terms { duration, renew_deadline, retry_period }
    }

    #[test]
    fn a_call_that_begins_while_the_lease_is_proved_ends_before_another_may_lead() {
        let usual = terms(15, 10, 2);
        for call in [1, 5, 10, 11] {
            let call = Duration::from_secs(call);
            let good_for = usual.good_for(call).unwrap();
            assert!(
                good_for + call <= usual.duration
                    && good_for <= usual.renew_deadline
                    && good_for >= Duration::from_secs(4)
            );
        }
        for (wrong, call, what) in [
            (usual, 12, "--aws-call-timeout must be at most 11s"),
            (terms(10, 10, 2), 1, "--lease-renew-deadline must be shorter than --lease-duration, 10s"),
            (terms(15, 10, 6), 1, "--lease-retry-period must be at most half of --lease-renew-deadline, 10s"),
        ] {
            let said = wrong.good_for(Duration::from_secs(call)).unwrap_err();
            assert!(said.starts_with(what), "{said}");
        }
    }
}
