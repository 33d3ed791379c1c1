//! Others who write what we write: told, slowed down for, never given up to.

use busgrant_sim::{Fault, FaultKind, ForeignWrite, JournalEntry, Moment, Operation};
use serde_json::{Value, json};

use super::scene::{ACCOUNT, BUS, REGION, Scene, account, bus_arn, condition, spec};
use crate::support::{PATIENCE, eventually};

fn grant(one: &str) -> Value {
    spec(&json!([account("a", one)]))
}

fn removes(scene: &Scene, sid: String) {
    assert!(scene.sim.foreign_write(ACCOUNT, REGION, BUS, &ForeignWrite::Remove { sid }));
}

/// Has somebody else remove the object's statement, so often as it is put back at once.
async fn is_removed_three_times(scene: &Scene, one: &str) {
    scene.ready("a").await;
    for time in 1..=3 {
        let mark = scene.mark();
        removes(scene, scene.sid("a", &format!("a-{one}")));
        if time < 3 {
            // Before it was read, nobody could tell a removal from a write that was lost.
            eventually("it is put back, and read to be there", PATIENCE, async || {
                let calls = scene.calls(mark);
                let put =
                    calls.iter().position(|call| call.operation == Operation::PutPermission && call.applied.is_some());
                let read =
                    |call: &JournalEntry| call.operation == Operation::DescribeEventBus && call.answered.is_some();
                put.filter(|put| calls[*put..].iter().any(read)).map(drop).ok_or("it is not there")
            })
            .await;
        }
    }
}

#[tokio::test]
async fn what_others_remove_three_times_is_contended() {
    let scene = Scene::running("contended").await;
    scene.granted("sibling", &grant("444455556666")).await;
    scene.granted("a", &grant("111122223333")).await;
    is_removed_three_times(&scene, "111122223333").await;
    let told = scene.says("a", "Contended").await;
    assert_eq!(told.data["status"]["statements"][0]["reason"], "Contended");
    assert!(condition(&told, "Reconciling").is_some(), "{told:?}");
    let mark = scene.mark();
    scene.fence().await;
    assert!(scene.writes(mark).is_empty(), "{:?}", scene.writes(mark));

    // What somebody asks for now is no contended statement, and neither is what others ask for.
    scene.granted("sibling", &grant("777788889999")).await;
    assert_eq!(scene.statement("a", "a-111122223333"), None);
    scene.granted("a", &grant("222233334444")).await;
}

#[tokio::test]
async fn removals_are_never_slowed_down() {
    let scene = Scene::running("revoked").await;
    scene.granted("a", &spec(&json!([account("a", "111122223333"), account("gone", "111122223333")]))).await;
    let revoked = scene.statement("a", "gone-111122223333").unwrap();
    scene.granted("a", &grant("111122223333")).await;
    for _ in 0..5 {
        scene.sim.foreign_write(ACCOUNT, REGION, BUS, &ForeignWrite::Put { statement: revoked.clone() });
        eventually("it is removed again", PATIENCE, async || {
            scene.statement("a", "gone-111122223333").map_or(Ok(()), Err)
        })
        .await;
    }
    scene.ready("a").await;
}

#[tokio::test]
async fn a_foreign_statement_that_vanishes_around_a_write_is_told() {
    let scene = Scene::running("vanished").await;
    let statement = |sid: &str, who: &str| {
        json!({"Sid": sid, "Effect": "Allow", "Principal": {"AWS": format!("arn:aws:iam::{who}:root")},
               "Action": "events:PutEvents", "Resource": bus_arn(BUS)})
    };
    let theirs = json!({"Version": "2012-10-17", "Statement": [statement("theirs", "999988887777")]});
    scene.sim.put_policy(ACCOUNT, REGION, BUS, Some(theirs));
    scene.granted("a", &grant("111122223333")).await;
    assert!(!scene.events("a").await.contains(&"ForeignStatementChanged".to_owned()));

    let write = ForeignWrite::Remove { sid: "theirs".to_owned() };
    let vanishes = FaultKind::ForeignWrite { write, moment: Moment::After };
    scene.sim.inject(Fault::new(vanishes).on(Operation::PutPermission).times(1));
    scene.granted("b", &grant("444455556666")).await;
    scene.event("b", "ForeignStatementChanged").await;
    // Not those for whom nothing was written.
    assert!(!scene.events("a").await.contains(&"ForeignStatementChanged".to_owned()));
    let log = std::fs::read_to_string(&scene.logs[0]).unwrap();
    assert!(log.contains("999988887777"), "the statement as it was is in the log");
}
