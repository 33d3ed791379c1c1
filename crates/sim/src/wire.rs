//! The two AWS protocols as bytes: credentials in, answers out. Signatures are not verified.

use serde_json::{Map, Value, json};

use crate::arn::{partition, twelve_digits};
use crate::error::{Outcome, Refusal};
use crate::iam::{Caller, Iam};
use crate::operation::Operation;

/// Which protocol an answer is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// AWS JSON 1.1: `EventBridge`.
    Json,
    /// AWS Query: STS, form-encoded in and XML out.
    Query,
}

impl Protocol {
    /// A refusal of somebody's credentials, which each protocol has its own name for.
    fn refusal(self, json: &'static str, query: &'static str, message: &str) -> Refusal {
        match self {
            Self::Json => Refusal::new(400, json, message),
            Self::Query => Refusal::new(403, query, message),
        }
    }
}

/// An answer, ready to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) request_id: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn new(protocol: Protocol, operation: &str, request_id: String, result: Outcome) -> Self {
        let content_type = match protocol {
            Protocol::Json => "application/x-amz-json-1.1",
            Protocol::Query => "text/xml",
        };
        let xmlns = "xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"";
        let (status, body) = match (protocol, result) {
            (Protocol::Json, Ok(body)) => (200, body),
            (Protocol::Json, Err(Refusal { status, code, message })) => {
                (status, json!({"__type": code, "message": message}).to_string())
            }
            (Protocol::Query, Ok(result)) => {
                let result = format!("<{operation}Result>{result}</{operation}Result>");
                let metadata = format!("<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>");
                (200, format!("<{operation}Response {xmlns}>{result}{metadata}</{operation}Response>"))
            }
            (Protocol::Query, Err(Refusal { status, code, message })) => {
                let (code, message) = (escape_xml(&code), escape_xml(&message));
                let kind = if status < 500 { "Sender" } else { "Receiver" };
                let error = format!("<Type>{kind}</Type><Code>{code}</Code><Message>{message}</Message>");
                let id = format!("<RequestId>{request_id}</RequestId>");
                (status, format!("<ErrorResponse {xmlns}><Error>{error}</Error>{id}</ErrorResponse>"))
            }
        };
        Self { status, content_type, request_id, body }
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
    pub(crate) fn caller(this: Option<&Self>, iam: &Iam, now: i64, protocol: Protocol) -> Result<Caller, Refusal> {
        let Some(Self { access_key, region, token }) = this else { return Err(unsigned(protocol)) };
        let message = "The security token included in the request is invalid.";
        let invalid = || protocol.refusal("UnrecognizedClientException", "InvalidClientTokenId", message);
        if twelve_digits(access_key) {
            return iam.account_user(access_key, partition(region)).ok_or_else(invalid);
        }
        let session = iam.sessions.get(access_key);
        let session = session.filter(|session| token.as_ref() == Some(&session.token)).ok_or_else(invalid)?;
        if now >= session.expires {
            let message = "The security token included in the request is expired";
            return Err(protocol.refusal("ExpiredTokenException", "ExpiredToken", message));
        }
        Ok(session.caller.clone())
    }
}

/// A request without credentials ("Common errors", `EventBridge` and STS API references).
fn unsigned(protocol: Protocol) -> Refusal {
    let message = match protocol {
        Protocol::Json => "Missing Authentication Token",
        Protocol::Query => "Request is missing Authentication Token",
    };
    protocol.refusal("MissingAuthenticationTokenException", "MissingAuthenticationToken", message)
}

/// What a request asks for: the operation, or the error for one that there is not.
pub(crate) fn operation(target: Option<&str>, is_form: bool, body: &str) -> (Protocol, Result<Operation, Refusal>) {
    if target.is_none() && is_form {
        let fields = form(body);
        let action = fields.get("Action").and_then(Value::as_str).unwrap_or_default();
        let known = Operation::parse(action).filter(|operation| operation.is_sts());
        let message = || format!("Could not find operation {action} for version 2011-06-15");
        return (Protocol::Query, known.ok_or_else(|| Refusal::new(400, "InvalidAction", message())));
    }
    let name = target.and_then(|target| target.strip_prefix("AWSEvents."));
    let known = name.and_then(Operation::parse).filter(|operation| !operation.is_sts());
    (Protocol::Json, known.ok_or_else(|| Refusal::new(400, "UnknownOperationException", "")))
}

/// The fields of a form, as in a body or a query. Of a repeated one, the first.
pub(crate) fn form(text: &str) -> Map<String, Value> {
    let mut fields = Map::new();
    for (name, value) in text.split('&').filter_map(|pair| pair.split_once('=')) {
        fields.entry(percent_decoded(name)).or_insert_with(|| percent_decoded(value).into());
    }
    fields
}

/// Undoes percent-encoding, and `+` for a space. What is not valid stays as it is.
pub(crate) fn percent_decoded(text: &str) -> String {
    let text = text.replace('+', " ");
    let mut parts = text.split('%');
    let mut decoded = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let hex = part.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        decoded.push(hex.unwrap_or(b'%'));
        decoded.extend(&part.as_bytes()[if hex.is_some() { 2 } else { 0 }..]);
    }
    String::from_utf8_lossy(&decoded).into_owned()
}
