//! HTTP: one port for `EventBridge`, STS and the control API.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::control;
use crate::core::Core;
use crate::dispatch::{begin, carry_out};
use crate::wire::{Answer, Credential, operation};

/// The longest body that is read. A policy has at most some tens of kilobytes.
const MOST_BYTES: usize = 1 << 20;
/// What a longer body may have and still be read to its end, so that its sender sees the answer and not a reset.
const MOST_DRAINED: usize = 32 << 20;
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
/// How long a client may take over its head, and over its body.
const PATIENCE: Duration = Duration::from_secs(20);

/// Serves until the task is aborted, which closes every connection.
pub(crate) async fn serve(listener: TcpListener, core: Arc<Core>) -> Infallible {
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(converse(stream, Arc::clone(&core)));
            }
            // Out of descriptors, most likely: wait for some to be closed.
            Err(error) => {
                tracing::warn!(%error, "can't accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn converse(stream: TcpStream, core: Arc<Core>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let service = service_fn(|request| respond(Arc::clone(&core), request));
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "connection ended");
    }
}

async fn respond(core: Arc<Core>, incoming: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
    let (head, body) = incoming.into_parts();
    let body = match tokio::time::timeout(PATIENCE, read(body)).await {
        Ok(Ok(body)) => body,
        Ok(Err(status)) => return Ok(plain(status)),
        Err(_) => return Ok(plain(StatusCode::REQUEST_TIMEOUT)),
    };
    if let Some(path) = head.uri.path().strip_prefix("/_sim/") {
        let (status, answer) =
            control::answer(core, &head.method, path, head.uri.query().unwrap_or_default(), &body).await;
        return Ok(response(status, "application/json", answer));
    }
    if head.method != Method::POST {
        return Ok(plain(StatusCode::METHOD_NOT_ALLOWED));
    }
    let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let form = text("content-type").is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
    let credential = text("authorization").and_then(|line| Credential::parse(line, text("x-amz-security-token")));
    let answer = request(core, text("x-amz-target"), form, credential, body).await;
    // hyper closes a connection whose service fails.
    answer.map(aws).ok_or_else(|| io::Error::other("the connection is dropped on demand"))
}

/// Answers a request of either protocol, or nothing when its connection is to be dropped. It is carried out in a task
/// of its own, which goes on when the client gives up and its connection ends.
pub(crate) async fn request(
    core: Arc<Core>,
    target: Option<&str>,
    form: bool,
    credential: Option<Credential>,
    body: Vec<u8>,
) -> Option<Answer> {
    let body = String::from_utf8(body).unwrap_or_else(|_| "not UTF-8, so neither JSON nor a form".to_owned());
    let (protocol, operation) = operation(target, form, &body);
    let (name, id) = (operation.as_ref().map_or("", |operation| operation.name()), core.lock().random.uuid());
    let outcome = match operation {
        Ok(operation) => {
            let (seq, underway) = begin(&core, operation, protocol, credential, body);
            let (mut sender, receiver) = oneshot::channel();
            tokio::spawn(async move {
                let mut work = std::pin::pin!(carry_out(&core, seq, underway));
                let outcome = tokio::select! {
                    biased;
                    outcome = &mut work => outcome,
                    () = sender.closed() => {
                        core.change(|world| world.journal.update(seq, |entry| entry.client_gone = true));
                        work.await
                    }
                };
                drop(sender.send(outcome)); // to nobody, perhaps
            });
            receiver.await.ok()?
        }
        Err(refusal) => Some(Err(refusal)),
    };
    Some(Answer::new(protocol, name, id, outcome?))
}

async fn read(mut body: Incoming) -> Result<Vec<u8>, StatusCode> {
    let (mut read, mut length) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let data = frame.map_err(|_| StatusCode::BAD_REQUEST)?.into_data().unwrap_or_default();
        length += data.len();
        if length > MOST_DRAINED {
            break;
        }
        if length <= MOST_BYTES {
            read.extend_from_slice(&data);
        }
    }
    if length > MOST_BYTES { Err(StatusCode::PAYLOAD_TOO_LARGE) } else { Ok(read) }
}

fn aws(answer: Answer) -> Response<Full<Bytes>> {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = response(status, answer.content_type, answer.body);
    response.headers_mut().extend(HeaderValue::from_str(&answer.request_id).map(|id| (REQUEST_ID, id)));
    response
}

fn plain(status: StatusCode) -> Response<Full<Bytes>> {
    let reason = status.canonical_reason().unwrap_or_default();
    response(status, "text/plain; charset=utf-8", format!("{reason}\n"))
}

fn response(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
