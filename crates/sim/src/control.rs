//! The control API, `/_sim/…`: what the Rust handle can do, as JSON over HTTP for shells and other languages.

use std::sync::Arc;
use std::time::Duration;

use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::fault::{Fault, FaultId};
use crate::journal::JournalFilter;
use crate::operation::Operation;
use crate::sim::State;
use crate::state::{BusName, Core};
use crate::wire::{form_field, percent_decoded};

type Reply = Result<Value, (StatusCode, String)>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    millis: u64,
}

#[derive(Deserialize)]
struct Arn {
    arn: String,
}

/// Answers one request: a status and a JSON body.
pub(crate) async fn answer(
    core: &Arc<Core>,
    method: &Method,
    path: &str,
    query: Option<&str>,
    body: &[u8],
) -> (StatusCode, String) {
    let segments: Vec<String> = path.split('/').map(percent_decoded).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let state = State::of(core);
    let reply = match (method, segments.as_slice()) {
        (&Method::GET, ["held"]) => Ok(held(&state, query.unwrap_or_default()).await),
        _ => route(&state, method, &segments, query.unwrap_or_default(), body),
    };
    match reply {
        Ok(value) => (StatusCode::OK, format!("{value}\n")),
        Err((status, message)) => (status, format!("{}\n", json!({"error": message}))),
    }
}

fn route(state: &State, method: &Method, segments: &[&str], query: &str, body: &[u8]) -> Reply {
    let no_bus = || (StatusCode::NOT_FOUND, "no such bus".to_owned());
    match (method.as_str(), segments) {
        ("GET", ["health"]) => Ok(json!({})),
        ("GET", ["journal"]) => Ok(json!({"last": state.mark(), "entries": state.journal_of(&filter(query)?)})),
        ("GET", ["changes"]) => Ok(json!({"last": state.mark(), "changes": state.changes_of(&filter(query)?)})),
        ("GET", ["faults"]) => {
            let listed = |(id, fault): (FaultId, Fault)| json!({"id": id, "fault": fault});
            Ok(json!({"faults": state.faults().into_iter().map(listed).collect::<Vec<_>>()}))
        }
        ("POST", ["faults"]) => Ok(json!({"id": state.inject(parse(body)?)})),
        ("DELETE", ["faults"]) => Ok(done(|| state.clear_faults())),
        ("DELETE", ["faults", id]) => {
            let id = FaultId(id.parse().map_err(bad)?);
            Ok(done(|| state.clear_fault(id)))
        }
        ("POST", ["release"]) => Ok(json!({"released": state.release_all()})),
        ("POST", ["release", id]) => Ok(json!({"released": state.release(FaultId(id.parse().map_err(bad)?))})),
        ("GET", ["buses"]) => Ok(json!({"buses": state.buses().iter().map(BusName::arn).collect::<Vec<_>>()})),
        ("PUT", ["buses", account, region, name]) => Ok(json!({"created": state.create_bus(account, region, name)})),
        ("DELETE", ["buses", account, region, name]) => Ok(done(|| state.delete_bus(account, region, name))),
        ("GET", ["policy", account, region, name]) => {
            let policy = state.policy(account, region, name); // this first: it makes default buses exist
            let exists = state.buses().contains(&BusName::new(account, region, name));
            exists.then(|| json!(policy)).ok_or_else(no_bus)
        }
        ("PUT", ["policy", account, region, name]) => {
            let put = state.put_policy(account, region, name, Some(parse::<Map<String, Value>>(body)?.into()));
            put.then(|| json!({})).ok_or_else(no_bus)
        }
        ("DELETE", ["policy", account, region, name]) => {
            state.put_policy(account, region, name, None).then(|| json!({})).ok_or_else(no_bus)
        }
        ("POST", ["foreign-write", account, region, name]) => {
            Ok(json!({"done": state.foreign_write(account, region, name, &parse(body)?)}))
        }
        ("POST", ["foreign-writers"]) => parse(body).map(|writer| done(|| state.start_foreign_writer(writer))),
        ("DELETE", ["foreign-writers"]) => Ok(json!({"stopped": state.stop_foreign_writers()})),
        ("PUT", ["accounts", id]) => parse(body).map(|account| done(|| state.set_account(id, account))),
        ("PUT", ["principals"]) => {
            let id = state.declare_principal(parse(body)?);
            id.map(|id| json!({"uniqueId": id})).ok_or_else(|| bad("no role or user of an existing account"))
        }
        ("DELETE", ["principals"]) => Ok(json!({"deleted": state.delete_principal(&parse::<Arn>(body)?.arn)})),
        ("GET", ["settings"]) => Ok(json!(state.settings())),
        ("PUT", ["settings"]) => {
            // What the body leaves out stays as it is.
            let mut settings = json!(state.settings());
            for (name, value) in parse::<Map<String, Value>>(body)? {
                settings[name] = value;
            }
            state.set(serde_json::from_value(settings).map_err(bad)?);
            Ok(json!(state.settings()))
        }
        ("POST", ["advance"]) => {
            state.advance(parse::<Advance>(body)?.millis);
            Ok(json!({"nowMillis": state.now_millis()}))
        }
        ("POST", ["probe"]) => Ok(json!(state.probe(&parse(body)?))),
        _ => Err((StatusCode::NOT_FOUND, "no such control call; see the README of busgrant-sim".to_owned())),
    }
}

fn done(act: impl FnOnce()) -> Value {
    act();
    json!({})
}

/// The held calls; with `atLeast`, after waiting for so many, at most `timeoutMillis` (10 s).
async fn held(state: &State, query: &str) -> Value {
    let number = |name: &str| form_field(query, name).and_then(|text| text.parse::<u64>().ok());
    if let Some(calls) = number("atLeast").and_then(|calls| usize::try_from(calls).ok()) {
        let patience = Duration::from_millis(number("timeoutMillis").unwrap_or(10_000));
        // Too few after all: the answer says how many.
        drop(tokio::time::timeout(patience, state.wait_held(calls)).await);
    }
    json!({"held": state.held()})
}

fn filter(query: &str) -> Result<JournalFilter, (StatusCode, String)> {
    let field = |name: &str| form_field(query, name);
    let operation = field("operation").map(|name| Operation::parse(&name).ok_or_else(|| bad("no such operation")));
    Ok(JournalFilter {
        since: field("since").map(|text| text.parse().map_err(bad)).transpose()?,
        operation: operation.transpose()?,
        account: field("account"),
        region: field("region"),
        bus: field("bus"),
        limit: field("limit").map(|text| text.parse().map_err(bad)).transpose()?,
    })
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, (StatusCode, String)> {
    serde_json::from_slice(body).map_err(bad)
}

#[expect(clippy::needless_pass_by_value, reason = "the shape of map_err")]
fn bad(error: impl ToString) -> (StatusCode, String) {
    (StatusCode::BAD_REQUEST, error.to_string())
}
