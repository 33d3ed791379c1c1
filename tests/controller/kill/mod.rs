//! The operator killed at every request that it sends, and started again.
//!
//! A scenario is played undisturbed, which tells its requests. Then it is played again for each of them, and for each that
//! writes in several ways, with the operator killed by SIGKILL while the request is under way. It must end as the undisturbed
//! run did: the same objects, finalizers, status and policy, with no write that is not in it.

mod end;
mod point;
mod scenario;

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::future::join;
use futures::{FutureExt, StreamExt, stream};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use self::end::{End, interrupted, nobody_lost_access, undone};
use self::point::{Fate, Point, Trap, points};
use self::scenario::{Act, Scenario, has_read};
use crate::controller::scene::{account, spec};

/// How many scenes play at a time: most of the time they wait.
static SCENES: Semaphore = Semaphore::const_new(10);
/// Names points to be tried alone: whatever contains it.
const ONLY: &str = "BUSGRANT_KILL_ONLY";

async fn killed_at_every_request(scenario: Scenario) {
    let started = Instant::now();
    // Two, since some steps depend on what the operator sees first.
    let ((mut reference, mut points), (again, others)) = join(undisturbed(&scenario), undisturbed(&scenario)).await;
    reference.allow(again);
    let only = std::env::var(ONLY).unwrap_or_default();
    points.retain(|point| others.contains(point) && label(&scenario, point).contains(&only));
    let runs = points.iter().map(async |point| {
        let _permit = SCENES.acquire().await.unwrap();
        let began = Instant::now();
        let run = AssertUnwindSafe(killed_at(&scenario, point, &reference)).catch_unwind().await;
        let said = match run {
            Ok(true) => "",
            Ok(false) => ": the operator never came there",
            Err(_) => ": FAILED",
        };
        eprintln!("{:6.2} s  {}{said}", began.elapsed().as_secs_f64(), label(&scenario, point));
        (label(&scenario, point), run.ok())
    });
    let ends: Vec<_> = stream::iter(runs).buffer_unordered(points.len().max(1)).collect().await;
    eprintln!("{}: {} points in {:.1} s", scenario.name, points.len(), started.elapsed().as_secs_f64());
    let those = |end| ends.iter().filter(move |(_, ended)| *ended == end).map(|(label, _)| label);
    let again = |label| format!("\n{ONLY}='{label}' cargo test --test kubernetes kill::");
    let failed: String = those(None).map(again).collect();
    assert!(failed.is_empty(), "points failed, as told above; to see one alone:{failed}");
    let missed = those(Some(false)).count();
    assert!(
        missed * 10 <= points.len(),
        "the operator came to too few points: {:?}",
        those(Some(false)).collect::<Vec<_>>()
    );
}

fn label(scenario: &Scenario, point: &Point) -> String {
    format!("{}: {point}", scenario.name)
}

async fn undisturbed(scenario: &Scenario) -> (End, Vec<Point>) {
    let (mut scene, marks) = scenario.stage().await;
    scenario.change(&mut scene).await;
    scenario.rest(&scene).await;
    scene.stop().await;
    nobody_lost_access(&scene, scenario, &marks);
    let end = End::of(&scene, scenario, &marks).await;
    (end, points(&scene, scenario, &marks))
}

/// Tells whether the operator came to the point: where objects share a flight or not, the number of reads varies.
async fn killed_at(scenario: &Scenario, point: &Point, reference: &End) -> bool {
    for _ in 0..3 {
        if killed(scenario, point, reference).await {
            return true;
        }
    }
    false
}

/// Plays a scenario with the operator killed at a point; tells whether it came there.
async fn killed(scenario: &Scenario, point: &Point, reference: &End) -> bool {
    let (mut scene, marks) = scenario.stage().await;
    let trap = Trap::set(&scene, point);
    scenario.change(&mut scene).await;
    tokio::select! {
        biased;
        () = trap.holds(&scene, point) => {}
        () = scenario.rest(&scene) => {
            // What was asked for may be done before the operator hears of it.
            if timeout(Duration::from_secs(2), trap.holds(&scene, point)).await.is_err() {
                return false;
            }
        }
    }
    let mut repeated = interrupted(&scene, scenario, &trap);
    scene.kill();
    trap.disarm(&scene);
    let (mark, lists) = (scene.mark(), scene.front.lists());
    scenario.start(&mut scene);
    if point.fate == Fate::Late {
        scene.sim.wait_until(|_| has_read(&scene, mark)).await;
        trap.let_go(&scene).await;
        repeated.extend(undone(&scene, scenario));
    }
    scenario.looked(&scene, mark, lists).await;
    scenario.rest_after(&scene, mark).await;
    scene.stop().await;
    let end = End::of(&scene, scenario, &marks).await;
    if let (Trap::Kubernetes(..), Fate::Lost) = (&trap, point.fate) {
        trap.let_go(&scene).await;
        end.assert_still(&End::of(&scene, scenario, &marks).await);
    }
    nobody_lost_access(&scene, scenario, &marks);
    let right = end.check(reference, &repeated, scenario);
    assert!(right.is_ok(), "killed at {}: {}", label(scenario, point), right.unwrap_err());
    true
}

fn scenario(name: &'static str, before: Vec<Act>, change: Vec<Act>) -> Scenario {
    Scenario { name, before, change, unattended: false, sweep_interval: "10m" }
}

fn org(name: &str, organization: &str) -> Value {
    json!({"name": name, "principals": {"organizationID": organization}})
}

fn from(name: &str, source: &str) -> Value {
    json!({"name": name, "principals": {"accountIDs": ["111122223333"]}, "sources": [source]})
}

const ONE: &str = "111122223333";
const OTHER: &str = "444455556666";

#[tokio::test]
async fn while_an_object_is_created() {
    let object = spec(&json!([account("a", ONE), org("b", "o-a1b2c3d4e5")]));
    killed_at_every_request(scenario("create", vec![], vec![Act::Apply("a", object)])).await;
}

#[tokio::test]
async fn while_an_object_is_edited() {
    let before = spec(&json!([account("stays", ONE), org("changes", "o-a1b2c3d4e5"), account("goes", ONE)]));
    let after = spec(&json!([account("stays", ONE), org("changes", "o-f6g7h8i9j0"), account("comes", OTHER)]));
    killed_at_every_request(scenario("edit", vec![Act::Apply("a", before)], vec![Act::Apply("a", after)])).await;
}

#[tokio::test]
async fn while_a_statement_is_renamed() {
    let (before, after) = (spec(&json!([account("old", ONE)])), spec(&json!([account("new", ONE)])));
    killed_at_every_request(scenario("rename", vec![Act::Apply("a", before)], vec![Act::Apply("a", after)])).await;
}

#[tokio::test]
async fn while_an_object_is_deleted() {
    let object = spec(&json!([account("a", ONE), from("b", "com.acme")]));
    killed_at_every_request(scenario("delete", vec![Act::Apply("a", object)], vec![Act::Delete("a")])).await;
}

#[tokio::test]
async fn while_an_object_goes_whose_statements_stay() {
    let mut object = spec(&json!([account("a", ONE), from("b", "com.acme")]));
    object["deletionPolicy"] = json!("Retain");
    killed_at_every_request(scenario("retain", vec![Act::Apply("a", object)], vec![Act::Delete("a")])).await;
}

#[tokio::test]
async fn while_the_whole_document_is_written() {
    let deny = json!({"name": "no", "raw": {"effect": "Deny", "principal": {"AWS": [OTHER]}, "actions": ["events:PutEvents"]}});
    let before = spec(&json!([from("stays", "com.acme"), from("changes", "com.acme"), from("old", "com.acme.old")]));
    let after = spec(&json!([
        from("stays", "com.acme"),
        from("changes", "com.acme.more"),
        from("new", "com.acme.old"),
        deny,
        account("short", ONE)
    ]));
    killed_at_every_request(scenario("document", vec![Act::Apply("a", before)], vec![Act::Apply("a", after)])).await;
}

#[tokio::test]
async fn while_objects_on_one_bus_come_change_and_go() {
    let before = vec![
        Act::Apply("a", spec(&json!([account("one", ONE), from("long", "com.acme")]))),
        Act::Apply("c", spec(&json!([account("one", ONE)]))),
    ];
    let change = vec![
        Act::Apply("a", spec(&json!([account("two", ONE), from("long", "com.acme.more")]))),
        Act::Apply("b", spec(&json!([account("one", OTHER)]))),
        Act::Delete("c"),
    ];
    killed_at_every_request(scenario("siblings", before, change)).await;
}

#[tokio::test]
async fn while_what_somebody_removed_is_put_back() {
    let object = spec(&json!([account("a", ONE), from("b", "com.acme")]));
    let before = vec![Act::Apply("a", object)];
    let scenario = Scenario { sweep_interval: "1s", ..scenario("drift", before, vec![Act::Take("a")]) };
    killed_at_every_request(scenario).await;
}

#[tokio::test]
async fn while_it_does_what_was_left_undone() {
    let before = vec![
        Act::Apply("a", spec(&json!([account("old", ONE)]))),
        Act::Apply("b", spec(&json!([account("a", OTHER)]))),
    ];
    let change = vec![Act::Apply("a", spec(&json!([account("new", ONE)]))), Act::Delete("b")];
    killed_at_every_request(Scenario { unattended: true, ..scenario("start", before, change) }).await;
}
