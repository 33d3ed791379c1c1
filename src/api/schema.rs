//! Schemas that derive cannot write: lists whose items carry rules, and maps that are bounded.
//!
//! Everything has a bound, or the API server's cost estimate refuses the rules that read it.

use kube::core::{Rule, validate};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use super::rules;

/// A string with its bound and its rules.
fn text(longest: u32, rules: &[rules::Rule]) -> Schema {
    with_rules(json_schema!({"type": "string", "minLength": 1, "maxLength": longest}), rules)
}

fn list(longest: u32, items: &Schema) -> Schema {
    json_schema!({
        "type": "array", "items": items, "minItems": 1, "maxItems": longest, "x-kubernetes-list-type": "atomic",
    })
}

fn set(longest: u32, items: &Schema) -> Schema {
    let mut schema = list(longest, items);
    schema.insert("x-kubernetes-list-type".into(), "set".into());
    schema
}

fn map(longest: u32, values: &Schema) -> Schema {
    json_schema!({
        "type": "object", "additionalProperties": values, "minProperties": 1, "maxProperties": longest,
        "x-kubernetes-map-type": "atomic",
    })
}

fn with_rules(mut schema: Schema, rules: &[rules::Rule]) -> Schema {
    for (rule, message) in rules {
        // A rule is two strings: they always are JSON, and the stale-file test would show a rule that went missing.
        let _ = validate(&mut schema, Rule::from((*rule, *message)));
    }
    schema
}

pub(super) fn bus_name(_: &mut SchemaGenerator) -> Schema {
    text(512, &[rules::BUS_NAME_PARTNER, rules::BUS_NAME])
}

pub(super) fn bus_arn(_: &mut SchemaGenerator) -> Schema {
    text(640, &[rules::BUS_ARN_V2, rules::BUS_ARN_PARTNER, rules::BUS_ARN])
}

pub(super) fn region(_: &mut SchemaGenerator) -> Schema {
    text(64, &[rules::REGION])
}

pub(super) fn account_id(_: &mut SchemaGenerator) -> Schema {
    text(64, &[rules::ACCOUNT_ID])
}

pub(super) fn statement_name(_: &mut SchemaGenerator) -> Schema {
    text(64, &[rules::STATEMENT_NAME, rules::STATEMENT_NAME_END])
}

pub(super) fn description(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "maxLength": 1024})
}

pub(super) fn account_ids(_: &mut SchemaGenerator) -> Schema {
    set(50, &text(64, &[rules::ACCOUNT_ID]))
}

pub(super) fn organization_id(_: &mut SchemaGenerator) -> Schema {
    text(64, &[rules::ORGANIZATION_ID])
}

pub(super) fn organization_paths(_: &mut SchemaGenerator) -> Schema {
    list(20, &text(512, &[rules::ORGANIZATION_PATH]))
}

pub(super) fn principal_arns(_: &mut SchemaGenerator) -> Schema {
    list(50, &text(640, &[rules::PRINCIPAL_ARN]))
}

pub(super) fn services(_: &mut SchemaGenerator) -> Schema {
    list(10, &text(128, &[rules::SERVICE]))
}

/// An object that takes nothing: what is unknown must not be dropped unseen, so it is kept and counted.
pub(super) fn nothing(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "maxProperties": 0, "x-kubernetes-preserve-unknown-fields": true})
}

pub(super) fn sources(_: &mut SchemaGenerator) -> Schema {
    list(20, &text(256, &[rules::SOURCE_EXACT]))
}

pub(super) fn detail_types(_: &mut SchemaGenerator) -> Schema {
    list(20, &text(128, &[]))
}

pub(super) fn source_arns(_: &mut SchemaGenerator) -> Schema {
    list(20, &text(640, &[rules::SOURCE_ARN]))
}

pub(super) fn operator(_: &mut SchemaGenerator) -> Schema {
    text(64, &[rules::OPERATOR])
}

pub(super) fn condition_key(_: &mut SchemaGenerator) -> Schema {
    text(256, &[rules::CONDITION_KEY])
}

pub(super) fn condition_values(_: &mut SchemaGenerator) -> Schema {
    list(20, &json_schema!({"type": "string", "maxLength": 512}))
}

pub(super) fn raw_aws(_: &mut SchemaGenerator) -> Schema {
    list(50, &text(640, &[rules::RAW_AWS_PRINCIPAL]))
}

pub(super) fn raw_federated(_: &mut SchemaGenerator) -> Schema {
    list(10, &text(640, &[rules::RAW_FEDERATED]))
}

pub(super) fn raw_canonical_users(_: &mut SchemaGenerator) -> Schema {
    list(10, &text(128, &[rules::RAW_CANONICAL_USER]))
}

pub(super) fn raw_actions(_: &mut SchemaGenerator) -> Schema {
    list(20, &text(128, &[rules::RAW_ACTION]))
}

pub(super) fn raw_condition(generator: &mut SchemaGenerator) -> Schema {
    let keys = map(10, &condition_values(generator));
    let keys = with_rules(keys, &[rules::RAW_CONDITION_KEY, rules::RAW_CONDITION_KEY_UNIQUE]);
    with_rules(map(10, &keys), &[rules::RAW_CONDITION_OPERATOR])
}

/// What the derived schema of a whole kind still needs before an API server takes it and a person can read it.
///
/// - `nullable` goes: the API server then drops a null as if the field were absent, instead of storing it.
/// - Line breaks within a paragraph of a description go: they are where the Rust source happened to wrap.
pub(super) fn finish(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.remove("nullable");
            if let Some(Value::String(description)) = fields.get_mut("description") {
                let paragraphs: Vec<String> = description
                    .split("\n\n")
                    .map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "))
                    .collect();
                *description = paragraphs.join("\n\n");
            }
            fields.values_mut().for_each(finish);
        }
        Value::Array(values) => values.iter_mut().for_each(finish),
        _ => {}
    }
}
