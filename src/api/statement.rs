//! One statement as a person writes it.
//!
//! Nothing here may be unknown. A field that narrows a grant and is read by an older controller would otherwise be dropped,
//! and the grant be wider than it was written; so an unknown field makes the object one that we can't read.

#![expect(unreachable_pub, reason = "KubeSchema repeats each struct inside a function")]
#![expect(clippy::doc_markdown, reason = "the docs of fields are what kubectl explain prints, without markup")]

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{rules, schema};

/// One grant: who may do what on the bus, under which conditions.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = rules::PRINCIPALS_OR_RAW,
    validation = rules::RAW_ALONE,
    validation = rules::SERVICE_FOR_AN_ACCOUNT,
    validation = rules::FIELD_KEY_RECURS
)]
pub struct PermissionStatement {
    /// The statement's name within this object: a DNS label of at most 26 characters that doesn't end in a dash and 12
    /// digits. It becomes part of the statement's Sid, so renaming a statement puts a new one and removes the old.
    #[schemars(schema_with = "schema::statement_name")]
    pub name: String,

    /// What the statement is for, at most 1024 characters. For people; it is never sent to AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::description")]
    pub description: Option<String>,

    /// What is allowed. PublishEvents, which absent means, is events:PutEvents on the bus. ManageOwnRules is creating rules on
    /// the bus, and describing, changing, tagging and deleting those that the same account created, with their targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Access")]
    pub access: Option<Access>,

    /// Who is allowed: exactly one kind of principal. Either principals or raw must be set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(merge_strategy = MapMerge::Atomic)]
    pub principals: Option<PermissionPrincipals>,

    /// Only events with one of these sources (events:source), 1 to 20, each exact: no * and ?. The sender chooses the
    /// source, so this narrows a grant but doesn't protect one that is open to anyone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::sources")]
    pub sources: Option<Vec<String>>,

    /// Only events with one of these detail types (events:detail-type), 1 to 20, each exact. The sender chooses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::detail_types")]
    pub detail_types: Option<Vec<String>>,

    /// Only on behalf of one of these resources (aws:SourceArn), 1 to 20, such as the rule that sends the events. Each must
    /// be an ARN of six parts, in which * and ? may stand for more.
    #[serde(default, rename = "sourceARNs", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::source_arns")]
    pub source_arns: Option<Vec<String>>,

    /// Further conditions, 1 to 10, which must all hold. A key that another field writes must not recur here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 10))]
    #[x_kube(
        merge_strategy = ListMerge::Map(vec!["operator".into(), "key".into()]),
        validation = rules::CONDITION_UNIQUE
    )]
    pub conditions: Option<Vec<PermissionCondition>>,

    /// A statement in the words of IAM, for what the other fields can't say, such as a Deny. It must stand alone beside name
    /// and description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<RawStatement>,
}

/// What a statement allows.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// `events:PutEvents` on the bus.
    #[default]
    PublishEvents,
    /// Rules of the caller's account on the bus, with their targets and tags.
    ManageOwnRules,
}

/// Who a statement is for: exactly one kind.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = rules::ONE_KIND_OF_PRINCIPAL)]
pub struct PermissionPrincipals {
    /// AWS accounts, 1 to 50, each 12 digits in quotes. With nothing else in the statement, each becomes a statement of its
    /// own on the bus, under a Sid that ends in the account.
    #[serde(default, rename = "accountIDs", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::account_ids")]
    pub account_ids: Option<Vec<String>>,

    /// Every account of one organization (aws:PrincipalOrgID): o- and 10 to 32 lower-case letters and digits.
    #[serde(default, rename = "organizationID", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::organization_id")]
    pub organization_id: Option<String>,

    /// Every account in one of these parts of an organization (aws:PrincipalOrgPaths), 1 to 20. A path goes from the
    /// organization over its root to a unit, such as o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/; with * at the end it takes in the
    /// units below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::organization_paths")]
    pub organization_paths: Option<Vec<String>>,

    /// Roles, users, account roots or sessions by ARN, 1 to 50, without wildcards. A principal that doesn't exist is refused
    /// by AWS.
    #[serde(default, rename = "principalARNs", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::principal_arns")]
    pub principal_arns: Option<Vec<String>>,

    /// AWS services by the name of their principal, 1 to 10, such as schemas.amazonaws.com. The statement must tie them to
    /// an account, by sourceARNs that name it or a condition StringEquals on aws:SourceAccount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::services")]
    pub services: Option<Vec<String>>,

    /// Anyone in AWS, written as {}. It needs the consent of whoever installed the controller, unless a condition on
    /// the caller's account, organization or ARN restricts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::nothing")]
    pub anyone: Option<Anyone>,
}

/// Anyone: a mark that takes no fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anyone {}

/// One condition: the request's value of a key must stand in a relation to one of the values.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PermissionCondition {
    /// A condition operator of IAM, such as StringEquals, StringLike, ArnLike, Bool or Null; ForAnyValue: or ForAllValues: may
    /// stand before it, and IfExists after it.
    #[schemars(schema_with = "schema::operator")]
    pub operator: String,

    /// The condition key with its prefix, such as aws:PrincipalArn or events:source. Its case doesn't matter.
    #[schemars(schema_with = "schema::condition_key")]
    pub key: String,

    /// The values, 1 to 20, of which one must match.
    #[schemars(schema_with = "schema::condition_values")]
    pub values: Vec<String>,
}

/// A statement in the words of IAM. Its resource follows from its actions: the bus, the rules on it, or both.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RawStatement {
    /// Allow or Deny. A Deny is put before and removed after the other statements of its object.
    pub effect: RawEffect,

    /// Who the statement is about, by type; at least one.
    #[x_kube(merge_strategy = MapMerge::Atomic)]
    pub principal: RawPrincipal,

    /// What the statement is about: 1 to 20 actions that a bus policy takes, such as events:PutEvents; * and ? may stand for
    /// more, and must match one.
    #[schemars(schema_with = "schema::raw_actions")]
    pub actions: Vec<String>,

    /// The conditions, which must all hold: by operator, then by condition key, lists of values. At most 10 operators, 10 keys
    /// under each and 20 values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::raw_condition")]
    pub condition: Option<BTreeMap<String, BTreeMap<String, Vec<String>>>>,
}

/// Whether a raw statement gives or takes.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RawEffect {
    /// It gives.
    Allow,
    /// It takes away, over every Allow.
    Deny,
}

/// The principals of a raw statement, by type.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
#[x_kube(validation = rules::RAW_PRINCIPAL)]
pub struct RawPrincipal {
    /// Accounts of 12 digits, ARNs of roles, users, roots and sessions, or "*" for anyone; 1 to 50.
    #[serde(default, rename = "AWS", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::raw_aws")]
    pub aws: Option<Vec<String>>,

    /// Service principals, such as schemas.amazonaws.com; 1 to 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::services")]
    pub service: Option<Vec<String>>,

    /// SAML and OIDC providers by ARN or name; 1 to 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::raw_federated")]
    pub federated: Option<Vec<String>>,

    /// Canonical user ids of 64 hexadecimal digits; 1 to 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::raw_canonical_users")]
    pub canonical_user: Option<Vec<String>>,
}
