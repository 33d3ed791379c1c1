//! The control API, `/_sim/…`: what the Rust handle can do, as JSON over HTTP for shells and other languages.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hyper::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::core::Core;
use crate::fault::{Fault, FaultId};
use crate::journal::JournalFilter;
use crate::operation::Operation;
use crate::sim::State;
use crate::wire::{form, percent_decoded};
use crate::world::BusName;

type Failure = (StatusCode, String);

/// Answers one request: a status and a JSON body.
pub(crate) async fn answer(core: Arc<Core>, method: &Method, path: &str, query: &str, body: &[u8]) -> Failure {
    let segments: Vec<String> = path.split('/').map(percent_decoded).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let (state, query) = (State(core), form(query));
    if segments == ["held"] && method == Method::GET {
        wait_held(&state, &query).await;
    }
    match route(&state, method, &segments, &query, body) {
        Ok(value) => (StatusCode::OK, format!("{value}\n")),
        Err((status, message)) => (status, format!("{}\n", json!({"error": message}))),
    }
}

type Query = Map<String, Value>;

fn route(state: &State, method: &Method, segments: &[&str], query: &Query, body: &[u8]) -> Result<Value, Failure> {
    let no_bus = || (StatusCode::NOT_FOUND, "no such bus".to_owned());
    match (method.as_str(), segments) {
        ("GET", ["health"]) => Ok(json!({})),
        ("GET", ["journal"]) => Ok(json!({"last": state.mark(), "entries": state.journal_of(&filter(query)?)})),
        ("GET", ["changes"]) => Ok(json!({"last": state.mark(), "changes": state.changes_of(&filter(query)?)})),
        ("GET", ["held"]) => Ok(json!({"held": state.held()})),
        ("GET", ["faults"]) => {
            let listed = |(id, fault): (FaultId, Fault)| json!({"id": id, "fault": fault});
            Ok(json!({"faults": state.faults().into_iter().map(listed).collect::<Vec<_>>()}))
        }
        ("POST", ["faults"]) => Ok(json!({"id": state.inject(parse(body)?)})),
        ("DELETE", ["faults"]) => Ok(done(|| state.clear_faults())),
        ("DELETE", ["faults", id]) => parse(id.as_bytes()).map(|id| done(|| state.clear_fault(id))),
        ("POST", ["release"]) => Ok(json!({"released": state.release_all()})),
        ("POST", ["release", id]) => Ok(json!({"released": state.release(parse(id.as_bytes())?)})),
        ("GET", ["buses"]) => Ok(json!({"buses": state.buses().iter().map(BusName::arn).collect::<Vec<_>>()})),
        ("PUT", ["buses", account, region, name]) => Ok(json!({"created": state.create_bus(account, region, name)})),
        ("DELETE", ["buses", account, region, name]) => Ok(done(|| state.delete_bus(account, region, name))),
        ("GET", ["policy", account, region, name]) => {
            let policy = state.policy(account, region, name); // this first: it makes default buses exist
            let exists = state.buses().contains(&BusName::new(account, region, name));
            exists.then(|| json!(policy)).ok_or_else(no_bus)
        }
        ("PUT" | "DELETE", ["policy", account, region, name]) => {
            let policy = if method == Method::PUT { Some(parse::<Map<_, _>>(body)?.into()) } else { None };
            state.put_policy(account, region, name, policy).then(|| json!({})).ok_or_else(no_bus)
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
        ("DELETE", ["principals"]) => Ok(json!({"deleted": state.delete_principal(&field::<String>(body, "arn")?)})),
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
            state.advance(field(body, "millis")?);
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

/// With `atLeast`, waits until so many calls are held, at most `timeoutMillis` (10 s). Too few after all: the answer says
/// how many.
async fn wait_held(state: &State, query: &Query) {
    if let Ok(Some(calls)) = number(query, "atLeast") {
        let patience = number(query, "timeoutMillis").ok().flatten().unwrap_or(10_000);
        drop(tokio::time::timeout(Duration::from_millis(patience), state.wait_held(calls)).await);
    }
}

fn filter(query: &Query) -> Result<JournalFilter, Failure> {
    let text = |name: &str| query.get(name).and_then(Value::as_str);
    let operation = text("operation").map(|name| Operation::parse(name).ok_or_else(|| bad("no such operation")));
    Ok(JournalFilter {
        since: number(query, "since")?,
        operation: operation.transpose()?,
        account: text("account").map(ToOwned::to_owned),
        region: text("region").map(ToOwned::to_owned),
        bus: text("bus").map(ToOwned::to_owned),
        limit: number(query, "limit")?,
    })
}

fn number<T: DeserializeOwned>(query: &Query, name: &str) -> Result<Option<T>, Failure> {
    query.get(name).and_then(Value::as_str).map(|text| parse(text.as_bytes())).transpose()
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(bad)
}

/// The one field of a body that has no other.
fn field<T: DeserializeOwned>(body: &[u8], name: &str) -> Result<T, Failure> {
    parse::<BTreeMap<String, T>>(body)?.remove(name).ok_or_else(|| bad(format!("{name} is missing")))
}

#[expect(clippy::needless_pass_by_value, reason = "the shape of map_err")]
fn bad(error: impl ToString) -> Failure {
    (StatusCode::BAD_REQUEST, error.to_string())
}
