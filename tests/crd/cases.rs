//! The tables beside this file, read.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{one_account, spec};

/// Objects that one rule refuses.
#[derive(Deserialize)]
pub(crate) struct Refused {
    /// Where the API server says that they are wrong.
    pub(crate) field: String,
    /// How the rule's message begins.
    pub(crate) message: String,
    #[serde(flatten)]
    written: Written,
}

/// What was written, of which each makes one object.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    #[serde(default)]
    event_buses: Vec<Value>,
    #[serde(default)]
    statements: Vec<Value>,
}

/// An object that the shape alone refuses.
#[derive(Deserialize)]
pub(crate) struct Shape {
    pub(crate) field: String,
    pub(crate) words: String,
    pub(crate) spec: Value,
}

impl Written {
    fn specs(&self) -> Vec<Value> {
        let bus = |bus: &Value| json!({"eventBus": bus, "statements": [one_account("a")]});
        let statement = |statement: &Value| {
            let mut named = json!({"name": "a"});
            for (field, value) in statement.as_object().unwrap() {
                named[field] = value.clone();
            }
            spec(&json!([named]))
        };
        self.event_buses.iter().map(bus).chain(self.statements.iter().map(statement)).collect()
    }
}

impl Refused {
    /// The specs that are refused.
    pub(crate) fn specs(&self) -> Vec<Value> {
        self.written.specs()
    }
}

/// What each rule refuses.
pub(crate) fn refused() -> Vec<Refused> {
    serde_saphyr::from_str(include_str!("refused.yaml")).unwrap()
}

/// What every rule takes.
pub(crate) fn accepted() -> Vec<Value> {
    serde_saphyr::from_str::<Written>(include_str!("accepted.yaml")).unwrap().specs()
}

/// What the shape alone refuses.
pub(crate) fn shapes() -> Vec<Shape> {
    serde_saphyr::from_str(include_str!("shapes.yaml")).unwrap()
}
