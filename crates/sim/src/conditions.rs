//! The condition block of a statement (IAM user guide, "IAM JSON policy elements: Condition operators").
//!
//! String, ARN, Bool and Null operators, with `IfExists`, `ForAnyValue` and `ForAllValues`. Numeric, date, binary and IP
//! operators are admitted in documents and never satisfied: no key of a bus policy is of those types.

use serde_json::Value;

use crate::evaluate::{Context, glob};

/// Whether every condition holds. An absent block always does.
pub(crate) fn satisfied(condition: Option<&Value>, context: &Context, variables: bool) -> bool {
    let Some(Value::Object(operators)) = condition else {
        return condition.is_none();
    };
    operators.iter().all(|(operator, keys)| {
        let Value::Object(keys) = keys else { return false };
        keys.iter().all(|(key, wanted)| {
            let wanted: Vec<String> =
                scalars(wanted).iter().filter_map(|text| expand(text, context, variables)).collect();
            holds(operator, context.get(&key.to_ascii_lowercase()).map(Vec::as_slice), &wanted)
        })
    })
}

/// Booleans and numbers may go unquoted.
fn scalars(value: &Value) -> Vec<String> {
    match value {
        Value::Array(many) => many.iter().flat_map(scalars).collect(),
        Value::String(text) => vec![text.clone()],
        Value::Bool(_) | Value::Number(_) => vec![value.to_string()],
        Value::Null | Value::Object(_) => Vec::new(),
    }
}

/// Policy variables, `${aws:PrincipalAccount}`. One without a value makes its text match nothing.
fn expand(text: &str, context: &Context, variables: bool) -> Option<String> {
    let Some((before, rest)) = text.split_once("${").filter(|_| variables) else {
        return Some(text.to_owned());
    };
    let (name, after) = rest.split_once('}')?;
    let value = context.get(&name.to_ascii_lowercase())?.first()?;
    Some(format!("{before}{value}{}", expand(after, context, variables)?))
}

fn holds(operator: &str, present: Option<&[String]>, wanted: &[String]) -> bool {
    let (quantifier, operator) = operator.split_once(':').map_or(("", operator), |(set, operator)| (set, operator));
    if operator == "Null" {
        let absent = present.is_none_or(<[String]>::is_empty);
        return wanted.iter().any(|text| text.eq_ignore_ascii_case(if absent { "true" } else { "false" }));
    }
    let (operator, if_exists) = operator.strip_suffix("IfExists").map_or((operator, false), |bare| (bare, true));
    let matches: fn(&str, &str) -> bool = match operator.replacen("Not", "", 1).as_str() {
        "StringEquals" => |wanted, value| wanted == value,
        "StringEqualsIgnoreCase" | "Bool" => |wanted, value| wanted.eq_ignore_ascii_case(value),
        "StringLike" => glob,
        "ArnEquals" | "ArnLike" => arn_like,
        _ => return false,
    };
    let negated = operator.contains("Not");
    let one = |value: &String| wanted.iter().any(|pattern| matches(pattern, value)) != negated;
    match (quantifier, present) {
        (_, None | Some([])) => if_exists || quantifier == "ForAllValues" || (negated && quantifier.is_empty()),
        ("" | "ForAllValues", Some(values)) if negated || quantifier == "ForAllValues" => values.iter().all(one),
        ("" | "ForAnyValue", Some(values)) => values.iter().any(one),
        _ => false,
    }
}

/// Each of an ARN's six parts by itself, wildcards within a part.
fn arn_like(pattern: &str, arn: &str) -> bool {
    let (patterns, parts): (Vec<_>, Vec<_>) = (pattern.splitn(6, ':').collect(), arn.splitn(6, ':').collect());
    parts.len() == 6 && patterns.len() == 6 && patterns.iter().zip(&parts).all(|(pattern, part)| glob(pattern, part))
}
