//! An `EventBusPermission` as it is watched: whatever of it can't be decoded fails alone, and not the whole list.
//!
//! Every object of the cluster is kept, so no more of one is than is used, and spec and status as text: parsed, they take
//! several times as much, and only a flight looks at them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Resource;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::kept::Kept;
use crate::api::{
    DeletionPolicy, EventBus, EventBusPermission, EventBusPermissionSpec, EventBusPermissionStatus, ManagementPolicy,
    PAUSED_ANNOTATION, RECONCILE_AT_ANNOTATION, is_paused,
};

/// Keeps an object from going before its statements are off the bus.
pub const FINALIZER: &str = "busgrant.dev/statements";

/// An annotation may be long, and the status is to stay short.
const LONGEST_REQUEST: usize = 128;

/// One object, as far as it can be read.
#[derive(Debug, Clone)]
pub struct Permission {
    /// Name, UID, generation, finalizers: what is used of it.
    pub metadata: ObjectMeta,
    /// The spec as JSON, or its bus alone where the rest can't be read.
    spec: Kept,
    /// What is wrong with the spec.
    unreadable: Option<Box<str>>,
    management_policy: ManagementPolicy,
    /// What becomes of its statements, or what is wrong with what it says of that.
    deletion_policy: Result<DeletionPolicy, Box<str>>,
    /// The status as JSON, if there is one that can be read.
    status: Option<Kept>,
    pinned_bus: Option<Box<str>>,
}

impl Permission {
    /// The UID, which tells an object from a later one of the same name.
    pub fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// The name.
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// The resource version. It grows, as those of one object may be compared (KEP-5504).
    pub fn resource_version(&self) -> u64 {
        self.metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0)
    }

    /// The generation of the spec.
    pub fn generation(&self) -> i64 {
        self.metadata.generation.unwrap_or_default()
    }

    /// Whether the API server has shown it with our finalizer.
    pub fn is_held(&self) -> bool {
        self.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER)
    }

    /// Whether it is being deleted.
    pub fn is_deleting(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    /// Whether puts and edits are stopped.
    pub fn is_paused(&self) -> bool {
        is_paused(self.metadata.annotations.as_ref())
    }

    /// What somebody asked to have the bus looked at with, as the status repeats it.
    pub fn reconcile_at(&self) -> Option<String> {
        let asked = self.metadata.annotations.as_ref()?.get(RECONCILE_AT_ANNOTATION)?;
        Some(asked.chars().take(LONGEST_REQUEST).collect())
    }

    /// The spec, or what is wrong with it.
    pub fn spec(&self) -> Result<EventBusPermissionSpec, String> {
        match &self.unreadable {
            Some(wrong) => Err(wrong.to_string()),
            None => serde_json::from_str(&self.spec.json()).map_err(|error| error.to_string()),
        }
    }

    /// What is wrong with the spec, if anything is.
    pub fn unreadable(&self) -> Option<&str> {
        self.unreadable.as_deref()
    }

    /// The bus, which may be readable where the rest of the spec is not.
    pub fn event_bus(&self) -> Result<EventBus, String> {
        let bus = serde_json::from_str(&self.spec.json()).map(|BusOfSpec { event_bus }| event_bus);
        bus.map_err(|error| self.unreadable().map_or_else(|| error.to_string(), str::to_owned))
    }

    /// The status, empty where it can't be read.
    pub fn status(&self) -> EventBusPermissionStatus {
        self.status.as_ref().and_then(|status| serde_json::from_str(&status.json()).ok()).unwrap_or_default()
    }

    /// A number that tells its status from others.
    pub fn status_digest(&self) -> u64 {
        digest(self.status.as_ref())
    }

    /// Whether only the plan is reported.
    pub fn is_observed(&self) -> bool {
        self.management_policy == ManagementPolicy::Observe
    }

    /// What becomes of its statements when it goes, or what is wrong with what it says of that: a later version may know
    /// more than to delete and to retain.
    pub fn deletion_policy(&self) -> Result<DeletionPolicy, &str> {
        self.deletion_policy.as_ref().map(|policy| *policy).map_err(|wrong| &**wrong)
    }

    /// The ARN that its bus resolved to first.
    pub fn pinned_bus(&self) -> Option<&str> {
        self.pinned_bus.as_deref()
    }
}

/// The number that [`Permission::status_digest`] gives of an object with this status.
pub fn digest_of(status: &EventBusPermissionStatus) -> u64 {
    digest(kept(status).as_ref())
}

fn digest(status: Option<&Kept>) -> u64 {
    let mut hasher = DefaultHasher::new();
    status.hash(&mut hasher);
    hasher.finish()
}

/// An empty status is as good as none.
fn kept(status: &EventBusPermissionStatus) -> Option<Kept> {
    let json = serde_json::to_string(status).ok().filter(|_| *status != EventBusPermissionStatus::default());
    json.map(Kept::new)
}

/// What is used of an object's metadata. What it is managed by and by whom is longer than the rest of the object.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    finalizers: Option<Vec<String>>,
    annotations: Option<BTreeMap<String, String>>,
}

impl From<Metadata> for ObjectMeta {
    fn from(metadata: Metadata) -> Self {
        let mut annotations = metadata.annotations.unwrap_or_default();
        annotations.retain(|name, _| name == PAUSED_ANNOTATION || name == RECONCILE_AT_ANNOTATION);
        Self {
            name: metadata.name,
            namespace: metadata.namespace,
            uid: metadata.uid,
            resource_version: metadata.resource_version,
            generation: metadata.generation,
            creation_timestamp: metadata.creation_timestamp,
            deletion_timestamp: metadata.deletion_timestamp,
            finalizers: metadata.finalizers,
            annotations: Some(annotations).filter(|annotations| !annotations.is_empty()),
            ..Self::default()
        }
    }
}

#[derive(Deserialize)]
struct Watched {
    metadata: Metadata,
    #[serde(default)]
    spec: Value,
    #[serde(default)]
    status: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BusOfSpec {
    event_bus: EventBus,
}

fn part<T: DeserializeOwned>(json: &Value) -> Result<T, String> {
    T::deserialize(json).map_err(|error| error.to_string())
}

impl<'de> Deserialize<'de> for Permission {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Watched { metadata, spec: json, status } = Watched::deserialize(deserializer)?;
        let spec = part::<EventBusPermissionSpec>(&json);
        let spec_json = match &spec {
            Ok(spec) => serde_json::to_string(spec).map_err(serde::de::Error::custom)?,
            Err(_) => json!({"eventBus": json.get("eventBus")}).to_string(),
        };
        let status = part::<EventBusPermissionStatus>(&status).unwrap_or_default();
        let management_policy = spec.as_ref().map(|spec| spec.management_policy).unwrap_or_default();
        // What becomes of its statements may be readable where the rest is not.
        let deletion_policy = match json.get("deletionPolicy") {
            None => Ok(DeletionPolicy::default()),
            Some(policy) => part(policy).map_err(|wrong| format!("deletionPolicy: {wrong}").into_boxed_str()),
        };
        Ok(Self {
            metadata: metadata.into(),
            spec: Kept::new(spec_json),
            management_policy,
            deletion_policy,
            unreadable: spec.err().map(String::into_boxed_str),
            status: kept(&status),
            pinned_bus: status.event_bus.map(|bus| bus.arn.into()),
        })
    }
}

impl Resource for Permission {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        EventBusPermission::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        EventBusPermission::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        EventBusPermission::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        EventBusPermission::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_object_with_an_unknown_field_in_a_statement_still_says_its_bus_and_what_its_deletion_does() {
        let object: Permission = serde_json::from_value(json!({
            "metadata": {"name": "n", "namespace": "ns", "uid": "u"},
            "spec": {"eventBus": {"name": "orders"}, "statements": [
                {"name": "a", "principals": {"accountIDs": ["111122223333"]}, "onlyOnSundays": true}
            ], "deletionPolicy": "Retain"},
            "status": {"observedGeneration": 3},
        }))
        .unwrap();
        assert_eq!(object.deletion_policy(), Ok(DeletionPolicy::Retain));
        assert!(object.spec().unwrap_err().contains("onlyOnSundays"));
        assert_eq!(object.event_bus().unwrap().name.as_deref(), Some("orders"));
        assert_eq!(object.status().observed_generation, Some(3));
    }
}
