//! What others do to the bus between two looks.

use busgrant_sim::{Fault, FaultKind, ForeignWrite, JournalEntry, JournalFilter, Operation};
use serde_json::{Value, json};

use super::scene::{ACCOUNT, BUS, REGION, Scene, account, bus_arn, spec};
use crate::support::{PATIENCE, eventually};

fn grant() -> Value {
    spec(&json!([
        account("a", "111122223333"),
        {"name": "b", "principals": {"accountIDs": ["111122223333"]}, "sources": ["com.acme"]},
    ]))
}

async fn is_repaired(scene: &Scene) {
    eventually("it is repaired", PATIENCE, async || {
        let held = scene.held("a");
        if held == scene.wanted("a", &grant()) { Ok(()) } else { Err(format!("{held:?}")) }
    })
    .await;
}

#[tokio::test]
async fn a_removed_statement_is_put_back() {
    let scene = Scene::running("removed").await;
    scene.granted("a", &grant()).await;
    for sid in [scene.sid("a", "a-111122223333"), scene.sid("a", "b")] {
        assert!(scene.sim.foreign_write(ACCOUNT, REGION, BUS, &ForeignWrite::Remove { sid }));
        is_repaired(&scene).await;
        scene.ready("a").await;
    }
    scene.event("a", "DriftCorrected").await;
    scene.sim.put_policy(ACCOUNT, REGION, BUS, None);
    is_repaired(&scene).await;
}

#[tokio::test]
async fn a_changed_statement_is_put_back() {
    let scene = Scene::running("changed").await;
    scene.granted("a", &grant()).await;
    let mut statement = scene.statement("a", "a-111122223333").unwrap();
    statement["Principal"] = json!({"AWS": "arn:aws:iam::666666666666:root"});
    scene.sim.foreign_write(ACCOUNT, REGION, BUS, &ForeignWrite::Put { statement });
    is_repaired(&scene).await;
    scene.event("a", "DriftCorrected").await;

    let mut statement = scene.statement("a", "b").unwrap();
    statement.as_object_mut().unwrap().remove("Condition");
    scene.sim.foreign_write(ACCOUNT, REGION, BUS, &ForeignWrite::Put { statement });
    is_repaired(&scene).await;
}

#[tokio::test]
async fn a_statement_that_nobody_wants_is_removed() {
    let scene = Scene::running("surplus").await;
    scene.granted("a", &grant()).await;
    let mut statement = scene.statement("a", "a-111122223333").unwrap();
    statement["Sid"] = json!(scene.sid("a", "a-444455556666"));
    scene.sim.foreign_write(ACCOUNT, REGION, BUS, &ForeignWrite::Put { statement });
    is_repaired(&scene).await;
}

#[tokio::test]
async fn statements_of_others_are_left_alone() {
    let scene = Scene::running("foreign").await;
    let odd = json!([
        {"Sid": "array", "Effect": "Allow", "Principal": {"AWS": ["arn:aws:iam::999988887777:root", "arn:aws:iam::999988887776:root"]},
         "Action": ["events:PutRule", "events:PutEvents"], "Resource": bus_arn(BUS)},
        {"Sid": "deny", "Effect": "Deny", "Principal": "*", "Action": "events:PutEvents", "Resource": bus_arn(BUS),
         "Condition": {"NumericGreaterThan": {"aws:MultiFactorAuthAge": 3600}, "Bool": {"aws:SecureTransport": [false]}}},
        {"Sid": "bg-other-idoesjlhcycu-invoices-111122223333", "Effect": "Allow",
         "Principal": {"AWS": "arn:aws:iam::111122223333:root"}, "Action": "events:PutEvents", "Resource": bus_arn(BUS)},
        {"Sid": "bg-", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::999988887777:root"},
         "Action": "events:PutEvents", "Resource": bus_arn(BUS), "Condition": {"StringEquals": {"events:source": "żółć \"quoted\" \\ \u{1F600}"}}},
    ]);
    let foreign = json!({"Version": "2012-10-17", "Id": "theirs", "Statement": odd});
    scene.sim.put_policy(ACCOUNT, REGION, BUS, Some(foreign));
    let theirs = || {
        let ours = format!("bg-{}-", scene.owner);
        let mut texts: Vec<String> = scene.live().iter().map(Value::to_string).collect();
        texts.retain(|text| !text.contains(&ours));
        texts.sort();
        texts
    };
    let before = theirs();
    assert_eq!(before.len(), 4);
    scene.granted("a", &grant()).await;
    assert_eq!(theirs(), before);
    let mark = scene.mark();
    let changed = json!({"Sid": "array", "Effect": "Deny", "Principal": "*", "Action": "events:PutEvents", "Resource": bus_arn(BUS)});
    scene.sim.foreign_write(ACCOUNT, REGION, BUS, &ForeignWrite::Put { statement: changed });
    let before = theirs();
    scene.sim.wait_until(|_| scene.calls(mark).iter().any(JournalEntry::succeeded)).await;
    scene.fence().await;
    assert!(scene.writes(mark).is_empty());
    scene.delete("a").await;
    scene.gone("a").await;
    assert_eq!(theirs(), before);
}

#[tokio::test]
async fn another_order_is_no_drift() {
    let scene = Scene::running("order").await;
    scene.sim.inject(Fault::new(FaultKind::ShuffleStatements));
    scene.granted("a", &grant()).await;
    scene.granted("b", &grant()).await;
    let lists = |since| {
        let calls = scene.sim.journal_of(&JournalFilter::since(since));
        let lists = calls.iter().filter(|call| call.operation == Operation::ListEventBuses);
        lists.filter(|call| call.answered.is_some()).count()
    };
    // The first look after a change may still look closer.
    let mark = scene.mark();
    scene.sim.wait_until(|_| lists(mark) >= 2).await;
    let (mark, writes) = (scene.mark(), scene.status_writes("a"));
    scene.sim.wait_until(|_| lists(mark) >= 3).await;
    assert!(scene.calls(mark).is_empty(), "{:?}", scene.calls(mark));
    assert_eq!(scene.status_writes("a"), writes);
}
