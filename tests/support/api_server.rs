//! One more API server on the etcd of the control plane, to be frozen or restarted while the first serves the other tests.

use std::net::TcpListener as StdListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::{Mutex, MutexGuard, watch};
use tokio::task::AbortHandle;

use super::{PATIENCE, control_plane, eventually};

/// An API server takes a core while it starts and 300 MB: one at a time.
static ONE: Mutex<()> = Mutex::const_new(());

/// A running API server.
pub(crate) struct ApiServer {
    flags: Vec<&'static str>,
    port: u16,
    link: Link,
    run: Option<Child>,
    _one: MutexGuard<'static, ()>,
}

impl ApiServer {
    /// Starts one, with these flags beside those of every one, and waits until it is ready.
    pub(crate) async fn start(flags: &[&'static str]) -> Self {
        let one = ONE.lock().await;
        let link = Link::to(etcd()).await;
        // Nobody can reserve a port, so another process may take it first; that would be told.
        let port = StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = Self { flags: flags.to_vec(), port, link, run: None, _one: one };
        server.resume().await;
        server
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        if let Some(mut run) = self.run.take() {
            run.kill().unwrap();
            run.wait().unwrap();
        }
    }

    /// Starts it again.
    pub(crate) async fn resume(&mut self) {
        // It ends with the test, however that ends.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("hack/control-plane/api-server"));
        command.arg(&control_plane().bin).arg(&self.link.url).arg(self.port.to_string()).args(&self.flags);
        command.current_dir(folder()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.run = Some(command.spawn().unwrap());
        let client = self.client().await;
        eventually("the API server is ready", PATIENCE, async || {
            let ready = axum::http::Request::get("/readyz").body(Vec::new()).unwrap();
            client.request_text(ready).await
        })
        .await;
    }

    /// A client of it, for the administrator.
    pub(crate) async fn client(&self) -> kube::Client {
        let kubeconfig = Kubeconfig::read_from(&control_plane().kubeconfig).unwrap();
        let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        config.cluster_url = format!("https://127.0.0.1:{}", self.port).parse().unwrap();
        kube::Client::try_from(config).unwrap()
    }

    /// Cuts it off from etcd, without a sign: what it has seen it goes on to show.
    pub(crate) fn freeze(&self) {
        self.link.frozen.send_replace(true);
    }

    /// Lets everything pass again that was held up.
    pub(crate) fn thaw(&self) {
        self.link.frozen.send_replace(false);
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Forgets all but the current revision of everything, as an API server has etcd do every five minutes.
pub(crate) async fn compact() {
    let read = gateway("/v3/kv/range", r#"{"key": "AA==", "count_only": true}"#).await;
    let revision = read["header"]["revision"].as_str().unwrap();
    let compacted = gateway("/v3/kv/compaction", &format!(r#"{{"revision": "{revision}"}}"#)).await;
    assert!(compacted["header"].is_object(), "{compacted}");
}

/// One call of etcd's JSON gateway.
async fn gateway(path: &str, body: &str) -> serde_json::Value {
    let mut etcd = UnixStream::connect(etcd()).await.unwrap();
    let head = format!("POST {path} HTTP/1.0\r\nHost: etcd\r\nContent-Length: {}\r\n\r\n", body.len());
    etcd.write_all((head + body).as_bytes()).await.unwrap();
    let mut answer = String::new();
    etcd.read_to_string(&mut answer).await.unwrap();
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

fn folder() -> &'static Path {
    control_plane().kubeconfig.parent().unwrap()
}

fn etcd() -> PathBuf {
    folder().join("etcd.sock")
}

/// A line to etcd that can be held up.
struct Link {
    url: String,
    frozen: watch::Sender<bool>,
    accept: AbortHandle,
}

impl Link {
    async fn to(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let frozen = watch::Sender::new(false);
        let gate = frozen.clone();
        let accept = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let far = UnixStream::connect(&socket).await.unwrap();
                let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                tokio::spawn(carry(near_in, far_out, gate.subscribe()));
                tokio::spawn(carry(far_in, near_out, gate.subscribe()));
            }
        });
        Self { url, frozen, accept: accept.abort_handle() }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

async fn carry(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut frozen: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if frozen.wait_for(|frozen| !frozen).await.is_err() || to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
