//! What a spec must become on the bus, by the design alone: shares no code with what is tested.

use std::collections::{BTreeMap, BTreeSet};

use busgrant::api::naming::object_id;
use serde_json::{Map, Value, json};

/// Statements by Sid, each in one form for all that mean the same.
pub(super) type Statements = BTreeMap<String, Value>;

/// How the Sids of an object begin.
pub(super) fn prefix(owner: &str, namespace: &str, name: &str) -> String {
    format!("bg-{owner}-{}-", object_id(namespace, name).unwrap())
}

/// What the bus must hold for a spec.
pub(super) fn wanted(spec: &Value, bus: &str, prefix: &str) -> Statements {
    let mut wanted = Statements::new();
    for statement in spec["statements"].as_array().unwrap() {
        let sid = format!("{prefix}{}", statement["name"].as_str().unwrap());
        match accounts_alone(statement) {
            Some(accounts) => wanted.extend(accounts.iter().map(|account| {
                let put = json!({"Effect": "Allow", "Principal": {"AWS": account}, "Action": "events:PutEvents", "Resource": bus});
                (format!("{sid}-{}", account.as_str().unwrap()), normal(&put, bus))
            })),
            None => drop(wanted.insert(sid, normal(&document(statement, bus), bus))),
        }
    }
    wanted
}

/// The statements of a policy whose Sid begins so.
pub(super) fn of_policy(policy: Option<&Value>, bus: &str, prefix: &str) -> Statements {
    let all = policy.and_then(|policy| policy["Statement"].as_array()).into_iter().flatten();
    let ours = all.filter_map(|statement| Some((statement["Sid"].as_str()?, statement)));
    let ours = ours.filter(|(sid, _)| sid.starts_with(prefix));
    ours.map(|(sid, statement)| (sid.to_owned(), normal(statement, bus))).collect()
}

fn accounts_alone(statement: &Value) -> Option<&Vec<Value>> {
    let restricts = ["access", "sources", "detailTypes", "sourceARNs", "conditions"];
    let plain = restricts.iter().all(|field| statement.get(field).is_none());
    statement["principals"]["accountIDs"].as_array().filter(|_| plain)
}

fn document(statement: &Value, bus: &str) -> Value {
    if let Some(raw) = statement.get("raw") {
        let resource = match raw["actions"][0].as_str().unwrap() {
            "events:PutEvents" => bus.to_owned(),
            _ => rules(bus),
        };
        return json!({
            "Effect": raw["effect"], "Principal": raw["principal"], "Action": raw["actions"], "Resource": resource,
            "Condition": raw["condition"],
        });
    }
    let manages = statement["access"] == "ManageOwnRules";
    let equals = if manages { "StringEqualsIfExists" } else { "StringEquals" };
    let mut condition = Map::new();
    let mut add = |operator: &str, key: &str, values: &Value| {
        if !values.is_null() {
            let keys = condition.entry(operator).or_insert_with(|| json!({}));
            keys[key] = values.clone();
        }
    };
    add(equals, "events:source", &statement["sources"]);
    add(equals, "events:detail-type", &statement["detailTypes"]);
    add("ArnLike", "aws:SourceArn", &statement["sourceARNs"]);
    if manages {
        add("StringEqualsIfExists", "events:creatorAccount", &json!("${aws:PrincipalAccount}"));
    }
    let who = &statement["principals"];
    add("StringEquals", "aws:PrincipalOrgID", &who["organizationID"]);
    add("ForAnyValue:StringLike", "aws:PrincipalOrgPaths", &who["organizationPaths"]);
    for one in statement["conditions"].as_array().into_iter().flatten() {
        add(one["operator"].as_str().unwrap(), one["key"].as_str().unwrap(), &one["values"]);
    }
    let principal = if who.get("accountIDs").is_some() {
        json!({"AWS": who["accountIDs"]})
    } else if who.get("principalARNs").is_some() {
        json!({"AWS": who["principalARNs"]})
    } else if who.get("services").is_some() {
        json!({"Service": who["services"]})
    } else {
        json!("*")
    };
    let (action, resource) =
        if manages { (json!(OWN_RULES), rules(bus)) } else { (json!("events:PutEvents"), bus.into()) };
    json!({"Effect": "Allow", "Principal": principal, "Action": action, "Resource": resource, "Condition": condition})
}

/// The ARNs of rules on the bus named default don't name it.
fn rules(bus: &str) -> String {
    if let Some(account) = bus.strip_suffix(":event-bus/default") {
        return format!("{account}:rule/*");
    }
    format!("{}/*", bus.replace(":event-bus/", ":rule/"))
}

/// `EventBridge` user guide, "Permissions for Amazon EventBridge event buses", the policy for rules of one's own.
const OWN_RULES: [&str; 11] = [
    "events:PutRule",
    "events:DeleteRule",
    "events:DescribeRule",
    "events:DisableRule",
    "events:EnableRule",
    "events:PutTargets",
    "events:RemoveTargets",
    "events:ListTargetsByRule",
    "events:TagResource",
    "events:UntagResource",
    "events:ListTagsForResource",
];

/// One form for every statement that means the same: lists sorted, accounts as their roots, keys in lower case, no Sid.
fn normal(statement: &Value, bus: &str) -> Value {
    let partition = bus.split(':').nth(1).unwrap();
    let root = |name: &str| {
        if name.len() == 12 && name.bytes().all(|byte| byte.is_ascii_digit()) {
            format!("arn:{partition}:iam::{name}:root")
        } else {
            name.to_owned()
        }
    };
    let list = |value: &Value| -> BTreeSet<String> {
        let items = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let principals = |value: &Value| match value.as_object() {
        None => json!({"AWS": list(value)}),
        Some(kinds) => {
            let roots = |value: &Value| list(value).iter().map(|name| root(name)).collect::<BTreeSet<_>>();
            kinds.iter().map(|(kind, who)| (kind.clone(), json!(roots(who)))).collect()
        }
    };
    let keys = |keys: &Value| -> BTreeMap<String, BTreeSet<String>> {
        let keys = keys.as_object().into_iter().flatten();
        keys.map(|(key, values)| (key.to_lowercase(), list(values))).collect()
    };
    let conditions = statement["Condition"].as_object().into_iter().flatten();
    let conditions: BTreeMap<_, _> = conditions.map(|(operator, those)| (operator.clone(), keys(those))).collect();
    json!({
        "Effect": statement["Effect"], "Principal": principals(&statement["Principal"]),
        "Action": list(&statement["Action"]), "Resource": list(&statement["Resource"]), "Condition": conditions,
    })
}
