//! What each kind of statement compiles to, and that everything wrong is told at once.

use busgrant_policy::Effect;
use serde_json::{Value, json};

use super::*;
use crate::api::spec::EventBusPermissionSpec;

const ROOTS: [&str; 2] = ["arn:aws:iam::111122223333:root", "arn:aws:iam::444455556666:root"];
const BUS: &str = "arn:aws:events:eu-west-1:123456789012:event-bus/orders";
const RULES: &str = "arn:aws:events:eu-west-1:123456789012:rule/orders/*";

fn compile_with(statements: &Value, consent: Consent) -> Compiled {
    let spec = json!({"eventBus": {"name": "orders"}, "statements": statements});
    let spec: EventBusPermissionSpec = serde_json::from_value(spec).unwrap();
    compile(&spec, &BUS.parse().unwrap(), &"own".parse().unwrap(), &"abcdefgh2345".parse().unwrap(), consent)
}

fn compiled(statements: &Value) -> Compiled {
    compile_with(statements, Consent::default())
}

/// The claims of one valid statement, as the service would give them back.
fn claims(statement: &Value) -> Vec<Value> {
    let compiled = compiled(&json!([statement]));
    assert_eq!(compiled.refused, []);
    compiled.claims.iter().map(|claim| claim.statement.to_json()).collect()
}

fn claim(statement: &Value) -> Value {
    let [claim] = claims(statement).try_into().unwrap();
    claim
}

fn refusal(statement: &Value) -> RefusedStatement {
    let compiled = compiled(&json!([statement]));
    assert_eq!(compiled.claims, []);
    let [refused] = compiled.refused.try_into().unwrap();
    refused
}

#[test]
fn accounts_with_nothing_else_become_one_short_statement_each() {
    for (ids, roots) in [(vec!["111122223333"], &ROOTS[..1]), (vec!["444455556666", "111122223333"], &ROOTS[..])] {
        let compiled = compiled(&json!([{"name": "a", "principals": {"accountIDs": ids}}]));
        assert_eq!(compiled.claims.len(), roots.len());
        for (claim, root) in compiled.claims.iter().zip(roots) {
            let account = root.split(':').nth(4).unwrap();
            assert_eq!(claim.name, "a");
            assert_eq!(
                claim.statement.to_json(),
                json!({"Sid": format!("bg-own-abcdefgh2345-a-{account}"), "Effect": "Allow", "Principal": {"AWS": root},
                    "Action": "events:PutEvents", "Resource": BUS})
            );
            assert!(claim.statement.short_form().is_some());
        }
    }
}

#[test]
fn accounts_with_anything_more_become_one_statement() {
    let ids = ["111122223333", "444455556666"];
    for (field, value, condition) in [
        ("sources", json!(["com.acme"]), json!({"StringEquals": {"events:source": "com.acme"}})),
        ("detailTypes", json!(["A", "B"]), json!({"StringEquals": {"events:detail-type": ["A", "B"]}})),
        (
            "sourceARNs",
            json!(["arn:aws:events:*:1:rule/x"]),
            json!({"ArnLike": {"aws:SourceArn": "arn:aws:events:*:1:rule/x"}}),
        ),
        (
            "conditions",
            json!([{"operator": "Bool", "key": "aws:SecureTransport", "values": ["true"]}]),
            json!({"Bool": {"aws:SecureTransport": "true"}}),
        ),
    ] {
        assert_eq!(
            claim(&json!({"name": "a", "principals": {"accountIDs": ids}, field: value})),
            json!({"Sid": "bg-own-abcdefgh2345-a", "Effect": "Allow", "Principal": {"AWS": ROOTS},
                "Action": "events:PutEvents", "Resource": BUS, "Condition": condition})
        );
    }
}

#[test]
fn an_organization_is_everyone_under_a_condition() {
    let compiled = compiled(&json!([{"name": "org", "principals": {"organizationID": "o-a1b2c3d4e5"}}]));
    let statement = &compiled.claims[0].statement;
    assert_eq!(statement.to_json()["Principal"], "*");
    assert_eq!(statement.to_json()["Condition"], json!({"StringEquals": {"aws:PrincipalOrgID": "o-a1b2c3d4e5"}}));
    assert!(statement.short_form().is_some());
}

#[test]
fn paths_of_an_organization_are_patterns_of_a_key_with_many_values() {
    let path = "o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/*";
    let claim = claim(&json!({"name": "unit", "principals": {"organizationPaths": [path]}}));
    assert_eq!(claim["Principal"], "*");
    assert_eq!(claim["Condition"], json!({"ForAnyValue:StringLike": {"aws:PrincipalOrgPaths": path}}));
}

#[test]
fn arns_and_services_are_named_as_they_are() {
    let role = "arn:aws:iam::222233334444:role/path/analytics";
    let by_arn = claim(&json!({"name": "role", "principals": {"principalARNs": [role]}}));
    assert_eq!(by_arn["Principal"], json!({"AWS": role}));
    let service = json!({"name": "s", "principals": {"services": ["schemas.amazonaws.com"]},
        "sourceARNs": ["arn:aws:schemas:*:123456789012:*"]});
    assert_eq!(claim(&service)["Principal"], json!({"Service": "schemas.amazonaws.com"}));
    let by_account = json!({"name": "s", "principals": {"services": ["schemas.amazonaws.com"]},
        "conditions": [{"operator": "StringEquals", "key": "aws:sourceaccount", "values": ["123456789012"]}]});
    assert_eq!(claim(&by_account)["Condition"], json!({"StringEquals": {"aws:sourceaccount": "123456789012"}}));
}

#[test]
fn managing_rules_is_limited_to_those_that_the_account_created() {
    let claim = claim(&json!({"name": "rules", "access": "ManageOwnRules", "sources": ["com.acme"],
        "principals": {"accountIDs": ["111122223333"]}}));
    assert_eq!(claim["Sid"], "bg-own-abcdefgh2345-rules");
    assert_eq!(claim["Resource"], RULES);
    assert_eq!(claim["Action"].as_array().unwrap().len(), 11);
    assert_eq!(
        claim["Condition"],
        json!({"StringEqualsIfExists": {"events:creatorAccount": "${aws:PrincipalAccount}", "events:source": "com.acme"}})
    );
}

#[test]
fn a_raw_statement_gets_the_resources_of_its_actions() {
    for (actions, resources) in [
        (json!(["events:PutEvents"]), json!(BUS)),
        (json!(["events:putevents", "events:DescribeEventBus"]), json!(BUS)),
        (json!(["events:PutRule"]), json!(RULES)),
        (json!(["events:Put*"]), json!([BUS, RULES])),
        (json!(["events:*Rule"]), json!(RULES)),
        (json!(["events:PutE?ents"]), json!(BUS)),
    ] {
        let raw = json!({"effect": "Deny", "principal": {"AWS": ["*"]}, "actions": actions,
            "condition": {"ArnEquals": {"aws:SourceArn": ["arn:aws:events:us-west-2:*:*"]}}});
        let claim = claim(&json!({"name": "deny", "raw": raw}));
        assert_eq!(claim["Resource"], resources, "{actions}");
        assert_eq!(claim["Effect"], "Deny");
        assert_eq!(claim["Principal"], "*");
    }
}

#[test]
fn raw_principals_are_kept_by_type() {
    let raw = json!({"effect": "Allow", "actions": ["events:PutEvents"], "principal": {
        "AWS": ["111122223333", "arn:aws:iam::444455556666:user/u"], "Service": ["schemas.amazonaws.com"],
        "Federated": ["cognito-identity.amazonaws.com"], "CanonicalUser": ["0".repeat(64)]},
        "condition": {"StringEquals": {"aws:SourceAccount": ["123456789012"]}}});
    assert_eq!(
        claim(&json!({"name": "raw", "raw": raw}))["Principal"],
        json!({"AWS": [ROOTS[0], "arn:aws:iam::444455556666:user/u"], "CanonicalUser": "0".repeat(64),
            "Federated": "cognito-identity.amazonaws.com", "Service": "schemas.amazonaws.com"})
    );
}

#[test]
fn public_needs_consent_however_it_is_said() {
    let raw = |condition: Value| {
        json!({"name": "open", "raw": {"effect": "Allow", "principal": {"AWS": ["*"]},
        "actions": ["events:PutEvents"], "condition": condition}})
    };
    for statement in [
        json!({"name": "open", "principals": {"anyone": {}}}),
        json!({"name": "open", "principals": {"anyone": {}}, "sources": ["com.acme"], "detailTypes": ["A"]}),
        raw(json!({"StringEquals": {"events:source": ["com.acme"]}})),
        raw(json!({"StringNotEquals": {"aws:PrincipalOrgID": ["o-a1b2c3d4e5"]}})),
    ] {
        let refused = refusal(&statement);
        assert_eq!(refused.reason, Reason::PublicNotAllowed, "{statement}");
        assert!(refused.messages[0].contains("--allow-public"));
        let consent = Consent { allow_public: true };
        assert_eq!(compile_with(&json!([statement]), consent).claims.len(), 1);
    }
    let restricted = raw(json!({"StringEquals": {"aws:PrincipalOrgID": ["o-a1b2c3d4e5"]}}));
    assert_eq!(claims(&restricted).len(), 1);
}

#[test]
fn a_refused_statement_does_not_stop_its_siblings() {
    let statements = json!([
        {"name": "bad", "raw": {"effect": "Deny", "principal": {"AWS": ["*"]}, "actions": ["events:CreateEventBus"]}},
        {"name": "good", "principals": {"accountIDs": ["111122223333"]}},
    ]);
    let compiled = compiled(&statements);
    assert_eq!(compiled.claims.len(), 1);
    assert_eq!((compiled.refused[0].name.as_str(), compiled.refused[0].effect), ("bad", Effect::Deny));
    assert_eq!(compiled.refused[0].reason, Reason::InvalidStatement);
}

#[test]
fn everything_wrong_with_a_statement_is_told_at_once() {
    let statement = json!({
        "name": "Bad-111122223333", "principals": {"services": ["schemas"]}, "access": "ManageOwnRules",
        "sources": ["com.*"], "detailTypes": [], "sourceARNs": ["schemas"],
        "conditions": [
            {"operator": "Equals", "key": "source", "values": []},
            {"operator": "StringEquals", "key": "EVENTS:Source", "values": ["a"]},
            {"operator": "StringEquals", "key": "events:source", "values": ["b"]},
            {"operator": "StringEquals", "key": "events:creatoraccount", "values": ["c"]},
        ],
    });
    let refused = refusal(&statement);
    assert_eq!(refused.reason, Reason::InvalidStatement);
    let fields: Vec<&str> = refused.messages.iter().map(|message| message.split(": ").next().unwrap()).collect();
    assert_eq!(
        fields,
        [
            "name",
            "name",
            "sources[0]",
            "detailTypes",
            "sourceARNs[0]",
            "conditions",
            "conditions",
            "conditions[0].operator",
            "conditions[0].key",
            "conditions[0].values",
            "principals.services[0]",
            "principals.services"
        ]
    );
}

#[test]
fn everything_wrong_with_a_raw_statement_is_told_at_once() {
    let statement = json!({"name": "raw", "access": "PublishEvents", "raw": {
        "effect": "Allow", "actions": ["sqs:SendMessage", "events:PutPermission", "events:Nothing*"],
        "principal": {"AWS": ["arn:aws:iam::111122223333:role/*", "AROAEXAMPLE"], "Service": ["schemas"],
            "Federated": ["x"], "CanonicalUser": ["y"]},
        "condition": {"Equals": {"nokey": []}, "StringEquals": {"aws:sourcearn": ["a"], "aws:SourceArn": ["b"]}}}});
    let refused = refusal(&statement);
    let fields: Vec<&str> = refused.messages.iter().map(|message| message.split(": ").next().unwrap()).collect();
    assert_eq!(
        fields,
        [
            "raw",
            "raw.condition",
            "raw.condition.Equals",
            "raw.condition.Equals[nokey]",
            "raw.condition.StringEquals",
            "raw.principal.AWS[0]",
            "raw.principal.AWS[1]",
            "raw.principal.Service[0]",
            "raw.principal.Federated[0]",
            "raw.principal.CanonicalUser[0]",
            "raw.principal.Service",
            "raw.actions[0]",
            "raw.actions[1]",
            "raw.actions[2]"
        ]
    );
    assert!(refused.messages[12].contains("PutPermission") && refused.messages[12].contains("PutEvents"));
}

#[test]
fn principals_must_be_of_one_kind_and_stand_without_raw() {
    for principals in [json!({}), json!({"accountIDs": ["111122223333"], "anyone": {}})] {
        let refused = refusal(&json!({"name": "a", "principals": principals}));
        assert_eq!(refused.messages, [format!("principals: {}", rules::ONE_KIND_OF_PRINCIPAL.1)]);
    }
    assert!(refusal(&json!({"name": "a"})).messages[0].contains("exactly one of principals and raw"));
    let empty = refusal(&json!({"name": "a", "principals": {"accountIDs": []}}));
    assert!(empty.messages[0].contains("at least one"));
}

#[test]
fn two_statements_of_one_name_are_both_refused() {
    let one = json!({"name": "a", "principals": {"accountIDs": ["111122223333"]}});
    let compiled = compiled(&json!([one, one]));
    assert!(compiled.claims.is_empty());
    assert_eq!(compiled.refused.len(), 2);
}

#[test]
fn an_unknown_field_in_a_statement_makes_the_object_unreadable() {
    for statement in [
        json!({"name": "a", "principals": {"accountIDs": ["111122223333"]}, "onlyOnSundays": true}),
        json!({"name": "a", "principals": {"accountIDs": ["111122223333"], "except": ["x"]}}),
        json!({"name": "a", "principals": {"anyone": {"but": "me"}}}),
        json!({"name": "a", "principals": {"anyone": {}}, "conditions": [{"operator": "Bool", "key": "a:b", "values": ["c"], "not": true}]}),
        json!({"name": "a", "raw": {"effect": "Deny", "principal": {"AWS": ["*"]}, "actions": ["events:*"], "resources": ["x"]}}),
        json!({"name": "a", "raw": {"effect": "Deny", "principal": {"AWS": ["*"], "Org": ["x"]}, "actions": ["events:*"]}}),
        json!({"name": "a", "access": "ReadOnly", "principals": {"anyone": {}}}),
    ] {
        let spec = json!({"eventBus": {"name": "orders"}, "statements": [statement]});
        assert!(serde_json::from_value::<EventBusPermissionSpec>(spec).is_err(), "{statement}");
    }
    let elsewhere = json!({"eventBus": {"name": "orders", "later": 1}, "later": 2, "statements": []});
    assert!(serde_json::from_value::<EventBusPermissionSpec>(elsewhere).is_ok());
}
