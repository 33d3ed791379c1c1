//! The program, run as a process.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::{PATIENCE, eventually};

/// What must never be seen outside the credentials: the key of AWS, its session's token, and the token for Kubernetes.
pub(super) const CANARIES: [&str; 3] = ["CanaryOfASecretThatNobodyMaySee", "CanaryOfASession", "CanaryOfABearer"];

/// How long a call without an answer is waited for where a scene says nothing else. A call may take 10 s.
pub(super) const OUTCOME_WAIT_MILLIS: i64 = 11_000;
/// How many calls a second to each account and Region the operators of all scenes may make.
pub(super) const REQUESTS_PER_SECOND: usize = 20;

/// Where the operator runs and as whom.
#[derive(Debug, Clone)]
pub(super) struct Environment {
    pub(super) kubeconfig: PathBuf,
    pub(super) endpoint: String,
    pub(super) namespace: String,
    pub(super) owner: String,
}

/// What differs from one start to another.
#[derive(Debug, Clone, Default)]
pub(super) struct Start {
    pub(super) flags: Vec<&'static str>,
    pub(super) region: Option<&'static str>,
    /// The account whose credentials it has; empty for none at all.
    pub(super) account: Option<&'static str>,
    /// The key, secret and token of a role's session, instead.
    pub(super) session: Option<[String; 3]>,
    /// Where it finds the credentials of a role, instead.
    pub(super) credentials_from: Option<String>,
    /// What it logs, instead of its own decisions.
    pub(super) log: Option<&'static str>,
    /// Variables of its environment beside those of every scene.
    pub(super) environment: Vec<(&'static str, String)>,
    /// How many calls a second it may make, instead of [`REQUESTS_PER_SECOND`].
    pub(super) requests_per_second: Option<usize>,
}

/// A running operator. It ends with this.
pub(super) struct Operator {
    child: Child,
    pub(super) log: PathBuf,
}

impl Operator {
    pub(super) fn start(environment: &Environment, start: &Start, directory: &Path, number: usize) -> Self {
        let log = directory.join(format!("operator-{number}.log"));
        let requests = start.requests_per_second.unwrap_or(REQUESTS_PER_SECOND);
        // It ends with the test, however that ends: one that is left over would go on to call whoever has its ports next.
        let mut command = Command::new("setpriv");
        command
            .env_clear()
            .args(["--pdeathsig", "KILL", env!("CARGO_BIN_EXE_busgrant")])
            .arg("controller")
            .args(&start.flags)
            .env("KUBECONFIG", &environment.kubeconfig)
            .env("AWS_ENDPOINT_URL", &environment.endpoint)
            .env("AWS_REGION", start.region.unwrap_or(super::scene::REGION))
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("HOME", directory)
            .env("BUSGRANT_OWNER", &environment.owner)
            .env("BUSGRANT_WATCH_NAMESPACES", &environment.namespace)
            .env("BUSGRANT_METRICS_ADDR", "127.0.0.1:0")
            .env("BUSGRANT_SWEEP_INTERVAL", "1s")
            .env("BUSGRANT_OUTCOME_WAIT", format!("{OUTCOME_WAIT_MILLIS}ms"))
            .env("BUSGRANT_AWS_REQUESTS_PER_SECOND", requests.to_string())
            .env("BUSGRANT_LOG", start.log.unwrap_or("info,busgrant=debug"))
            .envs(start.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap());
        let account = start.account.unwrap_or(super::scene::ACCOUNT);
        if let Some([key, secret, token]) = &start.session {
            command.env("AWS_ACCESS_KEY_ID", key).env("AWS_SECRET_ACCESS_KEY", secret).env("AWS_SESSION_TOKEN", token);
        } else if let Some(url) = &start.credentials_from {
            command.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", url);
        } else if !account.is_empty() {
            let [secret, token, _] = CANARIES;
            command.env("AWS_ACCESS_KEY_ID", account).env("AWS_SECRET_ACCESS_KEY", secret);
            command.env("AWS_SESSION_TOKEN", token);
        }
        let child = command.spawn().unwrap();
        Self { child, log }
    }

    /// Sends it a signal.
    pub(super) fn signal(&self, name: &str) {
        let told = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(told.success());
    }

    /// Asks it to end, and waits until it has.
    pub(super) async fn stop(mut self) {
        self.signal("TERM");
        let log = self.log.clone();
        assert!(self.ended().await, "{}", std::fs::read_to_string(log).unwrap());
    }

    /// Waits until it has ended, and tells whether with success.
    pub(super) async fn ended(&mut self) -> bool {
        let ended = eventually("the operator ends", PATIENCE, async || self.child.try_wait().unwrap().ok_or("it runs"));
        ended.await.success()
    }

    /// Its metrics, once it serves them.
    pub(super) fn metrics(&self) -> Option<String> {
        self.answer("GET /metrics HTTP/1.0\r\n\r\n")
    }

    /// Its answer to a request, once it serves them.
    pub(super) fn answer(&self, request: &str) -> Option<String> {
        let log = std::fs::read_to_string(&self.log).unwrap();
        let line = log.lines().find(|line| line.contains("serving /metrics"))?;
        // As text or as JSON.
        let (_, address) = line.split_once("address=").or_else(|| line.split_once("\"address\":\""))?;
        let address = address.split([' ', '"']).next()?;
        let mut connection = TcpStream::connect(address).ok()?;
        // One that was stopped answers nothing.
        connection.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        connection.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    pub(super) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
