//! Objects that are looked at and not acted on: observed, paused, and those whose bus became another.

use busgrant_sim::ForeignWrite;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::operator::Start;
use super::scene::{ACCOUNT, BUS, REGION, Scene, account, bus_arn, condition, is, message, spec};

fn observed(statements: &Value) -> Value {
    let mut spec = spec(statements);
    spec["managementPolicy"] = json!("Observe");
    spec
}

#[tokio::test]
async fn an_observed_object_reports_the_plan_and_writes_nothing() {
    let scene = Scene::running("observe").await;
    let mark = scene.mark();
    let grant = json!([
        account("a", "111122223333"),
        {"name": "b", "principals": {"accountIDs": ["111122223333"]}, "sources": ["com.acme"]},
    ]);
    scene.apply("a", &observed(&grant)).await;
    let object = scene.says("a", "DriftDetected").await;
    assert!(is(&object, "Stalled", "True") && is(&object, "Ready", "False") && is(&object, "Accepted", "True"));
    let plan = object.data["status"]["plan"].as_array().unwrap().clone();
    assert!(
        plan.contains(&json!({"action": "Put", "statementID": scene.sid("a", "a-111122223333"), "form": "Short"})),
        "{plan:?}"
    );
    assert!(
        plan.contains(&json!({"action": "Put", "statementID": scene.sid("a", "b"), "form": "Document"})),
        "{plan:?}"
    );
    assert_eq!(plan.len(), 2, "{plan:?}");

    // Enforced, then observed again: in sync, and told when it no longer is.
    scene.granted("a", &spec(&grant)).await;
    assert!(!scene.writes(mark).is_empty());
    let object = scene.granted("a", &observed(&grant)).await;
    assert!(object.data["status"]["plan"].is_null());
    let mark = scene.mark();
    scene.sim.foreign_write(ACCOUNT, REGION, BUS, &ForeignWrite::Remove { sid: scene.sid("a", "b") });
    let object = scene.says("a", "DriftDetected").await;
    assert_eq!(object.data["status"]["plan"].as_array().unwrap().len(), 1);
    scene.apply("a", &observed(&json!([account("a", "111122223333")]))).await;
    scene.ready("a").await;
    scene.apply("a", &observed(&json!([account("other", "111122223333")]))).await;
    let object = scene.says("a", "DriftDetected").await;
    let plan = object.data["status"]["plan"].as_array().unwrap();
    let actions: Vec<&str> = plan.iter().map(|step| step["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["Put", "Remove"]);
    assert!(scene.writes(mark).is_empty(), "{:?}", scene.writes(mark));
}

#[tokio::test]
async fn a_paused_object_is_neither_put_nor_edited() {
    let scene = Scene::running("paused").await;
    scene.granted("a", &spec(&json!([account("a", "111122223333")]))).await;
    scene.annotate("a", "busgrant.dev/paused", json!("true")).await;
    let mark = scene.mark();
    let edited = spec(&json!([account("b", "111122223333")]));
    scene.apply("a", &edited).await;
    let object = scene.says("a", "Paused").await;
    assert!(is(&object, "Ready", "False"));
    assert!(condition(&object, "Stalled").is_none(), "nobody has to mend what somebody paused");
    scene.granted("sibling", &spec(&json!([account("a", "444455556666")]))).await;
    let named: Vec<String> = scene.writes(mark).iter().map(|call| call.input["StatementId"].to_string()).collect();
    assert_eq!(named.len(), 1, "{named:?}");

    scene.annotate("a", "busgrant.dev/paused", Value::Null).await;
    scene.ready("a").await;
    assert_eq!(scene.held("a"), scene.wanted("a", &edited));
}

#[tokio::test]
async fn an_object_stays_with_the_bus_that_it_meant_first() {
    let mut scene = Scene::running("pinned").await;
    let grant = spec(&json!([account("a", "111122223333")]));
    scene.granted("a", &grant).await;
    scene.granted("goes", &grant).await;
    let before = scene.policy();
    scene.stop().await;

    scene.sim.create_bus(ACCOUNT, "us-east-1", BUS);
    let mark = scene.mark();
    scene.start_as(&Start { region: Some("us-east-1"), ..Start::default() });
    let object = scene.says("a", "BusChanged").await;
    assert!(is(&object, "Stalled", "True"));
    for bus in [bus_arn(BUS), bus_arn(BUS).replace(REGION, "us-east-1")] {
        assert!(message(&object).contains(&bus), "{}", message(&object));
    }
    assert_eq!(object.data["status"]["eventBus"]["arn"], bus_arn(BUS));
    scene.delete("goes").await;
    let object = scene.says("goes", "BusChanged").await;
    assert!(!object.finalizers().is_empty());
    assert_eq!(scene.policy(), before);
    assert_eq!(scene.sim.policy(ACCOUNT, "us-east-1", BUS), None);
    assert!(scene.writes(mark).is_empty(), "{:?}", scene.writes(mark));
    scene.stop().await;

    scene.start(&[]);
    scene.ready("a").await;
    scene.gone("goes").await;
    assert_eq!(scene.held("a"), scene.wanted("a", &grant));
    assert!(scene.held("goes").is_empty());
}

#[tokio::test]
async fn credentials_of_another_account_write_nothing() {
    let mut scene = Scene::running("account").await;
    let named = json!({"eventBus": {"name": BUS, "accountID": ACCOUNT}, "statements": [account("a", "111122223333")]});
    scene.granted("named", &named).await;
    scene.granted("unnamed", &spec(&json!([account("a", "111122223333")]))).await;
    scene.stop().await;
    scene.sim.create_bus("210987654321", REGION, BUS);
    let mark = scene.mark();
    scene.start_as(&Start { account: Some("210987654321"), ..Start::default() });
    let object = scene.says("named", "AccountMismatch").await;
    assert!(message(&object).contains("210987654321"), "{}", message(&object));
    scene.says("unnamed", "BusChanged").await;
    scene.apply("new", &named).await;
    scene.says("new", "AccountMismatch").await;
    assert!(scene.writes(mark).is_empty());
}

#[tokio::test]
async fn the_wrong_account_ends_the_start() {
    let mut scene = Scene::new("wrong").await;
    scene.start(&["--account-id", "210987654321"]);
    assert!(!scene.ended().await);
    assert_eq!(scene.front.passed().len(), 0, "it asked Kubernetes for nothing");
}
