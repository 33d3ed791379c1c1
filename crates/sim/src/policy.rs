//! A bus's policy as it is kept: statements in order, and which incarnation of a role each principal was bound to.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::iam::Iam;
use crate::java::sort_as_hash_map;

/// A stored policy. Immutable, so that snapshots, history and journal share it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Policy {
    /// The document with `Statement` as an array, principals as ARNs.
    pub(crate) document: Map<String, Value>,
    /// Its compact text: what is compared, measured and, unless a principal has died, read back.
    pub(crate) text: Arc<str>,
    /// Role or user ARN to the unique id it stood for when it was put.
    pub(crate) bindings: BTreeMap<String, String>,
}

impl Policy {
    pub(crate) fn new(document: Map<String, Value>, bindings: BTreeMap<String, String>) -> Self {
        let text = compact(&document);
        Self { document, text, bindings }
    }

    /// A policy put by another writer through the control API: kept as it is, known principals bound.
    pub(crate) fn unchecked(document: &Value, iam: &Iam) -> Option<Self> {
        let mut document = document.as_object()?.clone();
        if let Some(statement @ Value::Object(_)) = document.get_mut("Statement") {
            *statement = Value::Array(vec![statement.take()]);
        }
        let mut policy = Self::new(document, BTreeMap::new());
        policy.statements().first()?;
        for arn in policy.principals("AWS").into_iter().map(ToOwned::to_owned).collect::<Vec<_>>() {
            if let Some(id) = iam.unique_id(&arn) {
                policy.bindings.insert(arn, id);
            }
        }
        Some(policy)
    }

    pub(crate) fn statements(&self) -> &[Value] {
        self.document.get("Statement").and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// Every principal of one kind ("AWS", "Service"), statement by statement.
    pub(crate) fn principals<'a>(&'a self, kind: &'a str) -> Vec<&'a str> {
        self.statements()
            .iter()
            .flat_map(|statement| strings(statement.get("Principal").and_then(|p| p.get(kind))))
            .collect()
    }

    /// This policy with one statement put by Sid: replaced where it is, or added; then in the order of the service's
    /// map (aws-observations #14, #30). Bindings of the others stay: the short form touches one Sid.
    pub(crate) fn with_statement(current: Option<&Self>, sid: &str, statement: Value) -> Self {
        let mut statements = current.map_or_else(Vec::new, |policy| policy.statements().to_vec());
        match statements.iter_mut().find(|other| sid_of(other) == Some(sid)) {
            Some(existing) => *existing = statement,
            None => statements.push(statement),
        }
        sort_as_hash_map(&mut statements, |statement| sid_of(statement).unwrap_or_default());
        Self::around(current, statements)
    }

    /// This policy without a statement: `None` inside when it was the last one (aws-observations #108), and `None`
    /// outside when there is no such Sid.
    #[expect(clippy::option_option, reason = "no such statement, and no statement left, are two things")]
    pub(crate) fn without_statement(&self, sid: &str) -> Option<Option<Self>> {
        let kept: Vec<Value> = self.statements().iter().filter(|other| sid_of(other) != Some(sid)).cloned().collect();
        if kept.len() == self.statements().len() {
            return None;
        }
        Some((!kept.is_empty()).then(|| Self::around(Some(self), kept)))
    }

    fn around(current: Option<&Self>, statements: Vec<Value>) -> Self {
        let mut document = current.map_or_else(
            || Map::from_iter([("Version".to_owned(), json!("2012-10-17"))]),
            |policy| policy.document.clone(),
        );
        document.insert("Statement".to_owned(), Value::Array(statements));
        let mut policy = Self::new(document, BTreeMap::new());
        if let Some(current) = current {
            let named = policy.principals("AWS");
            let kept = current.bindings.iter().filter(|(arn, _)| named.contains(&arn.as_str()));
            let kept: BTreeMap<_, _> = kept.map(|(arn, id)| (arn.clone(), id.clone())).collect();
            policy.bindings = kept;
        }
        policy
    }

    /// What a read shows: a deleted role's or user's unique id in place of its ARN, from some time after the deletion
    /// on, also when one of the same name exists again (aws-observations #80, #97, #100).
    pub(crate) fn shown(&self, iam: &Iam, now: i64) -> Arc<str> {
        let dead = |(arn, id): (&String, &String)| iam.shows_as_id(arn, id, now).then(|| (arn.clone(), id.clone()));
        let dead: BTreeMap<String, String> = self.bindings.iter().filter_map(dead).collect();
        if dead.is_empty() {
            return Arc::clone(&self.text);
        }
        compact(&renamed(&self.document, |arn| dead.get(arn).cloned(), None))
    }
}

pub(crate) fn compact(document: &Map<String, Value>) -> Arc<str> {
    Value::Object(document.clone()).to_string().into()
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
    document: &Map<String, Value>,
    rename: impl Fn(&str) -> Option<String>,
    sid: Option<&str>,
) -> Map<String, Value> {
    let mut document = document.clone();
    let Some(statements) = document.get_mut("Statement").and_then(Value::as_array_mut) else {
        return document;
    };
    for statement in statements.iter_mut().filter(|one| sid.is_none() || sid_of(one) == sid) {
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
