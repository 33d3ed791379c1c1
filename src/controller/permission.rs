//! An `EventBusPermission` as it is watched: whatever of it can't be decoded fails alone, and not the whole list.

use std::borrow::Cow;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::api::{
    DeletionPolicy, EventBus, EventBusPermission, EventBusPermissionSpec, EventBusPermissionStatus, ManagementPolicy,
    PAUSED_ANNOTATION,
};

/// Keeps an object from going before its statements are off the bus.
pub const FINALIZER: &str = "busgrant.dev/statements";

/// One object, as far as it can be read.
#[derive(Debug, Clone)]
pub struct Permission {
    /// Name, UID, generation and the rest.
    pub metadata: ObjectMeta,
    /// The spec, or what is wrong with it.
    pub spec: Result<EventBusPermissionSpec, String>,
    /// The bus, which may be readable where the rest of the spec is not.
    pub event_bus: Result<EventBus, String>,
    /// What becomes of its statements when it goes, likewise.
    pub deletion_policy: Result<DeletionPolicy, String>,
    /// The status, empty where it can't be read.
    pub status: EventBusPermissionStatus,
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
        let annotations = self.metadata.annotations.as_ref();
        annotations.and_then(|a| a.get(PAUSED_ANNOTATION)).is_some_and(|value| value == "true")
    }

    /// Whether only the plan is reported.
    pub fn is_observed(&self) -> bool {
        self.spec.as_ref().is_ok_and(|spec| spec.management_policy == ManagementPolicy::Observe)
    }

    /// Whether its statements stay when it goes. What can't be read is no wish to keep them, nor is it acted on unread:
    /// an object without a readable policy is deleted as the default says.
    pub fn is_retained(&self) -> bool {
        self.deletion_policy == Ok(DeletionPolicy::Retain)
    }

    /// The ARN that its bus resolved to first.
    pub fn pinned_bus(&self) -> Option<&str> {
        self.status.event_bus.as_ref().map(|bus| bus.arn.as_str())
    }
}

fn part<T: DeserializeOwned>(json: &Value) -> Result<T, String> {
    T::deserialize(json).map_err(|error| error.to_string())
}

impl<'de> Deserialize<'de> for Permission {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut json = Value::deserialize(deserializer)?;
        let metadata = json.get_mut("metadata").map(Value::take).unwrap_or_default();
        let spec = json.get("spec").unwrap_or(&Value::Null);
        let status = json.get("status").filter(|status| !status.is_null());
        Ok(Self {
            metadata: ObjectMeta::deserialize(metadata).map_err(serde::de::Error::custom)?,
            spec: part(spec),
            event_bus: part(spec.get("eventBus").unwrap_or(&Value::Null)),
            deletion_policy: spec.get("deletionPolicy").map_or(Ok(DeletionPolicy::default()), part),
            status: status.and_then(|status| part(status).ok()).unwrap_or_default(),
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
        assert!(object.is_retained());
        assert!(object.spec.unwrap_err().contains("onlyOnSundays"));
        assert_eq!(object.event_bus.unwrap().name.as_deref(), Some("orders"));
        assert_eq!(object.status.observed_generation, Some(3));
    }
}
