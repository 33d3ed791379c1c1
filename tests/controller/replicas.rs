//! Two replicas and one Lease: one of them acts at a time, whatever happens to it, and the other takes over in time.

use std::time::Duration;

use axum::http::StatusCode;
use busgrant_sim::{JournalEntry, JournalFilter};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::link::Gate;
use super::operator::{Operator, Start};
use super::scene::{Scene, account, spec, writes_policy};
use super::somebody::session;
use crate::support::{PATIENCE, eventually};

/// Times as long as they must be for each other, and short for a test.
const FLAGS: [&str; 5] = [
    "--leader-elect",
    "--lease-duration=9s",
    "--lease-renew-deadline=6s",
    "--lease-retry-period=1s",
    "--aws-call-timeout=4s",
];
/// How soon another leads after one that said nothing: the lease's duration, one try, and a busy machine.
const AFTER_SILENCE: Duration = Duration::from_secs(9 + 1 + 2);
/// How soon after one that let go: one try.
const AFTER_RELEASE: Duration = Duration::from_secs(1 + 2);

struct Replicas {
    scene: Scene,
    first: Operator,
    second: Operator,
}

impl Replicas {
    /// The first leads, and the second stands by.
    async fn running(purpose: &str) -> Self {
        let mut scene = Scene::new(purpose).await;
        let first = replica(&mut scene, "first").await;
        role(&first, "leader").await;
        let second = replica(&mut scene, "second").await;
        role(&second, "standby").await;
        Self { scene, first, second }
    }

    async fn apply(&self, numbers: std::ops::Range<usize>) {
        for number in numbers {
            self.scene.apply(&name(number), &wanted(number)).await;
        }
    }

    /// The first gets a signal, and the second leads soon enough.
    async fn taken_over(&self, signal: &str, within: Duration) {
        self.first.signal(signal);
        self.scene.turn();
        let began = Instant::now();
        role(&self.second, "leader").await;
        assert!(began.elapsed() < within, "{:?}", began.elapsed());
    }

    /// Everything is served, however often it changed hands.
    async fn all_served(&self, numbers: std::ops::Range<usize>) {
        for number in numbers {
            self.scene.ready(&name(number)).await;
            assert_eq!(self.scene.held(&name(number)), self.scene.wanted(&name(number), &wanted(number)));
        }
    }

    /// The writes of one of them, in the order of their arrival.
    fn writes_of(&self, replica: &str) -> Vec<JournalEntry> {
        let mut calls = self.scene.sim.journal_of(&JournalFilter::since(0));
        let caller = format!(":assumed-role/busgrant/{replica}");
        calls.retain(|call| writes_policy(call) && call.caller.ends_with(&caller));
        calls
    }

    /// No write of the first was still under way, or began, after the second had begun to write.
    fn never_both(&self) {
        let (first, second) = (self.writes_of("first"), self.writes_of("second"));
        let begins = second.first().expect("the second writes").seq;
        let late: Vec<_> =
            first.iter().filter(|call| call.seq > begins || call.answered.is_none_or(|at| at > begins)).collect();
        assert!(!first.is_empty() && late.is_empty(), "the second writes from {begins} on, and the first: {late:?}");
    }
}

async fn replica(scene: &mut Scene, name: &str) -> Operator {
    let session = session(scene, "busgrant", name).await;
    let start =
        Start { flags: FLAGS.to_vec(), session: Some(session), requests_per_second: Some(100), ..Start::default() };
    scene.start_beside(&start)
}

fn name(number: usize) -> String {
    format!("p{number}")
}

fn wanted(number: usize) -> Value {
    spec(&json!([account("a", &format!("{:012}", 100_000_000_000 + number))]))
}

async fn role(operator: &Operator, role: &str) {
    eventually(&format!("readyz says {role}"), PATIENCE, async || {
        let answer = operator.answer("GET /readyz HTTP/1.0\r\n\r\n").unwrap_or_default();
        if answer.starts_with("HTTP/1.0 200") && answer.ends_with(role) { Ok(()) } else { Err(answer) }
    })
    .await;
}

#[tokio::test]
async fn a_standby_does_nothing_and_says_so() {
    let replicas = Replicas::running("standby").await;
    replicas.apply(0..3).await;
    replicas.all_served(0..3).await;
    let asked = replicas.scene.sim.journal_of(&JournalFilter::since(0));
    assert!(asked.iter().all(|call| !call.caller.ends_with("/second")), "{asked:?}");
    for (operator, leads) in [(&replicas.first, 1), (&replicas.second, 0)] {
        let metrics = operator.metrics().unwrap();
        let said = format!("leader_election_master_status{{name=\"busgrant-{}\"}} {leads}", replicas.scene.owner);
        assert!(metrics.contains(&said), "{said} is not in {metrics}");
    }
}

#[tokio::test]
async fn a_leader_that_is_told_to_end_hands_over_at_once() {
    let mut replicas = Replicas::running("handover").await;
    replicas.apply(0..20).await;
    replicas.taken_over("TERM", AFTER_RELEASE).await;
    replicas.apply(20..25).await;
    replicas.all_served(0..25).await;
    replicas.never_both();
    assert!(replicas.first.ended().await, "it ended with an error");
}

#[tokio::test]
async fn a_leader_that_is_killed_is_followed_once_it_was_silent_long_enough() {
    let mut replicas = Replicas::running("killed").await;
    replicas.apply(0..20).await;
    replicas.taken_over("KILL", AFTER_SILENCE).await;
    replicas.apply(20..25).await;
    replicas.all_served(0..25).await;
    replicas.never_both();
    assert!(!replicas.first.is_running());
}

#[tokio::test]
async fn a_leader_that_was_paused_writes_no_more_when_it_goes_on() {
    let mut replicas = Replicas::running("paused").await;
    replicas.apply(0..20).await;
    replicas.taken_over("STOP", AFTER_SILENCE).await;
    // What it wants to do when it goes on, the other has done or does.
    replicas.apply(20..40).await;
    replicas.first.signal("CONT");
    replicas.all_served(0..40).await;
    assert!(!replicas.first.ended().await, "it ended as if all were well");
    replicas.never_both();
}

#[tokio::test]
async fn a_leader_that_can_not_renew_stops_writing_before_another_begins() {
    const OBJECTS: usize = 20;
    let mut scene = Scene::new("cutoff").await;
    let gate = Gate::before(&scene.front.url).await;
    scene.go_through(&gate);
    let first = replica(&mut scene, "first").await;
    role(&first, "leader").await;
    scene.go_directly();
    let second = replica(&mut scene, "second").await;
    role(&second, "standby").await;
    let mut replicas = Replicas { scene, first, second };
    replicas.apply(0..OBJECTS).await;
    replicas.all_served(0..OBJECTS).await;
    gate.refuse("/leases/", StatusCode::SERVICE_UNAVAILABLE);
    replicas.scene.turn();
    // There is something to write all the time, and no object changes so often that its status can't be written.
    let began = Instant::now();
    let mut number = OBJECTS;
    while replicas.writes_of("second").is_empty() {
        assert!(began.elapsed() < AFTER_SILENCE * 2, "nobody took over");
        replicas.scene.apply(&name(number % OBJECTS), &wanted(number)).await;
        number += 1;
        sleep(Duration::from_millis(50)).await;
    }
    for last in number - OBJECTS..number {
        let object = name(last % OBJECTS);
        replicas.scene.ready(&object).await;
        assert_eq!(replicas.scene.held(&object), replicas.scene.wanted(&object, &wanted(last)));
    }
    assert!(!replicas.first.ended().await, "it ended as if all were well");
    replicas.never_both();
}
