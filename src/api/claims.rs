//! A spec compiled to claims: what the policy of the bus must hold for one object.
//!
//! Every violation is collected, and a statement that is refused doesn't stop its siblings. What the API server checks at
//! admission is checked again, in the same words, since an object can be older than a rule; and what no rule of the API
//! server can see is checked here only: the actions of a raw statement, and whether a statement opens the bus to anyone.

use std::collections::BTreeSet;

use busgrant_policy::{AccountId, BusArn, Claim, Condition, Effect, ObjectId, Owner, Principals, Statement};

use super::reasons::Reason;
use super::spec::EventBusPermissionSpec;
use super::statement::{PermissionStatement, RawEffect};
use super::{Access, rules};

mod check;
mod raw;
mod typed;

use check::Violations;

/// What whoever installed the controller consents to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Consent {
    /// Statements that allow something to anyone in AWS.
    pub allow_public: bool,
}

/// A spec, compiled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compiled {
    /// What the policy must hold, in the order of the spec.
    pub claims: Vec<Claim>,
    /// The statements that can't be served, in the order of the spec.
    pub refused: Vec<RefusedStatement>,
}

/// A statement that can't be served as it is written. What it had on the bus stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedStatement {
    /// Its name in the spec.
    pub name: String,
    /// What it would do: while an object's Deny is unserved, none of its Allows is put.
    pub effect: Effect,
    /// Why it is refused.
    pub reason: Reason,
    /// Everything that is wrong with it, each with what must be.
    pub messages: Vec<String>,
}

/// A statement without its Sid.
struct Body {
    effect: Effect,
    principals: Principals,
    actions: BTreeSet<String>,
    resources: BTreeSet<String>,
    conditions: Vec<Condition>,
}

/// What a statement becomes on the bus.
enum Expansion {
    /// One statement for each account, its Sid ending in the account.
    Each(BTreeSet<AccountId>),
    /// One statement.
    One(Body),
}

/// Compiles a spec for the bus that it resolved to.
pub fn compile(
    spec: &EventBusPermissionSpec,
    bus: &BusArn,
    owner: &Owner,
    object: &ObjectId,
    consent: Consent,
) -> Compiled {
    let mut compiled = Compiled::default();
    for statement in &spec.statements {
        let namesakes = spec.statements.iter().filter(|other| other.name == statement.name).count();
        match compile_statement(statement, namesakes, bus, owner, object, consent) {
            Ok(statements) => compiled
                .claims
                .extend(statements.into_iter().map(|wanted| Claim { name: statement.name.clone(), statement: wanted })),
            Err(refused) => compiled.refused.push(refused),
        }
    }
    compiled
}

fn compile_statement(
    statement: &PermissionStatement,
    namesakes: usize,
    bus: &BusArn,
    owner: &Owner,
    object: &ObjectId,
    consent: Consent,
) -> Result<Vec<Statement>, RefusedStatement> {
    let mut violations = Violations::default();
    check::name(&statement.name, &mut violations);
    if namesakes > 1 {
        violations.add("name", "must be given to one statement only");
    }
    let expansion = expand(statement, bus, &mut violations);

    let mut statements = Vec::new();
    match expansion {
        Some(Expansion::Each(accounts)) => {
            for account in accounts {
                if let Ok(sid) = owner.sid(object, &statement.name, Some(&account)) {
                    statements.push(put_events(bus, named("AWS", [bus.root_of(&account)])).with_sid(sid));
                }
            }
        }
        Some(Expansion::One(body)) => match owner.sid(object, &statement.name, None) {
            Ok(sid) => statements.push(body.with_sid(sid)),
            Err(_) if !violations.is_empty() => {}
            Err(error) => violations.add("name", &error.to_string()),
        },
        None => {}
    }
    let public = !consent.allow_public && statements.iter().any(Statement::is_public);
    if violations.is_empty() && !public {
        return Ok(statements);
    }
    let reason = if violations.is_empty() { Reason::PublicNotAllowed } else { Reason::InvalidStatement };
    if public {
        violations.add(
            "",
            "must not allow anyone in AWS: restrict it by a condition StringEquals on aws:PrincipalOrgID or \
             aws:PrincipalAccount, or run the controller with --allow-public",
        );
    }
    let effect = match &statement.raw {
        Some(raw) if raw.effect == RawEffect::Deny => Effect::Deny,
        _ => Effect::Allow,
    };
    Err(RefusedStatement { name: statement.name.clone(), effect, reason, messages: violations.into_messages() })
}

fn expand(statement: &PermissionStatement, bus: &BusArn, violations: &mut Violations) -> Option<Expansion> {
    let beside_raw = statement.access.is_some()
        || statement.sources.is_some()
        || statement.detail_types.is_some()
        || statement.source_arns.is_some()
        || statement.conditions.is_some();
    match (&statement.principals, &statement.raw) {
        (Some(principals), None) => typed::expand(statement, principals, bus, violations),
        (None, Some(raw)) => {
            violations.require(!beside_raw, "raw", rules::RAW_ALONE);
            Some(Expansion::One(raw::body(raw, bus, violations)))
        }
        _ => {
            violations.require(false, "", rules::PRINCIPALS_OR_RAW);
            None
        }
    }
}

impl Body {
    fn with_sid(mut self, sid: busgrant_policy::Sid) -> Statement {
        self.conditions.sort();
        let Self { effect, principals, actions, resources, conditions } = self;
        Statement { sid, effect, principals, actions, resources, conditions }
    }
}

/// The body that the short form can say, but for conditions.
fn put_events(bus: &BusArn, principals: Principals) -> Body {
    Body {
        effect: Effect::Allow,
        principals,
        actions: ["events:PutEvents".to_owned()].into(),
        resources: [bus.to_string()].into(),
        conditions: Vec::new(),
    }
}

fn named(kind: &str, who: impl IntoIterator<Item = String>) -> Principals {
    Principals::Named([(kind.to_owned(), who.into_iter().collect())].into())
}

fn condition(operator: &str, key: &str, values: impl IntoIterator<Item = String>) -> Condition {
    Condition { operator: operator.to_owned(), key: key.to_owned(), values: values.into_iter().collect() }
}

/// AWS's own list of what an account needs to manage its rules on another's bus (Amazon `EventBridge` User Guide, "Managing
/// event bus permissions", the policy template).
const RULE_ACTIONS: [&str; 11] = [
    "events:DeleteRule",
    "events:DescribeRule",
    "events:DisableRule",
    "events:EnableRule",
    "events:ListTagsForResource",
    "events:ListTargetsByRule",
    "events:PutRule",
    "events:PutTargets",
    "events:RemoveTargets",
    "events:TagResource",
    "events:UntagResource",
];

impl Access {
    fn actions(self) -> BTreeSet<String> {
        match self {
            Self::PublishEvents => ["events:PutEvents".to_owned()].into(),
            Self::ManageOwnRules => RULE_ACTIONS.map(str::to_owned).into(),
        }
    }

    fn resource(self, bus: &BusArn) -> String {
        match self {
            Self::PublishEvents => bus.to_string(),
            Self::ManageOwnRules => bus.rules(),
        }
    }

    /// The operator for the keys that describe an event. Managing a rule takes calls that carry no event at all, such as
    /// `DeleteRule`, so there it must hold where the key is absent, as in AWS's own example.
    fn event_operator(self) -> &'static str {
        match self {
            Self::PublishEvents => "StringEquals",
            Self::ManageOwnRules => "StringEqualsIfExists",
        }
    }
}

#[cfg(test)]
mod tests;
