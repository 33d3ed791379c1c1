//! What a person writes: one bus, and the statements that its policy must hold.

#![expect(unreachable_pub, reason = "KubeSchema repeats each struct inside a function")]
#![expect(clippy::duplicated_attributes, reason = "columns of one type and priority are no repetition")]

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::statement::PermissionStatement;
use super::status::EventBusPermissionStatus;
use super::{rules, schema};

/// The statements that the policy of one bus must hold for this object, and what becomes of them.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "busgrant.dev",
    version = "v1alpha1",
    kind = "EventBusPermission",
    namespaced,
    status = "EventBusPermissionStatus",
    derive = "PartialEq",
    doc = "Statements of the resource policy of one Amazon EventBridge event bus: who may put events on it, or manage their own rules there. The controller makes the bus's policy hold exactly these statements under Sids of its own, and leaves everybody else's alone.",
    shortname = "ebp",
    category = "eventbridge",
    category = "aws",
    selectable = ".spec.eventBus.name",
    selectable = ".spec.eventBus.arn",
    selectable = ".spec.managementPolicy",
    printcolumn(
        name = "Bus",
        type_ = "string",
        json_path = ".spec.eventBus['name','arn']",
        description = "The event bus, as the spec names it."
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Whether the bus's policy held exactly these statements when it was last read."
    ),
    printcolumn(
        name = "Synced",
        type_ = "integer",
        json_path = ".status.syncedStatements",
        description = "How many of this object's statements the bus's policy holds as they must be."
    ),
    printcolumn(
        name = "Desired",
        type_ = "integer",
        json_path = ".status.desiredStatements",
        description = "How many statements this object wants in the bus's policy."
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        description = "Why Ready is what it is; docs/conditions.md says what to do."
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Region",
        type_ = "string",
        json_path = ".status.eventBus.region",
        description = "The Region of the event bus.",
        priority = 1
    ),
    printcolumn(
        name = "Retries",
        type_ = "integer",
        json_path = ".status.writes.concurrentModificationRetriesTotal",
        description = "How often a write met another writer and was done again.",
        priority = 1
    ),
    printcolumn(
        name = "Characters",
        type_ = "integer",
        json_path = ".status.policy.characters",
        description = "The length of the bus's whole policy.",
        priority = 1
    ),
    printcolumn(
        name = "ARN",
        type_ = "string",
        json_path = ".status.eventBus.arn",
        description = "The event bus that the spec resolved to.",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        description = "What Ready says in full.",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
pub struct EventBusPermissionSpec {
    /// The event bus whose policy holds the statements. Required, and never changed: another bus takes another object.
    pub event_bus: EventBus,

    /// What the controller may do. Enforce (the default) keeps the statements on the bus as they are here. Observe writes
    /// nothing and reports in the status what Enforce would do; deleting the object still does what deletionPolicy says.
    #[serde(default)]
    pub management_policy: ManagementPolicy,

    /// What deleting this object does to its statements. Delete (the default) removes them from the bus; Retain leaves them
    /// there, still under this object's Sids, so that an object of the same namespace and name owns them again.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,

    /// The statements, 1 to 20, each under a name of its own. A statement that can't be served doesn't stop the others.
    #[schemars(length(min = 1, max = 20))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub statements: Vec<PermissionStatement>,
}

/// Which event bus: by name, or by ARN alone.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = rules::EVENT_BUS_IMMUTABLE,
    validation = rules::EVENT_BUS_NAME_OR_ARN,
    validation = rules::EVENT_BUS_ARN_ALONE
)]
pub struct EventBus {
    /// The name of a custom event bus, or default: 1 to 256 letters, digits, dots, dashes and underscores. Partner event
    /// buses take no permissions. Exactly one of name and arn must be set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::bus_name")]
    pub name: Option<String>,

    /// The ARN of the event bus, instead of name, region and accountID, such as
    /// arn:aws:events:eu-west-1:123456789012:event-bus/orders. It must be a classic event bus, not an event-busv2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::bus_arn")]
    pub arn: Option<String>,

    /// The Region of the event bus, such as eu-west-1. Absent means the controller's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::region")]
    pub region: Option<String>,

    /// The AWS account that the event bus belongs to, 12 digits in quotes. Absent means the controller's own.
    #[serde(default, rename = "accountID", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::account_id")]
    pub account_id: Option<String>,
}

/// What the controller may do with an object's statements.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ManagementPolicy {
    /// Keep the statements on the bus as the object says.
    #[default]
    Enforce,
    /// Report what Enforce would do, and write nothing.
    Observe,
}

/// What deleting an object does to its statements.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeletionPolicy {
    /// Remove them from the bus.
    #[default]
    Delete,
    /// Leave them on the bus.
    Retain,
}
