//! The API that people write and read: the kind [`EventBusPermission`], the rules its objects must keep, the reasons its
//! status gives, and the way from a spec to the statements that the policy of a bus must hold.
//!
//! - [`spec`], [`statement`], [`status`]: the types, whose docs are what `kubectl explain` shows.
//! - `rules`, `schema`, [`mod@crd`]: what the API server checks, and the definition it gets.
//! - [`reasons`]: every reason in one place.
//! - [`naming`]: the hashes that Sids and status carry.
//! - [`claims`]: a spec compiled to the claims of `busgrant_policy`, every violation collected.

use std::collections::BTreeMap;

mod bus;
pub mod claims;
pub mod crd;
pub mod naming;
pub mod reasons;
mod rules;
mod schema;
pub mod spec;
pub mod statement;
pub mod status;

pub use bus::Home;
pub use claims::{Compiled, Consent, RefusedStatement, compile};
pub use crd::{crd, crd_yaml};
pub use reasons::Reason;
pub use spec::{DeletionPolicy, EventBus, EventBusPermission, EventBusPermissionSpec, ManagementPolicy};
pub use statement::{
    Access, Anyone, PermissionCondition, PermissionPrincipals, PermissionStatement, RawEffect, RawPrincipal,
    RawStatement,
};
pub use status::{
    EventBusPermissionStatus, EventBusStatus, PlannedAction, PlannedStep, PolicyStatus, StatementStatus, WriteForm,
    WritesStatus,
};

/// The API group.
pub const GROUP: &str = "busgrant.dev";

/// The annotation that has an object's bus looked at now, whatever its back-off: any value that is not yet in
/// `status.lastHandledReconcileAt`, by custom the time.
pub const RECONCILE_AT_ANNOTATION: &str = "busgrant.dev/reconcile-at";

/// The annotation that stops puts and edits while its value is `"true"`. An annotation, since tools that undo changes
/// to a spec leave it alone. Deletion ignores it.
pub const PAUSED_ANNOTATION: &str = "busgrant.dev/paused";

/// Whether annotations stop puts and edits.
pub fn is_paused(annotations: Option<&BTreeMap<String, String>>) -> bool {
    annotations.and_then(|all| all.get(PAUSED_ANNOTATION)).is_some_and(|value| value == "true")
}
