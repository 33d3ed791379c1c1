//! Accounts, roles, users and sessions: who exists, under which unique id, and who may assume what.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::arn::{Arn, twelve_digits};
use crate::config::Config;
use crate::random::{Random, fingerprint};

/// What an account is part of, for `aws:PrincipalOrgID` and `aws:PrincipalOrgPaths`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Account {
    /// Whether the account exists. Every account does by default, save `000000000000`.
    pub exists: Option<bool>,
    /// Its organisation's id, such as `o-a1b2c3d4e5`.
    pub organization: Option<String>,
    /// Its organisation paths, such as `o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/`.
    pub paths: Vec<String>,
}

/// Who may assume a role.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Trust {
    /// The account whose callers may.
    pub account: String,
    /// The external id that they must give, if any.
    pub external_id: Option<String>,
}

/// What a role's or user's own policies allow. The simulator knows the two extremes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum IdentityPolicy {
    /// Everything: whether a call passes is then up to the bus policy.
    #[default]
    All,
    /// Nothing, as the role in the observations (aws-observations #101).
    None,
}

/// A declared role or user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Principal {
    /// Its ARN.
    pub arn: String,
    /// What its own policies allow.
    #[serde(default)]
    pub identity_policy: IdentityPolicy,
    /// Who may assume it. Nobody may assume a role that was not declared.
    #[serde(default)]
    pub trust: Vec<Trust>,
}

#[derive(Debug, Default)]
struct Entity {
    declared: Option<Principal>,
    absent: bool,
    /// How often it was deleted: a new incarnation has a new unique id.
    generation: u64,
}

/// Who makes a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) account: String,
    /// The caller's ARN as `GetCallerIdentity` and access-denied messages name it.
    pub(crate) arn: String,
    /// The ARN that policies name and `aws:PrincipalArn` holds: the role's, for a session.
    pub(crate) principal_arn: String,
    pub(crate) user_id: String,
    /// The unique id of the role or user itself.
    pub(crate) unique_id: String,
    pub(crate) identity: IdentityPolicy,
    /// Set for a call that an AWS service makes.
    pub(crate) service: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) caller: Caller,
    pub(crate) token: String,
    pub(crate) expires: i64,
}

#[derive(Debug, Default)]
pub(crate) struct Iam {
    pub(crate) accounts: BTreeMap<String, Account>,
    /// The only accounts that exist, when there are any.
    known: BTreeSet<String>,
    entities: BTreeMap<String, Entity>,
    /// Unique ids of what was deleted, and when.
    deleted: BTreeMap<String, i64>,
    pub(crate) sessions: BTreeMap<String, Session>,
}

impl Iam {
    pub(crate) fn new(config: &Config) -> Self {
        let gone = |id: &String| (id.clone(), Account { exists: Some(false), ..Account::default() });
        Self {
            accounts: config.nonexistent_accounts.iter().map(gone).collect(),
            known: config.known_accounts.iter().cloned().collect(),
            ..Self::default()
        }
    }

    /// `000000000000` is no account: the captures use it as the one that does not exist (aws-observations #23, #55).
    pub(crate) fn account_exists(&self, id: &str) -> bool {
        let declared = self.accounts.get(id).and_then(|account| account.exists);
        let known = self.known.contains(id) || (self.known.is_empty() && id != "000000000000");
        twelve_digits(id) && declared.unwrap_or(known)
    }

    /// The unique id of an existing role or user: a declared one, or any of an existing account.
    pub(crate) fn unique_id(&self, arn: &str) -> Option<String> {
        let (parts, _, prefix) = entity(arn)?;
        let entity = self.entities.get(arn);
        let generation = entity.map_or(0, |entity| entity.generation);
        let exists = self.account_exists(parts.account) && !entity.is_some_and(|entity| entity.absent);
        let seed = fingerprint(arn) ^ generation.wrapping_mul(0x5851_f42d);
        exists.then(|| format!("{prefix}{}", Random::new(seed).id(17)))
    }

    /// Whether a policy document may name this as an AWS principal in this partition.
    pub(crate) fn resolves(&self, name: &str, partition: &str) -> bool {
        let arn = Arn::parse(name).filter(|arn| arn.partition == partition && arn.region.is_empty());
        arn.is_some_and(|arn| match arn.service {
            "iam" if arn.resource == "root" => self.account_exists(arn.account),
            "iam" => self.unique_id(name).is_some(),
            "sts" => self.account_exists(arn.account) && arn.resource.contains('/'),
            _ => false,
        })
    }

    pub(crate) fn declared(&self, arn: &str) -> Option<&Principal> {
        self.entities.get(arn).filter(|entity| !entity.absent)?.declared.as_ref()
    }

    pub(crate) fn declare(&mut self, principal: Principal) -> Option<String> {
        let arn = principal.arn.clone();
        entity(&arn)?;
        let entity = self.entities.entry(arn.clone()).or_default();
        (entity.absent, entity.declared) = (false, Some(principal));
        self.unique_id(&arn)
    }

    /// Deletes a role or user: its unique id stands in policies from now on, and never resolves again.
    pub(crate) fn delete(&mut self, arn: &str, now: i64) -> bool {
        let Some(id) = self.unique_id(arn) else { return false };
        self.deleted.insert(id, now);
        let entity = self.entities.entry(arn.to_owned()).or_default();
        entity.absent = true;
        entity.generation += 1;
        self.sessions.retain(|_, session| session.caller.principal_arn != arn);
        true
    }

    /// Whether the bearer of this id, under this ARN when it was put, had gone by then.
    pub(crate) fn gone(&self, arn: &str, id: &str, when: i64) -> bool {
        self.unique_id(arn).as_deref() != Some(id) && self.deleted.get(id).is_none_or(|deleted| when >= *deleted)
    }

    /// The caller behind a 12-digit access key id: a user with every permission in that account.
    pub(crate) fn account_user(&self, account: &str, partition: &str) -> Option<Caller> {
        self.caller(&format!("arn:{partition}:iam::{account}:user/sim"), "")
    }

    /// A user, or the session of a role, as a caller.
    pub(crate) fn caller(&self, principal_arn: &str, session: &str) -> Option<Caller> {
        let (parts, name, prefix) = entity(principal_arn)?;
        let unique_id = self.unique_id(principal_arn)?;
        let mut caller = Caller {
            account: parts.account.to_owned(),
            arn: principal_arn.to_owned(),
            principal_arn: principal_arn.to_owned(),
            user_id: unique_id.clone(),
            unique_id,
            identity: self.declared(principal_arn).map(|declared| declared.identity_policy).unwrap_or_default(),
            service: None,
        };
        if prefix == ROLE {
            let Arn { partition, account, .. } = parts;
            caller.arn = format!("arn:{partition}:sts::{account}:assumed-role/{name}/{session}");
            caller.user_id = format!("{}:{session}", caller.unique_id);
        }
        Some(caller)
    }
}

// "Understanding unique ID prefixes", IAM user guide.
const ROLE: &str = "AROA";
const USER: &str = "AIDA";

/// A role's or user's ARN, its name without the path, and the prefix of its unique id.
fn entity(arn: &str) -> Option<(Arn<'_>, &str, &'static str)> {
    let arn = Arn::parse(arn).filter(|arn| arn.service == "iam" && arn.region.is_empty())?;
    let (kind, path) = arn.resource.split_once('/')?;
    let name = path.rsplit('/').next().filter(|name| !name.is_empty() && !name.contains('*'))?;
    match kind {
        "role" => Some((arn, name, ROLE)),
        "user" => Some((arn, name, USER)),
        _ => None,
    }
}
