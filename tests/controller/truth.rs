//! Status tells the truth or nothing. [`super::promises`] holds every status of every scene against the bus; here are scenes
//! that make it hard, and proof that it would notice.

use busgrant_sim::{
    Change, Fault, FaultKind, ForeignWrite, ForeignWriter, JournalEntry, JournalFilter, Operation, Semantics, Settings,
    Writer,
};
use futures::future::join_all;
use serde_json::{Value, json};

use super::front::Passed;
use super::operator::CANARIES;
use super::promises::ALL;
use super::readiness::ready_is_true;
use super::record::Record;
use super::scene::{ACCOUNT, BUS, REGION, Scene, account, bus_arn, is_list, spec};

fn grant(name: &str) -> Value {
    spec(
        &json!([account(name, "111122223333"), {"name": "long", "principals": {"accountIDs": ["111122223333"]}, "sources": [name]}]),
    )
}

#[tokio::test]
async fn a_lie_would_be_noticed() {
    let scene = Scene::running("lie").await;
    let first = scene.mark();
    scene.granted("a", &grant("one")).await;
    scene.granted("a", &grant("two")).await;
    scene.fence().await;
    scene.front.answers().await;
    let record = Record::of(&scene);
    let of_a = |passed: &&Passed| passed.wrote_status() && passed.is_status_of("a");
    let ready = record.passed.iter().rfind(of_a).unwrap();
    let is_true = |record: &Record, status: &Passed| ready_is_true(record, &record.told(status));
    is_true(&record, ready).unwrap();

    let at = |mark| Passed { mark, ..ready.clone() };
    assert!(is_true(&record, &at(first)).is_err(), "before the first read");
    let unread = scene.writes(0).last().unwrap().answered.unwrap();
    assert!(is_true(&record, &at(unread)).is_err(), "between the last write and the read");
    let mut older = ready.clone();
    older.sent["status"]["observedGeneration"] = json!(1);
    assert!(is_true(&record, &older).is_err(), "for what is no longer there");
    let mut unseen = record.clone();
    let look = unseen.calls.iter().rfind(|call| call.bus.as_deref() == Some(BUS)).unwrap().seq;
    let lost = unseen.changes.iter_mut().rfind(|change| change.seq < look && change.bus == BUS).unwrap();
    lost.policy = None;
    assert!(is_true(&unseen, ready).is_err(), "for what the last read did not hold");
}

/// Which promises a record breaks.
fn broken(record: &Record) -> Vec<&'static str> {
    ALL.into_iter().filter(|(_, holds)| holds(record).is_err()).map(|(promise, _)| promise).collect()
}

/// A record with a change made to it.
fn had(record: &Record, change: impl FnOnce(&mut Record)) -> Record {
    let mut record = record.clone();
    change(&mut record);
    record
}

#[tokio::test]
async fn every_broken_promise_would_be_noticed_where_nothing_disturbs() {
    let mut scene = Scene::new("calm").await;
    let theirs = json!({"Sid": "theirs", "Effect": "Deny", "Principal": "*", "Action": "events:PutEvents",
        "Resource": bus_arn(BUS), "Condition": {"NumericLessThan": {"aws:MultiFactorAuthAge": 3600}}});
    let policy = json!({"Version": "2012-10-17", "Id": "theirs", "Statement": [theirs]});
    scene.sim.put_policy(ACCOUNT, REGION, BUS, Some(policy));
    scene.start(&[]);
    scene.granted("a", &grant("one")).await;
    scene.granted("goes", &grant("one")).await;
    scene.delete("goes").await;
    scene.gone("goes").await;
    scene.front.answers().await;
    let record = Record::of(&scene);
    assert_eq!(broken(&record), [""; 0]);

    let named = had(&record, |had| {
        let removal = had.calls.iter_mut().find(|call| call.operation == Operation::RemovePermission).unwrap();
        removal.input["StatementId"] = json!("theirs");
    });
    assert_eq!(broken(&named), ["no call names a foreign statement"]);
    let is_ours = |change: &&mut Change| matches!(change.writer, Writer::Call(_)) && change.policy.is_some();
    let rounded = had(&record, |had| {
        let policy = had.changes.iter_mut().rfind(is_ours).unwrap().policy.as_mut().unwrap();
        let statements = policy["Statement"].as_array_mut().unwrap();
        let theirs = statements.iter_mut().find(|one| one["Sid"] == "theirs").unwrap();
        theirs["Condition"]["NumericLessThan"]["aws:MultiFactorAuthAge"] = json!(3600.0);
    });
    assert_eq!(broken(&rounded), ["foreign statements stay as they are"]);
    let renamed = had(&record, |had| {
        let change = had.changes.iter_mut().rfind(is_ours).unwrap();
        change.policy.as_mut().unwrap()["Id"] = json!("ours");
    });
    assert_eq!(broken(&renamed), ["foreign statements stay as they are"]);
    let dropped = had(&record, |had| {
        let document = had.calls.iter_mut().find(|call| call.input.get("Policy").is_some()).unwrap();
        let text = document.input["Policy"].as_str().unwrap().replace("3600", "3600.0");
        document.input["Policy"] = json!(text);
    });
    assert_eq!(broken(&dropped), ["a document carries what was read"]);

    let is_hold = |passed: &Passed| passed.sent["metadata"]["finalizers"].as_array().is_some_and(|all| !all.is_empty());
    let unheld = had(&record, |had| had.passed.retain(|passed| !is_hold(passed)));
    assert_eq!(broken(&unheld), ["only held objects are served"]);
    let left = had(&record, |had| {
        let removal = had.calls.iter().rfind(|call| call.operation == Operation::RemovePermission).unwrap().seq;
        had.changes.retain(|change| change.writer != Writer::Call(removal));
    });
    assert!(broken(&left).contains(&"nothing is left of what is gone"));
    let back = had(&record, |had| {
        let mut again = had
            .changes
            .iter()
            .find(|change| {
                change.policy.as_ref().is_some_and(|policy| policy.to_string().contains(&scene.sid("goes", "long")))
            })
            .unwrap()
            .clone();
        again.seq = had.end;
        had.changes.push(again);
    });
    assert!(broken(&back).contains(&"nothing is left of what is gone"));

    let look = record.calls.iter().find(|call| call.operation == Operation::DescribeEventBus).unwrap();
    let looks = had(&record, |had| had.calls.extend(vec![look.clone(); 30]));
    assert_eq!(broken(&looks), ["a change costs its steps"]);
    let idle = had(&record, |had| {
        let put = had.calls.iter_mut().find(|call| call.operation == Operation::PutPermission).unwrap();
        put.policy_after = put.policy_before.clone();
    });
    assert_eq!(broken(&idle), ["a change costs its steps"]);

    let told = |had: &Record| had.passed.iter().rposition(|passed| passed.is_status_of("a")).unwrap();
    let twice = had(&record, |had| had.passed.push(had.passed[told(had)].clone()));
    assert_eq!(broken(&twice), ["statuses change and never go back"]);
    let stalled = had(&record, |had| {
        let number = told(had);
        let conditions = had.passed[number].sent["status"]["conditions"].as_array_mut().unwrap();
        let ready = conditions.iter().find(|one| one["type"] == "Ready").unwrap().clone();
        conditions.extend(["Stalled", "Reconciling"].map(|kind| {
            json!({"type": kind, "reason": ready["reason"],
            "status": "True", "message": "m", "observedGeneration": ready["observedGeneration"]})
        }));
    });
    assert_eq!(broken(&stalled), ["conditions are well formed"]);
    for canary in CANARIES {
        let logged = had(&record, |had| had.texts.push(format!("key={canary}")));
        assert_eq!(broken(&logged), ["nothing secret is told"]);
    }
    assert!(record.texts.iter().any(|text| text.contains("busgrant_aws_requests")), "metrics are looked at, too");
}

#[tokio::test]
async fn drift_and_conflicts_that_are_not_told_would_be_noticed() {
    let scene = Scene::running("untold").await;
    scene.sim.inject(Fault::new(FaultKind::ConcurrentModification).on(Operation::PutPermission).times(2));
    scene.granted("a", &grant("one")).await;
    let lists = |since| scene.sim.journal_of(&JournalFilter::since(since)).iter().filter(|call| is_list(call)).count();
    let mark = scene.mark();
    scene.sim.wait_until(|_| lists(mark) >= 1).await;
    let sid = scene.sid("a", "one-111122223333");
    let drifted = scene.mark();
    scene.sim.foreign_write(ACCOUNT, REGION, BUS, &ForeignWrite::Remove { sid: sid.clone() });
    scene.sim.wait_until(|_| lists(drifted) >= 14).await;
    scene.front.answers().await;
    let record = Record::of(&scene);
    assert_eq!(broken(&record), [""; 0]);
    let unrepaired = had(&record, |had| had.changes.retain(|change| change.seq <= drifted + 1));
    assert!(broken(&unrepaired).contains(&"drift is told"), "{:?}", broken(&unrepaired));
    let one_more = had(&record, |had| {
        let conflict = |call: &&JournalEntry| call.error.is_some();
        had.calls.push(had.calls.iter().find(conflict).unwrap().clone());
    });
    assert_eq!(broken(&one_more), ["retries are conflicts"]);
}

#[tokio::test]
async fn edits_that_overtake_each_other() {
    let scene = Scene::running("overtake").await;
    scene.granted("a", &grant("start")).await;
    for _ in 0..3 {
        let held = scene
            .sim
            .inject(Fault::new(FaultKind::HoldBeforeApply { millis: None }).on(Operation::PutPermission).times(1));
        scene.apply("a", &grant("first")).await;
        scene.sim.wait_held(1).await;
        scene.apply("a", &grant("second")).await;
        scene.fence().await;
        scene.sim.release(held);
        scene.ready("a").await;
        assert_eq!(scene.held("a"), scene.wanted("a", &grant("second")));
        scene.granted("a", &grant("start")).await;
    }
    for number in 0..20 {
        scene.apply("a", &grant(&format!("n{number}"))).await;
    }
    scene.ready("a").await;
    assert_eq!(scene.held("a"), scene.wanted("a", &grant("n19")));
}

/// Several objects on a slow bus with writers that overwrite each other, and errors.
async fn turmoil(purpose: &str, semantics: Semantics, seed: u64) {
    let scene = Scene::running(purpose).await;
    scene.overwritten.set(semantics == Semantics::LastWriterWins);
    scene.sim.set(Settings { semantics, gap_millis: 5, ..Settings::default() });
    scene.sim.start_foreign_writer(ForeignWriter {
        account: ACCOUNT.to_owned(),
        region: REGION.to_owned(),
        bus: BUS.to_owned(),
        per_second: 20.0,
        seed,
        documents: false,
    });
    scene.sim.inject(Fault::new(FaultKind::Throttling).rate(0.1, seed));
    scene.sim.inject(Fault::new(FaultKind::ConcurrentModification).rate(0.1, seed + 1));
    scene.sim.inject(Fault::new(FaultKind::InternalError).rate(0.1, seed + 2));
    let short = |name: String| spec(&json!([account(&name, "111122223333")]));
    let names = ["a", "b", "c", "d"];
    for round in 0..3 {
        join_all(names.map(async |name| scene.apply(name, &short(format!("r{round}"))).await)).await;
        scene.fence().await;
    }
    scene.delete("d").await;
    scene.sim.stop_foreign_writers();
    scene.sim.clear_faults();
    for name in ["a", "b", "c"] {
        scene.ready(name).await;
        let wanted = scene.wanted(name, &short("r2".to_owned()));
        crate::support::eventually("it holds what it must", crate::support::PATIENCE, async || {
            let held = scene.held(name);
            if held == wanted { Ok(()) } else { Err(format!("{held:?}")) }
        })
        .await;
    }
    scene.gone("d").await;
}

#[tokio::test]
async fn where_the_last_writer_wins() {
    turmoil("lww", Semantics::LastWriterWins, 7).await;
}

#[tokio::test]
async fn where_conflicts_are_told() {
    turmoil("cme", Semantics::ConflictDetection, 11).await;
}
