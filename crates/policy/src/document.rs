//! The live policy document of a bus. Each statement is kept as the very text that was read, so that a document written
//! back carries what others wrote unchanged; what it means is worked out beside it.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::ids::is_account;
use crate::meaning::{Meaning, is_orphaned};

/// The version in which `${…}` in a condition is a variable. A document without one is of 2008-10-17.
const CURRENT_VERSION: &str = "2012-10-17";

/// A live policy that is no policy document. Nothing can be planned on it.
#[derive(Debug, Error)]
#[error("the bus's policy is no policy document: {0}")]
pub struct ParseError(String);

/// The policy document of one bus, as read.
#[derive(Debug, Clone)]
pub struct Document {
    version: Option<String>,
    /// Fields beside Version and Statement, such as Id, as they were read.
    others: Vec<(String, Box<RawValue>)>,
    statements: Vec<LiveStatement>,
}

/// One statement of a live document.
#[derive(Debug, Clone)]
pub struct LiveStatement {
    text: Box<RawValue>,
    sid: Option<String>,
    meaning: Option<Meaning>,
    aws_principals: BTreeSet<String>,
}

impl Default for Document {
    fn default() -> Self {
        Self { version: Some(CURRENT_VERSION.to_owned()), others: Vec::new(), statements: Vec::new() }
    }
}

impl Document {
    /// Reads the policy of a bus: an absent or empty policy is a document without statements.
    pub fn parse(policy: Option<&str>) -> Result<Self, ParseError> {
        let Some(policy) = policy.filter(|text| !text.trim().is_empty()) else {
            return Ok(Self::default());
        };
        let wrong = |error: serde_json::Error| ParseError(error.to_string());
        let fields: Fields = serde_json::from_str(policy).map_err(wrong)?;
        let mut document = Self { version: None, others: Vec::new(), statements: Vec::new() };
        for (name, value) in fields.0 {
            match name.as_str() {
                "Version" => document.version = Some(serde_json::from_str(value.get()).map_err(wrong)?),
                "Statement" => document.statements = statements(&value).map_err(wrong)?,
                _ => document.others.push((name, value)),
            }
        }
        Ok(document)
    }

    /// The statements, in the order in which they were read.
    pub fn statements(&self) -> &[LiveStatement] {
        &self.statements
    }

    /// The statement of that Sid; none where two share it, since neither can then be told to stand.
    pub fn get(&self, sid: &str) -> Option<&LiveStatement> {
        let mut found = self.statements.iter().filter(|live| live.sid() == Some(sid));
        found.next().filter(|_| found.next().is_none())
    }

    /// Whether any statement has that Sid.
    pub fn contains(&self, sid: &str) -> bool {
        self.statements.iter().any(|live| live.sid() == Some(sid))
    }

    /// Whether `${…}` in this document is a variable.
    pub fn knows_variables(&self) -> bool {
        self.version.as_deref() == Some(CURRENT_VERSION)
    }

    /// Whether the statement of that Sid is there and means this.
    pub fn holds(&self, sid: &str, meaning: &Meaning) -> bool {
        let readable = self.knows_variables() || !meaning.has_variables();
        readable && self.get(sid).and_then(LiveStatement::meaning) == Some(meaning)
    }

    /// The document's length in characters (UTF-8 bytes, which are never fewer), 0 without statements.
    pub fn size(&self) -> usize {
        match self.statements.len() {
            0 => 0,
            count => {
                let texts: usize = self.statements.iter().map(LiveStatement::size).sum();
                self.frame_size() + texts + count - 1
            }
        }
    }

    /// The length of what stands around the statements.
    pub fn frame_size(&self) -> usize {
        self.render(&[]).len()
    }

    /// The text of this document with other statements in place of its own.
    pub fn render(&self, statements: &[&str]) -> String {
        let mut text = String::from("{");
        let version = self.version.as_deref().unwrap_or(CURRENT_VERSION);
        text.push_str("\"Version\":");
        text.push_str(&Value::from(version).to_string());
        for (name, value) in &self.others {
            text.push(',');
            text.push_str(&Value::from(name.as_str()).to_string());
            text.push(':');
            text.push_str(value.get());
        }
        text.push_str(",\"Statement\":[");
        text.push_str(&statements.join(","));
        text.push_str("]}");
        text
    }
}

impl LiveStatement {
    /// The Sid, if it has one.
    pub fn sid(&self) -> Option<&str> {
        self.sid.as_deref()
    }

    /// The statement as it was read.
    pub fn text(&self) -> &str {
        self.text.get()
    }

    /// What it means, if that is understood.
    pub fn meaning(&self) -> Option<&Meaning> {
        self.meaning.as_ref()
    }

    /// Its share of the policy's characters.
    pub fn size(&self) -> usize {
        self.text.get().len()
    }

    /// Principals that no longer, or never, stood for anybody: the unique id of a deleted role or user, and an account id
    /// that the service did not turn into a root ARN, which it does for every account that exists (aws-observations, n 23).
    /// A document that carries one is refused (n 55).
    pub fn dead_principals(&self) -> impl Iterator<Item = &str> {
        self.aws_principals.iter().map(String::as_str).filter(|who| is_account(who) || is_orphaned(who))
    }

    /// The same statement without its dead principals.
    pub fn text_of_the_living(&self) -> Option<String> {
        let mut json: Value = serde_json::from_str(self.text()).ok()?;
        let who = json.get_mut("Principal")?.get_mut("AWS")?.as_array_mut()?;
        who.retain(|who| who.as_str().is_some_and(|who| !is_account(who) && !is_orphaned(who)));
        if who.is_empty() { None } else { Some(json.to_string()) }
    }
}

/// The fields of an object in order, repeated ones too, each as text.
struct Fields(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Fields;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

fn statements(raw: &RawValue) -> Result<Vec<LiveStatement>, serde_json::Error> {
    let texts: Vec<Box<RawValue>> =
        if raw.get().starts_with('[') { serde_json::from_str(raw.get())? } else { vec![raw.to_owned()] };
    texts.into_iter().map(live_statement).collect()
}

fn live_statement(text: Box<RawValue>) -> Result<LiveStatement, serde_json::Error> {
    // A repeated field would be read as its last occurrence, by us and perhaps not by the service.
    let fields: Fields = serde_json::from_str(text.get())?;
    let names: BTreeSet<&str> = fields.0.iter().map(|(name, _)| name.as_str()).collect();
    let json = Value::Object(serde_json::from_str::<Map<_, _>>(text.get())?);
    let meaning = if names.len() == fields.0.len() { Meaning::of(&json).ok() } else { None };
    let sid = json.get("Sid").and_then(Value::as_str).map(str::to_owned);
    let aws = json.get("Principal").and_then(|principal| principal.get("AWS"));
    let aws_principals = match aws {
        Some(Value::String(who)) => [who.clone()].into(),
        Some(Value::Array(who)) => who.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => BTreeSet::new(),
    };
    Ok(LiveStatement { text, sid, meaning, aws_principals })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_policy_is_no_statements() {
        for policy in [None, Some(""), Some("  ")] {
            let document = Document::parse(policy).unwrap();
            assert!(document.statements().is_empty());
            assert_eq!(document.size(), 0);
        }
    }

    #[test]
    fn what_is_no_policy_is_an_error() {
        for policy in ["{", "null", "[]", r#"{"Statement":5}"#, r#"{"Statement":["x"]}"#, r#"{"Version":1}"#] {
            assert!(Document::parse(Some(policy)).is_err(), "{policy}");
        }
    }

    #[test]
    fn a_document_is_rendered_as_it_was_read() {
        let policy =
            r#"{"Version":"2012-10-17","Id":"x","Statement":[{"Sid":"ü","n":1.0,"n":[ 2 ]},{"Effect":"Deny"}]}"#;
        let document = Document::parse(Some(policy)).unwrap();
        let texts: Vec<&str> = document.statements().iter().map(LiveStatement::text).collect();
        assert_eq!(document.render(&texts), policy);
        assert_eq!(document.size(), policy.len());
    }

    #[test]
    fn a_single_statement_and_a_list_of_one_are_the_same() {
        let document = Document::parse(Some(r#"{"Statement":{"Sid":"a"}}"#)).unwrap();
        assert!(document.contains("a"));
        assert!(!document.knows_variables());
    }

    #[test]
    fn of_two_statements_with_one_sid_neither_stands() {
        let document = Document::parse(Some(r#"{"Statement":[{"Sid":"a"},{"Sid":"a"}]}"#)).unwrap();
        assert!(document.get("a").is_none());
        assert!(document.contains("a"));
    }

    #[test]
    fn the_dead_are_told_from_the_living() {
        let policy = r#"{"Statement":[{"Sid":"a","Principal":{"AWS":["AROAX","arn:aws:iam::1:role/r","000000000000"]}},
            {"Sid":"b","Principal":{"AWS":"AROAX"}},{"Sid":"c","Principal":"*"}]}"#;
        let document = Document::parse(Some(policy)).unwrap();
        let [a, b, c] = document.statements() else { panic!("three") };
        assert_eq!(a.text_of_the_living().unwrap(), r#"{"Sid":"a","Principal":{"AWS":["arn:aws:iam::1:role/r"]}}"#);
        assert_eq!(a.dead_principals().count(), 2);
        assert_eq!(c.dead_principals().count(), 0);
        assert_eq!(b.text_of_the_living(), None);
    }
}
