//! What the probes of the Pod are told.

use std::sync::{Arc, OnceLock};

use futures::FutureExt;
use kube::runtime::reflector::Store;

use super::leadership::Leadership;
use super::permission::Permission;

/// Whether this process can do its work.
#[derive(Clone)]
pub struct Health {
    pub(super) leadership: Leadership,
    stores: Arc<OnceLock<Vec<Store<Permission>>>>,
}

impl Health {
    /// Of a process that has seen no objects yet.
    pub fn new(leadership: Leadership) -> Self {
        Self { leadership, stores: Arc::default() }
    }

    /// Which stores must be filled before it is ready.
    pub(super) fn needs(&self, stores: Vec<Store<Permission>>) {
        // There is one controller in a process, so they are set once.
        let _ = self.stores.set(stores);
    }

    /// What a ready process is, leader or standby, or why it is not ready. Credentials are no part of it: the objects say
    /// that they are missing, and another Pod would miss them too.
    pub fn readiness(&self) -> Result<&'static str, &'static str> {
        let stores = self.stores.get().map(Vec::as_slice).unwrap_or_default();
        if stores.is_empty() || !stores.iter().all(is_filled) {
            return Err("no list of EventBusPermissions yet: is the definition installed, and may they be read?");
        }
        Ok(if self.leadership.leads() { "leader" } else { "standby" })
    }
}

/// Whether every object was seen that was there at the start.
pub fn is_filled(store: &Store<Permission>) -> bool {
    matches!(store.wait_until_ready().now_or_never(), Some(Ok(())))
}
