//! The main story: a foreign statement on the bus, an object applied, edited and deleted.

use aws_sdk_eventbridge::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use serde_json::{Value, json};

use super::scene::{ACCOUNT, BUS, REGION, Scene, account, bus_arn, condition, is, message, spec};

const ACME: &str = "111122223333";

fn foreign() -> Value {
    json!({"Version": "2012-10-17", "Statement": [{
        "Sid": "legacy-app", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::999988887777:root"},
        "Action": ["events:PutEvents", "events:PutRule"], "Resource": bus_arn(BUS),
    }]})
}

/// Whether an account's event is taken.
async fn is_taken(scene: &Scene, account: &str) -> bool {
    let config = aws_sdk_eventbridge::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(scene.sim.endpoint())
        .credentials_provider(Credentials::new(account, "secret", None, None, "test"))
        .build();
    let event = PutEventsRequestEntry::builder()
        .event_bus_name(bus_arn(BUS))
        .source("com.acme")
        .detail_type("InvoicePaid")
        .detail("{}")
        .build();
    let answer = aws_sdk_eventbridge::Client::from_conf(config).put_events().entries(event).send().await;
    answer.is_ok_and(|answer| answer.failed_entry_count() == 0)
}

#[tokio::test]
async fn a_grant_from_apply_to_delete() {
    let scene = Scene::running("story").await;
    scene.sim.put_policy(ACCOUNT, REGION, BUS, Some(foreign()));
    assert!(!is_taken(&scene, ACME).await);

    let invoices = spec(&json!([account("invoices", ACME)]));
    let object = scene.granted("billing", &invoices).await;
    assert_eq!(scene.held("billing"), scene.wanted("billing", &invoices));
    assert!(scene.live().contains(&foreign()["Statement"][0]));
    assert!(is_taken(&scene, ACME).await);
    assert!(!is_taken(&scene, "444455556666").await);

    let status = &object.data["status"];
    for kind in ["Accepted", "Synced", "Ready"] {
        assert!(is(&object, kind, "True"), "{status}");
    }
    assert!(condition(&object, "Reconciling").is_none() && condition(&object, "Stalled").is_none());
    assert_eq!(message(&object), "in the policy; AWS may take about 20 s to act on it");
    assert_eq!(status["eventBus"], json!({"arn": bus_arn(BUS), "name": BUS, "accountID": ACCOUNT, "region": REGION}));
    assert_eq!(status["desiredStatements"], 1);
    assert_eq!(status["syncedStatements"], 1);
    let statement = &status["statements"][0];
    assert_eq!(statement["name"], "invoices");
    assert_eq!(statement["statementID"], scene.sid("billing", &format!("invoices-{ACME}")));
    assert_eq!(statement["synced"], true);
    assert_eq!(statement["reason"], "InSync");
    assert_eq!(statement["form"], "Short");
    assert_eq!(status["policy"]["foreignStatements"], 1);
    assert_eq!(status["policy"]["charactersAllowed"], 10_240);
    let length = scene.sim.policy_text(ACCOUNT, REGION, BUS).unwrap().len();
    assert_eq!(status["policy"]["characters"], length);
    assert_eq!(status["writes"]["concurrentModificationRetriesTotal"], 0);
    assert!(status["writes"]["lastWriteTime"].is_string());
    scene.event("billing", "StatementsPut").await;

    let more = spec(
        &json!([account("invoices", "444455556666"), {"name": "org", "principals": {"organizationID": "o-a1b2c3d4e5"}}]),
    );
    scene.granted("billing", &more).await;
    assert_eq!(scene.held("billing"), scene.wanted("billing", &more));
    assert!(!is_taken(&scene, ACME).await);
    assert!(is_taken(&scene, "444455556666").await);

    scene.delete("billing").await;
    scene.gone("billing").await;
    assert_eq!(scene.policy(), Some(foreign()));
    scene.event("billing", "StatementsRemoved").await;
}
