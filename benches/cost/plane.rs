//! A real Kubernetes control plane, which ends with this process: it watches this end of its standard input.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail};
use kube::config::{KubeConfigOptions, Kubeconfig};

/// A running control plane.
pub(crate) struct ControlPlane {
    pub(crate) kubeconfig: PathBuf,
    run: Child,
}

impl ControlPlane {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("hack/control-plane/run");
        let mut run = Command::new(&script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| script.display().to_string())?;
        let mut line = String::new();
        if let Some(stdout) = run.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        match line.split_whitespace().find_map(|word| word.strip_prefix("KUBECONFIG=")) {
            Some(kubeconfig) => Ok(Self { kubeconfig: kubeconfig.into(), run }),
            None => bail!("{} did not get ready, and said why on standard error", script.display()),
        }
    }

    /// A client for the administrator.
    pub(crate) async fn client(&self) -> anyhow::Result<kube::Client> {
        let kubeconfig = Kubeconfig::read_from(&self.kubeconfig)?;
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        Ok(kube::Client::try_from(config)?)
    }

    /// Ends it, and waits until it has: the next is not to share the machine with it.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        drop(self.run.stdin.take());
        self.run.wait()?;
        Ok(())
    }
}
