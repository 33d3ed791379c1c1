//! Accounts, roles, users and sessions: who exists, under which unique id, and who may assume what.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::input::twelve_digits;
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
    #[serde(default)]
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
    /// How long reads go on to show a deleted role's ARN. Observed: longer than a call, shorter than 60 s (#80, #97).
    pub(crate) deletion_lag_millis: i64,
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
        let known = || {
            if self.known.is_empty() { id != "000000000000" } else { self.known.contains(id) }
        };
        twelve_digits(id) && declared.unwrap_or_else(known)
    }

    /// The unique id of an existing role or user: a declared one, or any of an existing account.
    pub(crate) fn unique_id(&self, arn: &str) -> Option<String> {
        let parsed = EntityArn::parse(arn)?;
        let entity = self.entities.get(arn);
        let exists = self.account_exists(parsed.account) && !entity.is_some_and(|entity| entity.absent);
        exists.then(|| unique_id(arn, parsed.prefix, entity.map_or(0, |entity| entity.generation)))
    }

    /// Whether a policy document may name this as an AWS principal in this partition.
    pub(crate) fn resolves(&self, name: &str, partition: &str) -> bool {
        let parts: Vec<&str> = name.splitn(6, ':').collect();
        let &["arn", arn_partition, service, "", account, relative] = parts.as_slice() else {
            return false;
        };
        arn_partition == partition
            && match service {
                "iam" if relative == "root" => self.account_exists(account),
                "iam" => self.unique_id(name).is_some(),
                "sts" => self.account_exists(account) && relative.contains('/'),
                _ => false,
            }
    }

    pub(crate) fn declared(&self, arn: &str) -> Option<&Principal> {
        self.entities.get(arn).filter(|entity| !entity.absent)?.declared.as_ref()
    }

    pub(crate) fn declare(&mut self, principal: Principal) -> Option<String> {
        EntityArn::parse(&principal.arn)?;
        let arn = principal.arn.clone();
        let entity = self.entities.entry(arn.clone()).or_default();
        entity.absent = false;
        entity.declared = Some(principal);
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

    pub(crate) fn shows_as_id(&self, arn: &str, id: &str, now: i64) -> bool {
        self.unique_id(arn).as_deref() != Some(id)
            && self.deleted.get(id).is_none_or(|when| now >= when + self.deletion_lag_millis)
    }

    pub(crate) fn organization(&self, account: &str) -> Option<&Account> {
        self.accounts.get(account)
    }

    /// The caller behind a 12-digit access key id: a user with every permission in that account.
    pub(crate) fn account_user(&self, account: &str, partition: &str) -> Option<Caller> {
        let arn = format!("arn:{partition}:iam::{account}:user/sim");
        let unique_id = unique_id(&arn, "AIDA", 0);
        self.account_exists(account).then(|| Caller {
            account: account.to_owned(),
            principal_arn: arn.clone(),
            arn,
            user_id: unique_id.clone(),
            unique_id,
            identity: IdentityPolicy::All,
            service: None,
        })
    }

    /// The session of a role that a caller has assumed.
    pub(crate) fn role_caller(&self, role_arn: &str, session_name: &str) -> Option<Caller> {
        let role = EntityArn::parse(role_arn)?;
        let unique_id = self.unique_id(role_arn)?;
        let identity = self.declared(role_arn).map_or(IdentityPolicy::All, |principal| principal.identity_policy);
        Some(Caller {
            account: role.account.to_owned(),
            arn: format!("arn:{}:sts::{}:assumed-role/{}/{session_name}", role.partition, role.account, role.name),
            principal_arn: role_arn.to_owned(),
            user_id: format!("{unique_id}:{session_name}"),
            unique_id,
            identity,
            service: None,
        })
    }
}

/// A role's or user's ARN.
struct EntityArn<'a> {
    partition: &'a str,
    account: &'a str,
    /// Without its path.
    name: &'a str,
    prefix: &'static str,
}

impl<'a> EntityArn<'a> {
    fn parse(arn: &'a str) -> Option<Self> {
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        let &["arn", partition, "iam", "", account, relative] = parts.as_slice() else {
            return None;
        };
        let (kind, path) = relative.split_once('/')?;
        // "Understanding unique ID prefixes", IAM user guide.
        let prefix = match kind {
            "role" => "AROA",
            "user" => "AIDA",
            _ => return None,
        };
        let name = path.rsplit('/').next().filter(|name| !name.is_empty() && !name.contains('*'))?;
        Some(Self { partition, account, name, prefix })
    }
}

fn unique_id(arn: &str, prefix: &str, generation: u64) -> String {
    format!("{prefix}{}", Random::new(fingerprint(arn) ^ generation.wrapping_mul(0x5851_f42d)).id(17))
}
