//! Objects that go although we hold them. The API server looks for finalizers when it begins to delete an object, and not again:
//! one that was added since goes with the object (`Store.Delete` of its generic registry). The watch then tells of an object
//! that was deleted and never was being deleted. That is a deletion that was seen, and no absence: its statements go.

use std::sync::Arc;
use std::time::Duration;

use busgrant_policy::BusArn;
use kube::runtime::watcher::Event;
use tokio::time::sleep;

use super::context::Context;
use super::permission::Permission;
use crate::api::DeletionPolicy;
use crate::port::EventBuses;

/// The pause before Kubernetes is asked again whether our definition goes.
const AFTER_ERROR: Duration = Duration::from_secs(2);

impl<B: EventBuses> Context<B> {
    /// Looks at what the watch tells for an object that was deleted with our finalizer on it.
    pub fn notice(self: &Arc<Self>, event: &Event<Permission>) {
        let Event::Delete(object) = event else { return };
        let goes = object.deletion_policy() == Ok(DeletionPolicy::Delete);
        let vanished = object.is_held() && !object.is_deleting() && goes;
        // Nothing was put before its status said where.
        let bus = object.pinned_bus().and_then(|bus| bus.parse::<BusArn>().ok());
        if let (true, Some(bus)) = (vanished, bus) {
            tracing::warn!(namespace = object.namespace(), name = object.name(), "deleted while it was being held");
            tokio::spawn(bury(Arc::clone(self), bus, Arc::new(object.clone())));
        }
    }
}

/// Has the statements removed, unless the object went with our definition.
async fn bury<B: EventBuses>(context: Arc<Context<B>>, bus: BusArn, object: Arc<Permission>) {
    loop {
        match context.is_definition_going().await {
            Ok(true) => return,
            Ok(false) => return context.worker(&bus).bury(object),
            Err(_) => sleep(AFTER_ERROR).await,
        }
    }
}
