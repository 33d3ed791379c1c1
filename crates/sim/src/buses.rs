//! `CreateEventBus`, `DeleteEventBus`, `DescribeEventBus`, `ListEventBuses`.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::core::Core;
use crate::dispatch::Underway;
use crate::error::{Outcome, Refusal};
use crate::evaluate::{Attempt, Context};
use crate::fault::{FaultKind, Moment};
use crate::input::{BUS_NAME, BUS_NAME_OR_ARN, Input, Shape};
use crate::journal::Writer;
use crate::policy::{Policy, compact, renamed, sid_of};
use crate::world::{BusName, World};

pub(crate) fn create(core: &Core, call: &Underway) -> Outcome {
    let mut input = Input::of(&call.input);
    let (name, source) = (input.required("Name", &BUS_NAME)?, input.any("EventSourceName")?);
    let description = input.text("Description", &Shape::any(0, 512))?;
    input.list("Tags", (0, usize::MAX))?;
    input.finish()?;
    if let Some(source) = source {
        let message = format!("Event source {source} does not exist."); // partner sources are not simulated
        return Err(Refusal::new(400, "ResourceNotFoundException", message));
    }
    if name.contains('/') {
        return Err(Refusal::validation("Event bus name must not contain '/'."));
    }
    let bus = call.own_bus(Some(name));
    core.lock().create_bus(&bus, description)?;
    let mut output = json!({"EventBusArn": bus.arn()});
    if let Some(description) = description {
        output["Description"] = description.into(); // aws-observations #217
    }
    Ok(output.to_string())
}

/// Deleting a bus that is not there succeeds (aws-observations #224). No policy governs it (#156).
pub(crate) fn delete(core: &Core, call: &Underway) -> Outcome {
    let mut input = Input::of(&call.input);
    let name = input.required("Name", &BUS_NAME)?;
    input.finish()?;
    if name == "default" {
        return Err(Refusal::validation("Cannot delete event bus default."));
    }
    let (mut world, bus) = (core.lock(), call.own_bus(Some(name)));
    if world.bus(&bus).is_ok_and(|bus| !bus.rules.is_empty()) {
        return Err(Refusal::validation("EventBus can't be deleted since it has rules.")); // aws-observations #221
    }
    world.delete_bus(&bus, Writer::Call(call.seq));
    Ok(String::new())
}

pub(crate) fn describe(core: &Core, call: &Underway) -> Outcome {
    let mut input = Input::of(&call.input);
    let name = input.text("Name", &BUS_NAME_OR_ARN)?;
    input.finish()?;
    let bus = call.bus(name)?;
    let mut world = core.lock();
    call.disturb(&mut world, &bus, Moment::Before);
    if bus.account != call.caller.account {
        let (caller, action, context) = (&call.caller, "events:DescribeEventBus", Context::new());
        world.authorize(&Attempt { caller, action, bus: &bus, rule: None, context }, 0)?;
    }
    let shown = shown(&mut world, call, &bus)?;
    call.disturb(&mut world, &bus, Moment::After);
    Ok(shown.to_string())
}

/// A page of buses in the order of their names, with their policies: one call reads 100 buses (aws-observations #16).
pub(crate) fn list(core: &Core, call: &Underway) -> Outcome {
    let mut input = Input::of(&call.input);
    let prefix = input.text("NamePrefix", &BUS_NAME)?.unwrap_or_default();
    let token = input.text("NextToken", &Shape::any(1, 2048))?;
    let limit = input.number("Limit", (1, 100))?.unwrap_or(100);
    input.finish()?;
    let invalid_token = || Refusal::validation("Provided value in parameter 'nextToken' is invalid.");
    let after = token.map(|token| read_token(token).ok_or_else(invalid_token)).transpose()?;

    let mut world = core.lock();
    let start = after.as_deref().unwrap_or(prefix).to_owned();
    let names = world.shelf(&call.caller.account, &call.region).range(start..).map(|(name, _)| name);
    let rest = names.skip_while(|name| after.as_ref() == Some(name)).take_while(|name| name.starts_with(prefix));
    let mut page: Vec<String> = rest.take(limit + 1).cloned().collect();
    let more = page.len() > limit;
    page.truncate(limit);
    let next = page.last().filter(|_| more).map(|last| format!(",\"NextToken\":\"{}\"", write_token(last)));
    let shown = page.iter().map(|name| shown(&mut world, call, &call.own_bus(Some(name))));
    let buses: Vec<Arc<str>> = shown.collect::<Result<_, _>>()?;
    drop(world);
    let mut pieces = vec!["{\"EventBuses\":["];
    for (index, bus) in buses.iter().enumerate() {
        pieces.extend([if index == 0 { "" } else { "," }, bus]);
    }
    pieces.extend(["]", next.as_deref().unwrap_or_default(), "}"]);
    Ok(pieces.concat()) // at once: it may be megabytes
}

/// A bus as a read shows it, with what faults do to that. `Policy` is absent when there are no statements
/// (aws-observations #5, #108).
fn shown(world: &mut World, call: &Underway, name: &BusName) -> Result<Arc<str>, Refusal> {
    let now = world.now;
    let bus = world.bus(name)?;
    let stale = call.faults_on(name).find_map(|fault| match fault.kind {
        FaultKind::StaleRead { millis } => Some(bus.policy_at(now.saturating_sub_unsigned(millis))),
        FaultKind::StaleReadBehind { changes } => Some(bus.policy_behind(changes)),
        _ => None,
    });
    let policy = stale.unwrap_or(bus.policy.as_ref()).cloned();
    let policy = policy.map(|policy| disguised(world, call, name, &policy));
    Ok(world.bus(name)?.shown(&name.name, policy.as_ref()))
}

/// A policy's text, with what faults do to it.
fn disguised(world: &mut World, call: &Underway, name: &BusName, policy: &Policy) -> Arc<str> {
    let mut text = world.shown(policy);
    for fault in call.faults_on(name) {
        let Ok(Value::Object(mut document)) = serde_json::from_str(&text) else { break };
        match fault.kind {
            FaultKind::OpaquePrincipals => {
                document = renamed(document, |arn| policy.bindings.get(arn).cloned(), fault.sid.as_deref());
            }
            FaultKind::ShuffleStatements => {
                if let Some(statements) = document.get_mut("Statement").and_then(Value::as_array_mut)
                    && fault.sid.as_deref().is_none_or(|sid| statements.iter().any(|one| sid_of(one) == Some(sid)))
                {
                    world.random.shuffle(statements);
                }
            }
            _ => continue,
        }
        text = compact(&document);
    }
    text
}

/// Tokens are opaque: hexadecimal, of the last name given out.
fn write_token(last: &str) -> String {
    let hex: Vec<String> = last.bytes().rev().map(|byte| format!("{:02x}", byte ^ 0x5a)).collect();
    format!("sim1{}", hex.concat())
}

fn read_token(token: &str) -> Option<String> {
    let hex = token.strip_prefix("sim1").filter(|hex| hex.is_ascii() && hex.len() % 2 == 0)?;
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).ok().map(|byte| byte ^ 0x5a);
    let bytes: Option<Vec<u8>> = (0..hex.len()).step_by(2).rev().map(byte).collect();
    String::from_utf8(bytes?).ok()
}
