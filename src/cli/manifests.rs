//! Objects as they stand in files: YAML or JSON, one or many in a file, a folder or standard input.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::{EventBusPermissionSpec, GROUP, is_paused};

/// Where a manifest stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Origin {
    pub(super) file: String,
    /// Which of the file's documents, from 1.
    pub(super) document: usize,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, document {}", self.file, self.document)
    }
}

/// One `EventBusPermission` of a file.
#[derive(Debug)]
pub(super) struct Manifest {
    pub(super) origin: Origin,
    pub(super) namespace: String,
    pub(super) name: String,
    /// Whether it is paused by annotation.
    pub(super) paused: bool,
    /// The object as it was written.
    pub(super) written: Value,
    /// What it wants, or what is wrong with that.
    pub(super) spec: Result<EventBusPermissionSpec, String>,
}

impl Manifest {
    /// Namespace and name, for people.
    pub(super) fn label(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// Every `EventBusPermission` in these files, in their order; other kinds are none of our business. `-` is standard input, and
/// a folder stands for all YAML and JSON in it.
pub(super) fn read(paths: &[PathBuf], namespace: &str) -> anyhow::Result<Vec<Manifest>> {
    let mut found = Vec::new();
    for path in paths {
        if path == Path::new("-") {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("standard input can't be read")?;
            add(&text, "standard input", namespace, &mut found)?;
            continue;
        }
        for file in files(path)? {
            let text = fs::read_to_string(&file).with_context(|| format!("{} can't be read", file.display()))?;
            add(&text, &file.display().to_string(), namespace, &mut found)?;
        }
    }
    let mut seen = BTreeSet::new();
    for Manifest { origin, namespace, name, .. } in &found {
        ensure!(seen.insert((namespace, name)), "{origin}: {namespace}/{name} must be given once only");
    }
    ensure!(!found.is_empty(), "there must be an EventBusPermission of {GROUP} in what -f names, and there is none");
    Ok(found)
}

/// A file, or what is in a folder and those below it, by name.
fn files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = fs::read_dir(path).with_context(|| format!("{} can't be read", path.display()))?;
    let mut entries: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    entries.sort();
    let mut all = Vec::new();
    for entry in entries {
        let is_manifest =
            entry.extension().is_some_and(|ending| ["yaml", "yml", "json"].iter().any(|one| ending == *one));
        if entry.is_dir() || is_manifest {
            all.extend(files(&entry)?);
        }
    }
    Ok(all)
}

fn add(text: &str, file: &str, namespace: &str, found: &mut Vec<Manifest>) -> anyhow::Result<()> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(text).with_context(|| format!("{file} must be YAML or JSON"))?;
    for (number, document) in documents.into_iter().enumerate() {
        let origin = Origin { file: file.to_owned(), document: number + 1 };
        let items = match document {
            Value::Object(mut list) if list.get("kind").is_some_and(|kind| kind == "List") => {
                serde_json::from_value(list.remove("items").unwrap_or_default())
                    .with_context(|| format!("{origin}: items"))?
            }
            other => vec![other],
        };
        for item in items {
            found.extend(manifest(item, &origin, namespace)?);
        }
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    api_version: String,
    kind: String,
    #[serde(default)]
    metadata: Names,
}

#[derive(Default, Deserialize)]
struct Names {
    #[serde(default)]
    name: String,
    namespace: Option<String>,
    annotations: Option<BTreeMap<String, String>>,
}

fn manifest(item: Value, origin: &Origin, namespace: &str) -> anyhow::Result<Option<Manifest>> {
    if item.is_null() {
        return Ok(None);
    }
    let Head { api_version, kind, metadata } =
        Head::deserialize(&item).with_context(|| format!("{origin} must be a Kubernetes object"))?;
    if api_version.split('/').next() != Some(GROUP) || kind != "EventBusPermission" {
        return Ok(None);
    }
    let known = format!("{GROUP}/v1alpha1");
    if api_version != known {
        bail!("{origin}: apiVersion must be {known}, and is {api_version}");
    }
    ensure!(!metadata.name.is_empty(), "{origin}: metadata.name must be set");
    let spec = serde_path_to_error::deserialize(&item["spec"]).map_err(|error| {
        let quotes = error.inner().to_string().starts_with("invalid type: integer")
            && error.inner().to_string().ends_with("a string");
        let must = if quotes { ": it must be in quotes" } else { "" };
        format!("spec.{}: {}{must}", error.path(), error.inner())
    });
    Ok(Some(Manifest {
        origin: origin.clone(),
        namespace: metadata.namespace.unwrap_or_else(|| namespace.to_owned()),
        name: metadata.name,
        paused: is_paused(metadata.annotations.as_ref()),
        written: item,
        spec,
    }))
}
