//! `busgrant controller`: flags to settings, clients, the lease, and the end on a signal.

use std::future::{Future, pending, ready};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use busgrant_policy::{AccountId, Owner};
use clap::Args;
use futures::FutureExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client, Config};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use super::allowed::Allowed;
use super::log::{self, Format};
use super::serve::serve;
use crate::api::naming::default_owner;
use crate::aws::Aws;
use crate::controller;
use crate::controller::health::Health;
use crate::controller::kubernetes::bounded;
use crate::controller::leadership::Leadership;
use crate::controller::lease::{Lease, Terms};
use crate::controller::metrics::Metrics;
use crate::controller::settings::Settings;
use crate::port::{EventBuses, RetryClass};

/// The longest that a connection to the API server may be silent: a watch is ended by it after 30 s.
const SILENCE: Duration = Duration::from_secs(45);

/// What the controller is told when it starts.
#[derive(Debug, Args)]
pub(super) struct Flags {
    /// The part of every statement id that makes it this installation's: 1 to 8 of a-z and 0-9. By default made from the
    /// cluster's identity; set it again after a rebuild, so that the statements stay owned.
    #[arg(long, env = "BUSGRANT_OWNER")]
    owner: Option<Owner>,

    /// The AWS account that the credentials must belong to. The controller refuses to start with others.
    #[arg(long, env = "BUSGRANT_ACCOUNT_ID")]
    account_id: Option<AccountId>,

    /// Serve these namespaces only, separated by commas; requires --owner. By default all.
    #[arg(long, env = "BUSGRANT_WATCH_NAMESPACES", value_delimiter = ',', requires = "owner")]
    watch_namespaces: Vec<String>,

    /// How often the buses are looked over for changes by others, such as 60s or 5m.
    #[arg(long, env = "BUSGRANT_SWEEP_INTERVAL", default_value = "60s", value_parser = interval)]
    sweep_interval: Duration,

    #[command(flatten)]
    allowed: Allowed,

    /// The longest that a call to AWS may take before it is given up; it may take effect all the same.
    #[arg(long, env = "BUSGRANT_AWS_CALL_TIMEOUT", default_value = "10s", value_parser = duration)]
    aws_call_timeout: Duration,

    /// How long after it was sent a call without an answer may still take effect; longer than --aws-call-timeout.
    #[arg(long, env = "BUSGRANT_OUTCOME_WAIT", default_value = "30s", value_parser = duration)]
    outcome_wait: Duration,

    /// How many calls a second are made to EventBridge in one account and Region. AWS allows 50, which everything in the
    /// account shares.
    #[arg(long, env = "BUSGRANT_AWS_REQUESTS_PER_SECOND", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    aws_requests_per_second: u32,

    /// How many objects are worked on at a time.
    #[arg(long, env = "BUSGRANT_CONCURRENCY", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,

    /// Where /metrics, /healthz, /readyz and /log are served, such as 0.0.0.0:8080; port 0 takes a free one. By default nowhere.
    #[arg(long, env = "BUSGRANT_METRICS_ADDR", default_value = "", hide_default_value = true)]
    metrics_addr: String,

    /// Whether /metrics tells the conditions of every object by series of their own.
    #[arg(long, env = "BUSGRANT_METRICS_PER_OBJECT", num_args = 0..=1, default_value_t = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    metrics_per_object: bool,

    /// Act only while holding the Lease of this owner, so that several replicas may run.
    #[arg(long, env = "BUSGRANT_LEADER_ELECT", num_args = 0..=1, default_value_t = false, default_missing_value = "true", action = clap::ArgAction::Set)]
    leader_elect: bool,

    /// The namespace of that Lease. By default the one that the controller runs in.
    #[arg(long, env = "BUSGRANT_LEASE_NAMESPACE")]
    lease_namespace: Option<String>,

    /// How long a leader that says nothing is believed to be there, before another replica takes over.
    #[arg(long, env = "BUSGRANT_LEASE_DURATION", default_value = "15s", value_parser = duration)]
    lease_duration: Duration,

    /// How long a leader that can't renew its Lease goes on before it ends; shorter than --lease-duration.
    #[arg(long, env = "BUSGRANT_LEASE_RENEW_DEADLINE", default_value = "10s", value_parser = duration)]
    lease_renew_deadline: Duration,

    /// How often the Lease is renewed, or tried for.
    #[arg(long, env = "BUSGRANT_LEASE_RETRY_PERIOD", default_value = "2s", value_parser = duration)]
    lease_retry_period: Duration,

    /// Logs as text for people or as JSON.
    #[arg(long, env = "BUSGRANT_LOG_FORMAT", default_value = "text", value_enum)]
    log_format: Format,

    /// What is logged, as a filter such as info or busgrant=debug,kube=warn. PUT to /log changes it while the controller
    /// runs. At info, the AWS SDK's own `aws_config` logs the id of the access key that it found.
    #[arg(long, env = "BUSGRANT_LOG", default_value = "info,aws_config=warn,aws_config::imds=error")]
    log: String,
}

/// Runs the controller until a signal ends it.
pub(super) async fn run(flags: Flags) -> anyhow::Result<()> {
    let (filter, _traces) = log::start(flags.log_format, &flags.log)?;
    let terms = flags.terms();
    let leadership = if flags.leader_elect {
        Leadership::by_lease(terms.good_for(flags.aws_call_timeout).map_err(anyhow::Error::msg)?)
    } else {
        Leadership::alone()
    };
    let asked = leadership.clone();
    let aws = Aws::from_environment(flags.aws_call_timeout, Arc::new(move || asked.may_write()), None).await;
    ensure!(
        flags.outcome_wait > aws.call_limit(),
        "--outcome-wait must be longer than a call may take, {:?} (--aws-call-timeout)",
        aws.call_limit()
    );
    let metrics = Metrics::new(flags.metrics_per_object);
    let health = Health::new(leadership.clone());
    serve(&flags.metrics_addr, metrics.clone(), health.clone(), filter).await?;
    check_account(&aws, flags.account_id.as_ref()).await?;
    let client = kubernetes_client().await?;
    let owner = match &flags.owner {
        Some(owner) => owner.clone(),
        None => cluster_owner(&client).await?,
    };
    let leader_elect = flags.leader_elect;
    let lease_namespace = flags.lease_namespace.clone();
    let settings = flags.settings(owner);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), owner = %settings.owner, "busgrant controller starts");
    let stop = stop_signal()?.shared();
    if !leader_elect {
        controller::run(aws, client, settings, metrics, health, ready(()), stop).await;
        return Ok(());
    }
    metrics.tell_leadership(lease_name(&settings.owner), leadership.clone());
    let lease = lease(&client, lease_namespace, lease_name(&settings.owner), terms, leadership);
    let (acquired, leads) = oneshot::channel();
    let acquire = async {
        lease.acquire().await;
        let _ = acquired.send(());
    };
    let keep = async {
        match leads.await {
            Ok(()) => lease.keep().await,
            Err(_) => pending().await,
        }
    };
    tokio::select! {
        () = controller::run(aws, client, settings, metrics, health, acquire, stop) => lease.release().await,
        // Whatever is under way ends with this process: somebody else may lead soon.
        () = keep => bail!("no longer leads"),
    }
    Ok(())
}

impl Flags {
    fn terms(&self) -> Terms {
        Terms {
            duration: self.lease_duration,
            renew_deadline: self.lease_renew_deadline,
            retry_period: self.lease_retry_period,
        }
    }

    fn settings(self, owner: Owner) -> Settings {
        Settings {
            owner,
            account: self.account_id,
            namespaces: self.watch_namespaces,
            consent: self.allowed.consent(),
            document_writes: self.allowed.document_writes(),
            policy_quota: self.allowed.policy_quota,
            sweep_interval: self.sweep_interval,
            outcome_wait: self.outcome_wait,
            requests_per_second: self.aws_requests_per_second,
            concurrency: self.concurrency,
        }
    }
}

fn stop_signal() -> anyhow::Result<impl Future<Output = ()> + Send + Sync + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        tracing::info!("stops: finishing what is under way");
    })
}

fn lease_name(owner: &Owner) -> String {
    format!("busgrant-{owner}")
}

fn lease(client: &Client, namespace: Option<String>, name: String, terms: Terms, leadership: Leadership) -> Lease {
    let namespace = namespace.unwrap_or_else(|| client.default_namespace().to_owned());
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "busgrant".to_owned());
    let started = jiff::Timestamp::now().as_nanosecond();
    let identity = format!("{host}_{}_{started}", std::process::id());
    Lease::new(client.clone(), &namespace, name, identity, terms, leadership)
}

/// The wrong account stops the start. Missing credentials do not: the objects say what is missing until they come.
async fn check_account(aws: &Aws, wanted: Option<&AccountId>) -> anyhow::Result<()> {
    let Some(wanted) = wanted else { return Ok(()) };
    match aws.identity().await {
        Ok(identity) if identity.account != *wanted => {
            bail!("the credentials belong to account {}, and --account-id says {wanted}", identity.account)
        }
        Err(error) if error.class == RetryClass::NoCredentials => {
            tracing::warn!(%error, "no AWS credentials yet");
            Ok(())
        }
        Err(error) => {
            tracing::warn!(%error, "the account can't be checked yet");
            Ok(())
        }
        Ok(_) => Ok(()),
    }
}

/// kube repeats every failed request 15 times by default, writes too, and waits for answers without a limit. Here every call
/// is one attempt, and a silent connection is given up some time after the API server should have ended a watch.
async fn kubernetes_client() -> anyhow::Result<Client> {
    let mut config = Config::infer().await.context("no Kubernetes: set KUBECONFIG, or run in a Pod")?;
    config.default_retry = false;
    config.read_timeout = Some(SILENCE);
    config.reset_reader_on_write = true;
    Client::try_from(config).context("the Kubernetes configuration can't be used")
}

async fn cluster_owner(client: &Client) -> anyhow::Result<Owner> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let answer = bounded(namespaces.get("kube-system")).await;
    let namespace = answer.context("the namespace kube-system can't be read to make an owner from: set --owner")?;
    Ok(default_owner(namespace.metadata.uid.as_deref().unwrap_or_default())?)
}

const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
/// No time that is set here makes sense beyond a day.
const LONGEST: Duration = Duration::from_hours(24);

/// The time between two looks over all buses, which cost calls that the account shares.
fn interval(text: &str) -> Result<Duration, String> {
    let duration = duration(text)?;
    if duration < SHORTEST_INTERVAL { Err(format!("must be at least {SHORTEST_INTERVAL:?}")) } else { Ok(duration) }
}

/// A number with ms, s, m or h behind it; alone it means seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let must = || "must be a whole number with ms, s, m or h behind it, such as 60s".to_owned();
    let unit = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..unit].parse().map_err(|_| must())?;
    let duration = match &text[unit..] {
        "ms" => Duration::from_millis(number),
        "s" | "" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.saturating_mul(60)),
        "h" => Duration::from_secs(number.saturating_mul(3600)),
        _ => return Err(must()),
    };
    match duration {
        Duration::ZERO => Err("must be longer than nothing".to_owned()),
        _ if duration > LONGEST => Err("must be at most 24h".to_owned()),
        _ => Ok(duration),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_whole_numbers_of_a_unit() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("5"), Ok(Duration::from_secs(5)));
        assert_eq!(duration("2m"), Ok(Duration::from_mins(2)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("24h"), Ok(Duration::from_hours(24)));
        for wrong in ["", "s", "1d", "0s", "-1s", "1.5s", "25h", "99999999999h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
