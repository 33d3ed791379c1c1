//! A statement that somebody wants: what it says, how it is written, and whether it opens the bus to the world.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::ids::{AccountId, BusArn, OrganizationId, Sid, is_account};
use crate::meaning::Meaning;

/// The condition key by which a statement is limited to one organization.
const PRINCIPAL_ORG_ID: &str = "aws:PrincipalOrgID";

/// Whether a statement gives or takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// The statement gives.
    Allow,
    /// The statement takes away, over every Allow.
    Deny,
}

impl Effect {
    /// As a policy document writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "Allow",
            Self::Deny => "Deny",
        }
    }
}

/// Whom a statement is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Principals {
    /// Everyone: `"*"`.
    Anyone,
    /// By type (`AWS`, `Service`, `Federated`, `CanonicalUser`), the principals of that type.
    Named(BTreeMap<String, BTreeSet<String>>),
}

/// One condition: the request's value of `key` must stand in relation `operator` to one of `values`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Condition {
    /// Such as `StringEquals` or `ForAnyValue:StringLike`; compared with case.
    pub operator: String,
    /// Such as `aws:PrincipalOrgID`; IAM compares keys without case.
    pub key: String,
    /// The values, of which one must match.
    pub values: BTreeSet<String>,
}

/// A statement that is wanted, complete with its Sid and resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Its name within the document.
    pub sid: Sid,
    /// Allow or Deny.
    pub effect: Effect,
    /// Whom it is about.
    pub principals: Principals,
    /// What they may or may not do, such as `events:PutEvents`.
    pub actions: BTreeSet<String>,
    /// On what: the bus's ARN, or its rules.
    pub resources: BTreeSet<String>,
    /// All of these must hold.
    pub conditions: Vec<Condition>,
}

/// A statement of one object, under the name that the object gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The statement's name in the object's spec; one name can stand for several claims that differ by account.
    pub name: String,
    /// The statement itself.
    pub statement: Statement,
}

/// What `PutPermission(Action, Principal, StatementId, Condition)` can say; the action is always `events:PutEvents`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShortForm {
    /// One account.
    Account(AccountId),
    /// Every account of one organization.
    Organization(OrganizationId),
    /// Everyone.
    Anyone,
}

impl ShortForm {
    /// What the call says as its `Principal`.
    pub fn principal(&self) -> &str {
        match self {
            Self::Account(account) => account.as_str(),
            Self::Organization(_) | Self::Anyone => "*",
        }
    }

    /// The organization that the call's one `Condition`, `StringEquals aws:PrincipalOrgID`, names.
    pub fn organization(&self) -> Option<&OrganizationId> {
        match self {
            Self::Organization(organization) => Some(organization),
            Self::Account(_) | Self::Anyone => None,
        }
    }
}

impl Statement {
    /// The short form that says the same, if there is one (Amazon `EventBridge` API reference, `PutPermission`).
    pub fn short_form(&self) -> Option<ShortForm> {
        let only_events = self.actions.len() == 1 && self.actions.contains("events:PutEvents");
        let on_bus = self.resources.len() == 1 && self.resources.iter().all(|r| r.parse::<BusArn>().is_ok());
        if self.effect != Effect::Allow || !only_events || !on_bus {
            return None;
        }
        match (&self.principals, self.conditions.as_slice()) {
            (Principals::Named(named), []) => sole_account(named).map(ShortForm::Account),
            (Principals::Anyone, []) => Some(ShortForm::Anyone),
            (Principals::Anyone, [condition]) => condition.sole_organization().map(ShortForm::Organization),
            _ => None,
        }
    }

    /// The statement in the order and spelling in which the service gives it back.
    pub fn to_json(&self) -> Value {
        let mut json = Map::new();
        json.insert("Sid".into(), json!(self.sid.as_str()));
        json.insert("Effect".into(), json!(self.effect.as_str()));
        let principals = match &self.principals {
            Principals::Anyone => json!("*"),
            Principals::Named(named) => named.iter().map(|(kind, who)| (kind.clone(), scalar_or_list(who))).collect(),
        };
        json.insert("Principal".into(), principals);
        json.insert("Action".into(), scalar_or_list(&self.actions));
        json.insert("Resource".into(), scalar_or_list(&self.resources));
        if !self.conditions.is_empty() {
            let mut conditions = Map::new();
            for Condition { operator, key, values } in &self.conditions {
                let keys = conditions.entry(operator.clone()).or_insert_with(|| json!({}));
                if let Value::Object(keys) = keys {
                    keys.insert(key.clone(), scalar_or_list(values));
                }
            }
            json.insert("Condition".into(), Value::Object(conditions));
        }
        Value::Object(json)
    }

    /// The statement as compact text, which is what it costs of the policy's characters.
    pub fn to_text(&self) -> String {
        self.to_json().to_string()
    }

    /// What the statement means, for comparison with a live one.
    pub fn meaning(&self) -> Meaning {
        Meaning::of_ours(self)
    }

    /// Whether it allows something to everyone: an Allow to `*` that no positive condition on who the caller is restricts.
    /// A source or a detail type is no restriction, since the sender chooses it; nor is a pattern that leaves the
    /// organization or the account open.
    pub fn is_public(&self) -> bool {
        let everyone = match &self.principals {
            Principals::Anyone => true,
            Principals::Named(named) => named.values().flatten().any(|who| who == "*"),
        };
        self.effect == Effect::Allow && everyone && !self.conditions.iter().any(Condition::restricts_caller)
    }
}

impl Condition {
    fn sole_organization(&self) -> Option<OrganizationId> {
        let sole = self.operator == "StringEquals"
            && self.key.eq_ignore_ascii_case(PRINCIPAL_ORG_ID)
            && self.values.len() == 1;
        if sole { self.values.first()?.parse().ok() } else { None }
    }

    fn restricts_caller(&self) -> bool {
        // ForAllValues and …IfExists hold where the key is absent; the negated operators hold for everyone else.
        let operator = self.operator.strip_prefix("ForAnyValue:").unwrap_or(&self.operator);
        let patterns = match operator {
            "StringEquals" | "StringEqualsIgnoreCase" => false,
            "StringLike" | "ArnEquals" | "ArnLike" => true,
            _ => return false,
        };
        // A variable such as ${aws:PrincipalAccount} is the caller's own value, which is no restriction.
        let fixed = |text: &str| {
            let open = text.contains("${") || (patterns && text.contains(['*', '?']));
            !text.is_empty() && !open
        };
        let restricts: &dyn Fn(&str) -> bool = match self.key.to_ascii_lowercase().as_str() {
            "aws:principalorgid" | "aws:principalaccount" => &|value| fixed(value),
            "aws:principalorgpaths" => &|value| fixed(value.split('/').next().unwrap_or_default()),
            "aws:principalarn" => &|value| fixed(value.split(':').nth(4).unwrap_or_default()),
            _ => return false,
        };
        !self.values.is_empty() && self.values.iter().all(|value| restricts(value))
    }
}

fn sole_account(named: &BTreeMap<String, BTreeSet<String>>) -> Option<AccountId> {
    let who = named.get("AWS").filter(|who| named.len() == 1 && who.len() == 1)?.first()?;
    account_of(who)?.parse().ok()
}

/// The account that a principal stands for as a whole: 12 digits, or the ARN of its root in any partition.
pub(crate) fn account_of(principal: &str) -> Option<&str> {
    if is_account(principal) {
        return Some(principal);
    }
    let parts: Vec<&str> = principal.split(':').collect();
    match parts[..] {
        ["arn", _, "iam", "", account, "root"] if is_account(account) => Some(account),
        _ => None,
    }
}

fn scalar_or_list(values: &BTreeSet<String>) -> Value {
    match values.len() {
        1 => json!(values.first()),
        _ => json!(values),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allow(principals: Principals, conditions: Vec<Condition>) -> Statement {
        Statement {
            sid: "s".parse().unwrap(),
            effect: Effect::Allow,
            principals,
            actions: ["events:PutEvents".to_owned()].into(),
            resources: ["arn:aws:events:eu-west-1:123456789012:event-bus/orders".to_owned()].into(),
            conditions,
        }
    }

    fn aws(who: &[&str]) -> Principals {
        Principals::Named([("AWS".to_owned(), who.iter().map(|w| (*w).to_owned()).collect())].into())
    }

    fn condition(operator: &str, key: &str, values: &[&str]) -> Condition {
        let values = values.iter().map(|v| (*v).to_owned()).collect();
        Condition { operator: operator.into(), key: key.into(), values }
    }

    #[test]
    fn the_short_form_says_one_account_one_organization_or_anyone() {
        let account = allow(aws(&["arn:aws:iam::111122223333:root"]), vec![]);
        assert_eq!(account.short_form(), Some(ShortForm::Account("111122223333".parse().unwrap())));
        let organization =
            allow(Principals::Anyone, vec![condition("StringEquals", "aws:principalorgid", &["o-a1b2c3d4e5"])]);
        assert_eq!(organization.short_form(), Some(ShortForm::Organization("o-a1b2c3d4e5".parse().unwrap())));
        assert_eq!(allow(Principals::Anyone, vec![]).short_form(), Some(ShortForm::Anyone));
    }

    #[test]
    fn whatever_the_short_form_would_lose_needs_the_document() {
        let role = allow(aws(&["arn:aws:iam::111122223333:role/r"]), vec![]);
        let two = allow(aws(&["111122223333", "444455556666"]), vec![]);
        let source = allow(aws(&["111122223333"]), vec![condition("StringEquals", "events:source", &["a"])]);
        let like = allow(Principals::Anyone, vec![condition("StringLike", "aws:PrincipalOrgID", &["o-a1b2c3d4e5"])]);
        let deny = Statement { effect: Effect::Deny, ..allow(Principals::Anyone, vec![]) };
        let rules = Statement {
            resources: ["arn:aws:events:eu-west-1:123456789012:rule/orders/*".to_owned()].into(),
            ..allow(aws(&["111122223333"]), vec![])
        };
        for statement in [role, two, source, like, deny, rules] {
            assert_eq!(statement.short_form(), None, "{statement:?}");
        }
    }

    #[test]
    fn public_is_what_no_condition_on_the_caller_restricts() {
        let public = [
            vec![],
            vec![condition("StringEquals", "events:source", &["com.acme"])],
            vec![condition("StringLike", "aws:PrincipalOrgID", &["o-*"])],
            vec![condition("StringLike", "aws:PrincipalArn", &["*"])],
            vec![condition("ArnLike", "aws:PrincipalArn", &["arn:aws:iam::*:role/publisher"])],
            vec![condition("StringNotEquals", "aws:PrincipalOrgID", &["o-a1b2c3d4e5"])],
            vec![condition("StringEqualsIfExists", "aws:PrincipalOrgID", &["o-a1b2c3d4e5"])],
            vec![condition("ForAllValues:StringLike", "aws:PrincipalOrgPaths", &["o-a1b2c3d4e5/*"])],
            vec![condition("StringEquals", "aws:PrincipalAccount", &[])],
            vec![condition("StringEquals", "aws:PrincipalAccount", &["${aws:PrincipalAccount}"])],
        ];
        for conditions in public {
            assert!(allow(Principals::Anyone, conditions.clone()).is_public(), "{conditions:?}");
            assert!(allow(aws(&["*"]), conditions.clone()).is_public(), "{conditions:?}");
        }
        let restricted = [
            condition("StringEquals", "AWS:principalorgid", &["o-a1b2c3d4e5"]),
            condition("ForAnyValue:StringLike", "aws:PrincipalOrgPaths", &["o-a1b2c3d4e5/r-ab12/*"]),
            condition("StringEquals", "aws:PrincipalAccount", &["111122223333"]),
            condition("ArnLike", "aws:PrincipalArn", &["arn:aws:iam::111122223333:role/*"]),
        ];
        for condition in restricted {
            assert!(!allow(Principals::Anyone, vec![condition.clone()]).is_public(), "{condition:?}");
        }
        assert!(!allow(aws(&["111122223333"]), vec![]).is_public());
    }

    #[test]
    fn it_is_written_as_the_service_reads_back() {
        let statement =
            allow(Principals::Anyone, vec![condition("StringEquals", "aws:PrincipalOrgID", &["o-1234567890"])]);
        assert_eq!(
            statement.to_text(),
            r#"{"Sid":"s","Effect":"Allow","Principal":"*","Action":"events:PutEvents","Resource":"arn:aws:events:eu-west-1:123456789012:event-bus/orders","Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-1234567890"}}}"#
        );
    }
}
