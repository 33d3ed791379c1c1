//! Equality of statements by meaning (IAM User Guide, "JSON policy elements" and "grammar"): an account id is its root ARN,
//! `"*"` is `{"AWS":"*"}`, a scalar is a list of one, lists are sets, actions and condition keys have no case.
//!
//! What is not understood has no meaning here and equals nothing, itself included: the answer "different" costs a call, "equal" a grant.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::statement::{Effect, Principals, Statement, account_of};

/// What one statement says, apart from its Sid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meaning {
    effect: Effect,
    principals: BTreeSet<(String, String)>,
    actions: BTreeSet<String>,
    resources: BTreeSet<String>,
    conditions: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
}

/// Why a statement has no meaning that could be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotUnderstood;

impl Meaning {
    /// The meaning of a statement as JSON.
    pub fn of(statement: &Value) -> Result<Self, NotUnderstood> {
        let Value::Object(fields) = statement else {
            return Err(NotUnderstood);
        };
        let known = ["Sid", "Effect", "Principal", "Action", "Resource", "Condition"];
        if fields.keys().any(|field| !known.contains(&field.as_str())) {
            return Err(NotUnderstood);
        }
        let effect = match fields.get("Effect").and_then(Value::as_str) {
            Some("Allow") => Effect::Allow,
            Some("Deny") => Effect::Deny,
            _ => return Err(NotUnderstood),
        };
        let actions = strings(fields.get("Action").ok_or(NotUnderstood)?)?;
        Ok(Self {
            effect,
            principals: principals(fields.get("Principal").ok_or(NotUnderstood)?)?,
            actions: actions.into_iter().map(|action| action.to_ascii_lowercase()).collect(),
            resources: strings(fields.get("Resource").ok_or(NotUnderstood)?)?,
            conditions: fields.get("Condition").map_or(Ok(BTreeMap::new()), conditions)?,
        })
    }

    /// The meaning of a statement of ours.
    pub(crate) fn of_ours(statement: &Statement) -> Self {
        let principals = match &statement.principals {
            Principals::Anyone => [("AWS".to_owned(), "*".to_owned())].into(),
            Principals::Named(named) => {
                named.iter().flat_map(|(kind, who)| who.iter().map(|w| principal(kind, w))).collect()
            }
        };
        let mut conditions: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
        for condition in &statement.conditions {
            let keys = conditions.entry(condition.operator.clone()).or_default();
            keys.insert(condition.key.to_ascii_lowercase(), condition.values.clone());
        }
        Self {
            effect: statement.effect,
            principals,
            actions: statement.actions.iter().map(|action| action.to_ascii_lowercase()).collect(),
            resources: statement.resources.clone(),
            conditions,
        }
    }

    /// Whether it gives or takes.
    pub fn effect(&self) -> Effect {
        self.effect
    }

    /// Whether a value refers to the request, as `${aws:PrincipalAccount}` does: documents of another version than
    /// 2012-10-17 take that for plain text.
    pub fn has_variables(&self) -> bool {
        let values = self.conditions.values().flat_map(BTreeMap::values).flatten();
        values.chain(&self.resources).any(|value| value.contains("${"))
    }
}

fn principals(json: &Value) -> Result<BTreeSet<(String, String)>, NotUnderstood> {
    match json {
        Value::String(everyone) if everyone == "*" => Ok([("AWS".to_owned(), "*".to_owned())].into()),
        Value::Object(kinds) => {
            let mut all = BTreeSet::new();
            for (kind, who) in kinds {
                for who in strings(who)? {
                    if kind == "AWS" && is_orphaned(&who) {
                        return Err(NotUnderstood);
                    }
                    all.insert(principal(kind, &who));
                }
            }
            Ok(all)
        }
        _ => Err(NotUnderstood),
    }
}

fn principal(kind: &str, who: &str) -> (String, String) {
    (kind.to_owned(), account_of(who).unwrap_or(who).to_owned())
}

/// Whether a principal is what the service shows of a role or user that is gone: its unique id (IAM User Guide, "Unique
/// identifiers"). It matches nobody, even when the name is taken again.
pub fn is_orphaned(principal: &str) -> bool {
    let prefixes = ["AROA", "AIDA", "AGPA", "ANPA", "ASIA", "AIPA"];
    prefixes.iter().any(|prefix| principal.starts_with(prefix)) && principal.bytes().all(|b| b.is_ascii_alphanumeric())
}

fn conditions(json: &Value) -> Result<BTreeMap<String, BTreeMap<String, BTreeSet<String>>>, NotUnderstood> {
    let mut all = BTreeMap::new();
    for (operator, keys) in object(json)? {
        for (key, values) in object(keys)? {
            let keys: &mut BTreeMap<_, _> = all.entry(operator.clone()).or_default();
            // Two spellings of one key are two conditions that must both hold, which one set cannot say.
            if keys.insert(key.to_ascii_lowercase(), scalars(values)?).is_some() {
                return Err(NotUnderstood);
            }
        }
    }
    Ok(all)
}

fn object(json: &Value) -> Result<&Map<String, Value>, NotUnderstood> {
    json.as_object().ok_or(NotUnderstood)
}

fn strings(json: &Value) -> Result<BTreeSet<String>, NotUnderstood> {
    list(json).iter().map(|v| v.as_str().map(str::to_owned).ok_or(NotUnderstood)).collect()
}

fn scalars(json: &Value) -> Result<BTreeSet<String>, NotUnderstood> {
    let text = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
        _ => Err(NotUnderstood),
    };
    list(json).iter().map(text).collect()
}

fn list(json: &Value) -> &[Value] {
    match json {
        Value::Array(values) => values,
        scalar => std::slice::from_ref(scalar),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn statement(changes: &Value) -> Value {
        let mut statement = json!({
            "Sid": "s", "Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "events:PutEvents",
            "Resource": "arn:aws:events:eu-west-1:123456789012:event-bus/orders",
        });
        for (field, value) in changes.as_object().unwrap() {
            statement[field] = value.clone();
        }
        statement
    }

    fn equal(one: &Value, other: &Value) -> bool {
        match (Meaning::of(&statement(one)), Meaning::of(&statement(other))) {
            (Ok(one), Ok(other)) => one == other,
            _ => false,
        }
    }

    #[test]
    fn equal_by_meaning() {
        let root = "arn:aws-cn:iam::111122223333:root";
        let same = [
            (json!({}), json!({"Sid": "another"})),
            (json!({}), json!({"Principal": {"AWS": root}})),
            (json!({}), json!({"Principal": {"AWS": [root, "111122223333"]}})),
            (json!({"Principal": "*"}), json!({"Principal": {"AWS": ["*"]}})),
            (json!({}), json!({"Action": ["events:PUTEVENTS"]})),
            (json!({}), json!({"Condition": {}})),
            (
                json!({"Condition": {"StringEquals": {"aws:SourceAccount": ["1", "2"]}}}),
                json!({"Condition": {"StringEquals": {"AWS:sourceaccount": ["2", "1", "1"]}}}),
            ),
            (json!({"Condition": {"Bool": {"a:b": true}}}), json!({"Condition": {"Bool": {"a:b": ["true"]}}})),
            (
                json!({"Condition": {"NumericLessThan": {"a:b": 5}}}),
                json!({"Condition": {"NumericLessThan": {"a:b": "5"}}}),
            ),
        ];
        for (one, other) in same {
            assert!(equal(&one, &other), "{one} = {other}");
        }
    }

    #[test]
    fn different_by_meaning() {
        let different = [
            (json!({}), json!({"Effect": "Deny"})),
            (json!({}), json!({"Principal": {"AWS": "444455556666"}})),
            (json!({}), json!({"Principal": {"Service": "111122223333"}})),
            (json!({}), json!({"Principal": "*"})),
            (json!({}), json!({"Condition": {"StringEquals": {"events:source": "a"}}})),
            (
                json!({"Condition": {"StringEquals": {"a:b": "v"}}}),
                json!({"Condition": {"StringEquals": {"a:b": "V"}}}),
            ),
            (
                json!({"Condition": {"StringEquals": {"a:b": "v"}}}),
                json!({"Condition": {"stringequals": {"a:b": "v"}}}),
            ),
        ];
        for (one, other) in different {
            assert!(!equal(&one, &other), "{one} ≠ {other}");
        }
    }

    #[test]
    fn what_is_not_understood_equals_nothing() {
        let odd = [
            json!({"NotAction": "events:PutRule"}),
            json!({"Principal": {"AWS": "AROAEXAMPLEID"}}),
            json!({"Action": 5}),
            json!({"Effect": "allow"}),
            json!({"Condition": {"StringEquals": {"a:b": null}}}),
            json!({"Condition": {"StringEquals": {"a:b": "1", "A:B": "2"}}}),
        ];
        for odd in odd {
            assert!(!equal(&odd, &odd), "{odd}");
        }
    }
}
