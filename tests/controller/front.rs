//! The door between the operator and the API server: everything passes, and what passed is kept.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

/// An object with this annotation is shown to the operator with a field that its version does not know.
pub(super) const UNREADABLE: &str = "test.busgrant.dev/unreadable";
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

/// What the proxy keeps, and what it is told to do.
#[derive(Debug, Default)]
struct Book {
    passed: Vec<Passed>,
    refusals: Vec<Refusal>,
    definition_terminates: bool,
}

/// The proxy of one scene.
pub(super) struct Front {
    pub(super) url: String,
    book: Arc<Mutex<Book>>,
    server: AbortHandle,
}

struct Forward {
    client: kube::Client,
    sim: busgrant_sim::State,
    book: Arc<Mutex<Book>>,
}

impl Front {
    pub(super) async fn start(client: kube::Client, sim: busgrant_sim::State) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let book = Arc::default();
        let forward = Arc::new(Forward { client, sim, book: Arc::clone(&book) });
        let routes = Router::new().fallback(pass).with_state(forward);
        let server = tokio::spawn(async move { axum::serve(listener, routes).await }).abort_handle();
        Self { url, book, server }
    }

    /// What may have changed something, in order.
    pub(super) fn passed(&self) -> Vec<Passed> {
        self.book.lock().unwrap().passed.clone()
    }

    /// Answers so many requests itself: of that method, and with a path that ends so.
    pub(super) fn refuse(&self, method: Method, path: &'static str, status: u16, times: usize) {
        let refusal = Refusal { method, path, status, times };
        self.book.lock().unwrap().refusals.push(refusal);
    }

    /// How many requests are still to be refused.
    pub(super) fn refusals_left(&self) -> usize {
        let book = self.book.lock().unwrap();
        book.refusals.iter().map(|refusal| refusal.times).sum()
    }

    /// Shows our definition as being deleted.
    pub(super) fn definition_terminates(&self, terminates: bool) {
        self.book.lock().unwrap().definition_terminates = terminates;
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
    let json = |bytes: &[u8]| serde_json::from_slice(bytes).unwrap_or(Value::Null);
    let changes = head.method != Method::GET;
    let mut number = 0;
    if changes {
        // Before it is sent: whoever sees what it did finds it here.
        let passed = &mut forward.book.lock().unwrap().passed;
        number = passed.len();
        passed.push(Passed {
            mark: forward.sim.mark(),
            at_millis: forward.sim.now_millis(),
            method: head.method.clone(),
            path: head.uri.path().to_owned(),
            sent: json(&sent),
            status: None,
            answer: Value::Null,
        });
    }
    if let Some(status) = refused(&forward, &head.method, head.uri.path()) {
        if changes {
            forward.book.lock().unwrap().passed[number].status = Some(status.as_u16());
        }
        let answer = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status.as_u16(),
            "reason": "Test", "message": "refused by the test"});
        return (status, answer.to_string()).into_response();
    }
    let mut onward =
        axum::http::Request::builder().method(head.method.clone()).uri(head.uri.path_and_query().unwrap().as_str());
    for name in [CONTENT_TYPE, ACCEPT] {
        if let Some(value) = head.headers.get(&name) {
            onward = onward.header(name, value);
        }
    }
    let onward = onward.body(kube::client::Body::from(sent.to_vec())).unwrap();
    let Ok(answer) = forward.client.send(onward).await else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    let (answer_head, answer_body) = answer.into_parts();
    let mut answer_body = Body::new(answer_body);
    if changes {
        let bytes = to_bytes(answer_body, MOST_BYTES).await.unwrap();
        let passed = &mut forward.book.lock().unwrap().passed[number];
        (passed.status, passed.answer) = (Some(answer_head.status.as_u16()), json(&bytes));
        answer_body = Body::from(bytes);
    } else if head.uri.path().ends_with("/eventbuspermissions") {
        answer_body = with_unknown_fields(answer_body);
    } else if head.uri.path().ends_with(DEFINITION) && forward.book.lock().unwrap().definition_terminates {
        let bytes = to_bytes(answer_body, MOST_BYTES).await.unwrap();
        let mut definition = json(&bytes);
        definition["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        answer_body = Body::from(definition.to_string());
    }
    let mut response = Response::new(answer_body);
    *response.status_mut() = answer_head.status;
    if let Some(kind) = answer_head.headers.get(CONTENT_TYPE) {
        response.headers_mut().insert(CONTENT_TYPE, kind.clone());
    }
    response
}

fn refused(forward: &Forward, method: &Method, path: &str) -> Option<StatusCode> {
    let refusals = &mut forward.book.lock().unwrap().refusals;
    let mut meant = refusals.iter_mut();
    let refusal = meant.find(|one| one.times > 0 && one.method == *method && path.ends_with(one.path))?;
    refusal.times -= 1;
    StatusCode::from_u16(refusal.status).ok()
}

/// Lists and watches come in lines of JSON.
fn with_unknown_fields(body: Body) -> Body {
    let mut rest = Vec::new();
    Body::from_stream(body.into_data_stream().map(move |chunk| {
        rest.extend_from_slice(&chunk?);
        let whole = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let lines: Vec<u8> = rest.drain(..whole).collect();
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
