//! Any text as a live policy: what is read is written back as it was, and what is understood equals itself.
#![no_main]

use busgrant_policy::document::LiveStatement;
use busgrant_policy::{Document, Meaning};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fn texts(document: &Document) -> Vec<&str> {
    document.statements().iter().map(LiveStatement::text).collect()
}

/// With the fields of every object and the items of every list in the other order.
fn backwards(json: Value) -> Value {
    match json {
        Value::Object(fields) => fields.into_iter().rev().map(|(name, value)| (name, backwards(value))).collect(),
        Value::Array(items) => items.into_iter().rev().map(backwards).collect(),
        scalar => scalar,
    }
}

fuzz_target!(|policy: &str| {
    let Ok(document) = Document::parse(Some(policy)) else { return };
    let written = document.render(&texts(&document));
    let again = Document::parse(Some(&written)).expect("what was rendered parses");
    assert_eq!(texts(&again), texts(&document), "statements are carried to the letter");
    assert_eq!(again.render(&texts(&again)), written, "and rendering them changes nothing more");
    if !document.statements().is_empty() {
        assert_eq!(document.size(), written.len(), "the size is that of the text");
    }
    for live in document.statements() {
        let Some(meaning) = live.meaning() else { continue };
        let json: Value = serde_json::from_str(live.text()).expect("a statement is JSON");
        assert_eq!(Meaning::of(&json).as_ref(), Ok(meaning), "spacing has no meaning");
        assert_eq!(Meaning::of(&backwards(json)).as_ref(), Ok(meaning), "neither has an order");
        let sid = live.sid().unwrap_or_default();
        let stands = document.get(sid).is_some() && (document.knows_variables() || !meaning.has_variables());
        assert_eq!(document.holds(sid, meaning), stands, "a statement that can be told by its Sid holds what it means");
        assert!(document.get(sid).is_none() || document.contains(sid));
    }
    for live in document.statements() {
        if let Some(living) = live.text_of_the_living() {
            let living = Document::parse(Some(&format!("{{\"Statement\":[{living}]}}"))).expect("it is a statement");
            assert_eq!(living.statements().iter().flat_map(LiveStatement::dead_principals).count(), 0);
        }
    }
});
