//! The controller's own writes to Kubernetes: finalizers, status and events. Each is bounded in time, tried once, and made
//! only against the very object that was read.

use std::future::Future;
use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::events::{Event, EventType};
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};
use thiserror::Error;
use tokio::time::timeout;
use tracing::Instrument;

use super::context::Context;
use super::permission::{FINALIZER, Permission};
use crate::api::{EventBusPermissionStatus, Reason};

/// The longest that a call to the API server may take.
const CALL_LIMIT: Duration = Duration::from_secs(10);

/// The name of our definition.
const DEFINITION: &str = "eventbuspermissions.busgrant.dev";

/// A call to Kubernetes that failed. All are tried again.
#[derive(Debug, Error)]
pub enum Error {
    /// The API server refused it or could not be reached.
    #[error(transparent)]
    Kube(#[from] Box<kube::Error>),
    /// The API server did not answer in time.
    #[error("the API server did not answer within {} s", CALL_LIMIT.as_secs())]
    Timeout,
    /// It was not asked: somebody else may lead by now.
    #[error("not written: this process can't prove that it leads")]
    NotLeading,
}

impl Error {
    /// Whether the object is gone.
    pub fn is_gone(&self) -> bool {
        let Self::Kube(error) = self else { return false };
        matches!(&**error, kube::Error::Api(status) if status.is_not_found())
    }

    /// Whether we may not.
    pub fn is_forbidden(&self) -> bool {
        let Self::Kube(error) = self else { return false };
        matches!(&**error, kube::Error::Api(status) if status.is_forbidden())
    }
}

/// Waits for a call, but not for ever: the client itself has no limit of its own for a whole answer.
pub async fn bounded<T>(call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Error> {
    match timeout(CALL_LIMIT, call).await {
        Ok(answer) => answer.map_err(|error| Error::Kube(Box::new(error))),
        Err(_) => Err(Error::Timeout),
    }
}

impl<B> Context<B> {
    fn api(&self, object: &Permission) -> Api<Permission> {
        Api::namespaced(self.client.clone(), object.namespace())
    }

    /// Holds an object, before anything is written for it.
    pub async fn hold(&self, object: &Permission) -> Result<(), Error> {
        let mut finalizers = object.finalizers().to_vec();
        finalizers.push(FINALIZER.to_owned());
        self.set_finalizers(object, finalizers).await
    }

    /// Lets an object go, if it still is the one that was read.
    pub async fn let_go(&self, object: &Permission) -> Result<(), Error> {
        let answer = bounded(self.api(object).get(object.name())).await;
        let current = match answer {
            Ok(current) if current.uid() == object.uid() => current,
            Ok(_) => return Ok(()),
            Err(error) if error.is_gone() => return Ok(()),
            Err(error) => return Err(error),
        };
        let finalizers = current.finalizers().iter().filter(|f| *f != FINALIZER).cloned().collect();
        self.set_finalizers(&current, finalizers).await
    }

    /// Lets an object go whose statements stay on the bus.
    pub async fn let_stay(&self, object: &Permission) -> Result<(), Error> {
        self.tell(object, false, Reason::Retained, "Delete", "its statements stay on the bus");
        self.let_go(object).await
    }

    /// Whether the API server still has this very object, held and being deleted or not as it was seen.
    pub async fn is_as_seen(&self, object: &Permission) -> Result<bool, Error> {
        let current = bounded(self.api(object).get_metadata_opt(object.name())).await?;
        Ok(current.is_some_and(|current| {
            current.metadata.uid == object.metadata.uid
                && current.finalizers().iter().any(|finalizer| finalizer == FINALIZER)
                && current.metadata.deletion_timestamp.is_some() == object.is_deleting()
        }))
    }

    /// What is sent to the API server is sent by the one that leads.
    fn proved(&self) -> Result<(), Error> {
        if self.leadership.may_write() { Ok(()) } else { Err(Error::NotLeading) }
    }

    async fn set_finalizers(&self, object: &Permission, finalizers: Vec<String>) -> Result<(), Error> {
        let patch = json!({"metadata": {
            "uid": object.metadata.uid,
            "resourceVersion": object.metadata.resource_version,
            "finalizers": finalizers,
        }});
        let api = self.api(object);
        self.proved()?;
        bounded(api.patch(object.name(), &PatchParams::default(), &Patch::Merge(&patch))).await.map(drop)
    }

    /// Writes a status in place of the one that is there.
    pub async fn write_status(&self, object: &Permission, status: &EventBusPermissionStatus) -> Result<(), Error> {
        let api = self.api(object);
        // Against what was read or written last: a call that was late must not take the status back.
        let version = self.ledger.newest_version(object);
        let patch =
            json!({"metadata": {"uid": object.metadata.uid, "resourceVersion": version}, "status": whole(status)});
        let patch = Patch::Merge(&patch);
        self.proved()?;
        let answer = bounded(api.patch_status(object.name(), &PatchParams::default(), &patch)).await?;
        self.metrics.status_write();
        self.ledger.wrote(object, &answer, status.clone());
        Ok(())
    }

    /// Whether our definition is being deleted, and every object with it: that revokes nothing.
    pub async fn is_definition_going(&self) -> Result<bool, Error> {
        let definitions: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let definition = bounded(definitions.get_metadata_opt(DEFINITION)).await?;
        Ok(definition.is_none_or(|definition| definition.metadata.deletion_timestamp.is_some()))
    }

    /// Publishes an event, in the background: that it can't be is logged, and keeps nothing from being done.
    pub fn tell(&self, object: &Permission, warning: bool, reason: Reason, action: &str, note: &str) {
        let event = Event {
            type_: if warning { EventType::Warning } else { EventType::Normal },
            reason: reason.to_string(),
            note: Some(note.chars().take(1000).collect()),
            action: action.to_owned(),
            secondary: None,
        };
        let (recorder, about) = (self.recorder.clone(), object.object_ref(&()));
        let publish = async move {
            if let Err(error) = bounded(recorder.publish(&event, &about)).await {
                tracing::warn!(%error, reason = event.reason, "an event could not be published");
            }
        };
        tokio::spawn(publish.in_current_span());
    }
}

/// A status that, merged into another, leaves nothing of it: what it lacks is null.
fn whole(status: &EventBusPermissionStatus) -> Value {
    let mut json = json!({
        "lastHandledReconcileAt": null, "conditions": null, "desiredStatements": null, "syncedStatements": null, "statements": null,
        "eventBus": null, "policy": null, "plan": null, "writes": null,
    });
    if let (Some(all), Ok(Value::Object(said))) = (json.as_object_mut(), serde_json::to_value(status)) {
        all.extend(said);
    }
    json
}
