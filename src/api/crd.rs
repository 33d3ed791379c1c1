//! The `CustomResourceDefinition` as the API server gets it, and as text.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::{Value, json};

use super::EventBusPermission;
use super::schema;

/// The definition of [`EventBusPermission`].
///
/// # Errors
///
/// Never, unless a type of this module was changed so that its schema is no JSON any more.
pub fn crd() -> Result<CustomResourceDefinition, serde_json::Error> {
    let mut definition = serde_json::to_value(EventBusPermission::crd())?;
    if let Some(Value::Array(versions)) = definition.pointer_mut("/spec/versions") {
        for schema in versions.iter_mut().filter_map(|version| version.pointer_mut("/schema/openAPIV3Schema")) {
            schema::finish(schema);
            // Without it, tools that follow kstatus call an object that nobody has seen yet ready.
            if let Some(status) = schema.pointer_mut("/properties/status").and_then(Value::as_object_mut) {
                status.insert("default".to_owned(), json!({"observedGeneration": -1}));
            }
        }
    }
    serde_json::from_value(definition)
}

/// The definition as the YAML of crds/, which `busgrant crds` prints.
///
/// # Errors
///
/// Never, unless a type of this module was changed so that its schema is no YAML any more.
pub fn crd_yaml() -> anyhow::Result<String> {
    let text = serde_saphyr::to_string(&crd()?)?;
    Ok(format!("# Generated from src/api by `busgrant crds`: edit it there.\n{}\n", text.trim_end()))
}
