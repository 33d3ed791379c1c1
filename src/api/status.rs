//! What the controller says: the truth at the last read, or nothing.

#![expect(unreachable_pub, reason = "KubeSchema repeats each struct inside a function")]
#![expect(clippy::doc_markdown, reason = "the docs of fields are what kubectl explain prints, without markup")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the controller last saw and did.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventBusPermissionStatus {
    /// The generation of the spec that this status is about; -1 until the controller has seen the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// The value that the annotation busgrant.dev/reconcile-at had when the bus was last looked at for this object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,

    /// Accepted: every statement of the spec can be served. Synced: the bus's policy held exactly these statements when last
    /// read. Ready: the summary of both. Reconciling and Stalled are there only while true: the controller is at work, or a
    /// person must act. docs/conditions.md lists the reasons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,

    /// How many statements this object wants in the bus's policy. Several accounts under one name count each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired_statements: Option<i32>,

    /// How many of them the policy held as they must be, when it was last read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synced_statements: Option<i32>,

    /// Each statement of this object that is wanted or on the bus, by its Sid.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["statementID".into()]))]
    pub statements: Vec<StatementStatus>,

    /// The event bus that the spec resolved to first. It is pinned: another bus later is BusChanged, and nothing is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_bus: Option<EventBusStatus>,

    /// The bus's whole policy, as it was last read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyStatus>,

    /// What Enforce would do now, in order, where managementPolicy is Observe. Absent where nothing is to do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plan: Vec<PlannedStep>,

    /// Writes to the bus on behalf of this object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writes: Option<WritesStatus>,
}

/// One statement of the object, wanted or on the bus.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatementStatus {
    /// The statement's name in the spec.
    pub name: String,

    /// The statement's Sid in the bus's policy, by which RemovePermission knows it.
    #[serde(rename = "statementID")]
    pub statement_id: String,

    /// Whether the policy held this statement as it must be, when it was last read.
    pub synced: bool,

    /// Why, in one word; docs/conditions.md lists them.
    pub reason: String,

    /// Why, in full, where it isn't synced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,

    /// How the statement is written. Short touches this statement only; Document replaces the whole policy, since the
    /// short form can't say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "WriteForm")]
    pub form: Option<WriteForm>,

    /// A hash of what the statement says, which changes when its meaning does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_hash: Option<String>,
}

/// Which call writes a statement.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WriteForm {
    /// `PutPermission(Action, Principal, StatementId, Condition)`, which touches one statement.
    Short,
    /// `PutPermission(Policy)`, which replaces the whole policy.
    Document,
}

/// The bus that an object's spec resolved to.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventBusStatus {
    /// The ARN of the event bus.
    pub arn: String,

    /// The name of the event bus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,

    /// The AWS account that it belongs to.
    #[serde(default, rename = "accountID", skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,

    /// The Region that it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
}

/// The whole policy of the bus, everybody's statements together.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyStatus {
    /// The length of the policy in characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub characters: Option<i64>,

    /// How many characters the policy may have: the quota that the controller goes by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub characters_allowed: Option<i64>,

    /// How many statements of the policy aren't this controller's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign_statements: Option<i32>,
}

/// One thing that Enforce would do.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedStep {
    /// Put, which writes the statement, new or over the one that is there, or Remove.
    pub action: PlannedAction,

    /// The Sid of the statement.
    #[serde(rename = "statementID")]
    pub statement_id: String,

    /// How a Put would be written: Short or Document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "WriteForm")]
    pub form: Option<WriteForm>,
}

/// What would be done to a statement.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PlannedAction {
    /// It would be written, new or over the one that is there.
    Put,
    /// It would be removed.
    Remove,
}

/// Writes to the bus on behalf of one object.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WritesStatus {
    /// When a statement of this object was last written or removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_write_time: Option<Time>,

    /// How often the last sync that wrote met another writer (ConcurrentModificationException) and was done again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrent_modification_retries: Option<i64>,

    /// How often that happened in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrent_modification_retries_total: Option<i64>,

    /// When it last happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_concurrent_modification_time: Option<Time>,

    /// How often a write that EventBridge had confirmed wasn't in the policy afterwards, and was done again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_updates: Option<i64>,
}
