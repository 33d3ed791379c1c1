//! `CreateEventBus`, `DeleteEventBus`, `DescribeEventBus`, `ListEventBuses`.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::dispatch::Underway;
use crate::error::Refusal;
use crate::evaluate::{Attempt, Context, authorize};
use crate::fault::{FaultKind, Moment};
use crate::faults::Effects;
use crate::input::{BUS_NAME, BUS_NAME_OR_ARN, BusArn, Fields, Violations};
use crate::journal::Writer;
use crate::policy::{Policy, compact, renamed, sid_of};
use crate::state::{Bus, BusName, Core, World};

pub(crate) fn create(core: &Core, call: &Underway) -> Result<String, Refusal> {
    let input = Fields(&call.input);
    let (name, source, description) = (input.text("Name")?, input.text("EventSourceName")?, input.text("Description")?);
    input.list("Tags")?;
    let mut violations = Violations::default();
    violations.required("name", name);
    violations.length("name", name, 256);
    violations.pattern("name", name, &BUS_NAME);
    if description.is_some_and(|text| !text.is_empty()) {
        violations.length("description", description, 512);
    }
    violations.finish()?;
    let bus = call.own_bus(name);
    if let Some(source) = source {
        let message = format!("Event source {source} does not exist."); // partner sources are not simulated
        return Err(Refusal::new(400, "ResourceNotFoundException", message));
    }
    if bus.name.contains('/') {
        return Err(Refusal::validation("Event bus name must not contain '/'."));
    }
    let (mut world, now) = core.lock();
    world.create_bus(&bus, description, now)?;
    let mut output = json!({"EventBusArn": bus.arn()});
    if let Some(description) = description {
        output["Description"] = description.into(); // aws-observations #217
    }
    Ok(output.to_string())
}

/// Deleting a bus that is not there succeeds (aws-observations #224). No policy governs it (#156).
pub(crate) fn delete(core: &Core, call: &Underway) -> Result<String, Refusal> {
    let name = Fields(&call.input).text("Name")?;
    let mut violations = Violations::default();
    violations.required("name", name);
    violations.length("name", name, 256);
    violations.pattern("name", name, &BUS_NAME);
    violations.finish()?;
    let bus = call.own_bus(name);
    if bus.name == "default" {
        return Err(Refusal::validation("Cannot delete event bus default."));
    }
    let (mut world, now) = core.lock();
    if world.bus(&bus, now).is_ok_and(|bus| !bus.rules.is_empty()) {
        return Err(Refusal::validation("EventBus can't be deleted since it has rules.")); // aws-observations #221
    }
    world.delete_bus(&bus, Writer::Call(call.seq), now);
    Ok(String::new())
}

pub(crate) fn describe(core: &Core, call: &Underway) -> Result<String, Refusal> {
    let name = Fields(&call.input).text("Name")?;
    let mut violations = Violations::default();
    violations.length("name", name, 1600);
    violations.pattern("name", name, &BUS_NAME_OR_ARN);
    violations.finish()?;
    let bus = match name.and_then(BusArn::parse) {
        Some(arn) if arn.region != call.region => {
            return Err(Refusal::validation("Cross-region api call is not allowed.")); // aws-observations #94
        }
        Some(arn) => BusName::new(arn.account, arn.region, arn.name),
        None => call.own_bus(name),
    };
    let (mut world, now) = core.lock();
    call.disturb(&mut world, &bus, Moment::Before, now);
    if bus.account != call.caller.account {
        let policy = world.bus(&bus, now).ok().and_then(|bus| bus.policy.clone());
        let (resource, context) = (bus.arn(), Context::new());
        let (caller, owner, action) = (&call.caller, bus.account.as_str(), "events:DescribeEventBus");
        authorize(policy.as_deref(), &world.iam, &Attempt { caller, action, resource: &resource, owner, context })?;
    }
    let (mut fields, policy) = {
        let found = world.bus(&bus, now)?;
        (described(&bus.name, found), visible(found, &bus, &call.effects, now))
    };
    insert_policy(&mut fields, shown(&mut world, &bus, policy, &call.effects, now));
    call.disturb(&mut world, &bus, Moment::After, now);
    Ok(Value::Object(fields).to_string())
}

/// A page of buses in the order of their names, with their policies: one call reads 100 buses (aws-observations #16).
pub(crate) fn list(core: &Core, call: &Underway) -> Result<String, Refusal> {
    let input = Fields(&call.input);
    let (prefix, token, limit) = (input.text("NamePrefix")?, input.text("NextToken")?, input.number("Limit")?);
    let mut violations = Violations::default();
    violations.length("namePrefix", prefix, 256);
    violations.pattern("namePrefix", prefix, &BUS_NAME);
    violations.length("nextToken", token, 2048);
    violations.range("limit", limit, 1, 100);
    violations.finish()?;
    let invalid_token = || Refusal::validation("Provided value in parameter 'nextToken' is invalid.");
    let after = token.map(|token| read_token(token).ok_or_else(invalid_token)).transpose()?;
    let prefix = prefix.unwrap_or_default();
    let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(100);

    let (mut world, now) = core.lock();
    let shelf = world.shelf(&call.caller.account, &call.region, now);
    let start = after.as_deref().unwrap_or(prefix).to_owned();
    let mut page: Vec<_> = shelf
        .range(start..)
        .skip_while(|(name, _)| after.as_ref() == Some(name))
        .take_while(|(name, _)| name.starts_with(prefix))
        .take(limit + 1)
        .map(|(name, bus)| {
            let name = call.own_bus(Some(name));
            let policy = visible(bus, &name, &call.effects, now);
            (described(&name.name, bus), policy, name)
        })
        .collect();
    let more = page.len() > limit;
    page.truncate(limit);
    let next = page.last().filter(|_| more).map(|(_, _, name)| write_token(&name.name));
    let mut buses = Vec::with_capacity(page.len());
    for (mut fields, policy, name) in page {
        insert_policy(&mut fields, shown(&mut world, &name, policy, &call.effects, now));
        buses.push(Value::Object(fields));
    }
    drop(world);
    let mut output = json!({"EventBuses": buses});
    if let Some(next) = next {
        output["NextToken"] = next.into();
    }
    Ok(output.to_string())
}

fn described(name: &str, bus: &Bus) -> Map<String, Value> {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds since the epoch fit 53 bits")]
    let seconds = |millis: i64| Value::from(millis as f64 / 1000.0);
    let mut fields = Map::new();
    fields.insert("Name".to_owned(), name.into());
    fields.insert("Arn".to_owned(), bus.arn.as_str().into());
    if let Some(description) = &bus.description {
        fields.insert("Description".to_owned(), description.as_str().into());
    }
    fields.insert("CreationTime".to_owned(), seconds(bus.created));
    fields.insert("LastModifiedTime".to_owned(), seconds(bus.modified));
    fields
}

/// `Policy` is absent when there are no statements (aws-observations #5, #108).
fn insert_policy(fields: &mut Map<String, Value>, policy: Option<Arc<str>>) {
    if let Some(policy) = policy {
        fields.insert("Policy".to_owned(), (*policy).into());
    }
}

/// The version of the policy that a read gets to see.
fn visible(bus: &Bus, name: &BusName, effects: &Effects, now: i64) -> Option<Arc<Policy>> {
    let stale = effects.on(name).find_map(|fault| match fault.kind {
        FaultKind::StaleRead { millis } => Some(bus.policy_at(now.saturating_sub_unsigned(millis))),
        FaultKind::StaleReadBehind { changes } => Some(bus.policy_behind(changes)),
        _ => None,
    });
    stale.unwrap_or(bus.policy.as_ref()).cloned()
}

/// The text of it, with what faults do to that.
fn shown(
    world: &mut World,
    name: &BusName,
    policy: Option<Arc<Policy>>,
    effects: &Effects,
    now: i64,
) -> Option<Arc<str>> {
    let policy = policy?;
    let mut text = policy.shown(&world.iam, now);
    for fault in effects.on(name) {
        let Ok(Value::Object(mut document)) = serde_json::from_str(&text) else {
            break;
        };
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
    Some(text)
}

/// Tokens are opaque: hexadecimal, of the last name given out.
fn write_token(last: &str) -> String {
    let hex: Vec<String> = last.bytes().rev().map(|byte| format!("{:02x}", byte ^ 0x5a)).collect();
    format!("sim1{}", hex.concat())
}

fn read_token(token: &str) -> Option<String> {
    let hex = token.strip_prefix("sim1").filter(|hex| hex.is_ascii() && hex.len() % 2 == 0)?;
    let bytes =
        (0..hex.len()).step_by(2).rev().map(|at| u8::from_str_radix(&hex[at..at + 2], 16).ok().map(|b| b ^ 0x5a));
    String::from_utf8(bytes.collect::<Option<Vec<u8>>>()?).ok()
}
