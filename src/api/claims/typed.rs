//! A statement of typed fields.

use busgrant_policy::{AccountId, BusArn, Condition, Effect, Principals};

use super::check::{self, Violations};
use super::{Body, Expansion, condition, named};
use crate::api::rules;
use crate::api::statement::{Access, PermissionCondition, PermissionPrincipals, PermissionStatement};

/// Who a statement is for, and the condition that says it where the principal can't.
struct Who {
    principals: Principals,
    condition: Option<Condition>,
}

pub(super) fn expand(
    statement: &PermissionStatement,
    principals: &PermissionPrincipals,
    bus: &BusArn,
    violations: &mut Violations,
) -> Option<Expansion> {
    let access = statement.access.unwrap_or_default();
    let mut conditions = conditions_of_fields(statement, access, violations);
    conditions.extend(conditions_as_written(statement, violations));
    let plain = access == Access::PublishEvents && conditions.is_empty();

    if !one_kind(principals) {
        violations.require(false, "principals", rules::ONE_KIND_OF_PRINCIPAL);
        return None;
    }
    if let Some(ids) = &principals.account_ids {
        let accounts = check::each(ids, "principals.accountIDs", rules::ACCOUNT_ID, violations, check::is_account);
        let accounts = accounts.filter_map(|id| id.parse::<AccountId>().ok());
        if plain {
            return Some(Expansion::Each(accounts.collect()));
        }
        let roots: Vec<String> = accounts.map(|account| bus.root_of(&account)).collect();
        return Some(Expansion::One(body(access, bus, named("AWS", roots), conditions)));
    }
    let Who { principals, condition } = who(statement, principals, violations)?;
    conditions.extend(condition);
    Some(Expansion::One(body(access, bus, principals, conditions)))
}

fn body(access: Access, bus: &BusArn, principals: Principals, conditions: Vec<Condition>) -> Body {
    Body {
        effect: Effect::Allow,
        principals,
        actions: access.actions(),
        resources: [access.resource(bus)].into(),
        conditions,
    }
}

fn one_kind(principals: &PermissionPrincipals) -> bool {
    let PermissionPrincipals { account_ids, organization_id, organization_paths, principal_arns, services, anyone } =
        principals;
    let kinds = [
        account_ids.is_some(),
        organization_id.is_some(),
        organization_paths.is_some(),
        principal_arns.is_some(),
        services.is_some(),
        anyone.is_some(),
    ];
    kinds.into_iter().filter(|given| *given).count() == 1
}

/// Every kind of principal but accounts.
fn who(statement: &PermissionStatement, principals: &PermissionPrincipals, violations: &mut Violations) -> Option<Who> {
    let everyone_with = |condition| Who { principals: Principals::Anyone, condition: Some(condition) };
    if let Some(id) = &principals.organization_id {
        violations.require(check::is_organization(id), "principals.organizationID", rules::ORGANIZATION_ID);
        return Some(everyone_with(condition("StringEquals", "aws:PrincipalOrgID", [id.clone()])));
    }
    if let Some(paths) = &principals.organization_paths {
        let field = "principals.organizationPaths";
        let paths = check::each(paths, field, rules::ORGANIZATION_PATH, violations, check::is_organization_path);
        return Some(everyone_with(condition("ForAnyValue:StringLike", "aws:PrincipalOrgPaths", paths)));
    }
    if let Some(arns) = &principals.principal_arns {
        let field = "principals.principalARNs";
        let arns = check::each(arns, field, rules::PRINCIPAL_ARN, violations, check::is_principal_arn);
        return Some(Who { principals: named("AWS", arns), condition: None });
    }
    if let Some(services) = &principals.services {
        let names = check::each(services, "principals.services", rules::SERVICE, violations, check::is_service);
        let principals = named("Service", names);
        violations.require(tied_to_an_account(statement), "principals.services", rules::SERVICE_FOR_AN_ACCOUNT);
        return Some(Who { principals, condition: None });
    }
    principals.anyone.map(|_| Who { principals: Principals::Anyone, condition: None })
}

fn tied_to_an_account(statement: &PermissionStatement) -> bool {
    let by_arn = statement.source_arns.as_ref().is_some_and(|arns| arns.iter().all(|arn| check::names_account(arn)));
    let by_account = |condition: &PermissionCondition| {
        check::ties_to_account(&condition.operator, &condition.key, &condition.values)
    };
    by_arn || statement.conditions.iter().flatten().any(by_account)
}

fn conditions_of_fields(
    statement: &PermissionStatement,
    access: Access,
    violations: &mut Violations,
) -> Vec<Condition> {
    let mut conditions = Vec::new();
    if let Some(sources) = &statement.sources {
        let sources = check::each(sources, "sources", rules::SOURCE_EXACT, violations, check::is_exact);
        conditions.push(condition(access.event_operator(), "events:source", sources));
    }
    if let Some(types) = &statement.detail_types {
        violations.require_some(types, "detailTypes");
        conditions.push(condition(access.event_operator(), "events:detail-type", types.iter().cloned()));
    }
    if let Some(arns) = &statement.source_arns {
        let arns = check::each(arns, "sourceARNs", rules::SOURCE_ARN, violations, check::is_source_arn);
        conditions.push(condition("ArnLike", "aws:SourceArn", arns));
    }
    if access == Access::ManageOwnRules {
        let caller = "${aws:PrincipalAccount}".to_owned();
        conditions.push(condition("StringEqualsIfExists", "events:creatorAccount", [caller]));
    }
    conditions
}

fn conditions_as_written(statement: &PermissionStatement, violations: &mut Violations) -> Vec<Condition> {
    let written: &[PermissionCondition] = statement.conditions.as_deref().unwrap_or_default();
    let same = |one: &PermissionCondition, other: &PermissionCondition| {
        one.operator == other.operator && one.key.eq_ignore_ascii_case(&other.key)
    };
    let unique = written.iter().all(|one| written.iter().filter(|other| same(one, other)).count() == 1);
    violations.require(unique, "conditions", rules::CONDITION_UNIQUE);
    let recurs = written.iter().any(|one| keys_of_fields(statement).any(|key| one.key.eq_ignore_ascii_case(key)));
    violations.require(!recurs, "conditions", rules::FIELD_KEY_RECURS);
    let mut conditions = Vec::new();
    for (index, PermissionCondition { operator, key, values }) in written.iter().enumerate() {
        let field = format!("conditions[{index}]");
        violations.require(check::is_operator(operator), &format!("{field}.operator"), rules::OPERATOR);
        violations.require(check::is_condition_key(key), &format!("{field}.key"), rules::CONDITION_KEY);
        violations.require_some(values, &format!("{field}.values"));
        conditions.push(condition(operator, key, values.iter().cloned()));
    }
    conditions
}

/// The condition keys that the statement's fields write already.
fn keys_of_fields(statement: &PermissionStatement) -> impl Iterator<Item = &'static str> {
    let principals = statement.principals.as_ref();
    let keys = [
        (statement.sources.is_some(), "events:source"),
        (statement.detail_types.is_some(), "events:detail-type"),
        (statement.source_arns.is_some(), "aws:SourceArn"),
        (principals.is_some_and(|who| who.organization_id.is_some()), "aws:PrincipalOrgID"),
        (principals.is_some_and(|who| who.organization_paths.is_some()), "aws:PrincipalOrgPaths"),
        (statement.access == Some(Access::ManageOwnRules), "events:creatorAccount"),
    ];
    keys.into_iter().filter_map(|(written, key)| written.then_some(key))
}
