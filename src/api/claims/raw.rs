//! A raw statement: its resources follow from its actions.

use std::collections::{BTreeMap, BTreeSet};

use busgrant_policy::{AccountId, BusArn, Condition, Effect, Principals};

use super::check::{self, Violations};
use super::{Body, condition};
use crate::api::rules;
use crate::api::statement::{RawEffect, RawPrincipal, RawStatement};

/// What an action is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Bus,
    Rules,
}

/// The actions that the policy of a bus may hold: a document with any other is refused (observed of the service, which takes
/// these 15 of the 60 names that were tried).
const ADMISSIBLE: [(&str, Target); 15] = [
    ("events:PutEvents", Target::Bus),
    ("events:DescribeEventBus", Target::Bus),
    ("events:DeleteRule", Target::Rules),
    ("events:DescribeRule", Target::Rules),
    ("events:DisableRule", Target::Rules),
    ("events:EnableRule", Target::Rules),
    ("events:ListRuleNamesByTarget", Target::Rules),
    ("events:ListRules", Target::Rules),
    ("events:ListTagsForResource", Target::Rules),
    ("events:ListTargetsByRule", Target::Rules),
    ("events:PutRule", Target::Rules),
    ("events:PutTargets", Target::Rules),
    ("events:RemoveTargets", Target::Rules),
    ("events:TagResource", Target::Rules),
    ("events:UntagResource", Target::Rules),
];

pub(super) fn body(raw: &RawStatement, bus: &BusArn, violations: &mut Violations) -> Body {
    let conditions = conditions(raw, violations);
    let principals = principals(&raw.principal, bus, violations);
    if raw.effect == RawEffect::Allow && raw.principal.service.is_some() {
        let tied = conditions.iter().any(check::ties_service);
        violations.require_text(
            tied,
            "raw.principal.Service",
            "a service must be tied to an account or an organization, or it serves anybody's: give a condition \
             StringEquals on aws:SourceAccount or aws:SourceOrgID, or ArnLike on aws:SourceArn with an account of 12 digits",
        );
    }
    let targets = targets(&raw.actions, violations);
    let resource = |target: Target| match target {
        Target::Bus => bus.to_string(),
        Target::Rules => bus.rules(),
    };
    Body {
        effect: match raw.effect {
            RawEffect::Allow => Effect::Allow,
            RawEffect::Deny => Effect::Deny,
        },
        principals,
        actions: raw.actions.iter().cloned().collect(),
        resources: targets.into_iter().map(resource).collect(),
        conditions,
    }
}

fn targets(actions: &[String], violations: &mut Violations) -> BTreeSet<Target> {
    violations.require_some(actions, "raw.actions");
    let mut targets = BTreeSet::new();
    for (index, action) in actions.iter().enumerate() {
        let field = format!("raw.actions[{index}]");
        if !check::is_action(action) {
            violations.require(false, &field, rules::RAW_ACTION);
            continue;
        }
        let matched: Vec<Target> = ADMISSIBLE
            .iter()
            .filter(|(name, _)| check::glob(&action.to_ascii_lowercase(), &name.to_ascii_lowercase()))
            .map(|(_, target)| *target)
            .collect();
        if matched.is_empty() {
            let names: Vec<&str> = ADMISSIBLE.iter().filter_map(|(name, _)| name.strip_prefix("events:")).collect();
            let message =
                format!("{action} is no action of a bus policy: it must be or match one of {}", names.join(", "));
            violations.add(&field, &message);
        }
        targets.extend(matched);
    }
    targets
}

fn principals(raw: &RawPrincipal, bus: &BusArn, violations: &mut Violations) -> Principals {
    let RawPrincipal { aws, service, federated, canonical_user } = raw;
    let given = aws.is_some() || service.is_some() || federated.is_some() || canonical_user.is_some();
    violations.require(given, "raw.principal", rules::RAW_PRINCIPAL);
    let mut named: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut add = |kind: &str, who: Option<&Vec<String>>, rule: rules::Rule, is_valid: fn(&str) -> bool| {
        if let Some(who) = who {
            let who = check::each(who, &format!("raw.principal.{kind}"), rule, violations, is_valid);
            named.insert(kind.to_owned(), who.collect());
        }
    };
    add("AWS", aws.as_ref(), rules::RAW_AWS_PRINCIPAL, check::is_raw_aws_principal);
    add("Service", service.as_ref(), rules::SERVICE, check::is_service);
    add("Federated", federated.as_ref(), rules::RAW_FEDERATED, check::is_federated);
    add("CanonicalUser", canonical_user.as_ref(), rules::RAW_CANONICAL_USER, check::is_canonical_user);
    let only_everyone = |aws: &BTreeSet<String>| aws.len() == 1 && aws.contains("*");
    if named.len() == 1 && named.get("AWS").is_some_and(only_everyone) {
        return Principals::Anyone;
    }
    if let Some(aws) = named.remove("AWS") {
        let root = |who: String| who.parse::<AccountId>().map_or(who, |account| bus.root_of(&account));
        named.insert("AWS".to_owned(), aws.into_iter().map(root).collect());
    }
    Principals::Named(named)
}

fn conditions(raw: &RawStatement, violations: &mut Violations) -> Vec<Condition> {
    let mut conditions = Vec::new();
    for (operator, keys) in raw.condition.iter().flatten() {
        violations.require(check::is_operator(operator), "raw.condition", rules::RAW_CONDITION_OPERATOR);
        let unique = keys.keys().map(|key| key.to_ascii_lowercase()).collect::<BTreeSet<_>>().len() == keys.len();
        violations.require(unique, &format!("raw.condition.{operator}"), rules::RAW_CONDITION_KEY_UNIQUE);
        for (key, values) in keys {
            let field = format!("raw.condition.{operator}");
            violations.require(check::is_condition_key(key), &field, rules::RAW_CONDITION_KEY);
            violations.require_some(values, &format!("{field}[{key}]"));
            conditions.push(condition(operator, key, values.iter().cloned()));
        }
    }
    conditions
}
