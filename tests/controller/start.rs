//! What a start costs, and what it finds.

use axum::http::Method;
use busgrant_sim::{Fault, FaultKind, ForeignWrite, JournalEntry, JournalFilter, Operation};
use serde_json::{Value, json};

use super::scene::{ACCOUNT, BUS, REGION, Scene, account, spec};
use crate::support::{PATIENCE, eventually};

const OTHERS: [&str; 3] = ["one", "two", "three"];

fn on(bus: &str) -> Value {
    json!({"eventBus": {"name": bus}, "statements": [account("a", "111122223333")]})
}

/// Four buses with an object each, all as they should be, and no operator.
async fn in_sync(purpose: &str) -> Scene {
    let mut scene = Scene::running(purpose).await;
    for bus in OTHERS {
        scene.sim.create_bus(ACCOUNT, REGION, bus);
        scene.granted(bus, &on(bus)).await;
    }
    scene.granted("a", &on(BUS)).await;
    scene.stop().await;
    scene
}

fn calls(scene: &Scene, since: u64, operation: Operation) -> Vec<JournalEntry> {
    let mut calls = scene.sim.journal_of(&JournalFilter::since(since));
    calls.retain(|call| call.operation == operation && call.bus.as_deref() != Some("fence"));
    calls
}

#[tokio::test]
async fn where_all_is_as_it_should_be_a_start_costs_one_list() {
    let mut scene = in_sync("inlist").await;
    let mark = scene.mark();
    scene.start(&["--sweep-interval", "10m"]);
    eventually("the buses are listed", PATIENCE, async || {
        calls(&scene, mark, Operation::ListEventBuses).first().map(drop).ok_or("not yet")
    })
    .await;
    scene.fence().await;
    for operation in [Operation::DescribeEventBus, Operation::PutPermission, Operation::RemovePermission] {
        assert!(calls(&scene, mark, operation).is_empty(), "{:?}", calls(&scene, mark, operation));
    }
    assert_eq!(calls(&scene, mark, Operation::ListEventBuses).len(), 1);
    // The sweep knows them from then on.
    let sid = scene.sid("a", "a-111122223333");
    scene.sim.foreign_write(ACCOUNT, REGION, BUS, &ForeignWrite::Remove { sid });
    eventually("it is put back", PATIENCE, async || scene.statement("a", "a-111122223333").map(drop).ok_or("not yet"))
        .await;
}

#[tokio::test]
async fn what_changed_meanwhile_is_found_at_the_start() {
    let mut scene = in_sync("meanwhile").await;
    let sid = scene.sid("a", "a-111122223333");
    scene.sim.foreign_write(ACCOUNT, REGION, BUS, &ForeignWrite::Remove { sid });
    let edited = json!({"eventBus": {"name": "one"}, "statements": [account("a", "444455556666")]});
    scene.apply("one", &edited).await;
    scene.delete("two").await;
    let mark = scene.mark();
    scene.start(&["--sweep-interval", "10m"]);
    eventually("it is put back", PATIENCE, async || scene.statement("a", "a-111122223333").map(drop).ok_or("not yet"))
        .await;
    scene.ready("a").await;
    scene.ready("one").await;
    scene.gone("two").await;
    let unchanged = |call: &&JournalEntry| call.bus.as_deref() == Some("three");
    assert_eq!(scene.sim.journal_of(&JournalFilter::since(mark)).iter().filter(unchanged).count(), 0);
}

#[tokio::test]
async fn where_lists_are_denied_each_bus_is_read() {
    let mut scene = in_sync("nolist").await;
    scene.sim.inject(Fault::new(FaultKind::AccessDenied).on(Operation::ListEventBuses));
    let mark = scene.mark();
    scene.start(&["--sweep-interval", "10m"]);
    eventually("each bus is read", PATIENCE, async || {
        let reads = calls(&scene, mark, Operation::DescribeEventBus);
        let read = |bus: &&&str| reads.iter().any(|call| call.bus.as_deref() == Some(**bus));
        if OTHERS.iter().filter(read).count() == OTHERS.len() { Ok(()) } else { Err(format!("{reads:?}")) }
    })
    .await;
    scene.fence().await;
    assert!(calls(&scene, mark, Operation::PutPermission).is_empty());
    scene.granted("a", &spec(&json!([account("a", "444455556666")]))).await;
}

#[tokio::test]
async fn a_bus_that_does_not_answer_holds_up_no_other() {
    let mut scene = Scene::new("slow").await;
    scene.start(&["--concurrency", "2"]);
    scene.sim.create_bus(ACCOUNT, REGION, "slow");
    let hangs = FaultKind::HoldBeforeApply { millis: None };
    let fault = scene.sim.inject(Fault::new(hangs).on(Operation::DescribeEventBus).bus("slow"));
    for number in 0..5 {
        scene.apply(&format!("slow-{number}"), &on("slow")).await;
    }
    scene.sim.wait_held(1).await;
    scene.granted("a", &on(BUS)).await;
    assert_eq!(scene.sim.held().len(), 1);
    scene.sim.clear_fault(fault);
    scene.sim.release(fault);
    for number in 0..5 {
        scene.ready(&format!("slow-{number}")).await;
    }
}

#[tokio::test]
async fn an_end_does_not_wait_for_calls_that_wait_for_their_turn() {
    let mut scene = Scene::new("backlog").await;
    scene.start(&["--aws-requests-per-second", "1"]);
    let names: Vec<String> = (0..20).map(|number| format!("p{number}")).collect();
    for name in &names {
        scene.sim.create_bus(ACCOUNT, REGION, name);
        scene.apply(name, &on(name)).await;
    }
    eventually("a bus is read", PATIENCE, async || {
        calls(&scene, 0, Operation::DescribeEventBus).first().map(drop).ok_or("not yet")
    })
    .await;
    scene.stop().await;
    let written = calls(&scene, 0, Operation::PutPermission).len();
    assert!(written < names.len(), "it worked off its whole backlog first");
    scene.start(&[]);
    for name in &names {
        scene.ready(name).await;
    }
}

#[tokio::test]
async fn an_end_at_the_start_is_an_end_at_once() {
    let mut scene = in_sync("early").await;
    scene.front.refuse(Method::GET, "/eventbuspermissions", 503, usize::MAX);
    let mark = scene.mark();
    scene.start(&[]);
    // It asks who it is as it begins to watch.
    scene.sim.wait_until(|sim| !sim.journal_of(&JournalFilter::since(mark)).is_empty()).await;
    scene.stop().await;
}
