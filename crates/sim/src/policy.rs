//! A bus's policy as it is kept: statements in order, and which incarnation of a role each principal was bound to.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::iam::Iam;
use crate::java::sort_as_hash_map;

/// A stored policy. Immutable, so that snapshots, history and journal share it; as text, a fraction of the size of a
/// parsed one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Policy {
    /// The document, compact, with `Statement` as an array and principals as ARNs: what is compared, measured and,
    /// unless a principal has died, read back.
    pub(crate) text: Arc<str>,
    /// Role or user ARN to the unique id it stood for when it was put.
    pub(crate) bindings: BTreeMap<String, String>,
}

impl Policy {
    /// A policy whose principals are bound to who bears their names now.
    pub(crate) fn bound(document: &Map<String, Value>, iam: &Iam) -> Self {
        let principals = statements(document).iter().flat_map(principals);
        Self { text: compact(document), bindings: bindings(principals, iam) }
    }

    /// A policy put by another writer through the control API: kept as it is. Nothing when it has no statements.
    pub(crate) fn unchecked(document: &Value, iam: &Iam) -> Option<Self> {
        let mut document = document.as_object()?.clone();
        if let Some(statement @ Value::Object(_)) = document.get_mut("Statement") {
            *statement = Value::Array(vec![statement.take()]);
        }
        (!statements(&document).is_empty()).then(|| Self::bound(&document, iam))
    }

    pub(crate) fn document(&self) -> Map<String, Value> {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// This policy with one statement put by Sid: replaced where it is, or added; then in the order of the service's
    /// map (aws-observations #14, #30). Bindings of the others stay: the short form touches one Sid.
    pub(crate) fn with_statement(current: Option<&Self>, sid: &str, statement: Value, iam: &Iam) -> Self {
        let bound = bindings(principals(&statement), iam);
        let mut next = Self::changed(current, |statements| {
            match statements.iter_mut().find(|other| sid_of(other) == Some(sid)) {
                Some(existing) => *existing = statement,
                None => statements.push(statement),
            }
            sort_as_hash_map(statements, |statement| sid_of(statement).unwrap_or_default());
        });
        next.bindings.extend(bound);
        next
    }

    /// This policy without a statement: `None` inside when it was the last one (aws-observations #108), and `None`
    /// outside when there is no such Sid.
    #[expect(clippy::option_option, reason = "no such statement, and no statement left, are two things")]
    pub(crate) fn without_statement(&self, sid: &str) -> Option<Option<Self>> {
        let (mut found, mut left) = (false, false);
        let rest = Self::changed(Some(self), |statements| {
            let before = statements.len();
            statements.retain(|other| sid_of(other) != Some(sid));
            (found, left) = (statements.len() < before, !statements.is_empty());
        });
        found.then(|| left.then_some(rest))
    }

    fn changed(current: Option<&Self>, change: impl FnOnce(&mut Vec<Value>)) -> Self {
        let new = || Map::from_iter([("Version".to_owned(), json!("2012-10-17"))]);
        let mut document = current.map_or_else(new, Self::document);
        if let Value::Array(statements) = document.entry("Statement").or_insert_with(|| json!([])) {
            change(statements);
        }
        let mut bindings = current.map_or_else(BTreeMap::new, |policy| policy.bindings.clone());
        let named: Vec<&str> = statements(&document).iter().flat_map(principals).collect();
        bindings.retain(|arn, _| named.contains(&arn.as_str()));
        Self { text: compact(&document), bindings }
    }

    /// What a read shows: a deleted role's or user's unique id in place of its ARN, also when one of the same name exists
    /// again (aws-observations #80, #97, #100). `when` is how far reads have caught up with deletions.
    pub(crate) fn shown(&self, iam: &Iam, when: i64) -> Arc<str> {
        let gone = |arn: &str| self.bindings.get(arn).filter(|id| iam.gone(arn, id, when)).cloned();
        if !self.bindings.keys().any(|arn| gone(arn).is_some()) {
            return Arc::clone(&self.text);
        }
        compact(&renamed(self.document(), gone, None))
    }
}

pub(crate) fn compact(document: &Map<String, Value>) -> Arc<str> {
    serde_json::to_string(document).unwrap_or_default().into()
}

pub(crate) fn statements(document: &Map<String, Value>) -> &[Value] {
    document.get("Statement").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The AWS principals of a statement.
fn principals(statement: &Value) -> Vec<&str> {
    strings(statement.get("Principal").and_then(|kinds| kinds.get("AWS")))
}

fn bindings<'a>(principals: impl IntoIterator<Item = &'a str>, iam: &Iam) -> BTreeMap<String, String> {
    principals.into_iter().filter_map(|arn| Some((arn.to_owned(), iam.unique_id(arn)?))).collect()
}

pub(crate) fn sid_of(statement: &Value) -> Option<&str> {
    statement.get("Sid")?.as_str()
}

/// The strings of a scalar-or-array.
pub(crate) fn strings(value: Option<&Value>) -> Vec<&str> {
    match value {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// The document with AWS principals renamed where `rename` knows another name; in the statement `sid` only, or in all.
pub(crate) fn renamed(
    mut document: Map<String, Value>,
    rename: impl Fn(&str) -> Option<String>,
    sid: Option<&str>,
) -> Map<String, Value> {
    let all = document.get_mut("Statement").and_then(Value::as_array_mut).into_iter().flatten();
    for statement in all.filter(|one| sid.is_none() || sid_of(one) == sid) {
        let change = |value: &mut Value| {
            if let Some(name) = value.as_str().and_then(&rename) {
                *value = Value::String(name);
            }
        };
        match statement.get_mut("Principal").and_then(|principal| principal.get_mut("AWS")) {
            Some(Value::Array(many)) => many.iter_mut().for_each(change),
            Some(one) => change(one),
            None => {}
        }
    }
    document
}
