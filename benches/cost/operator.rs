//! The program as a process: how it is started, and what the kernel and its own counters say of it.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

/// Longer than anything takes that is measured here.
pub(crate) const PATIENCE: Duration = Duration::from_mins(10);

/// The flag that says how many calls it may make; what has no such flag makes as many as it wants.
const RATE: &str = "--aws-requests-per-second";

/// A running operator. It ends with this.
pub(crate) struct Operator {
    child: Child,
    log: PathBuf,
    metrics: String,
    pub(crate) started: Instant,
}

/// Memory of a process, in KiB.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) resident: u64,
    pub(crate) most: u64,
}

/// Whether the program lets the rate of its calls be set.
pub(crate) fn has_rate() -> anyhow::Result<bool> {
    let help = Command::new(env!("CARGO_BIN_EXE_busgrant")).args(["controller", "--help"]).output()?;
    Ok(String::from_utf8_lossy(&help.stdout).contains(RATE))
}

impl Operator {
    /// Starts it as a user would, with this rate of calls instead of the default, and waits until it serves its counters.
    pub(crate) async fn start(kubeconfig: &Path, endpoint: &str, rate: Option<u32>) -> anyhow::Result<Self> {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let log = directory.join(format!("cost-{}.log", std::process::id()));
        let mut command = Command::new(env!("CARGO_BIN_EXE_busgrant"));
        command
            .env_clear()
            .args(["controller", "--owner", "bench", "--metrics-addr", "127.0.0.1:0"])
            .env("KUBECONFIG", kubeconfig)
            .env("AWS_ENDPOINT_URL", endpoint)
            .env("AWS_REGION", super::stage::REGION)
            .env("AWS_ACCESS_KEY_ID", super::stage::ACCOUNT)
            .env("AWS_SECRET_ACCESS_KEY", "unused")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("HOME", directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log)?);
        if let Some(rate) = rate.filter(|_| has_rate().unwrap_or(false)) {
            command.args([RATE, &rate.to_string()]);
        }
        let started = Instant::now();
        let child = command.spawn()?;
        let mut operator = Self { child, log, metrics: String::new(), started };
        while operator.metrics.is_empty() {
            operator.check(started)?;
            sleep(Duration::from_millis(10)).await;
            let log = fs::read_to_string(&operator.log)?;
            let serving = log.lines().find(|line| line.contains("serving /metrics")).unwrap_or_default();
            let address = serving.split_whitespace().find_map(|word| word.strip_prefix("address="));
            address.unwrap_or_default().clone_into(&mut operator.metrics);
        }
        Ok(operator)
    }

    /// An error if it does not run, or what is waited for since then takes too long.
    fn check(&mut self, since: Instant) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the operator ended, {status}:\n{}", fs::read_to_string(&self.log)?);
        }
        ensure!(since.elapsed() < PATIENCE, "the operator takes too long: {}", self.log.display());
        Ok(())
    }

    /// Its counters: each name with its labels, as written, and its value.
    pub(crate) async fn counters(&self) -> anyhow::Result<HashMap<String, f64>> {
        let mut connection = TcpStream::connect(&self.metrics).await?;
        // Version 1.0 has no chunks.
        connection.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await?;
        let counters = answer.lines().filter_map(|line| line.rsplit_once(' '));
        Ok(counters.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect())
    }

    /// The sum of a counter over the labels that contain this.
    pub(crate) async fn counter(&self, name: &str, label: &str) -> anyhow::Result<f64> {
        let counters = self.counters().await?;
        let named = |key: &&String| key.split('{').next() == Some(name) && key.contains(label);
        Ok(counters.keys().filter(named).filter_map(|key| counters.get(key)).sum())
    }

    /// Waits until it has looked at so many objects, and a flight has landed on so many buses.
    pub(crate) async fn landed(&mut self, objects: usize, buses: usize) -> anyhow::Result<()> {
        let (objects, since) = (f64::from(u32::try_from(objects)?), Instant::now());
        loop {
            self.check(since)?;
            let counters = self.counters().await?;
            let of = |name: &'static str| counters.iter().filter(move |(key, _)| key.starts_with(name));
            let flown = of("busgrant_flights_total{").filter(|(_, flights)| **flights > 0.0).count();
            let success = |(key, _): &(&String, &f64)| key.contains("result=\"success\"");
            let reconciled: f64 =
                of("controller_runtime_reconcile_total{").filter(success).map(|(_, count)| count).sum();
            if reconciled >= objects && flown >= buses {
                return Ok(());
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    pub(crate) fn memory(&self) -> anyhow::Result<Memory> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse().ok()).with_context(|| name.to_owned())
        };
        Ok(Memory { resident: field("VmRSS:")?, most: field("VmHWM:")? })
    }

    /// The time that its threads have run on a processor.
    pub(crate) fn processor(&self) -> anyhow::Result<Duration> {
        let mut nanoseconds = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let schedule = fs::read_to_string(thread?.path().join("schedstat"))?;
            nanoseconds += schedule.split_whitespace().next().unwrap_or_default().parse::<u64>()?;
        }
        Ok(Duration::from_nanos(nanoseconds))
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let told = Command::new("kill").arg(self.child.id().to_string()).status()?;
        ensure!(told.success(), "the operator can't be told to end");
        while self.child.try_wait()?.is_none() {
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
