//! Every fault does what it says, to the calls that it is meant for and to no others.
#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use busgrant_sim::{
    Config, Fault, FaultKind, ForeignWrite, ForeignWriter, JournalFilter, Moment, Operation, Semantics, Settings, Sim,
};
use common::{Keys, MEMBER, OWNER, REGION, call, control, send, try_call};
use serde_json::{Value, json};

async fn sim_with_bus() -> Sim {
    let sim = Sim::start(Config::default()).await.unwrap();
    assert!(sim.create_bus(OWNER, REGION, "orders"));
    sim
}

fn put(sid: &str) -> Value {
    json!({"EventBusName": "orders", "Action": "events:PutEvents", "Principal": MEMBER, "StatementId": sid})
}

fn foreign(sid: &str) -> Value {
    let bus = format!("arn:aws:events:{REGION}:{OWNER}:event-bus/orders");
    json!({"Sid": sid, "Effect": "Allow", "Principal": "*", "Action": "events:PutEvents", "Resource": bus})
}

fn document(sids: &[&str]) -> Value {
    json!({"Version": "2012-10-17", "Statement": sids.iter().map(|sid| foreign(sid)).collect::<Vec<_>>()})
}

/// The Sids on the bus.
fn sids(sim: &Sim) -> Vec<String> {
    let policy = sim.policy(OWNER, REGION, "orders").unwrap_or_default();
    let statements = policy["Statement"].as_array().cloned().unwrap_or_default();
    statements.iter().map(|one| one["Sid"].as_str().unwrap().to_owned()).collect()
}

async fn read(sim: &Sim) -> Value {
    let bus = call(sim, "DescribeEventBus", &json!({"Name": "orders"})).await.json();
    bus["Policy"].as_str().map_or(Value::Null, |text| serde_json::from_str(text).unwrap())
}

#[tokio::test]
async fn errors_strike_as_often_as_asked_and_change_nothing() {
    let sim = sim_with_bus().await;
    for (kind, status, code) in [
        (FaultKind::ConcurrentModification, 400, "ConcurrentModificationException"),
        (FaultKind::Throttling, 400, "ThrottlingException"),
        (FaultKind::TooManyRequests, 429, "TooManyRequestsException"),
        (FaultKind::InternalError, 500, "InternalException"),
        (FaultKind::ServiceUnavailable, 503, "ServiceUnavailable"),
        (FaultKind::AccessDenied, 400, "AccessDeniedException"),
        (FaultKind::OperationDisabled, 400, "OperationDisabledException"),
        (FaultKind::Error { status: 418, code: "Teapot".to_owned(), message: String::new() }, 418, "Teapot"),
    ] {
        sim.inject(Fault::new(kind).on(Operation::PutPermission).times(2));
        for _ in 0..2 {
            let answer = call(&sim, "PutPermission", &put("one")).await;
            assert_eq!((answer.status, answer.code().as_str()), (status, code));
        }
        assert!(sids(&sim).is_empty() && sim.faults().is_empty(), "{code}");
    }
    assert_eq!(call(&sim, "PutPermission", &put("one")).await.status, 200);
}

#[tokio::test]
async fn a_conflict_is_found_after_the_request_was_found_valid() {
    let sim = sim_with_bus().await;
    sim.inject(Fault::new(FaultKind::ConcurrentModification));
    let invalid = call(&sim, "PutPermission", &json!({"EventBusName": "orders"})).await;
    assert_eq!(invalid.code(), "ValidationException");
    let missing = call(&sim, "RemovePermission", &json!({"EventBusName": "orders", "StatementId": "no"})).await;
    assert_eq!(missing.code(), "ResourceNotFoundException");
}

#[tokio::test]
async fn filters_choose_operation_bus_account_and_sid() {
    let sim = sim_with_bus().await;
    assert!(sim.create_bus(OWNER, REGION, "billing"));
    sim.inject(Fault::new(FaultKind::Throttling).on(Operation::PutPermission).bus("orders").sid("one").account(OWNER));
    assert_eq!(call(&sim, "PutPermission", &put("one")).await.code(), "ThrottlingException");
    assert_eq!(call(&sim, "PutPermission", &put("two")).await.status, 200);
    assert_eq!(read(&sim).await["Statement"][0]["Sid"], "two");
    let mut elsewhere = put("one");
    elsewhere["EventBusName"] = json!("billing");
    assert_eq!(call(&sim, "PutPermission", &elsewhere).await.status, 200);
    let document = json!({"EventBusName": "orders", "Policy": document(&["one", "three"]).to_string()});
    assert_eq!(call(&sim, "PutPermission", &document).await.code(), "ThrottlingException", "a document that names it");
    sim.clear_faults();
    assert_eq!(call(&sim, "PutPermission", &put("one")).await.status, 200);
}

#[tokio::test]
async fn a_rate_is_repeatable_from_its_seed() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let sim = sim_with_bus().await;
        sim.inject(Fault::new(FaultKind::InternalError).rate(0.3, 7));
        let mut outcomes = Vec::new();
        for _ in 0..60 {
            outcomes.push(call(&sim, "DescribeEventBus", &json!({"Name": "orders"})).await.status);
        }
        runs.push(outcomes);
    }
    assert_eq!(runs[0], runs[1]);
    let struck = runs[0].iter().filter(|status| **status == 500).count();
    assert!((5..=35).contains(&struck), "{struck} of 60 at a rate of 0.3");
}

#[tokio::test]
async fn a_lost_update_is_answered_200_and_not_kept() {
    let sim = sim_with_bus().await;
    sim.inject(Fault::new(FaultKind::LostUpdate { kept: None }).times(1));
    sim.inject(Fault::new(FaultKind::LostUpdate { kept: Some(document(&["theirs"])) }).sid("two").times(1));
    assert_eq!(call(&sim, "PutPermission", &put("one")).await.status, 200);
    assert!(sids(&sim).is_empty());
    assert_eq!(call(&sim, "PutPermission", &put("two")).await.status, 200);
    assert_eq!(sids(&sim), ["theirs"]);
    let entries = sim.journal_of(&JournalFilter::operation(Operation::PutPermission));
    assert!(entries.iter().all(|entry| entry.succeeded() && entry.applied.is_none()), "{entries:?}");
}

#[tokio::test]
async fn connections_drop_before_or_after_the_write() {
    let sim = sim_with_bus().await;
    let keys = Keys::account(OWNER);
    sim.inject(Fault::new(FaultKind::DropBeforeApply).times(1));
    assert_eq!(try_call(&sim, &keys, REGION, "PutPermission", &put("one")).await, None);
    assert!(sids(&sim).is_empty());
    sim.inject(Fault::new(FaultKind::DropAfterApply).times(1));
    assert_eq!(try_call(&sim, &keys, REGION, "PutPermission", &put("two")).await, None);
    assert_eq!(sids(&sim), ["two"]);
    let entries = sim.journal_of(&JournalFilter::operation(Operation::PutPermission));
    let seen: Vec<_> = entries.iter().map(|entry| (entry.applied.is_some(), entry.status)).collect();
    assert_eq!(seen, [(false, None), (true, None)]);
}

#[tokio::test]
async fn a_held_call_lands_after_its_client_gave_up() {
    let sim = sim_with_bus().await;
    let held = sim.inject(Fault::new(FaultKind::HoldBeforeApply { millis: None }).times(1));
    let client = send(&sim, "PutPermission", &put("late")).await;
    sim.wait_held(1).await;
    drop(client);
    sim.wait_until(|state| state.journal().iter().any(|entry| entry.client_gone)).await;
    assert!(sids(&sim).is_empty());
    let before = sim.mark();
    assert_eq!(sim.release(held), 1);
    sim.wait_until(|state| !state.changes().is_empty()).await;
    assert_eq!(sids(&sim), ["late"]);
    let entry = sim.journal().into_iter().find(|entry| entry.operation == Operation::PutPermission).unwrap();
    assert!(entry.applied.unwrap() > before && entry.client_gone, "{entry:?}");
}

#[tokio::test]
async fn an_answer_is_held_while_the_write_shows() {
    let sim = sim_with_bus().await;
    sim.inject(Fault::new(FaultKind::HoldAfterApply { millis: Some(3_600_000) }).times(1));
    let keys = Keys::account(OWNER);
    let input = put("one");
    let (answer, ()) = tokio::join!(try_call(&sim, &keys, REGION, "PutPermission", &input), async {
        sim.wait_held(1).await;
        assert_eq!(sids(&sim), ["one"]);
        sim.advance(3_600_001); // the hold's own limit
    });
    assert_eq!(answer.unwrap().status, 200);
    assert!(sim.held().is_empty());
}

#[tokio::test]
async fn latency_passes_when_the_clock_is_advanced() {
    let sim = sim_with_bus().await;
    sim.inject(Fault::new(FaultKind::Latency { millis: 3_600_000 }).times(1));
    let (mark, input) = (sim.mark(), put("one"));
    let (answer, ()) = tokio::join!(call(&sim, "PutPermission", &input), async {
        sim.wait_until(|state| state.mark() > mark).await;
        assert!(sids(&sim).is_empty());
        sim.advance(3_600_001);
    });
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn reads_go_stale_by_time_and_by_changes() {
    let sim = sim_with_bus().await;
    assert_eq!(call(&sim, "PutPermission", &put("one")).await.status, 200);
    sim.advance(60_000);
    assert_eq!(call(&sim, "PutPermission", &put("two")).await.status, 200);
    let stale = sim.inject(Fault::new(FaultKind::StaleRead { millis: 30_000 }).bus("orders"));
    assert_eq!(read(&sim).await["Statement"].as_array().unwrap().len(), 1);
    let listed = call(&sim, "ListEventBuses", &json!({"NamePrefix": "orders"})).await.json();
    assert!(!listed["EventBuses"][0]["Policy"].as_str().unwrap().contains("two"), "in lists as well");
    sim.advance(31_000);
    assert_eq!(read(&sim).await["Statement"].as_array().unwrap().len(), 2, "and it catches up");
    sim.clear_fault(stale);
    sim.inject(Fault::new(FaultKind::StaleReadBehind { changes: 2 }));
    assert_eq!(read(&sim).await, Value::Null);
}

#[tokio::test]
async fn reads_shuffle_statements_and_hide_principals() {
    let sim = sim_with_bus().await;
    let names: Vec<String> = (0..12).map(|index| format!("s{index}")).collect();
    let mut all = document(&names.iter().map(String::as_str).collect::<Vec<_>>());
    all["Statement"][0]["Principal"] = json!({"AWS": format!("arn:aws:iam::{MEMBER}:role/reader")});
    assert!(sim.put_policy(OWNER, REGION, "orders", Some(all.clone())));
    let shuffle = sim.inject(Fault::new(FaultKind::ShuffleStatements));
    let (first, second) = (read(&sim).await, read(&sim).await);
    assert_ne!(first, second);
    let sorted = |policy: &Value| {
        let mut texts: Vec<String> = policy["Statement"].as_array().unwrap().iter().map(Value::to_string).collect();
        texts.sort();
        texts
    };
    assert_eq!((sorted(&first), sorted(&second)), (sorted(&all), sorted(&all)));
    sim.clear_fault(shuffle);
    sim.inject(Fault::new(FaultKind::OpaquePrincipals).sid("s0"));
    let shown = read(&sim).await["Statement"][0]["Principal"]["AWS"].as_str().unwrap().to_owned();
    assert!(shown.starts_with("AROA") && shown.len() == 21, "{shown}");
    assert_eq!(sim.policy(OWNER, REGION, "orders"), Some(all), "the policy itself is untouched");
}

#[tokio::test]
async fn a_bus_vanishes_under_a_call() {
    let sim = sim_with_bus().await;
    sim.inject(Fault::new(FaultKind::BusVanishes).on(Operation::PutPermission).times(1));
    let answer = call(&sim, "PutPermission", &put("one")).await;
    assert_eq!(answer.message(), "Event bus orders does not exist.");
    assert_eq!(call(&sim, "DescribeEventBus", &json!({"Name": "orders"})).await.code(), "ResourceNotFoundException");
}

#[tokio::test]
async fn a_foreign_write_between_read_and_write_is_lost_or_conflicts() {
    let sim = sim_with_bus().await;
    let write = ForeignWrite::Put { statement: foreign("theirs") };
    let fault = Fault::new(FaultKind::ForeignWrite { write, moment: Moment::Between }).times(1);
    sim.inject(fault.clone());
    assert_eq!(call(&sim, "PutPermission", &put("one")).await.status, 200);
    assert_eq!(sids(&sim), ["one"], "theirs was overwritten, both were told 200");

    sim.set(Settings { semantics: Semantics::ConflictDetection, ..Settings::default() });
    sim.inject(fault);
    assert_eq!(call(&sim, "PutPermission", &put("two")).await.code(), "ConcurrentModificationException");
    assert_eq!(sids(&sim).len(), 2, "one and theirs");
    for (write, moment) in [
        (ForeignWrite::Remove { sid: "one".to_owned() }, Moment::Before),
        (ForeignWrite::Document { policy: None }, Moment::After),
    ] {
        sim.inject(Fault::new(FaultKind::ForeignWrite { write, moment }).times(1));
    }
    assert_eq!(call(&sim, "PutPermission", &put("three")).await.status, 200);
    assert!(sids(&sim).is_empty());
}

#[tokio::test]
async fn parallel_writes_lose_updates_with_a_gap_and_none_without() {
    for (gap_millis, semantics) in
        [(0, Semantics::LastWriterWins), (20, Semantics::LastWriterWins), (20, Semantics::ConflictDetection)]
    {
        let sim = sim_with_bus().await;
        sim.set(Settings { gap_millis, semantics, ..Settings::default() });
        let inputs: Vec<Value> = (0..8).map(|index| put(&format!("s{index}"))).collect();
        let calls = inputs.iter().map(|input| call(&sim, "PutPermission", input));
        let answers = futures_join(calls).await;
        let accepted = answers.iter().filter(|status| **status == 200).count();
        match (gap_millis, semantics) {
            (0, _) => assert_eq!((accepted, sids(&sim).len()), (8, 8)),
            (_, Semantics::LastWriterWins) => assert!(accepted == 8 && sids(&sim).len() < 8, "updates were lost"),
            (_, Semantics::ConflictDetection) => assert!(accepted < 8 && sids(&sim).len() == accepted, "none lost"),
        }
    }
}

/// Runs all at once and gives their statuses.
async fn futures_join<F: Future<Output = common::Answer>>(calls: impl Iterator<Item = F>) -> Vec<u16> {
    let mut calls: Vec<_> = calls.map(|call| (Box::pin(call), None)).collect();
    std::future::poll_fn(|context| {
        for (call, status) in calls.iter_mut().filter(|(_, status)| status.is_none()) {
            if let std::task::Poll::Ready(answer) = call.as_mut().poll(context) {
                *status = Some(answer.status);
            }
        }
        match calls.iter().map(|(_, status)| *status).collect() {
            Some(all) => std::task::Poll::Ready(all),
            None => std::task::Poll::Pending,
        }
    })
    .await
}

#[tokio::test]
async fn a_foreign_writer_works_until_it_is_stopped() {
    let sim = sim_with_bus().await;
    let (account, region, bus) = (OWNER.to_owned(), REGION.to_owned(), "orders".to_owned());
    sim.start_foreign_writer(ForeignWriter { account, region, bus, per_second: 1000.0, seed: 3, documents: true });
    sim.wait_until(|state| state.changes().len() >= 30).await;
    assert_eq!(sim.stop_foreign_writers(), 1);
    let sets: Vec<usize> = sim
        .changes()
        .iter()
        .map(|change| change.policy.as_ref().map_or(0, |policy| policy["Statement"].as_array().unwrap().len()))
        .collect();
    let grew = sets.windows(2).any(|pair| pair[0] < pair[1]);
    assert!(grew && sets.windows(2).any(|pair| pair[0] > pair[1]), "it puts and removes: {sets:?}");
}

#[tokio::test]
async fn faults_come_over_the_control_api_too() {
    let sim = sim_with_bus().await;
    let fault = json!({"kind": {"holdBeforeApply": {}}, "operations": ["PutPermission"], "bus": "orders", "times": 1});
    let id = control(&sim, "POST", "/_sim/faults", &fault).await["id"].clone();
    assert_eq!(control(&sim, "GET", "/_sim/faults", &Value::Null).await["faults"][0]["id"], id);
    let input = put("one");
    let (answer, ()) = tokio::join!(call(&sim, "PutPermission", &input), async {
        let held = control(&sim, "GET", "/_sim/held?atLeast=1", &Value::Null).await;
        assert_eq!(held["held"].as_array().unwrap().len(), 1);
        control(&sim, "POST", &format!("/_sim/release/{id}"), &Value::Null).await;
    });
    assert_eq!(answer.status, 200);
    control(&sim, "POST", "/_sim/faults", &json!({"kind": "throttling", "times": 1})).await;
    control(&sim, "DELETE", "/_sim/faults", &Value::Null).await;
    assert_eq!(call(&sim, "PutPermission", &put("one")).await.status, 200);
    let typo = common::http(&sim, "POST", "/_sim/faults", &[], r#"{"kind": "throttling", "tmies": 1}"#).await.unwrap();
    assert_eq!(typo.status, 400);
}
