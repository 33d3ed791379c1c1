//! The control API, `/_sim/…`: what the Rust handle can do, as JSON over HTTP for shells and other languages.

use std::sync::Arc;
use std::time::Duration;

use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::config::Settings;
use crate::faults::{Fault, FaultId, ForeignWrite};
use crate::foreign::ForeignWriter;
use crate::iam::{Account, Principal};
use crate::journal::JournalFilter;
use crate::operation::Operation;
use crate::probe::Probe;
use crate::sim::State;
use crate::state::{BusName, Core};
use crate::wire::{form_field, percent_decoded};

type Reply = Result<Value, (StatusCode, String)>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    millis: u64,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Release {
    fault: Option<FaultId>,
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
    match (method.as_str(), segments) {
        ("GET", ["health"]) => Ok(json!({"ok": true})),
        ("GET", ["journal"]) => {
            let filter = filter(query)?;
            Ok(json!({"last": state.mark(), "entries": state.journal_of(&filter)}))
        }
        ("GET", ["changes"]) => {
            let filter = filter(query)?;
            Ok(json!({"last": state.mark(), "changes": state.changes_of(&filter)}))
        }
        (_, ["faults", ..]) => faults(state, method, &segments[1..], body),
        ("POST", ["release"]) => {
            let release: Release = if body.is_empty() {
                Release::default()
            } else {
                parse(body)?
            };
            Ok(json!({"released": release.fault.map_or_else(|| state.release_all(), |fault| state.release(fault))}))
        }
        (_, ["buses", ..] | ["policy", ..] | ["foreign-write", ..]) => bus(state, method, segments, body),
        ("PUT", ["accounts", id]) => {
            state.set_account(id, parse::<Account>(body)?);
            Ok(json!({}))
        }
        ("PUT", ["principals"]) => {
            let id = state.declare_principal(parse::<Principal>(body)?);
            let id = id.ok_or_else(|| bad("arn must name a role or user of an existing account"))?;
            Ok(json!({"uniqueId": id}))
        }
        ("DELETE", ["principals"]) => Ok(json!({"deleted": state.delete_principal(&parse::<Arn>(body)?.arn)})),
        ("GET", ["settings"]) => Ok(json!(state.settings())),
        ("PUT", ["settings"]) => {
            // What the body leaves out stays as it is.
            let mut settings = json!(state.settings());
            for (name, value) in parse::<serde_json::Map<String, Value>>(body)? {
                settings[name] = value;
            }
            let settings: Settings = serde_json::from_value(settings).map_err(bad)?;
            state.set(settings.clone());
            Ok(json!(settings))
        }
        ("POST", ["advance"]) => {
            state.advance(parse::<Advance>(body)?.millis);
            Ok(json!({"nowMillis": state.now_millis()}))
        }
        ("POST", ["foreign-writers"]) => Ok(json!({"id": state.start_foreign_writer(parse::<ForeignWriter>(body)?)})),
        ("DELETE", ["foreign-writers"]) => Ok(json!({"stopped": state.stop_foreign_writers()})),
        ("POST", ["probe"]) => Ok(json!(state.probe(&parse::<Probe>(body)?))),
        _ => Err((
            StatusCode::NOT_FOUND,
            "no such control call; see the README of busgrant-sim".to_owned(),
        )),
    }
}

fn faults(state: &State, method: &Method, rest: &[&str], body: &[u8]) -> Reply {
    let listed = |(id, fault): (FaultId, Fault)| json!({"id": id, "fault": fault});
    match (method.as_str(), rest) {
        ("GET", []) => Ok(json!({"faults": state.faults().into_iter().map(listed).collect::<Vec<_>>()})),
        ("POST", []) => Ok(json!({"id": state.inject(parse::<Fault>(body)?)})),
        ("DELETE", []) => {
            state.clear_faults();
            Ok(json!({}))
        }
        ("DELETE", [id]) => {
            state.clear_fault(FaultId(id.parse().map_err(bad)?));
            Ok(json!({}))
        }
        _ => Err((StatusCode::METHOD_NOT_ALLOWED, "GET, POST or DELETE".to_owned())),
    }
}

fn bus(state: &State, method: &Method, segments: &[&str], body: &[u8]) -> Reply {
    let no_bus = || (StatusCode::NOT_FOUND, "no such bus".to_owned());
    let exists = |name: &BusName| state.buses().contains(name);
    match (method.as_str(), segments) {
        ("GET", ["buses"]) => {
            let arns: Vec<String> = state.buses().iter().map(BusName::arn).collect();
            Ok(json!({"buses": arns}))
        }
        ("PUT", ["buses", account, region, name]) => Ok(json!({"created": state.create_bus(account, region, name)})),
        ("DELETE", ["buses", account, region, name]) => {
            state.delete_bus(account, region, name);
            Ok(json!({}))
        }
        ("GET", ["policy", account, region, name]) => {
            let policy = state.policy(account, region, name); // this first: it makes default buses exist
            exists(&BusName::new(account, region, name))
                .then(|| json!(policy))
                .ok_or_else(no_bus)
        }
        ("PUT", ["policy", account, region, name]) => {
            let policy = parse::<serde_json::Map<String, Value>>(body)?;
            let done = state.put_policy(account, region, name, Some(Value::Object(policy)));
            done.then(|| json!({})).ok_or_else(no_bus)
        }
        ("DELETE", ["policy", account, region, name]) => state
            .put_policy(account, region, name, None)
            .then(|| json!({}))
            .ok_or_else(no_bus),
        ("POST", ["foreign-write", account, region, name]) => {
            let write = parse::<ForeignWrite>(body)?;
            Ok(json!({"done": state.foreign_write(account, region, name, &write)}))
        }
        _ => Err((StatusCode::NOT_FOUND, "give account, Region and bus".to_owned())),
    }
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
