//! The two AWS protocols as bytes: credentials in, answers out. Signatures are not verified.

use serde_json::json;

use crate::error::Refusal;
use crate::iam::{Caller, Iam};
use crate::input::twelve_digits;
use crate::operation::Operation;
use crate::state::partition;

/// Which protocol an answer is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// AWS JSON 1.1: `EventBridge`.
    Json,
    /// AWS Query: STS, form-encoded in and XML out.
    Query,
}

/// An answer, ready to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) error: Option<String>,
    pub(crate) request_id: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn new(protocol: Protocol, request_id: String, result: Result<String, Refusal>) -> Self {
        let content_type = match protocol {
            Protocol::Json => "application/x-amz-json-1.1",
            Protocol::Query => "text/xml",
        };
        let (status, error, body) = match result {
            Ok(body) => (200, None, body),
            Err(refusal) => {
                let body = match protocol {
                    Protocol::Json => json!({"__type": refusal.code, "message": refusal.message}).to_string(),
                    Protocol::Query => format!(
                        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>{}</Type>\
                         <Code>{}</Code><Message>{}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>",
                        if refusal.status < 500 { "Sender" } else { "Receiver" },
                        escape_xml(&refusal.code),
                        escape_xml(&refusal.message)
                    ),
                };
                (refusal.status, Some(refusal.code.into_owned()), body)
            }
        };
        Self { status, content_type, error, request_id, body }
    }
}

pub(crate) fn escape_xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// What a request says about who sends it and where to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Credential {
    pub(crate) access_key: String,
    pub(crate) region: String,
    pub(crate) token: Option<String>,
}

impl Credential {
    /// Reads `AWS4-HMAC-SHA256 Credential=KEY/DATE/REGION/SERVICE/aws4_request, …` ("Signature Version 4", AWS general
    /// reference).
    pub(crate) fn parse(authorization: &str, token: Option<&str>) -> Option<Self> {
        let parts = authorization.strip_prefix("AWS4-HMAC-SHA256")?;
        let scope = parts.split(',').find_map(|part| part.trim().strip_prefix("Credential="))?;
        let mut fields = scope.split('/');
        let (key, _date, region) = (fields.next()?, fields.next()?, fields.next()?);
        let (_service, end) = (fields.next()?, fields.next()?);
        let sound = end == "aws4_request" && !key.is_empty() && !region.is_empty() && region.len() <= 64;
        sound.then(|| Self {
            access_key: key.to_owned(),
            region: region.to_owned(),
            token: token.map(ToOwned::to_owned),
        })
    }

    /// Who that is: a 12-digit key is an account, any other must come from `AssumeRole` and carry its token.
    pub(crate) fn caller(&self, iam: &Iam, now: i64, protocol: Protocol) -> Result<Caller, Refusal> {
        let invalid = || {
            let code = if protocol == Protocol::Json { "UnrecognizedClientException" } else { "InvalidClientTokenId" };
            refused(protocol, code, "The security token included in the request is invalid.")
        };
        if twelve_digits(&self.access_key) {
            return iam.account_user(&self.access_key, partition(&self.region)).ok_or_else(invalid);
        }
        let session = iam.sessions.get(&self.access_key).ok_or_else(invalid)?;
        if self.token.as_deref() != Some(&session.token) {
            return Err(invalid());
        }
        if now >= session.expires {
            let code = if protocol == Protocol::Json { "ExpiredTokenException" } else { "ExpiredToken" };
            return Err(refused(protocol, code, "The security token included in the request is expired"));
        }
        Ok(session.caller.clone())
    }
}

fn refused(protocol: Protocol, code: &'static str, message: &str) -> Refusal {
    Refusal::new(if protocol == Protocol::Json { 400 } else { 403 }, code, message)
}

/// A request without credentials ("Common errors", `EventBridge` and STS API references).
pub(crate) fn unsigned(protocol: Protocol) -> Refusal {
    match protocol {
        Protocol::Json => refused(protocol, "MissingAuthenticationTokenException", "Missing Authentication Token"),
        Protocol::Query => refused(protocol, "MissingAuthenticationToken", "Request is missing Authentication Token"),
    }
}

/// What a request asks for: the operation, or the error for one that there is not.
pub(crate) fn operation(target: Option<&str>, form: bool, body: &str) -> (Protocol, Result<Operation, Refusal>) {
    match target {
        None if form => {
            let action = form_field(body, "Action").unwrap_or_default();
            let known = Operation::parse(&action).filter(|operation| operation.is_sts());
            let unknown = || {
                let message = format!("Could not find operation {action} for version 2011-06-15");
                Refusal::new(400, "InvalidAction", message)
            };
            (Protocol::Query, known.ok_or_else(unknown))
        }
        _ => {
            let name = target.and_then(|target| target.strip_prefix("AWSEvents."));
            let known = name.and_then(Operation::parse).filter(|operation| !operation.is_sts());
            (Protocol::Json, known.ok_or_else(|| Refusal::new(400, "UnknownOperationException", "")))
        }
    }
}

/// A field of a form-encoded body.
pub(crate) fn form_field(body: &str, name: &str) -> Option<String> {
    body.split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| percent_decoded(key) == name)
        .map(|(_, value)| percent_decoded(value))
}

/// Undoes percent-encoding, and `+` for a space. What is not valid stays as it is.
pub(crate) fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let hex = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match (byte, hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(value)) => {
                decoded.push(value);
                at += 3;
                continue;
            }
            (b'+', _) => decoded.push(b' '),
            _ => decoded.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&decoded).into_owned()
}
