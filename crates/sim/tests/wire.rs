//! What the two protocols look like from outside: credentials, malformed requests, paging, Regions, STS.
#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use std::collections::BTreeSet;

use busgrant_sim::{Config, Principal, Sim, Trust};
use common::{Keys, MEMBER, OWNER, REGION, call, element, http, raw, session, sts, try_call};
use serde_json::{Value, json};

async fn sim() -> Sim {
    Sim::start(Config::default()).await.unwrap()
}

#[tokio::test]
async fn malformed_requests_get_a_client_error() {
    let sim = sim().await;
    let authorization = Keys::account(OWNER).authorization(REGION);
    let signed = ("authorization", authorization.as_str());
    let target = ("x-amz-target", "AWSEvents.DescribeEventBus");
    let post = async |headers: &[(&str, &str)], body: &str| http(&sim, "POST", "/", headers, body).await.unwrap();

    let answer = post(&[signed, target], "{").await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "SerializationException"), "broken JSON");
    let answer = post(&[signed, target], "[]").await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "SerializationException"), "not an object");
    let answer = post(&[signed, target], r#"{"Name": 7}"#).await;
    assert_eq!(answer.message(), "NUMBER_VALUE can not be converted to a String", "wrong type");
    for (operation, body, message) in [
        ("ListEventBuses", r#"{"Limit": "7"}"#, "STRING_VALUE can not be converted to a Integer"),
        ("PutPermission", r#"{"Condition": [1]}"#, "START_ARRAY can not be converted to a Structure"),
        ("RemovePermission", r#"{"RemoveAllPermissions": {}}"#, "START_OBJECT can not be converted to a Boolean"),
        ("PutEvents", r#"{"Entries": true}"#, "TRUE_VALUE can not be converted to a List"),
        ("PutEvents", r#"{"Entries": [false]}"#, "FALSE_VALUE can not be converted to a Structure"),
    ] {
        let answer = post(&[signed, ("x-amz-target", &format!("AWSEvents.{operation}"))], body).await;
        assert_eq!((answer.code().as_str(), answer.message().as_str()), ("SerializationException", message));
    }
    let answer = post(&[signed, ("x-amz-target", "AWSEvents.MakeTea")], "{}").await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "UnknownOperationException"), "unknown operation");
    let answer = post(&[signed, ("x-amz-target", "AWSEvents.AssumeRole")], "{}").await;
    assert_eq!(answer.code(), "UnknownOperationException", "an operation of the other protocol");
    let answer = post(&[signed], "{}").await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "UnknownOperationException"), "no target header");
    let answer = post(&[target], "{}").await;
    assert_eq!(answer.code(), "MissingAuthenticationTokenException", "no credentials");
    let answer = post(&[target, ("authorization", "Basic Zm9v")], "{}").await;
    assert_eq!(answer.code(), "MissingAuthenticationTokenException", "credentials of another kind");
    let answer = http(&sim, "GET", "/", &[signed, target], "").await.unwrap();
    assert_eq!(answer.status, 405, "not a POST");
    let answer = post(&[signed, target], &format!("{{\"Name\":\"{}\"}}", "x".repeat(10 << 20))).await;
    assert_eq!(answer.status, 413, "10 MB");
    let answer = post(&[signed, target], r#"{"Name":"default"}"#).await;
    assert_eq!(answer.status, 200, "and it goes on");
}

#[tokio::test]
async fn bytes_that_are_no_request_end_the_connection_and_nothing_else() {
    let sim = sim().await;
    let answer = raw(sim.address(), b"\x16\x03\x01 this is not HTTP\r\n\r\n").await;
    assert_eq!(answer.map(|answer| answer.status), Some(400));
    let huge_head = format!("POST / HTTP/1.1\r\nx-filler: {}\r\n\r\n", "x".repeat(1 << 20));
    let answer = raw(sim.address(), huge_head.as_bytes()).await;
    assert!(answer.is_none_or(|answer| answer.status == 431));
    assert_eq!(call(&sim, "DescribeEventBus", &json!({})).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_ends_its_request_is_let_go() {
    let sim = sim().await;
    // Nothing else is due on this runtime, so paused time runs ahead to the server's patience.
    let head = "POST / HTTP/1.1\r\nhost: sim\r\n";
    assert!(raw(sim.address(), head.as_bytes()).await.is_none_or(|answer| answer.status == 408));
    let body = "POST / HTTP/1.1\r\nhost: sim\r\ncontent-length: 10\r\n\r\n{";
    assert_eq!(raw(sim.address(), body.as_bytes()).await.unwrap().status, 408);
}

#[tokio::test]
async fn every_account_and_region_has_its_own_buses_and_a_default() {
    let sim = sim().await;
    assert_eq!(call(&sim, "CreateEventBus", &json!({"Name": "orders"})).await.status, 200);
    for (account, region, orders) in
        [(OWNER, REGION, true), (OWNER, "eu-west-1", false), (MEMBER, REGION, false), (MEMBER, "cn-north-1", false)]
    {
        let keys = Keys::account(account);
        let default = try_call(&sim, &keys, region, "DescribeEventBus", &json!({})).await.unwrap().json();
        let partition = if region.starts_with("cn-") { "aws-cn" } else { "aws" };
        assert_eq!(default["Arn"], format!("arn:{partition}:events:{region}:{account}:event-bus/default"));
        let found = try_call(&sim, &keys, region, "DescribeEventBus", &json!({"Name": "orders"})).await.unwrap();
        assert_eq!(found.status == 200, orders, "{account} {region}");
    }
    let refused = call(&sim, "DeleteEventBus", &json!({"Name": "default"})).await;
    assert_eq!(refused.code(), "ValidationException");
}

#[tokio::test]
async fn china_and_govcloud_accounts_read_back_in_their_partition() {
    let sim = sim().await;
    for (region, partition) in [("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")] {
        let keys = Keys::account(OWNER);
        let put = json!({"Action": "events:PutEvents", "Principal": MEMBER, "StatementId": "one"});
        assert_eq!(try_call(&sim, &keys, region, "PutPermission", &put).await.unwrap().status, 200);
        let statement = sim.statement(OWNER, region, "default", "one").unwrap();
        assert_eq!(statement["Principal"]["AWS"], format!("arn:{partition}:iam::{MEMBER}:root"));
    }
}

#[tokio::test]
async fn pages_of_buses_show_each_once() {
    let sim = sim().await;
    let names: BTreeSet<String> = (0..25).map(|index| format!("team-{index:02}")).collect();
    for name in names.iter().chain([&"other".to_owned()]) {
        assert!(sim.create_bus(OWNER, REGION, name));
    }
    let (mut seen, mut token, mut pages) = (Vec::new(), Value::Null, 0);
    loop {
        let input = json!({"NamePrefix": "team-", "Limit": 10, "NextToken": token});
        let page = call(&sim, "ListEventBuses", &input).await.json();
        seen.extend(page["EventBuses"].as_array().unwrap().iter().map(|bus| bus["Name"].as_str().unwrap().to_owned()));
        pages += 1;
        token = page["NextToken"].clone();
        if token.is_null() {
            break;
        }
        assert!(!names.contains(token.as_str().unwrap()), "tokens are opaque");
    }
    assert_eq!((pages, seen), (3, names.into_iter().collect()));
    let unlimited = call(&sim, "ListEventBuses", &json!({})).await.json();
    assert_eq!(unlimited["EventBuses"].as_array().unwrap().len(), 27, "default and other too");
    let forged = call(&sim, "ListEventBuses", &json!({"NextToken": "forged"})).await;
    assert_eq!(forged.code(), "ValidationException");
    let limit = call(&sim, "ListEventBuses", &json!({"Limit": 101})).await;
    assert!(limit.message().contains("less than or equal to 100"), "{}", limit.message());
}

#[tokio::test]
async fn a_list_shows_what_has_changed_since_the_last_one() {
    let sim = sim().await;
    let role = format!("arn:aws:iam::{MEMBER}:role/app");
    let id = sim.declare_principal(Principal { arn: role.clone(), ..Principal::default() }).unwrap();
    let listed = async || call(&sim, "ListEventBuses", &json!({})).await.json()["EventBuses"][0].clone();
    let before = listed().await;
    assert_eq!(before["Policy"], Value::Null);
    let document = json!({"Version": "2012-10-17", "Statement": [{"Sid": "s", "Effect": "Allow",
        "Principal": {"AWS": role}, "Action": "events:PutEvents", "Resource": "*"}]});
    assert_eq!(call(&sim, "PutPermission", &json!({"Policy": document.to_string()})).await.status, 200);
    let granted = listed().await;
    assert_eq!(granted["Policy"], document.to_string());
    assert!(granted["LastModifiedTime"].as_f64() > before["LastModifiedTime"].as_f64());
    assert!(sim.delete_principal(&role));
    assert!(listed().await["Policy"].as_str().unwrap().contains(&id), "without a change of the policy, too");
    assert_eq!(call(&sim, "RemovePermission", &json!({"StatementId": "s"})).await.status, 200);
    assert_eq!(listed().await["Policy"], Value::Null);
}

#[tokio::test]
async fn times_are_seconds_since_the_epoch() {
    let sim = sim().await;
    let bus = call(&sim, "DescribeEventBus", &json!({})).await.json();
    #[expect(clippy::cast_precision_loss, reason = "milliseconds since the epoch fit 53 bits")]
    let now = sim.now_millis() as f64 / 1000.0;
    assert!((bus["CreationTime"].as_f64().unwrap() - now).abs() < 60.0, "{bus}");
}

#[tokio::test]
async fn the_caller_identity_is_the_account_of_the_key() {
    let sim = sim().await;
    let answer = sts(&sim, &Keys::account(MEMBER), "Action=GetCallerIdentity&Version=2011-06-15").await;
    assert_eq!(element(&answer.body, "Account"), MEMBER);
    assert_eq!(element(&answer.body, "Arn"), format!("arn:aws:iam::{MEMBER}:user/sim"));
    let unknown = sts(&sim, &Keys::account("AKIAIOSFODNN7EXAMPLE"), "Action=GetCallerIdentity").await;
    assert_eq!((unknown.status, unknown.code().as_str()), (403, "InvalidClientTokenId"));
    let unknown = sts(&sim, &Keys::account(OWNER), "Action=GetTea").await;
    assert_eq!((unknown.status, unknown.code().as_str()), (400, "InvalidAction"));
}

#[tokio::test]
async fn an_assumed_role_acts_in_its_account_until_it_expires() {
    let sim = sim().await;
    let arn = format!("arn:aws:iam::{MEMBER}:role/busgrant");
    let trust = vec![Trust { account: OWNER.to_owned(), external_id: Some("tango".to_owned()) }];
    sim.declare_principal(Principal { arn: arn.clone(), trust, ..Principal::default() }).unwrap();
    let form = format!("Action=AssumeRole&RoleArn={arn}&RoleSessionName=test&DurationSeconds=900");

    for (keys, form) in [
        (Keys::account(OWNER), form.clone()),
        (Keys::account(OWNER), format!("{form}&ExternalId=foxtrot")),
        (Keys::account("333333333333"), format!("{form}&ExternalId=tango")),
        (Keys::account(OWNER), format!("{form}&ExternalId=tango").replace("role/busgrant", "role/undeclared")),
    ] {
        let refused = sts(&sim, &keys, &form).await;
        assert_eq!((refused.status, refused.code().as_str()), (403, "AccessDenied"), "{form}");
    }
    let keys = session(&sts(&sim, &Keys::account(OWNER), &format!("{form}&ExternalId=tango")).await);
    let identity = sts(&sim, &keys, "Action=GetCallerIdentity").await;
    assert_eq!(element(&identity.body, "Account"), MEMBER);
    assert_eq!(element(&identity.body, "Arn"), format!("arn:aws:sts::{MEMBER}:assumed-role/busgrant/test"));
    let bus = try_call(&sim, &keys, REGION, "DescribeEventBus", &json!({})).await.unwrap().json();
    assert_eq!(bus["Arn"], format!("arn:aws:events:{REGION}:{MEMBER}:event-bus/default"));

    let stolen = Keys { token: "another".to_owned(), ..keys.clone() };
    let refused = try_call(&sim, &stolen, REGION, "DescribeEventBus", &json!({})).await.unwrap();
    assert_eq!(refused.code(), "UnrecognizedClientException");
    sim.advance(901_000);
    let expired = try_call(&sim, &keys, REGION, "DescribeEventBus", &json!({})).await.unwrap();
    assert_eq!((expired.status, expired.code().as_str()), (400, "ExpiredTokenException"));
    assert_eq!(sts(&sim, &keys, "Action=GetCallerIdentity").await.code(), "ExpiredToken");
}

#[tokio::test]
async fn an_invalid_assume_role_says_what_must_be() {
    let sim = sim().await;
    let role = format!("RoleArn=arn:aws:iam::{MEMBER}:role/busgrant");
    for (form, message) in [
        (
            String::new(),
            "2 validation errors detected: Value null at 'roleArn' failed to satisfy constraint: Member must not be null; Value null at 'roleSessionName'",
        ),
        (role.clone(), "1 validation error detected: Value null at 'roleSessionName'"),
        (format!("{role}&RoleSessionName=a%20b"), "1 validation error detected: Value 'a b' at 'roleSessionName'"),
        (format!("{role}&RoleSessionName=me&DurationSeconds=1"), "The requested DurationSeconds must be"),
        (format!("{role}&RoleSessionName=me&DurationSeconds=soon"), "The requested DurationSeconds must be"),
    ] {
        let refused = sts(&sim, &Keys::account(OWNER), &format!("Action=AssumeRole&{form}")).await;
        assert_eq!((refused.status, refused.code().as_str()), (400, "ValidationError"), "{form}");
        assert!(element(&refused.body, "Message").starts_with(message), "{form}: {}", refused.body);
    }
}

#[tokio::test]
async fn an_account_that_does_not_exist_can_neither_call_nor_be_granted_by_document() {
    let config = Config { known_accounts: vec![OWNER.to_owned()], ..Config::default() };
    let sim = Sim::start(config).await.unwrap();
    let refused = try_call(&sim, &Keys::account(MEMBER), REGION, "DescribeEventBus", &json!({})).await.unwrap();
    assert_eq!(refused.code(), "UnrecognizedClientException");
    let bus = format!("arn:aws:events:{REGION}:{OWNER}:event-bus/default");
    let document = json!({"Version": "2012-10-17", "Statement": [{"Sid": "s", "Effect": "Allow",
        "Principal": {"AWS": MEMBER}, "Action": "events:PutEvents", "Resource": bus}]});
    let refused = call(&sim, "PutPermission", &json!({"Policy": document.to_string()})).await;
    assert_eq!(refused.message(), "Policy contains an invalid principal");
    let short = json!({"Action": "events:PutEvents", "Principal": MEMBER, "StatementId": "s"});
    assert_eq!(call(&sim, "PutPermission", &short).await.status, 200);
    let statement = sim.statement(OWNER, REGION, "default", "s").unwrap();
    assert_eq!(statement["Principal"]["AWS"], MEMBER, "reads back bare");
}
