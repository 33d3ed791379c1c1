//! The door between the operator and the API server: everything passes, and what passed is kept.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::stops::{Asked, Moment, Stop, Stopped};
use crate::support::{PATIENCE, eventually};

/// An object with this annotation is shown to the operator with a field that its version does not know.
pub(super) const UNREADABLE: &str = "test.busgrant.dev/unreadable";
pub(super) const OBJECTS: &str = "/eventbuspermissions";
const DEFINITION: &str = "/customresourcedefinitions/eventbuspermissions.busgrant.dev";
/// The longest body that is taken. An object has 1.5 MB at most.
const MOST_BYTES: usize = 4 << 20;

/// One request that may change something, with its answer.
#[derive(Debug, Clone)]
pub(super) struct Passed {
    /// The last event of the simulator before it.
    pub(super) mark: u64,
    /// The simulator's time, in milliseconds.
    pub(super) at_millis: i64,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) sent: Value,
    /// The answer's status, once there is one.
    pub(super) status: Option<u16>,
    pub(super) answer: Value,
}

impl Passed {
    pub(super) fn is_status_of(&self, name: &str) -> bool {
        self.path.ends_with(&format!("/{name}/status"))
    }

    /// Whether it was answered, and not as it was meant to be.
    pub(super) fn is_refused(&self) -> bool {
        self.status.is_some_and(|status| status >= 300)
    }

    /// Whether it wrote the status of an object, as far as is known.
    pub(super) fn wrote_status(&self) -> bool {
        self.method == Method::PATCH && self.path.ends_with("/status") && self.status.is_none_or(|status| status == 200)
    }
}

/// A request that is not let through.
#[derive(Debug)]
struct Refusal {
    method: Method,
    /// What its path ends with.
    path: &'static str,
    status: u16,
    times: usize,
}

/// What becomes of lists and watches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct View {
    /// Whether they wait, as do the events of the watches that there are.
    paused: bool,
    /// How often the watches that there were ended.
    cuts: usize,
}

/// What the proxy keeps, and what it is told to do.
#[derive(Debug, Default)]
struct Book {
    passed: Vec<Passed>,
    asked: Vec<Asked>,
    lists_asked: usize,
    lists: usize,
    gone: usize,
    refusals: Vec<Refusal>,
    stops: Vec<Stop>,
    definition_terminates: bool,
}

/// Who answers.
struct Upstream {
    client: kube::Client,
    /// Who answers lists and watches.
    view: kube::Client,
}

/// The proxy of one scene.
pub(super) struct Front {
    pub(super) url: String,
    forward: Arc<Forward>,
    server: AbortHandle,
}

struct Forward {
    upstream: Mutex<Upstream>,
    sim: busgrant_sim::State,
    book: Mutex<Book>,
    view: watch::Sender<View>,
}

impl Front {
    pub(super) async fn start(client: kube::Client, sim: busgrant_sim::State) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let upstream = Mutex::new(Upstream { view: client.clone(), client });
        let (book, view) = (Mutex::default(), watch::Sender::default());
        let forward = Arc::new(Forward { upstream, sim, book, view });
        let routes = Router::new().fallback(pass).with_state(Arc::clone(&forward));
        let server = tokio::spawn(async move { axum::serve(listener, routes).await }).abort_handle();
        Self { url, forward, server }
    }

    /// What may have changed something, in order.
    pub(super) fn passed(&self) -> Vec<Passed> {
        self.forward.book.lock().unwrap().passed.clone()
    }

    /// Waits until every change that was passed on is answered: what it did is seen before its answer is.
    pub(super) async fn answers(&self) {
        eventually("all changes are answered", PATIENCE, async || {
            let open = self.passed().into_iter().find(|passed| passed.status.is_none());
            open.map_or(Ok(()), |open| Err(format!("{open:?}")))
        })
        .await;
    }

    /// What was asked about single objects, in order, reads included.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.forward.book.lock().unwrap().asked.clone()
    }

    /// How many lists of all objects were asked for.
    pub(super) fn lists_asked(&self) -> usize {
        self.forward.book.lock().unwrap().lists_asked
    }

    /// How many of them were answered.
    pub(super) fn lists(&self) -> usize {
        self.forward.book.lock().unwrap().lists
    }

    /// Stops the next request of that kind, after so many others like it.
    pub(super) fn stop(&self, asked: &Asked, before: usize, moment: Moment) -> Stopped {
        let (stop, stopped) = Stop::new(asked.clone(), before, moment);
        self.forward.book.lock().unwrap().stops.push(stop);
        stopped
    }

    /// Answers so many requests itself: of that method, and with a path that ends so.
    pub(super) fn refuse(&self, method: Method, path: &'static str, status: u16, times: usize) {
        let refusal = Refusal { method, path, status, times };
        self.forward.book.lock().unwrap().refusals.push(refusal);
    }

    /// How many requests are still to be refused.
    pub(super) fn refusals_left(&self) -> usize {
        let book = self.forward.book.lock().unwrap();
        book.refusals.iter().map(|refusal| refusal.times).sum()
    }

    /// Has lists and watches wait, and the events of the watches that there are.
    pub(super) fn pause_view(&self) {
        self.forward.view.send_modify(|view| view.paused = true);
    }

    pub(super) fn resume_view(&self) {
        self.forward.view.send_modify(|view| view.paused = false);
    }

    /// Ends the watches that there are: what they have not told by now they never do.
    pub(super) fn cut_view(&self) {
        self.forward.view.send_modify(|view| view.cuts += 1);
    }

    /// Passes what comes from now on to this API server, and ends the watches on the one before.
    pub(super) fn switch(&self, client: kube::Client) {
        self.forward.upstream.lock().unwrap().client = client.clone();
        self.switch_view(client);
    }

    /// The same for lists and watches only: each connection may come to another API server.
    pub(super) fn switch_view(&self, client: kube::Client) {
        self.forward.upstream.lock().unwrap().view = client;
        self.cut_view();
    }

    /// How often the operator was told that what it wants to watch from is no longer known.
    pub(super) fn gone(&self) -> usize {
        self.forward.book.lock().unwrap().gone
    }

    /// Shows our definition as being deleted.
    pub(super) fn definition_terminates(&self, terminates: bool) {
        self.forward.book.lock().unwrap().definition_terminates = terminates;
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn pass(State(forward): State<Arc<Forward>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let sent = to_bytes(body, MOST_BYTES).await.unwrap();
    // What was sent has its effect, also when its sender is gone.
    tokio::spawn(pass_on(forward, head, sent)).await.unwrap()
}

async fn pass_on(forward: Arc<Forward>, head: Parts, sent: Bytes) -> Response {
    let json = |bytes: &[u8]| serde_json::from_slice(bytes).unwrap_or(Value::Null);
    let (changes, path) = (head.method != Method::GET, head.uri.path());
    let (mark, at_millis) = (forward.sim.mark(), forward.sim.now_millis());
    let stop = forward.asked(&head.method, path);
    if let Some(stop) = &stop {
        stop.before_it_is_passed_on().await;
    }
    let mut number = 0;
    if changes {
        // Before it is sent: whoever sees what it did finds it here.
        let passed = &mut forward.book.lock().unwrap().passed;
        number = passed.len();
        passed.push(Passed {
            mark,
            at_millis,
            method: head.method.clone(),
            path: path.to_owned(),
            sent: json(&sent),
            status: None,
            answer: Value::Null,
        });
    }
    if !changes && path.ends_with(OBJECTS) {
        forward.book.lock().unwrap().lists_asked += usize::from(!is_watch(&head));
        forward.view.subscribe().wait_for(|view| !view.paused).await.unwrap();
    }
    if let Some(status) = refused(&forward, &head.method, path) {
        if changes {
            forward.book.lock().unwrap().passed[number].status = Some(status.as_u16());
        }
        let answer = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status.as_u16(),
            "reason": "Test", "message": "refused by the test"});
        return (status, answer.to_string()).into_response();
    }
    let Ok(answer) = forward.send(&head, sent).await else {
        if changes {
            forward.book.lock().unwrap().passed[number].status = Some(StatusCode::BAD_GATEWAY.as_u16());
        }
        return StatusCode::BAD_GATEWAY.into_response();
    };
    let (answer_head, answer_body) = answer.into_parts();
    let mut answer_body = Body::new(answer_body);
    if changes {
        let bytes = to_bytes(answer_body, MOST_BYTES).await.unwrap();
        let passed = &mut forward.book.lock().unwrap().passed[number];
        (passed.status, passed.answer) = (Some(answer_head.status.as_u16()), json(&bytes));
        answer_body = Body::from(bytes);
    } else if path.ends_with(OBJECTS) {
        forward.book.lock().unwrap().lists += usize::from(!is_watch(&head));
        forward.book.lock().unwrap().gone += usize::from(answer_head.status == StatusCode::GONE);
        answer_body = with_unknown_fields(viewed(answer_body, forward.view.subscribe()), Arc::clone(&forward));
    } else if path.ends_with(DEFINITION) && forward.book.lock().unwrap().definition_terminates {
        let bytes = to_bytes(answer_body, MOST_BYTES).await.unwrap();
        let mut definition = json(&bytes);
        definition["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        answer_body = Body::from(definition.to_string());
    }
    if let Some(stop) = stop {
        stop.before_it_is_answered().await;
    }
    let mut response = Response::new(answer_body);
    *response.status_mut() = answer_head.status;
    if let Some(kind) = answer_head.headers.get(CONTENT_TYPE) {
        response.headers_mut().insert(CONTENT_TYPE, kind.clone());
    }
    response
}

fn is_watch(head: &Parts) -> bool {
    head.uri.query().is_some_and(|query| query.contains("watch=true"))
}

impl Forward {
    /// Takes note of a request, and tells whether this is the one to be stopped.
    fn asked(&self, method: &Method, path: &str) -> Option<Stop> {
        let asked = Asked::of(method, path)?;
        let mut book = self.book.lock().unwrap();
        book.asked.push(asked.clone());
        Stop::met(&mut book.stops, &asked)
    }

    async fn send(&self, head: &Parts, sent: Bytes) -> kube::Result<axum::http::Response<kube::client::Body>> {
        let path = head.uri.path_and_query().unwrap().as_str();
        let mut onward = axum::http::Request::builder().method(head.method.clone()).uri(path);
        for name in [CONTENT_TYPE, ACCEPT] {
            if let Some(value) = head.headers.get(&name) {
                onward = onward.header(name, value);
            }
        }
        let client = {
            let upstream = self.upstream.lock().unwrap();
            let views = head.method == Method::GET && head.uri.path().ends_with(OBJECTS);
            if views { upstream.view.clone() } else { upstream.client.clone() }
        };
        client.send(onward.body(kube::client::Body::from(sent.to_vec())).unwrap()).await
    }
}

fn refused(forward: &Forward, method: &Method, path: &str) -> Option<StatusCode> {
    let refusals = &mut forward.book.lock().unwrap().refusals;
    let mut meant = refusals.iter_mut();
    let refusal = meant.find(|one| one.times > 0 && one.method == *method && path.ends_with(one.path))?;
    refusal.times -= 1;
    StatusCode::from_u16(refusal.status).ok()
}

/// Passes on what comes while it may, and ends when it is cut.
fn viewed(body: Body, view: watch::Receiver<View>) -> Body {
    let begun = view.borrow().cuts;
    Body::from_stream(stream::unfold((body.into_data_stream(), view), move |(mut chunks, mut view)| async move {
        let mut cut = view.clone();
        let next = async {
            let chunk = chunks.next().await?;
            view.wait_for(|view| !view.paused).await.ok()?;
            Some(chunk)
        };
        let chunk = tokio::select! {
            biased;
            _ = cut.wait_for(|view| view.cuts != begun) => None,
            chunk = next => chunk,
        };
        chunk.map(|chunk| (chunk, (chunks, view)))
    }))
}

/// Lists and watches come in lines of JSON.
fn with_unknown_fields(body: Body, forward: Arc<Forward>) -> Body {
    let mut rest = Vec::new();
    Body::from_stream(body.into_data_stream().map(move |chunk| {
        rest.extend_from_slice(&chunk?);
        let whole = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let lines: Vec<u8> = rest.drain(..whole).collect();
        let gone = String::from_utf8_lossy(&lines).contains(r#""reason":"Expired""#);
        forward.book.lock().unwrap().gone += usize::from(gone);
        let lines = lines.split_inclusive(|byte| *byte == b'\n').map(with_unknown_field);
        Ok::<_, axum::Error>(lines.collect::<Vec<_>>().concat())
    }))
}

fn with_unknown_field(line: &[u8]) -> Vec<u8> {
    if !String::from_utf8_lossy(line).contains(UNREADABLE) {
        return line.to_vec();
    }
    let mut json: Value = serde_json::from_slice(line).unwrap();
    let distort = |object: &mut Value| {
        if object["metadata"]["annotations"].get(UNREADABLE).is_some() {
            object["spec"]["statements"][0]["onlyOnSundays"] = json!(true);
        }
    };
    match json.get_mut("items").and_then(Value::as_array_mut) {
        Some(items) => items.iter_mut().for_each(distort),
        None => json.get_mut("object").into_iter().for_each(distort),
    }
    let mut line = json.to_string().into_bytes();
    line.push(b'\n');
    line
}
