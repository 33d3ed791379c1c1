//! Which policy documents the service admits, and with which words it refuses the others.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::arn::{Arn, twelve_digits};
use crate::error::Refusal;
use crate::evaluate::glob;
use crate::iam::Iam;
use crate::java::sort_as_hash_map;
use crate::policy::{renamed, sid_of, statements, strings};
use crate::world::BusName;

/// The actions a bus policy may name: 15 of the service's 60 (aws-observations #157 to #216).
const ADMITTED_ACTIONS: &str = "deleterule describeeventbus describerule disablerule enablerule listrulenamesbytarget \
    listrules listtagsforresource listtargetsbyrule putevents putrule puttargets removetargets tagresource untagresource";

/// Reads and checks a document for a bus. Principals are not resolved yet: an identical document is accepted without
/// (aws-observations #104).
pub(crate) fn admit(text: &str, bus: &BusName) -> Result<Map<String, Value>, Refusal> {
    let parsed: Value =
        serde_json::from_str(text).map_err(|_| Refusal::validation("This policy contains invalid Json"))?;
    let Value::Object(mut document) = parsed else {
        return Err(Refusal::validation("This text appears not to be a policy"));
    };
    let version = document.get("Version").ok_or_else(|| missing("Version"))?;
    if !matches!(version.as_str(), Some("2012-10-17" | "2008-10-17")) {
        return Err(Refusal::validation("The policy must contain a valid version string"));
    }
    let statement = document.get_mut("Statement").ok_or_else(|| missing("Statement"))?;
    if statement.is_object() {
        *statement = Value::Array(vec![statement.take()]); // it comes back as an array (aws-observations #40)
    }
    if statements(&document).is_empty() {
        return Err(Refusal::validation("Could not parse the policy: Statement is empty!"));
    }
    for statement in statements(&document) {
        required_fields(statement)?;
    }
    let mut sids = Vec::new();
    for (index, statement) in statements(&document).iter().enumerate() {
        let sid = sid_of(statement);
        let problem = if sids.contains(&sid) {
            Some("The Statement Ids in the policy are not unique".to_owned())
        } else {
            invalid_actions(strings(statement.get("Action")))
        };
        if let Some(problem) = problem {
            let (line, column) = position(text, index).unwrap_or((1, 1));
            return Err(Refusal::validation(format!("Invalid statement at line {line} column {column}: {problem}")));
        }
        sids.push(sid);
        for resource in strings(statement.get("Resource")) {
            check_resource(resource, bus)?;
        }
    }
    // Bare account ids become root ARNs (aws-observations #32).
    Ok(renamed(document, |principal| twelve_digits(principal).then(|| bus.root_arn(principal)), None))
}

/// Whether all of the document's principals are somebody.
pub(crate) fn resolve(document: &Map<String, Value>, iam: &Iam, bus: &BusName) -> Result<(), Refusal> {
    let known = |kind: &str, name: &str| match kind {
        "AWS" => name == "*" || iam.resolves(name, bus.partition()),
        "Service" => name.contains(".amazonaws.com"),
        other => other == "Federated",
    };
    let all_known = |(kind, names): (&String, &Value)| {
        let names = strings(Some(names));
        !names.is_empty() && names.into_iter().all(|name| known(kind, name))
    };
    let somebody = |statement: &Value| match statement.get("Principal") {
        Some(Value::Object(kinds)) => !kinds.is_empty() && kinds.iter().all(all_known),
        principal => principal.and_then(Value::as_str) == Some("*"),
    };
    let invalid = || Refusal::validation("Policy contains an invalid principal"); // aws-observations #55
    statements(document).iter().all(somebody).then_some(()).ok_or_else(invalid)
}

fn missing(field: &str) -> Refusal {
    Refusal::validation(format!("Missing required field {field}"))
}

fn required_fields(statement: &Value) -> Result<(), Refusal> {
    let field = |name: &str| statement.get(name).filter(|value| value.as_str() != Some(""));
    // What is prohibited is noticed before what it displaces (aws-observations #113 to #115).
    if let Some(prohibited) = ["NotAction", "NotResource", "NotPrincipal"].iter().find(|name| field(name).is_some()) {
        return Err(Refusal::validation(format!("Has prohibited field {prohibited}")));
    }
    let required = ["Sid", "Effect", "Principal", "Action", "Resource"];
    if let Some(absent) = required.iter().find(|name| field(name).is_none()) {
        return Err(missing(absent));
    }
    // The wording of what else may be wrong with a statement is not observed.
    let odd = statement.as_object().into_iter().flatten().find(|(name, value)| !fits(name, value));
    odd.map_or(Ok(()), |(name, _)| {
        Err(Refusal::validation(format!("Could not parse the policy: {name} is not what it must be")))
    })
}

/// Whether a statement may have that field, and with a value of that kind.
fn fits(field: &str, value: &Value) -> bool {
    let scalar = |value: &Value| value.is_string() || value.is_boolean() || value.is_number();
    let one_or_many = |value: &Value, kind: &dyn Fn(&Value) -> bool| match value {
        Value::Array(many) => many.iter().all(kind),
        one => kind(one),
    };
    let each = |value: &Value, kind: &dyn Fn(&Value) -> bool| value.as_object().is_some_and(|of| of.values().all(kind));
    match field {
        "Sid" => value.is_string(),
        "Effect" => matches!(value.as_str(), Some("Allow" | "Deny")),
        "Principal" => value.is_string() || each(value, &|names| one_or_many(names, &Value::is_string)),
        "Action" | "Resource" => one_or_many(value, &Value::is_string),
        "Condition" => each(value, &|keys| each(keys, &|values| one_or_many(values, &scalar))),
        _ => false,
    }
}

fn invalid_actions(actions: Vec<&str>) -> Option<String> {
    let foreign = |action: &&str| {
        let service = action.split_once(':').map_or("", |(service, _)| service);
        *action != "*" && !service.eq_ignore_ascii_case("events")
    };
    if actions.iter().any(foreign) {
        return Some("Action field includes AWS services that are inconsistent with specified vendor".to_owned());
    }
    let admitted = |action: &str| {
        let pattern = action.to_ascii_lowercase();
        let pattern = pattern.strip_prefix("events:").unwrap_or(&pattern);
        ADMITTED_ACTIONS.split(' ').any(|known| glob(pattern, known))
    };
    let mut refused: Vec<&str> = actions.into_iter().filter(|action| !admitted(action)).collect();
    if refused.is_empty() {
        return None;
    }
    sort_as_hash_map(&mut refused, |action| action);
    let listed: Vec<String> = refused.iter().map(|action| format!("\"{action}\"")).collect();
    Some(format!("The following action names are invalid: {}", listed.join(", ")))
}

/// A resource is `*`, this bus or rules of this bus. Partition and Region may be wildcards, the account may not
/// (aws-observations #117 to #125).
fn check_resource(resource: &str, bus: &BusName) -> Result<(), Refusal> {
    if resource == "*" {
        return Ok(());
    }
    let Some(arn) = Arn::parse(resource) else {
        return Err(Refusal::validation(format!("Resource {resource} must be in ARN format or \"*\".")));
    };
    // Rules of the default bus have no bus name in their ARN (`EventBridge` user guide, "Event bus permissions").
    let rules = if bus.name == "default" { "rule/".to_owned() } else { format!("rule/{}/", bus.name) };
    let own_rule = arn.resource.strip_prefix(&rules).is_some_and(|rule| !rule.is_empty());
    let relative_fits = own_rule || arn.resource.strip_prefix("event-bus/") == Some(&bus.name);
    let parts = [
        ("partition", arn.partition, glob(arn.partition, bus.partition())),
        ("vendor", arn.service, arn.service == "events"),
        ("region", arn.region, glob(arn.region, &bus.region)),
        ("namespace", arn.account, arn.account == bus.account),
        ("relative-id", arn.resource, relative_fits),
    ];
    match parts.into_iter().find(|(_, _, fits)| !fits) {
        None => Ok(()),
        Some((what, value, _)) => {
            Err(Refusal::validation(format!("The {what} \"{value}\" is invalid for ARN \"{resource}\"")))
        }
    }
}

/// Line and column at which the service reports a statement: just past the token before it, so 38 for the first and
/// 235 for a second that follows 197 characters (aws-observations #49, #37).
fn position(text: &str, index: usize) -> Option<(usize, usize)> {
    let outline: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
    let raw = outline.get("Statement")?.get();
    let offset = |part: &str| (part.as_ptr() as usize).checked_sub(text.as_ptr() as usize);
    let start = offset(raw)?;
    let statements: Vec<&RawValue> = serde_json::from_str(raw).unwrap_or_default();
    let previous_end = match index.checked_sub(1) {
        None if statements.is_empty() => start,
        None => start + 1,
        Some(previous) => {
            let before = statements.get(previous)?.get();
            offset(before)? + before.len()
        }
    };
    let before = text.get(..previous_end)?;
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Some((before.matches('\n').count() + 1, before.get(line_start..)?.chars().count() + 1))
}
