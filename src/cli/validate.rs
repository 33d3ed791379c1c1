//! `busgrant validate`: manifests held against the definition's schema and the controller's rules, and whether they fit their bus.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::Context as _;
use busgrant_policy::Document;
use clap::{Args, ValueEnum};
use jsonschema::{ValidationError, Validator};
use serde_json::{Value, json};

use super::desk::{Objects, Trouble, by_bus, manifests};
use super::manifests::{Manifest, Origin};
use super::{Ended, print};
use crate::api::crd;
use crate::controller::statements::explain;

/// What is checked, and how it is told.
#[derive(Debug, Args)]
pub(super) struct Flags {
    #[command(flatten)]
    objects: Objects,

    /// How the findings are shown.
    #[arg(short, long, default_value = "text", value_enum)]
    output: Output,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    Text,
    Json,
    Junit,
    Sarif,
}

/// Checks, and says what is wrong.
pub(super) fn run(flags: &Flags) -> anyhow::Result<Ended> {
    let manifests = manifests(&flags.objects)?;
    let schema = schema()?;
    let mut findings: BTreeSet<Trouble> = BTreeSet::new();
    for manifest in &manifests {
        findings.extend(shape(&schema, manifest).into_iter().map(|message| trouble(manifest, message)));
    }
    // What has no shape is not looked at further: the API server does not either.
    let is_shaped = |manifest: &Manifest| !findings.iter().any(|finding| finding.origin == manifest.origin);
    let (shaped, rest): (Vec<_>, Vec<_>) = manifests.into_iter().partition(is_shaped);
    let (buses, troubles) = by_bus(&shaped, &flags.objects);
    findings.extend(troubles);
    for bus in &buses {
        for finding in bus.flown(&Document::default(), true)?.findings {
            let label = bus.object_of(finding.sid.as_str()).map(|(label, _)| label.to_owned()).unwrap_or_default();
            let about = shaped.iter().find(|manifest| manifest.label() == label);
            let message = format!("{}: {}", finding.sid, explain(&finding.obstacle).1);
            findings.extend(about.map(|manifest| trouble(manifest, message)));
        }
    }
    let all: Vec<&Manifest> = shaped.iter().chain(&rest).collect();
    let text = match flags.output {
        Output::Text => text(&findings, all.len()),
        Output::Json => serde_json::to_string_pretty(&findings)? + "\n",
        Output::Junit => junit(&findings, &all),
        Output::Sarif => serde_json::to_string_pretty(&sarif(&findings))? + "\n",
    };
    print(&text)?;
    Ok(if findings.is_empty() { Ended::Same } else { Ended::Different })
}

fn trouble(manifest: &Manifest, message: String) -> Trouble {
    Trouble { origin: manifest.origin.clone(), message }
}

/// The schema of the definition, as strict as kubectl has the API server be: unknown fields are refused.
fn schema() -> anyhow::Result<Validator> {
    let definition = serde_json::to_value(crd()?)?;
    let mut schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
    // Metadata has a schema of its own, and the status is the controller's.
    for part in ["apiVersion", "kind"] {
        schema["properties"][part] = json!({"type": "string"});
    }
    schema["properties"]["metadata"] = json!({"type": "object"});
    schema["properties"]["status"] = json!({});
    strict(&mut schema);
    jsonschema::validator_for(&schema).context("the definition's schema can't be used: please report this")
}

fn strict(schema: &mut Value) {
    let Some(parts) = schema.as_object_mut() else { return };
    if parts.get("x-kubernetes-list-type").is_some_and(|kind| kind == "set") {
        parts.insert("uniqueItems".to_owned(), json!(true));
    }
    if let Some(properties) = parts.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(strict);
        parts.entry("additionalProperties").or_insert(json!(false));
    }
    for inside in ["items", "additionalProperties"] {
        if let Some(schema) = parts.get_mut(inside) {
            strict(schema);
        }
    }
}

/// What of its shape is wrong: where, and what must be.
fn shape(schema: &Validator, manifest: &Manifest) -> Vec<String> {
    let errors = schema.iter_errors(&manifest.written);
    let told = |error: ValidationError<'_>| {
        let quotes = error.instance().is_number() && error.to_string().ends_with("is not of type \"string\"");
        let must = if quotes { ": it must be in quotes" } else { "" };
        format!("{}: {error}{must}", path(error.instance_path().as_str()))
    };
    errors.map(told).collect()
}

/// A JSON pointer as Kubernetes writes a field's place.
fn path(pointer: &str) -> String {
    let parts = pointer.split('/').skip(1).map(|part| part.replace("~1", "/").replace("~0", "~"));
    let path = parts.fold(String::new(), |path, part| match part.parse::<usize>() {
        Ok(index) => format!("{path}[{index}]"),
        Err(_) if path.is_empty() => part,
        Err(_) => format!("{path}.{part}"),
    });
    if path.is_empty() { "the object".to_owned() } else { path }
}

fn text(findings: &BTreeSet<Trouble>, objects: usize) -> String {
    let told = findings.iter().map(|Trouble { origin, message }| format!("{origin}: {message}\n"));
    let valid = match objects {
        1 => "the object is valid\n".to_owned(),
        several => format!("all {several} objects are valid\n"),
    };
    if findings.is_empty() { valid } else { told.collect() }
}

/// One test for each object, as CI systems read it.
fn junit(findings: &BTreeSet<Trouble>, manifests: &[&Manifest]) -> String {
    let (mut cases, mut failed) = (String::new(), 0);
    for manifest in manifests {
        let about = findings.iter().filter(|finding| finding.origin == manifest.origin);
        let messages: Vec<&str> = about.map(|finding| finding.message.as_str()).collect();
        let failure = messages.first().map(|first| {
            failed += 1;
            format!("<failure message=\"{}\">{}</failure>", escaped(first), escaped(&messages.join("\n")))
        });
        let (name, class) = (escaped(&manifest.label()), escaped(&manifest.origin.to_string()));
        let inside = failure.unwrap_or_default();
        // Writing to a String does not fail.
        let _ = writeln!(cases, "  <testcase name=\"{name}\" classname=\"{class}\">{inside}</testcase>");
    }
    let head = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";
    let tests = manifests.len();
    format!(
        "{head}\n<testsuite name=\"busgrant validate\" tests=\"{tests}\" failures=\"{failed}\">\n{cases}</testsuite>\n"
    )
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;").replace('\n', "&#10;")
}

/// SARIF 2.1.0, as code hosts show findings beside a change.
fn sarif(findings: &BTreeSet<Trouble>) -> Value {
    let results = findings.iter().map(|Trouble { origin: Origin { file, document }, message }| {
        json!({
            "ruleId": "invalid", "level": "error", "message": {"text": format!("document {document}: {message}")},
            "locations": [{"physicalLocation": {"artifactLocation": {"uri": file}}}],
        })
    });
    let rule = json!({"id": "invalid", "shortDescription": {"text": "An EventBusPermission that would not be served"}});
    let driver = json!({"name": "busgrant", "version": env!("CARGO_PKG_VERSION"), "rules": [rule]});
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results.collect::<Vec<_>>()}],
    })
}
