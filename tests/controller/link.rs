//! Lines that can break: one before the service, and one before the API server that can also be shut.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use busgrant::controller::permission::FINALIZER;
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

/// A line to the service: every connection goes on to it, until the line is cut.
pub(super) struct Line {
    pub(super) url: String,
    cut: Arc<Notify>,
    server: AbortHandle,
}

impl Line {
    pub(super) async fn to(endpoint: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let cut = Arc::new(Notify::new());
        let (onward, broken) = (endpoint.trim_start_matches("http://").to_owned(), Arc::clone(&cut));
        let accept = async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (onward, broken) = (onward.clone(), Arc::clone(&broken));
                tokio::spawn(async move {
                    let broken = broken.notified();
                    let mut far = TcpStream::connect(onward).await.unwrap();
                    tokio::select! { _ = copy_bidirectional(&mut near, &mut far) => {}, () = broken => {} }
                });
            }
        };
        Self { url, cut, server: tokio::spawn(accept).abort_handle() }
    }

    /// Breaks every connection that is open. What was sent goes on at the other end, and nobody hears the answer.
    pub(super) fn cut(&self) {
        self.cut.notify_waiters();
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.server.abort();
        self.cut();
    }
}

/// A gate before the API server.
pub(super) struct Gate {
    pub(super) url: String,
    shared: Arc<Shared>,
    server: AbortHandle,
}

/// Which requests do not pass.
#[derive(Debug, Clone)]
struct Shut {
    /// What their paths contain.
    path: String,
    /// How they are answered; without it they wait until the gate is opened.
    status: Option<StatusCode>,
}

struct Shared {
    client: kube::Client,
    shut: watch::Sender<Option<Shut>>,
    cut: Notify,
    stopped: Mutex<usize>,
    /// A text that is shown as another, wherever it stands in an answer.
    rewritten: Mutex<(String, String)>,
    /// Whether watches show objects that are gone as if they had been deleted with our finalizer on them.
    goes_held: AtomicBool,
}

impl Gate {
    pub(super) async fn before(url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = format!("http://{}", listener.local_addr().unwrap());
        let mut config = kube::Config::new(url.parse().unwrap());
        config.default_retry = false;
        let client = kube::Client::try_from(config).unwrap();
        let shared = Arc::new(Shared {
            client,
            shut: watch::Sender::new(None),
            cut: Notify::new(),
            stopped: Mutex::default(),
            rewritten: Mutex::default(),
            goes_held: AtomicBool::new(false),
        });
        let routes = Router::new().fallback(pass).with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move { axum::serve(listener, routes).await }).abort_handle();
        Self { url: own, shared, server }
    }

    /// Lets requests wait whose path contains this, until the gate is opened.
    pub(super) fn shut(&self, path: &str) {
        self.shared.shut.send_replace(Some(Shut { path: path.to_owned(), status: None }));
    }

    /// Answers requests whose path contains this with that status, until the gate is opened.
    pub(super) fn refuse(&self, path: &str, status: StatusCode) {
        self.shared.shut.send_replace(Some(Shut { path: path.to_owned(), status: Some(status) }));
    }

    pub(super) fn open(&self) {
        self.shared.shut.send_replace(None);
    }

    /// Ends every answer that is under way: watches, most of all.
    pub(super) fn cut(&self) {
        self.shared.cut.notify_waiters();
    }

    /// Shows objects that go as if the API server had decided to delete them before they were held, and had not looked again.
    pub(super) fn shows_them_go_held(&self, held: bool) {
        self.shared.goes_held.store(held, Ordering::Release);
    }

    /// Shows a text as another, wherever it stands in a line of an answer; nothing as what it is.
    pub(super) fn rewrites(&self, from: &str, to: &str) {
        *self.shared.rewritten.lock().unwrap() = (from.to_owned(), to.to_owned());
    }

    /// How many requests did not pass at once.
    pub(super) fn stopped(&self) -> usize {
        *self.shared.stopped.lock().unwrap()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.server.abort();
        self.open();
        self.cut();
    }
}

async fn pass(State(gate): State<Arc<Shared>>, request: Request) -> Response {
    let (mut head, body) = request.into_parts();
    let watches = head.uri.query().is_some_and(|query| query.contains("watch="));
    let mut shut = gate.shut.subscribe();
    let meant = |shut: &Option<Shut>| shut.clone().filter(|shut| head.uri.path().contains(&shut.path));
    let stopped = meant(&shut.borrow());
    if let Some(stopped) = stopped {
        *gate.stopped.lock().unwrap() += 1;
        if let Some(status) = stopped.status {
            let answer = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status.as_u16(),
                "reason": "Forbidden", "message": "refused by the test"});
            return (status, answer.to_string()).into_response();
        }
        shut.wait_for(|shut| meant(shut).is_none()).await.unwrap();
    }
    let sent = to_bytes(body, usize::MAX).await.unwrap();
    head.headers.remove("host");
    let onward = axum::http::Request::from_parts(head, kube::client::Body::from(sent.to_vec()));
    let Ok(answer) = gate.client.send(onward).await else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    let (head, body) = answer.into_parts();
    let (broken, lines, rewriting) = (Arc::clone(&gate), Arc::clone(&gate), Arc::clone(&gate));
    let broken = async move { broken.cut.notified().await };
    let mut rest = Vec::new();
    let body = Body::new(body).into_data_stream().take_until(Box::pin(broken)).map(move |chunk| {
        if !watches {
            return chunk.map(|bytes| lines.rewrite(bytes.to_vec()));
        }
        // Watches come in lines of JSON.
        rest.extend_from_slice(&chunk?);
        let whole = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let text: Vec<u8> = rest.drain(..whole).collect();
        let distorts = lines.goes_held.load(Ordering::Acquire);
        let lines = text.split_inclusive(|byte| *byte == b'\n');
        let shown = lines.map(|line| if distorts { gone_held(line) } else { line.to_vec() }).collect::<Vec<_>>();
        Ok(rewriting.rewrite(shown.concat()))
    });
    Response::from_parts(head, Body::from_stream(body))
}

impl Shared {
    fn rewrite(&self, bytes: Vec<u8>) -> Vec<u8> {
        let rewritten = self.rewritten.lock().unwrap();
        match (String::from_utf8(bytes), &*rewritten) {
            (Ok(text), (from, to)) if !from.is_empty() => text.replace(from, to).into_bytes(),
            (Ok(text), _) => text.into_bytes(),
            (Err(error), _) => error.into_bytes(),
        }
    }
}

fn gone_held(line: &[u8]) -> Vec<u8> {
    let mut event: Value = serde_json::from_slice(line).unwrap();
    if event["type"] != "DELETED" {
        return line.to_vec();
    }
    let metadata = event["object"]["metadata"].as_object_mut().unwrap();
    metadata.remove("deletionTimestamp");
    metadata.insert("finalizers".to_owned(), json!([FINALIZER]));
    let mut line = event.to_string().into_bytes();
    line.push(b'\n');
    line
}
