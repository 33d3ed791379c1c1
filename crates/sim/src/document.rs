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
use crate::policy::{Policy, renamed, sid_of, statements, strings};
use crate::state::BusName;

/// The actions a bus policy may name: 15 of the service's 60 (aws-observations #157 to #216).
const ADMITTED_ACTIONS: &str = "deleterule describeeventbus describerule disablerule enablerule listrulenamesbytarget \
    listrules listtagsforresource listtargetsbyrule putevents putrule puttargets removetargets tagresource untagresource";

/// A statement's shape; what else is in it is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
#[expect(dead_code, reason = "only its shape matters")]
struct Shape {
    sid: String,
    effect: Effect,
    principal: Value,
    action: OneOrMany<String>,
    resource: OneOrMany<String>,
    condition: Option<BTreeMap<String, BTreeMap<String, OneOrMany<Scalar>>>>,
}

#[derive(Deserialize)]
enum Effect {
    Allow,
    Deny,
}

#[derive(Deserialize)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its shape matters")]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

#[derive(Deserialize)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its shape matters")]
enum Scalar {
    Text(String),
    Flag(bool),
    Number(f64),
}

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

/// Finds out whom the document's principals are, all or nothing.
pub(crate) fn bind(document: &Map<String, Value>, iam: &Iam, bus: &BusName) -> Result<Policy, Refusal> {
    let invalid = || Refusal::validation("Policy contains an invalid principal"); // aws-observations #55
    for statement in statements(document) {
        match statement.get("Principal") {
            Some(Value::String(everyone)) if everyone == "*" => {}
            Some(Value::Object(kinds)) if !kinds.is_empty() => {
                for (kind, names) in kinds {
                    let names = strings(Some(names));
                    let known = |name: &&str| match kind.as_str() {
                        "AWS" => *name == "*" || iam.resolves(name, bus.partition()),
                        "Service" => name.contains(".amazonaws.com"),
                        other => other == "Federated",
                    };
                    if names.is_empty() || !names.iter().all(known) {
                        return Err(invalid());
                    }
                }
            }
            _ => return Err(invalid()),
        }
    }
    Ok(Policy::bound(document, iam))
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
    let shape = Shape::deserialize(statement);
    shape.map(drop).map_err(|error| Refusal::validation(format!("Could not parse the policy: {error}")))
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
    let parts: Vec<&str> = resource.splitn(6, ':').collect();
    let &[_, partition, service, region, account, relative] = parts.as_slice() else {
        return Err(Refusal::validation(format!("Resource {resource} must be in ARN format or \"*\".")));
    };
    // Rules of the default bus have no bus name in their ARN (`EventBridge` user guide, "Event bus permissions").
    let rules = if bus.name == "default" { "rule/".to_owned() } else { format!("rule/{}/", bus.name) };
    let own_rule = relative.strip_prefix(&rules).is_some_and(|rule| !rule.is_empty());
    let relative_fits = own_rule || relative.strip_prefix("event-bus/") == Some(bus.name.as_str());
    let parts = [
        ("partition", partition, glob(partition, bus.partition())),
        ("vendor", service, service == "events"),
        ("region", region, glob(region, &bus.region)),
        ("namespace", account, account == bus.account),
        ("relative-id", relative, relative_fits),
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
    Some((before.matches('\n').count() + 1, before.get(line_start..)?.chars().count() + 1))
}
