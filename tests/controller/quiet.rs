//! The operator makes no more calls than there is work: none for what others do to its objects, no storm where the service is
//! overrun, and all of it soon after.

use std::time::{Duration, Instant};

use busgrant_sim::{Fault, FaultKind, JournalEntry, JournalFilter, Operation};
use futures::future::join_all;
use futures::{StreamExt, stream};
use serde_json::json;
use tokio::time::interval;

use super::operator::REQUESTS_PER_SECOND;
use super::scene::{ACCOUNT, REGION, Scene, account, is_list, spec};
use super::seeds::{Random, each_seed, soak};

#[tokio::test]
async fn what_others_write_on_an_object_costs_nothing() {
    each_seed(800, 1, async |seed| {
        let mut random = Random::new(seed);
        let scene = Scene::running("churn").await;
        for name in ["a", "b", "c"] {
            let long = json!({"name": "b", "principals": {"accountIDs": ["111122223333"]}, "sources": ["s"]});
            scene.granted(name, &spec(&json!([account("a", "111122223333"), long]))).await;
        }
        let lists =
            |since| scene.sim.journal_of(&JournalFilter::since(since)).iter().filter(|call| is_list(call)).count();
        // The first look after a change may still look closer.
        let mark = scene.mark();
        scene.sim.wait_until(|_| lists(mark) >= 2).await;
        let (mark, passed) = (scene.mark(), scene.front.passed().len());
        let mut ticks = interval(Duration::from_millis(100));
        for number in 0..50 * soak() {
            ticks.tick().await;
            let change = match random.below(3) {
                0 => json!({"annotations": {"example.com/seen": number.to_string()}}),
                1 => json!({"labels": {"seen": number.to_string()}}),
                _ => json!({"annotations": {"busgrant.dev/paused": if number % 2 == 0 { "false" } else { "no" }}}),
            };
            let name = *random.pick(&["a", "b", "c"]);
            scene.merge(name, json!({"metadata": change})).await;
        }
        let last = scene.mark();
        scene.sim.wait_until(|_| lists(last) >= 2).await;
        let calls = scene.sim.journal_of(&JournalFilter::since(mark));
        assert!(calls.iter().all(is_list), "{calls:?}");
        assert_eq!(scene.front.passed().len(), passed, "it wrote to Kubernetes");
    })
    .await;
}

/// The most calls to the service in any window of that length.
fn busiest(at_millis: &[i64], window: i64) -> usize {
    let within = |from: &i64| at_millis.iter().filter(|at| **at >= *from && **at < from + window).count();
    at_millis.iter().map(within).max().unwrap_or(0)
}

/// Touches these objects for so long, ten times a second.
async fn touched_for(scene: &Scene, names: &[String], time: Duration, seed: u64) {
    let mut random = Random::new(seed);
    let (began, mut ticks) = (Instant::now(), interval(Duration::from_millis(100)));
    while began.elapsed() < time {
        ticks.tick().await;
        let touch = json!(began.elapsed().as_millis().to_string());
        scene.annotate(random.pick(names).as_str(), "example.com/touched", touch).await;
    }
}

/// The calls to the service since then; those to STS have a rate of their own.
fn calls_since(scene: &Scene, mark: u64) -> Vec<JournalEntry> {
    let mut calls = scene.sim.journal_of(&JournalFilter::since(mark));
    calls.retain(|call| call.operation != Operation::GetCallerIdentity);
    calls
}

#[tokio::test]
async fn touching_what_waits_makes_it_try_no_sooner() {
    let mut scene = Scene::new("touched").await;
    scene.start(&["--sweep-interval", "10m"]);
    scene.sim.inject(Fault::new(FaultKind::Throttling));
    let names: Vec<String> = (0..4).map(|number| format!("o{number}")).collect();
    for name in &names {
        scene.apply(name, &spec(&json!([account("a", "111122223333")]))).await;
    }
    let mark = scene.mark();
    touched_for(&scene, &names, Duration::from_secs(15), 901).await;
    // Pauses of about 1, 2, 4 and 8 s between flights of five attempts. Were a touch an attempt, there would be 150.
    let calls = calls_since(&scene, mark).len();
    assert!(calls <= 60, "{calls} calls");
    scene.sim.clear_faults();
    join_all(names.iter().map(|name| scene.ready(name))).await;
}

/// Refuses every call for a while as too many, while 200 objects want to be served and others touch them.
#[tokio::test]
async fn a_service_that_is_overrun_is_not_stormed_and_all_is_served_soon_after() {
    const BUSES: usize = 20;
    let mut scene = Scene::new("overrun").await;
    scene.start(&["--sweep-interval", "5s"]);
    for bus in 0..BUSES {
        scene.sim.create_bus(ACCOUNT, REGION, &format!("bus{bus}"));
    }
    let throttled = scene.sim.inject(Fault::new(FaultKind::Throttling));
    let names: Vec<String> = (0..200).map(|number| format!("o{number}")).collect();
    let apply = async |(number, name): (usize, &String)| {
        let spec = json!({"eventBus": {"name": format!("bus{}", number % BUSES)}, "statements": [account("a", "111122223333")]});
        scene.apply(name, &spec).await;
    };
    let mark = scene.mark();
    stream::iter(names.iter().enumerate()).for_each_concurrent(16, apply).await;
    touched_for(&scene, &names, Duration::from_secs(20 * soak()), 902).await;
    scene.sim.clear_fault(throttled);
    let over = Instant::now();
    join_all(names.iter().map(|name| scene.ready(name))).await;
    let recovered = over.elapsed();

    let calls = calls_since(&scene, mark);
    let refused = calls.iter().filter(|call| !call.faults.is_empty()).count();
    assert!(refused > 20, "{refused} calls were refused");
    let at: Vec<i64> = calls.iter().map(|call| call.at_millis).collect();
    for seconds in [5, 20] {
        // The tokens of that time and those saved up; and a second more, since on a busy machine calls arrive in bunches.
        let allowed = REQUESTS_PER_SECOND * (seconds + 2);
        let busiest = busiest(&at, i64::try_from(seconds).unwrap() * 1000);
        assert!(busiest <= allowed, "{busiest} calls in {seconds} s, and {allowed} are allowed");
    }
    assert!(recovered < Duration::from_secs(30), "{recovered:?}");
    println!("{refused} calls refused, recovered after {recovered:?}");
}
