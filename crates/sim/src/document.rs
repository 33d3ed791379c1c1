//! Which policy documents the service admits, and with which words it refuses the others.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::error::Refusal;
use crate::evaluate::glob;
use crate::iam::Iam;
use crate::input::twelve_digits;
use crate::java::sort_as_hash_map;
use crate::policy::{Policy, renamed, sid_of, strings};
use crate::state::BusName;

/// The actions a bus policy may name: 15 of the service's 60 (aws-observations #157 to #216).
const ADMITTED_ACTIONS: [&str; 15] = [
    "events:DeleteRule",
    "events:DescribeEventBus",
    "events:DescribeRule",
    "events:DisableRule",
    "events:EnableRule",
    "events:ListRuleNamesByTarget",
    "events:ListRules",
    "events:ListTagsForResource",
    "events:ListTargetsByRule",
    "events:PutEvents",
    "events:PutRule",
    "events:PutTargets",
    "events:RemoveTargets",
    "events:TagResource",
    "events:UntagResource",
];

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
    match document.get_mut("Statement") {
        None => return Err(missing("Statement")),
        // A single statement object comes back as an array (aws-observations #40).
        Some(single @ Value::Object(_)) => *single = Value::Array(vec![single.take()]),
        Some(Value::Array(_)) => {}
        Some(_) => {
            return Err(Refusal::validation(
                "Could not parse the policy: Statement is not an object or array",
            ));
        }
    }
    let statements = document
        .get("Statement")
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    if statements.is_empty() {
        return Err(Refusal::validation("Could not parse the policy: Statement is empty!"));
    }
    for statement in statements {
        required_fields(statement)?;
    }
    let mut sids = Vec::new();
    for (index, statement) in statements.iter().enumerate() {
        let sid = sid_of(statement);
        let problem = if sids.contains(&sid) {
            Some("The Statement Ids in the policy are not unique".to_owned())
        } else {
            invalid_actions(strings(statement.get("Action")))
        };
        if let Some(problem) = problem {
            let (line, column) = position(text, index).unwrap_or((1, 1));
            return Err(Refusal::validation(format!(
                "Invalid statement at line {line} column {column}: {problem}"
            )));
        }
        sids.push(sid);
        for resource in strings(statement.get("Resource")) {
            check_resource(resource, bus)?;
        }
    }
    // Bare account ids become root ARNs (aws-observations #32).
    Ok(renamed(
        &document,
        |principal| twelve_digits(principal).then(|| bus.root_arn(principal)),
        None,
    ))
}

/// Finds out whom the document's principals are, all or nothing.
pub(crate) fn bind(document: Map<String, Value>, iam: &Iam, bus: &BusName) -> Result<Policy, Refusal> {
    let mut policy = Policy::new(document, BTreeMap::new());
    let invalid = || Refusal::validation("Policy contains an invalid principal"); // aws-observations #55
    for statement in policy.statements() {
        match statement.get("Principal") {
            Some(Value::String(everyone)) if everyone == "*" => {}
            Some(Value::Object(kinds)) if !kinds.is_empty() => {
                for (kind, names) in kinds {
                    let names = strings(Some(names));
                    let known = match kind.as_str() {
                        "AWS" => {
                            |name: &str, iam: &Iam, bus: &BusName| name == "*" || iam.resolves(name, bus.partition())
                        }
                        "Service" => |name: &str, _: &Iam, _: &BusName| name.contains(".amazonaws.com"),
                        "Federated" => |_: &str, _: &Iam, _: &BusName| true,
                        _ => |_: &str, _: &Iam, _: &BusName| false,
                    };
                    if names.is_empty() || !names.iter().all(|name| known(name, iam, bus)) {
                        return Err(invalid());
                    }
                }
            }
            _ => return Err(invalid()),
        }
    }
    let bindings = policy
        .principals("AWS")
        .into_iter()
        .filter_map(|arn| Some((arn.to_owned(), iam.unique_id(arn)?)));
    policy.bindings = bindings.collect();
    Ok(policy)
}

fn missing(field: &str) -> Refusal {
    Refusal::validation(format!("Missing required field {field}"))
}

fn required_fields(statement: &Value) -> Result<(), Refusal> {
    let Some(fields) = statement.as_object() else {
        return Err(Refusal::validation(
            "Could not parse the policy: Statement is not an object",
        ));
    };
    // What is prohibited is noticed before what it displaces (aws-observations #113 to #115).
    for prohibited in ["NotAction", "NotResource", "NotPrincipal"] {
        if fields.contains_key(prohibited) {
            return Err(Refusal::validation(format!("Has prohibited field {prohibited}")));
        }
    }
    for required in ["Sid", "Effect", "Principal", "Action", "Resource"] {
        if fields.get(required).is_none_or(|value| value.as_str() == Some("")) {
            return Err(missing(required));
        }
    }
    if !matches!(fields.get("Effect").and_then(Value::as_str), Some("Allow" | "Deny")) {
        return Err(Refusal::validation("Invalid effect in the policy")); // the wording is not observed
    }
    for listed in ["Action", "Resource"] {
        let values = strings(fields.get(listed));
        let all_text = fields
            .get(listed)
            .and_then(Value::as_array)
            .is_none_or(|list| list.len() == values.len());
        if values.is_empty() || !all_text {
            return Err(missing(listed));
        }
    }
    let known = ["Sid", "Effect", "Principal", "Action", "Resource", "Condition"];
    if let Some(unknown) = fields.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(Refusal::validation(format!("Unknown field {unknown}"))); // the wording is not observed
    }
    if fields.get("Sid").is_some_and(|sid| !sid.is_string())
        || fields
            .get("Condition")
            .is_some_and(|condition| !condition_shape(condition))
    {
        return Err(Refusal::validation("Could not parse the policy: unexpected type"));
    }
    Ok(())
}

/// `{operator: {key: value or values}}`.
fn condition_shape(condition: &Value) -> bool {
    let scalar = |value: &Value| value.is_string() || value.is_boolean() || value.is_number();
    let values = |value: &Value| scalar(value) || value.as_array().is_some_and(|list| list.iter().all(scalar));
    condition.as_object().is_some_and(|operators| {
        operators
            .values()
            .all(|keys| keys.as_object().is_some_and(|keys| keys.values().all(values)))
    })
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
        ADMITTED_ACTIONS
            .iter()
            .any(|known| glob(&pattern, &known.to_ascii_lowercase()))
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
    let parts: Vec<&str> = resource.splitn(6, ':').collect();
    let &[_, partition, service, region, account, relative] = parts.as_slice() else {
        return Err(Refusal::validation(format!(
            "Resource {resource} must be in ARN format or \"*\"."
        )));
    };
    let invalid = |what: &str, value: &str| {
        Err(Refusal::validation(format!(
            "The {what} \"{value}\" is invalid for ARN \"{resource}\""
        )))
    };
    if !glob(partition, bus.partition()) {
        return invalid("partition", partition);
    }
    if service != "events" {
        return invalid("vendor", service);
    }
    if !glob(region, &bus.region) {
        return invalid("region", region);
    }
    if account != bus.account {
        return invalid("namespace", account);
    }
    // Rules of the default bus have no bus name in their ARN (EventBridge user guide, "Event bus permissions").
    let rules = if bus.name == "default" {
        "rule/".to_owned()
    } else {
        format!("rule/{}/", bus.name)
    };
    let own_rule = relative.strip_prefix(&rules).is_some_and(|rule| !rule.is_empty());
    if own_rule || relative.strip_prefix("event-bus/") == Some(bus.name.as_str()) {
        return Ok(());
    }
    invalid("relative-id", relative)
}

/// Line and column at which the service reports a statement: just past the token before it, so 38 for the first and
/// 235 for a second that follows 197 characters (aws-observations #49, #37).
fn position(text: &str, index: usize) -> Option<(usize, usize)> {
    #[derive(Deserialize)]
    struct Outline<'a> {
        #[serde(borrow, rename = "Statement")]
        statement: &'a RawValue,
    }
    let raw = serde_json::from_str::<Outline<'_>>(text).ok()?.statement.get();
    let offset = |part: &str| (part.as_ptr() as usize).checked_sub(text.as_ptr() as usize);
    let start = offset(raw)?;
    let previous_end = match serde_json::from_str::<Vec<&RawValue>>(raw).ok() {
        None => start,
        Some(_) if index == 0 => start + 1,
        Some(statements) => {
            let before = statements.get(index - 1)?.get();
            offset(before)? + before.len()
        }
    };
    let before = text.get(..previous_end)?;
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Some((
        before.matches('\n').count() + 1,
        before.get(line_start..)?.chars().count() + 1,
    ))
}
