//! A small HTTP client for the tests, so that nothing stands between a request's bytes and the simulator.
#![expect(dead_code, reason = "each test uses some of it")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::net::SocketAddr;

use busgrant_sim::Sim;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) const OWNER: &str = "123456789012";
pub(crate) const MEMBER: &str = "222222222222";
pub(crate) const REGION: &str = "us-east-1";

/// An answer: status and body. Nothing when the connection was dropped without one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    /// The error type, or `ok`.
    pub(crate) fn code(&self) -> String {
        if self.status == 200 {
            return "ok".to_owned();
        }
        let xml = self.body.split("<Code>").nth(1).and_then(|rest| rest.split("</Code>").next());
        xml.map_or_else(|| self.json()["__type"].as_str().unwrap_or("?").to_owned(), ToOwned::to_owned)
    }

    pub(crate) fn message(&self) -> String {
        self.json()["message"].as_str().unwrap_or_default().to_owned()
    }
}

/// Sends bytes, and reads what comes until the connection ends.
pub(crate) async fn raw(address: SocketAddr, request: &[u8]) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A server that refuses early may close before all is written; what it said is still there.
    let _refused_early = stream.write_all(request).await;
    let mut answer = Vec::new();
    let _reset = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().unwrap();
    Some(Answer { status, body: body.to_owned() })
}

pub(crate) async fn http(sim: &Sim, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Option<Answer> {
    let headers: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let request = format!("{method} {path} HTTP/1.1\r\nhost: sim\r\nconnection: close\r\n");
    let request = format!("{request}{}content-length: {}\r\n\r\n{body}", headers.concat(), body.len());
    raw(sim.address(), request.as_bytes()).await
}

/// Somebody's credentials.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    pub(crate) id: String,
    pub(crate) token: String,
}

impl Keys {
    pub(crate) fn account(id: &str) -> Self {
        Self { id: id.to_owned(), token: String::new() }
    }

    pub(crate) fn authorization(&self, region: &str) -> String {
        let scope = format!("{}/20260913/{region}/events/aws4_request", self.id);
        format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;x-amz-date, Signature={:064}", 0)
    }
}

/// One EventBridge call, which may be dropped.
pub(crate) async fn try_call(sim: &Sim, keys: &Keys, region: &str, operation: &str, input: &Value) -> Option<Answer> {
    let (target, authorization) = (format!("AWSEvents.{operation}"), keys.authorization(region));
    let mut headers = vec![
        ("content-type", "application/x-amz-json-1.1"),
        ("x-amz-target", target.as_str()),
        ("authorization", authorization.as_str()),
    ];
    if !keys.token.is_empty() {
        headers.push(("x-amz-security-token", keys.token.as_str()));
    }
    http(sim, "POST", "/", &headers, &input.to_string()).await
}

/// Sends an EventBridge call by the owner's account and does not wait for the answer: dropping the stream gives it up.
pub(crate) async fn send(sim: &Sim, operation: &str, input: &Value) -> TcpStream {
    let (body, authorization) = (input.to_string(), Keys::account(OWNER).authorization(REGION));
    let head = format!("POST / HTTP/1.1\r\nhost: sim\r\nx-amz-target: AWSEvents.{operation}\r\n");
    let head = format!("{head}authorization: {authorization}\r\ncontent-length: {}\r\n\r\n", body.len());
    let mut stream = TcpStream::connect(sim.address()).await.unwrap();
    stream.write_all((head + &body).as_bytes()).await.unwrap();
    stream
}

/// One EventBridge call by the owner's account, which must be answered.
pub(crate) async fn call(sim: &Sim, operation: &str, input: &Value) -> Answer {
    match try_call(sim, &Keys::account(OWNER), REGION, operation, input).await {
        Some(answer) => answer,
        None => panic!("{operation} was dropped"),
    }
}

/// One STS call.
pub(crate) async fn sts(sim: &Sim, keys: &Keys, form: &str) -> Answer {
    let authorization = keys.authorization(REGION);
    let mut headers =
        vec![("content-type", "application/x-www-form-urlencoded"), ("authorization", authorization.as_str())];
    if !keys.token.is_empty() {
        headers.push(("x-amz-security-token", keys.token.as_str()));
    }
    http(sim, "POST", "/", &headers, form).await.unwrap()
}

/// The text of an XML element.
pub(crate) fn element(xml: &str, name: &str) -> String {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    xml.split(&open).nth(1).and_then(|rest| rest.split(&close).next()).unwrap_or_default().to_owned()
}

/// The credentials in an `AssumeRole` answer.
pub(crate) fn session(answer: &Answer) -> Keys {
    Keys { id: element(&answer.body, "AccessKeyId"), token: element(&answer.body, "SessionToken") }
}

/// One call to the control API, which must succeed.
pub(crate) async fn control(sim: &Sim, method: &str, path: &str, body: &Value) -> Value {
    let text = if body.is_null() { String::new() } else { body.to_string() };
    let answer = http(sim, method, path, &[], &text).await.unwrap();
    assert_eq!(answer.status, 200, "{method} {path}: {}", answer.body);
    answer.json()
}
