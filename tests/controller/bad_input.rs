//! What can't be served ends in a condition of its own, keeps what it had on the bus, and stops nothing else.

use busgrant_sim::{Account, Config, Fault, FaultKind, Operation, Principal};
use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::front::UNREADABLE;
use super::operator::Start;
use super::scene::{ACCOUNT, BUS, REGION, Scene, account, bus_arn, condition, is, message, spec};

fn by_document(name: &str, source: &str) -> Value {
    json!({"name": name, "principals": {"accountIDs": ["111122223333"]}, "sources": [source]})
}

fn raw(name: &str, action: &str) -> Value {
    json!({"name": name, "raw": {"effect": "Allow", "principal": {"AWS": ["444455556666"]}, "actions": [action]}})
}

/// How one statement stands, by its name.
fn statement<'a>(object: &'a DynamicObject, name: &str) -> &'a Value {
    let statements = object.data["status"]["statements"].as_array().unwrap();
    statements.iter().find(|statement| statement["name"] == name).unwrap()
}

/// Another object on the same bus is served as if nothing were.
async fn siblings_are_served(scene: &Scene) {
    let sibling = spec(&json!([account("a", "777788889999")]));
    scene.granted("sibling", &sibling).await;
    assert_eq!(scene.held("sibling"), scene.wanted("sibling", &sibling));
}

#[tokio::test]
async fn an_invalid_statement_keeps_what_it_had() {
    let scene = Scene::running("invalid").await;
    scene.granted("a", &spec(&json!([account("good", "111122223333"), raw("bad", "events:PutEvents")]))).await;
    let had = scene.statement("a", "bad");
    assert!(had.is_some());
    scene.apply("a", &spec(&json!([account("good", "222233334444"), raw("bad", "events:DeleteEventBus")]))).await;
    let object = scene.says("a", "InvalidStatement").await;
    assert!(is(&object, "Accepted", "False") && is(&object, "Stalled", "True") && is(&object, "Ready", "False"));
    assert!(
        message(&object).contains("statement bad") && message(&object).contains("events:DeleteEventBus"),
        "{}",
        message(&object)
    );
    assert_eq!(statement(&object, "bad")["reason"], "InvalidStatement");
    assert_eq!(statement(&object, "bad")["synced"], false);
    assert_eq!(statement(&object, "good")["synced"], true);
    assert_eq!(scene.statement("a", "bad"), had);
    assert!(scene.statement("a", "good-222233334444").is_some() && scene.statement("a", "good-111122223333").is_none());
    scene.event("a", "InvalidStatement").await;
    siblings_are_served(&scene).await;
    assert_eq!(scene.statement("a", "bad"), had);

    scene.delete("a").await;
    scene.gone("a").await;
    assert_eq!(scene.statement("a", "bad"), None, "deletion removes what it had, too");
}

#[tokio::test]
async fn public_access_needs_consent() {
    let mut scene = Scene::running("public").await;
    let public = spec(&json!([
        account("good", "111122223333"),
        {"name": "bad", "principals": {"anyone": {}}, "sources": ["com.acme"]},
    ]));
    scene.apply("a", &public).await;
    let object = scene.says("a", "PublicNotAllowed").await;
    assert!(is(&object, "Stalled", "True") && is(&object, "Accepted", "False"));
    assert!(message(&object).contains("--allow-public"), "{}", message(&object));
    assert!(scene.statement("a", "bad").is_none() && scene.statement("a", "good-111122223333").is_some());
    siblings_are_served(&scene).await;
    scene.stop().await;
    scene.start(&["--allow-public"]);
    scene.ready("a").await;
    assert_eq!(scene.held("a"), scene.wanted("a", &public));
}

#[tokio::test]
async fn a_bus_that_is_created_later_is_found() {
    let scene = Scene::running("later").await;
    let grant = json!({"eventBus": {"name": "payments"}, "statements": [account("a", "111122223333")]});
    scene.apply("a", &grant).await;
    let object = scene.says("a", "EventBusNotFound").await;
    assert!(is(&object, "Reconciling", "True") && condition(&object, "Stalled").is_none());
    assert!(message(&object).contains("payments"), "{}", message(&object));
    siblings_are_served(&scene).await;
    scene.sim.create_bus(ACCOUNT, REGION, "payments");
    scene.ready("a").await;
    assert!(scene.sim.policy(ACCOUNT, REGION, "payments").is_some());
}

#[tokio::test]
async fn a_principal_that_aws_refuses_stops_its_statement_only() {
    let scene = Scene::running("refused").await;
    let role = "arn:aws:iam::222233334444:role/analytics";
    scene.sim.delete_principal(role);
    scene.granted("old", &spec(&json!([by_document("a", "com.acme")]))).await;
    let grant = spec(&json!([
        account("short", "111122223333"),
        by_document("long", "com.acme"),
        {"name": "bad", "principals": {"principalARNs": [role]}},
    ]));
    scene.apply("a", &grant).await;
    let object = scene
        .until("a", "the others are served", |object| {
            is(object, "Ready", "False")
                && statement(object, "long")["synced"] == true
                && statement(object, "short")["synced"] == true
        })
        .await;
    let object = if condition(&object, "Ready").unwrap()["reason"] == "StatementRefused" {
        object
    } else {
        scene.says("a", "StatementRefused").await
    };
    assert!(is(&object, "Accepted", "True"), "AWS refused it, not its form");
    assert_eq!(statement(&object, "bad")["reason"], "StatementRefused");
    let said = statement(&object, "bad")["message"].as_str().unwrap();
    let journal = scene.calls(0);
    let aws = journal.iter().rev().find_map(|call| call.message.clone()).unwrap();
    assert!(said.contains(&aws), "{said} quotes not {aws}");
    siblings_are_served(&scene).await;
    scene.ready("old").await;
    scene.granted("new", &spec(&json!([by_document("b", "com.acme")]))).await;

    scene.sim.declare_principal(Principal { arn: role.to_owned(), ..Principal::default() });
    scene.ready("a").await;
    assert_eq!(scene.held("a"), scene.wanted("a", &grant));
}

#[tokio::test]
async fn an_account_that_does_not_exist_is_told_and_poisons_no_document() {
    let scene = Scene::running("noaccount").await;
    let none = Account { exists: Some(false), ..Account::default() };
    scene.sim.set_account("999999999990", none);
    let grant = spec(&json!([account("good", "111122223333"), account("bad", "999999999990")]));
    scene.apply("a", &grant).await;
    let told = |object: &DynamicObject| {
        let statements = object.data["status"]["statements"].as_array().into_iter().flatten();
        let mut messages = statements.filter_map(|statement| statement["message"].as_str());
        messages.any(|message| message.contains("AWS knows no account 999999999990"))
    };
    scene.until("a", "the account is told", told).await;
    let long = spec(&json!([by_document("long", "com.acme")]));
    scene.granted("long", &long).await;
    assert_eq!(scene.held("long"), scene.wanted("long", &long));
    assert!(scene.statement("a", "good-111122223333").is_some());
    // No document may name such an account: it is put again by itself.
    crate::support::eventually("it is put again", crate::support::PATIENCE, async || {
        scene.statement("a", "bad-999999999990").ok_or("it is not there")
    })
    .await;
}

#[tokio::test]
async fn without_credentials_every_object_says_so() {
    let mut scene = Scene::running("nocreds").await;
    let grant = spec(&json!([account("a", "111122223333")]));
    scene.granted("old", &grant).await;
    scene.stop().await;
    scene.start_as(&Start { account: Some(""), ..Start::default() });
    scene.apply("new", &grant).await;
    for name in ["old", "new"] {
        let object = scene.says(name, "CredentialsUnavailable").await;
        assert!(is(&object, "Reconciling", "True"));
    }
    assert_eq!(scene.held("old"), scene.wanted("old", &grant));
}

#[tokio::test]
async fn denied_access_is_told_by_operation() {
    let scene = Scene::running("denied").await;
    let grant = spec(&json!([account("a", "111122223333")]));
    scene.granted("old", &grant).await;
    for (operation, name) in [(Operation::PutPermission, "put"), (Operation::DescribeEventBus, "describe")] {
        let denied = scene.sim.inject(Fault::new(FaultKind::AccessDenied).on(operation));
        scene.apply(name, &grant).await;
        let object = scene.says(name, "AccessDenied").await;
        assert!(is(&object, "Reconciling", "True") && is(&object, "Accepted", "True"));
        assert!(message(&object).contains(operation.name()), "{}", message(&object));
        scene.event(name, "AccessDenied").await;
        scene.sim.clear_fault(denied);
        scene.ready(name).await;
    }
    scene.sim.inject(Fault::new(FaultKind::AccessDenied).on(Operation::ListEventBuses));
    scene.granted("list", &grant).await;
    assert_eq!(scene.held("old"), scene.wanted("old", &grant));
}

#[tokio::test]
async fn a_region_without_permissions_is_told() {
    let scene = Scene::running("disabled").await;
    scene.sim.inject(Fault::new(FaultKind::OperationDisabled).on(Operation::PutPermission));
    scene.apply("a", &spec(&json!([account("a", "111122223333")]))).await;
    scene.says("a", "OperationDisabled").await;
}

#[tokio::test]
async fn a_full_policy_keeps_who_sits() {
    let mut scene = Scene::new("full").await;
    scene.start(&["--policy-quota", "700"]);
    let two = json!({"name": "a", "principals": {"accountIDs": ["111122223333", "222233334444"]}});
    let sitting = spec(&json!([two]));
    let object = scene.granted("sitting", &sitting).await;
    let used = object.data["status"]["policy"]["characters"].as_u64().unwrap();
    scene.apply("late", &spec(&json!([account("a", "111122223333"), account("b", "111122223333")]))).await;
    let object = scene.says("late", "PolicyFull").await;
    assert!(is(&object, "Stalled", "True") && is(&object, "Accepted", "True"));
    let told = message(&object);
    let numbers: Vec<u64> =
        told.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect();
    assert!(numbers.contains(&700) && numbers.iter().any(|number| *number > 700), "used, needed, allowed: {told}");
    assert!(numbers.iter().any(|number| *number >= used && *number <= 700), "{told}");
    assert_eq!(scene.held("sitting"), scene.wanted("sitting", &sitting));
    assert!(scene.sim.policy_text(ACCOUNT, REGION, BUS).unwrap().len() <= 700);

    scene.delete("sitting").await;
    scene.gone("sitting").await;
    scene.ready("late").await;
}

#[tokio::test]
async fn a_quota_smaller_than_assumed_is_learnt() {
    let mut config = Config::default();
    config.settings.policy_quota = 700;
    let mut scene = Scene::with("quota", config).await;
    scene.start(&[]);
    let two = json!({"name": "a", "principals": {"accountIDs": ["111122223333", "222233334444"]}});
    scene.granted("sitting", &spec(&json!([two]))).await;
    scene.apply("late", &spec(&json!([account("a", "111122223333"), account("b", "111122223333")]))).await;
    let object = scene.says("late", "PolicyFull").await;
    assert!(is(&object, "Stalled", "True"));
    scene.ready("sitting").await;
}

#[tokio::test]
async fn where_documents_are_forbidden_only_they_wait() {
    let mut scene = Scene::new("nodocs").await;
    scene.start(&["--document-writes", "deny"]);
    scene.apply("a", &spec(&json!([account("short", "111122223333"), by_document("long", "com.acme")]))).await;
    let object = scene.says("a", "DocumentWritesDenied").await;
    assert!(is(&object, "Stalled", "True"));
    assert!(message(&object).contains("--document-writes=deny"), "{}", message(&object));
    assert_eq!(statement(&object, "short")["synced"], true);
    assert!(scene.calls(0).iter().all(|call| call.input.get("Policy").is_none()));
    siblings_are_served(&scene).await;
}

#[tokio::test]
async fn a_foreign_statement_that_no_document_may_carry_is_named() {
    let scene = Scene::running("blocked").await;
    let foreign = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::999988887777:root"}, "Action": "events:PutEvents", "Resource": bus_arn(BUS)},
    ]});
    scene.sim.put_policy(ACCOUNT, REGION, BUS, Some(foreign.clone()));
    scene.apply("a", &spec(&json!([account("short", "111122223333"), by_document("long", "com.acme")]))).await;
    let object = scene.says("a", "DocumentBlocked").await;
    assert!(message(&object).contains("without a Sid"), "{}", message(&object));
    assert_eq!(statement(&object, "short")["synced"], true);
    assert!(scene.live().contains(&foreign["Statement"][0]));
    siblings_are_served(&scene).await;
}

#[tokio::test]
async fn an_object_of_a_later_version_is_not_acted_on() {
    let scene = Scene::running("unreadable").await;
    let grant = spec(&json!([account("a", "111122223333")]));
    scene.granted("a", &grant).await;
    scene.merge("a", json!({"metadata": {"annotations": {UNREADABLE: "yes"}}, "spec": spec(&json!([account("b", "111122223333")]))})).await;
    let object = scene.says("a", "Unreadable").await;
    assert!(is(&object, "Stalled", "True") && is(&object, "Accepted", "False"));
    assert!(message(&object).contains("onlyOnSundays"), "{}", message(&object));
    siblings_are_served(&scene).await;
    assert_eq!(scene.held("a"), scene.wanted("a", &grant));
    scene.annotate("a", UNREADABLE, Value::Null).await;
    scene.apply("a", &grant).await;
    scene.ready("a").await;
    scene.annotate("a", UNREADABLE, json!("yes")).await;
    scene.delete("a").await;
    scene.gone("a").await;
    assert!(scene.held("a").is_empty());
}
