//! `PutEvents` and rule calls pass exactly when the bus's policy lets them, and the documents' refusals.
#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use busgrant_sim::{Account, Config, ForeignWrite, IdentityPolicy, Principal, Probe, Settings, Sim, Trust};
use common::{Keys, MEMBER, OWNER, REGION, call, session, sts, try_call};
use serde_json::{Value, json};

const BUS: &str = "arn:aws:events:us-east-1:123456789012:event-bus/orders";

async fn sim_with_bus() -> Sim {
    let sim = Sim::start(Config::default()).await.unwrap();
    assert!(sim.create_bus(OWNER, REGION, "orders"));
    sim
}

/// A statement with some fields replaced.
fn statement(fields: &Value) -> Value {
    let mut statement = json!({"Sid": "one", "Effect": "Allow", "Principal": {"AWS": MEMBER},
        "Action": "events:PutEvents", "Resource": BUS});
    for (name, value) in fields.as_object().unwrap() {
        statement[name] = value.clone();
    }
    statement
}

async fn put_document(sim: &Sim, statements: &[Value]) -> common::Answer {
    let document = json!({"Version": "2012-10-17", "Statement": statements}).to_string();
    call(sim, "PutPermission", &json!({"EventBusName": "orders", "Policy": document})).await
}

async fn send(sim: &Sim, keys: &Keys, source: &str) -> String {
    let entry = json!({"EventBusName": BUS, "Source": source, "DetailType": "Paid", "Detail": "{}"});
    try_call(sim, keys, REGION, "PutEvents", &json!({"Entries": [entry]})).await.unwrap().code()
}

fn probe(principal: &str, context: &[(&str, &str)]) -> Probe {
    Probe {
        account: OWNER.to_owned(),
        region: REGION.to_owned(),
        bus: "orders".to_owned(),
        principal: principal.to_owned(),
        context: context.iter().map(|(key, value)| ((*key).to_owned(), vec![(*value).to_owned()])).collect(),
        ..Probe::default()
    }
}

#[tokio::test]
async fn a_grant_opens_and_its_removal_closes() {
    let sim = sim_with_bus().await;
    let member = Keys::account(MEMBER);
    assert_eq!(send(&sim, &member, "app").await, "AccessDeniedException");
    let put = json!({"EventBusName": "orders", "Action": "events:PutEvents", "Principal": MEMBER, "StatementId": "s"});
    assert_eq!(call(&sim, "PutPermission", &put).await.status, 200);
    assert_eq!(send(&sim, &member, "app").await, "ok");
    assert_eq!(send(&sim, &Keys::account("333333333333"), "app").await, "AccessDeniedException", "another account");
    let remove = json!({"EventBusName": "orders", "StatementId": "s"});
    assert_eq!(call(&sim, "RemovePermission", &remove).await.status, 200);
    assert_eq!(send(&sim, &member, "app").await, "AccessDeniedException");
    assert_eq!(send(&sim, &Keys::account(OWNER), "app").await, "ok", "the owner needs no grant");
}

#[tokio::test]
async fn a_change_takes_effect_after_the_delay_and_shows_at_once() {
    let sim = sim_with_bus().await;
    sim.set(Settings { effect_delay_millis: 17_000, ..Settings::default() });
    assert_eq!(put_document(&sim, &[statement(&json!({}))]).await.status, 200);
    assert!(sim.statement(OWNER, REGION, "orders", "one").is_some());
    assert_eq!(send(&sim, &Keys::account(MEMBER), "app").await, "AccessDeniedException");
    sim.advance(17_001);
    assert_eq!(send(&sim, &Keys::account(MEMBER), "app").await, "ok");
}

#[tokio::test]
async fn deny_wins_over_allow_also_for_the_owner() {
    let sim = sim_with_bus().await;
    let deny = statement(&json!({"Sid": "no", "Effect": "Deny", "Principal": "*",
        "Condition": {"StringEquals": {"events:source": "app.secret"}}}));
    assert_eq!(put_document(&sim, &[statement(&json!({})), deny]).await.status, 200);
    for keys in [Keys::account(MEMBER), Keys::account(OWNER)] {
        assert_eq!(send(&sim, &keys, "app.secret").await, "AccessDeniedException");
        assert_eq!(send(&sim, &keys, "app.open").await, "ok");
    }
}

#[tokio::test]
async fn organisations_open_to_their_accounts_only() {
    let sim = sim_with_bus().await;
    let (organization, path) = ("o-a1b2c3d4e5", "o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/");
    let account = Account { organization: Some(organization.to_owned()), paths: vec![path.to_owned()], exists: None };
    sim.set_account(MEMBER, account);
    let short = json!({"EventBusName": "orders", "Action": "events:PutEvents", "Principal": "*", "StatementId": "org",
        "Condition": {"Type": "StringEquals", "Key": "aws:PrincipalOrgID", "Value": organization}});
    assert_eq!(call(&sim, "PutPermission", &short).await.status, 200);
    assert_eq!(send(&sim, &Keys::account(MEMBER), "app").await, "ok");
    assert_eq!(send(&sim, &Keys::account("333333333333"), "app").await, "AccessDeniedException");
    for (pattern, answer) in [("o-a1b2c3d4e5/*/ou-ab12-1*", "ok"), ("o-zzzzzzzzzz/*", "AccessDeniedException")] {
        let condition = json!({"ForAnyValue:StringLike": {"aws:PrincipalOrgPaths": [pattern]}});
        let paths = statement(&json!({"Principal": "*", "Condition": condition}));
        assert_eq!(put_document(&sim, &[paths]).await.status, 200);
        assert_eq!(send(&sim, &Keys::account(MEMBER), "app").await, answer, "{pattern}");
    }
}

#[tokio::test]
async fn services_are_held_to_their_source() {
    let sim = sim_with_bus().await;
    let condition = json!({"ArnLike": {"aws:SourceArn": "arn:aws:schemas:*:123456789012:*"}});
    let service = json!({"Principal": {"Service": "schemas.amazonaws.com"}, "Condition": condition});
    assert_eq!(put_document(&sim, &[statement(&service)]).await.status, 200);
    let arn = |account: &str| format!("arn:aws:schemas:us-east-1:{account}:discoverer/d");
    let verdict =
        |principal: &str, account: &str| sim.probe(&probe(principal, &[("aws:SourceArn", &arn(account))])).allowed;
    assert!(verdict("schemas.amazonaws.com", OWNER));
    assert!(!verdict("schemas.amazonaws.com", MEMBER), "another account's");
    assert!(!verdict("sns.amazonaws.com", OWNER), "another service");
    assert!(!sim.probe(&probe("schemas.amazonaws.com", &[])).allowed, "no source at all");
}

#[tokio::test]
async fn condition_operators_do_as_iam_says() {
    let sim = sim_with_bus().await;
    for (condition, allowed) in [
        (json!({"StringEquals": {"k:v": ["other", "red"]}}), true),
        (json!({"StringEquals": {"K:V": "red"}}), true), // keys in any case
        (json!({"StringEquals": {"k:v": "Red"}}), false),
        (json!({"StringEqualsIgnoreCase": {"k:v": "Red"}}), true),
        (json!({"StringNotEquals": {"k:v": ["red", "blue"]}}), false),
        (json!({"StringNotEquals": {"k:absent": "red"}}), true),
        (json!({"StringEquals": {"k:absent": "red"}}), false),
        (json!({"StringEqualsIfExists": {"k:absent": "red"}}), true),
        (json!({"StringEqualsIfExists": {"k:v": "blue"}}), false),
        (json!({"StringLike": {"k:v": "r?d"}}), true),
        (json!({"StringNotLike": {"k:v": "r*"}}), false),
        (json!({"Null": {"k:absent": "true"}}), true),
        (json!({"Null": {"k:v": true}}), false),
        (json!({"ForAllValues:StringEquals": {"k:absent": "red"}}), true),
        (json!({"ForAnyValue:StringEquals": {"k:absent": "red"}}), false),
        (json!({"ForAllValues:StringLike": {"k:v": ["r*", "g*"]}}), true),
        (json!({"ArnLike": {"k:arn": "arn:aws:events:*:1234*:rule/*"}}), true),
        (json!({"ArnEquals": {"k:arn": "arn:aws:*:rule/x"}}), false), // a star stays within its part
        (json!({"StringEquals": {"k:account": "${aws:PrincipalAccount}"}}), true),
        (json!({"StringEquals": {"k:account": "${aws:NoSuchKey}"}}), false),
        (json!({"StringEquals": {"k:v": "red"}, "Bool": {"events:eventBusInvocation": "true"}}), false),
        (json!({"NumericLessThan": {"k:v": "10"}}), false), // admitted, never satisfied
    ] {
        let answer = put_document(&sim, &[statement(&json!({"Condition": condition}))]).await;
        assert_eq!(answer.status, 200, "{condition}: {}", answer.body);
        let context =
            [("k:v", "red"), ("k:account", MEMBER), ("k:arn", "arn:aws:events:eu-west-1:123456789012:rule/x")];
        assert_eq!(sim.probe(&probe(MEMBER, &context)).allowed, allowed, "{condition}");
    }
}

#[tokio::test]
async fn a_role_is_who_it_was_when_it_was_granted() {
    let sim = sim_with_bus().await;
    let arn = format!("arn:aws:iam::{MEMBER}:role/app");
    let trust = vec![Trust { account: MEMBER.to_owned(), external_id: None }];
    let role = Principal { arn: arn.clone(), trust, identity_policy: IdentityPolicy::All };
    let first = sim.declare_principal(role.clone()).unwrap();
    let form = format!("Action=AssumeRole&RoleArn={arn}&RoleSessionName=me");
    let assume = async || session(&sts(&sim, &Keys::account(MEMBER), &form).await);
    let grant = statement(&json!({"Principal": {"AWS": arn}}));
    assert_eq!(put_document(&sim, std::slice::from_ref(&grant)).await.status, 200);
    assert_eq!(send(&sim, &assume().await, "app").await, "ok");
    assert_eq!(send(&sim, &Keys::account(MEMBER), "app").await, "AccessDeniedException", "its account is not meant");

    assert!(sim.delete_principal(&arn));
    assert_eq!(sim.statement(OWNER, REGION, "orders", "one").unwrap()["Principal"]["AWS"], first);
    let other = statement(&json!({"Sid": "two"}));
    let refused = put_document(&sim, &[grant.clone(), other.clone()]).await;
    assert_eq!(refused.message(), "Policy contains an invalid principal", "a dead principal blocks documents");
    let shown = statement(&json!({"Principal": {"AWS": first}}));
    assert_eq!(put_document(&sim, &[shown, other]).await.code(), "ValidationException", "as it reads back, too");
    assert_eq!(put_document(&sim, std::slice::from_ref(&grant)).await.status, 200, "the same again is a no-op");
    let short = json!({"EventBusName": "orders", "Action": "events:PutEvents", "Principal": "*", "StatementId": "x"});
    assert_eq!(call(&sim, "PutPermission", &short).await.status, 200, "the short form touches one Sid");
    let remove = json!({"EventBusName": "orders", "StatementId": "x"});
    assert_eq!(call(&sim, "RemovePermission", &remove).await.status, 200);

    assert_ne!(sim.declare_principal(role).unwrap(), first);
    assert_eq!(send(&sim, &assume().await, "app").await, "AccessDeniedException", "another of the same name");
    let remove = json!({"EventBusName": "orders", "StatementId": "one"});
    assert_eq!(call(&sim, "RemovePermission", &remove).await.status, 200);
    assert_eq!(put_document(&sim, &[grant]).await.status, 200);
    assert_eq!(send(&sim, &assume().await, "app").await, "ok", "bound anew");
}

#[tokio::test]
async fn a_role_that_another_writer_names_is_bound_as_well() {
    let sim = sim_with_bus().await;
    let arn = format!("arn:aws:iam::{MEMBER}:role/app");
    let id = sim.declare_principal(Principal { arn: arn.clone(), ..Principal::default() }).unwrap();
    let write = ForeignWrite::Put { statement: statement(&json!({"Principal": {"AWS": arn}})) };
    assert!(sim.foreign_write(OWNER, REGION, "orders", &write));
    assert!(sim.probe(&probe(&arn, &[])).allowed);
    assert!(sim.delete_principal(&arn));
    assert_eq!(sim.statement(OWNER, REGION, "orders", "one").unwrap()["Principal"]["AWS"], id);
}

#[tokio::test]
async fn rule_rights_stop_at_other_creators() {
    let sim = sim_with_bus().await;
    let condition = json!({"StringEqualsIfExists": {"events:creatorAccount": "${aws:PrincipalAccount}"}});
    let grant = json!({"Action": ["events:PutRule", "events:DeleteRule"], "Condition": condition,
        "Resource": "arn:aws:events:us-east-1:123456789012:rule/orders/*"});
    assert_eq!(put_document(&sim, &[statement(&grant)]).await.status, 200);
    let rule = |name: &str| json!({"Name": name, "EventBusName": BUS, "EventPattern": "{}"});
    let member = Keys::account(MEMBER);
    let by_member = async |operation: &str, name: &str| {
        try_call(&sim, &member, REGION, operation, &rule(name)).await.unwrap().code()
    };
    assert_eq!(by_member("PutRule", "theirs").await, "ok");
    assert_eq!(call(&sim, "PutRule", &rule("ours")).await.status, 200);
    assert_eq!(by_member("PutRule", "ours").await, "AccessDeniedException");
    assert_eq!(by_member("DeleteRule", "ours").await, "AccessDeniedException");
    assert_eq!(by_member("DeleteRule", "theirs").await, "ok");
}

#[tokio::test]
async fn documents_are_refused_for_what_is_wrong_with_them() {
    let sim = sim_with_bus().await;
    for (fields, message) in [
        (json!({"Effect": "Maybe"}), "Could not parse the policy"),
        (json!({"Principal": "nobody"}), "Policy contains an invalid principal"),
        (json!({"Principal": {"AWS": "abc"}}), "Policy contains an invalid principal"),
        (json!({"Principal": {"AWS": "arn:aws-cn:iam::222222222222:root"}}), "Policy contains an invalid principal"),
        (json!({"Principal": {"AWS": "arn:aws:iam::222222222222:role/*"}}), "Policy contains an invalid principal"),
        (json!({"Principal": {"Service": "events"}}), "Policy contains an invalid principal"),
        (json!({"Action": 7}), "Could not parse the policy"),
        (json!({"Condition": "no"}), "Could not parse the policy"),
        (json!({"Surprise": "no"}), "Could not parse the policy"),
        (json!({"Resource": "orders"}), "Resource orders must be in ARN format"),
        (json!({"Resource": "arn:aws:sqs:us-east-1:123456789012:orders"}), "The vendor \"sqs\" is invalid"),
        (json!({"Resource": BUS.replace("us-east-1", "us-west-2")}), "The region \"us-west-2\" is invalid"),
    ] {
        let answer = put_document(&sim, &[statement(&fields)]).await;
        assert_eq!(answer.code(), "ValidationException", "{fields}");
        assert!(answer.message().starts_with(message), "{fields}: {}", answer.message());
    }
    let version = json!({"EventBusName": "orders", "Policy": r#"{"Version": "2013", "Statement": []}"#});
    assert_eq!(call(&sim, "PutPermission", &version).await.code(), "ValidationException");
    let spread = "{\"Version\": \"2012-10-17\",\n \"Statement\": [\n  {\"Sid\": \"a\", \"Effect\": \"Allow\", \
                  \"Principal\": \"*\", \"Action\": \"s3:Get\", \"Resource\": \"*\"}]}";
    let answer = call(&sim, "PutPermission", &json!({"EventBusName": "orders", "Policy": spread})).await;
    assert!(answer.message().starts_with("Invalid statement at line 2 column 16:"), "{}", answer.message());
}

#[tokio::test]
async fn the_quota_counts_what_is_stored_and_what_was_sent() {
    let sim = sim_with_bus().await;
    let put = |sid: &str| json!({"EventBusName": "orders", "Action": "events:PutEvents", "Principal": MEMBER, "StatementId": sid});
    let mut kept = 0;
    while call(&sim, "PutPermission", &put(&format!("s{kept}"))).await.status == 200 {
        kept += 1;
    }
    assert_eq!(call(&sim, "PutPermission", &put("s99")).await.code(), "PolicyLengthExceededException");
    let text = sim.policy_text(OWNER, REGION, "orders").unwrap();
    assert!(text.len() <= 10_240 && text.len() + text.len() / kept > 10_240, "{} characters", text.len());
    let padded = text.clone() + &" ".repeat(10_240);
    let padded = call(&sim, "PutPermission", &json!({"EventBusName": "orders", "Policy": padded})).await;
    assert_eq!(padded.status, 200, "the same document, so nothing is measured");
}
