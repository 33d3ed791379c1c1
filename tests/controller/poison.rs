//! Statements that make the service refuse a whole document: a role or an account that it does not know, ours and others'.

use busgrant_sim::{Account, ForeignWrite, Principal, Settings};
use serde_json::{Value, json};

use super::scene::{ACCOUNT, BUS, REGION, Scene, account, bus_arn, is, message, spec};
use crate::support::{PATIENCE, eventually};

const ROLE: &str = "arn:aws:iam::222233334444:role/analytics";
const NO_ACCOUNT: &str = "999999999990";

fn by_document(name: &str, source: &str) -> Value {
    spec(&json!([{"name": name, "principals": {"accountIDs": ["111122223333"]}, "sources": [source]}]))
}

fn theirs(principal: &str) -> Value {
    json!({"Sid": "theirs", "Effect": "Allow", "Principal": {"AWS": principal}, "Action": "events:PutEvents", "Resource": bus_arn(BUS)})
}

/// What others have on the bus keeps documents from being written, is named, and stops nothing else; and once it is gone
/// the document is written.
async fn is_named_and_stops_documents_only(scene: &Scene) {
    let short = spec(&json!([account("short", "111122223333")]));
    scene.granted("short", &short).await;
    scene.apply("long", &by_document("long", "s")).await;
    let object = scene.says("long", "DocumentBlocked").await;
    assert!(message(&object).contains("theirs"), "{}", message(&object));
    assert!(is(&object, "Reconciling", "True") && is(&object, "Accepted", "True"));
    let removal = spec(&json!([account("other", "444455556666")]));
    scene.granted("short", &removal).await;
    assert_eq!(scene.held("short"), scene.wanted("short", &removal));
    assert!(scene.sim.statement(ACCOUNT, REGION, BUS, "theirs").is_some());

    scene.sim.foreign_write(ACCOUNT, REGION, BUS, &ForeignWrite::Remove { sid: "theirs".to_owned() });
    scene.ready("long").await;
    assert_eq!(scene.held("long"), scene.wanted("long", &by_document("long", "s")));
}

#[tokio::test]
async fn a_deleted_role_in_a_statement_of_others_is_named() {
    let scene = Scene::running("theirrole").await;
    scene.sim.declare_principal(Principal { arn: ROLE.to_owned(), ..Principal::default() });
    let policy = json!({"Version": "2012-10-17", "Statement": [theirs(ROLE)]});
    scene.sim.put_policy(ACCOUNT, REGION, BUS, Some(policy));
    scene.granted("before", &by_document("long", "before")).await;
    scene.sim.delete_principal(ROLE);
    is_named_and_stops_documents_only(&scene).await;
    scene.ready("before").await;
}

#[tokio::test]
async fn a_role_of_others_that_is_gone_and_still_shown_is_named_once_it_no_longer_is() {
    let scene = Scene::running("theirlag").await;
    scene.sim.set(Settings { role_deletion_lag_millis: 4000, ..Settings::default() });
    scene.sim.declare_principal(Principal { arn: ROLE.to_owned(), ..Principal::default() });
    let policy = json!({"Version": "2012-10-17", "Statement": [theirs(ROLE)]});
    scene.sim.put_policy(ACCOUNT, REGION, BUS, Some(policy));
    scene.sim.delete_principal(ROLE);
    is_named_and_stops_documents_only(&scene).await;
}

#[tokio::test]
async fn an_account_that_does_not_exist_in_a_statement_of_others_is_named() {
    let scene = Scene::running("theiraccount").await;
    scene.sim.set_account(NO_ACCOUNT, Account { exists: Some(false), ..Account::default() });
    scene.sim.foreign_write(ACCOUNT, REGION, BUS, &ForeignWrite::Put { statement: theirs(NO_ACCOUNT) });
    is_named_and_stops_documents_only(&scene).await;
}

/// Others' documents are written whatever stands there of ours.
async fn stops_no_document(scene: &Scene, name: &str) {
    let long = by_document("long", name);
    scene.granted(name, &long).await;
    assert_eq!(scene.held(name), scene.wanted(name, &long));
}

#[tokio::test]
async fn a_deleted_role_in_a_statement_of_ours_stops_that_statement_only() {
    let scene = Scene::running("ourrole").await;
    scene.sim.declare_principal(Principal { arn: ROLE.to_owned(), ..Principal::default() });
    let grant = spec(&json!([
        {"name": "role", "principals": {"principalARNs": [ROLE, "arn:aws:iam::222233334444:role/other"]}},
        account("short", "111122223333"),
    ]));
    scene.granted("a", &grant).await;
    scene.sim.delete_principal(ROLE);
    let object = scene.says("a", "StatementRefused").await;
    assert!(message(&object).contains("statement role"), "{}", message(&object));
    stops_no_document(&scene, "b").await;
    stops_no_document(&scene, "c").await;
    // The role that is still there must not pay for the other one.
    let live = scene.statement("a", "role").map(|one| one.to_string()).unwrap_or_default();
    assert!(live.contains("role/other"), "{live}");
    assert!(scene.statement("a", "short-111122223333").is_some());

    // A role of the same name is another one: the statement must name the new one.
    scene.sim.declare_principal(Principal { arn: ROLE.to_owned(), ..Principal::default() });
    scene.ready("a").await;
    assert_eq!(scene.held("a"), scene.wanted("a", &grant));
    stops_no_document(&scene, "b").await;
}

#[tokio::test]
async fn a_role_that_never_existed_in_a_statement_of_ours_stops_that_statement_only() {
    let scene = Scene::running("norole").await;
    scene.sim.delete_principal(ROLE);
    scene.granted("old", &by_document("old", "s")).await;
    scene.apply("a", &spec(&json!([{"name": "role", "principals": {"principalARNs": [ROLE]}}]))).await;
    scene.apply("b", &by_document("long", "b")).await;
    scene.says("a", "StatementRefused").await;
    scene.ready("b").await;
    stops_no_document(&scene, "c").await;
    stops_no_document(&scene, "old").await;
    scene.delete("a").await;
    scene.gone("a").await;
}

#[tokio::test]
async fn an_account_that_does_not_exist_in_a_statement_of_ours_stops_no_document() {
    let scene = Scene::running("ouraccount").await;
    scene.sim.set_account(NO_ACCOUNT, Account { exists: Some(false), ..Account::default() });
    scene.apply("a", &spec(&json!([account("bad", NO_ACCOUNT)]))).await;
    let sid = format!("bad-{NO_ACCOUNT}");
    let stands = async || {
        eventually("it is there", PATIENCE, async || scene.statement("a", &sid).map(drop).ok_or("it is not")).await;
    };
    stands().await;
    for name in ["b", "c"] {
        stops_no_document(&scene, name).await;
        stands().await;
    }
    scene.delete("a").await;
    scene.gone("a").await;
    assert_eq!(scene.statement("a", &sid), None);
}
