//! `kubectl explain` is the manual: every field has words.

use busgrant::api::crd;
use serde_json::Value;

use super::permissions_for_kubectl;
use crate::support::{kubectl, stdout};

/// Every field of a schema, as the path that `kubectl explain` takes, with its description.
fn fields(schema: &Value, path: &str, found: &mut Vec<(String, Option<String>)>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        found.push((path.clone(), property["description"].as_str().map(str::to_owned)));
        fields(property, &path, found);
        fields(&property["items"], &path, found);
    }
}

#[test]
fn every_field_is_described_in_whole_sentences() {
    let definition = serde_json::to_value(crd().unwrap()).unwrap();
    let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let mut found = Vec::new();
    fields(schema, "eventbuspermission", &mut found);
    assert!(found.len() > 60, "{}", found.len());
    for (path, description) in found {
        let Some(description) = description else {
            // The API server describes these itself.
            let of_every_kind = ["apiVersion", "kind", "metadata"].map(|field| format!("eventbuspermission.{field}"));
            assert!(of_every_kind.contains(&path), "{path} has no description");
            continue;
        };
        assert!(description.len() >= 20 && description.ends_with('.'), "{path}: {description}");
        assert!(!description.contains('\n') && !description.contains('`'), "{path}: {description}");
    }
}

#[tokio::test]
async fn kubectl_explains_every_field() {
    permissions_for_kubectl("explain").await;
    let whole = stdout(&kubectl(&["explain", "ebp", "--recursive"]).await);
    assert!(whole.contains("Statements of the resource policy of one Amazon EventBridge event bus"), "{whole}");
    let definition = serde_json::to_value(crd().unwrap()).unwrap();
    let mut found = Vec::new();
    let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    fields(&schema["spec"], "spec", &mut found);
    fields(&schema["status"], "status", &mut found);
    for (path, _) in &found {
        let field = path.rsplit('.').next().unwrap();
        assert!(whole.lines().any(|line| line.trim_start().starts_with(&format!("{field}\t"))), "{path}:\n{whole}");
    }
    let principals = stdout(&kubectl(&["explain", "ebp.spec.statements.principals"]).await);
    assert!(principals.contains("organizationPaths") && !principals.contains("<no description>"), "{principals}");
}

#[test]
fn the_page_on_the_api_names_every_field() {
    let page = include_str!("../../docs/api.md");
    let definition = serde_json::to_value(crd().unwrap()).unwrap();
    let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    let mut found = Vec::new();
    fields(&schema["spec"], "spec", &mut found);
    fields(&schema["status"], "status", &mut found);
    for (path, _) in found.iter().filter(|(path, _)| !path.starts_with("status.conditions.")) {
        let field = path.rsplit('.').next().unwrap();
        let words = page.split(|c: char| !c.is_ascii_alphanumeric());
        assert!(words.into_iter().any(|word| word == field), "{path}");
    }
}
