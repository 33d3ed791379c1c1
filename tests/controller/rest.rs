//! Once everybody has come to rest the bus holds what it must: where parallel writes are all answered 200 and the last one
//! stands, and where the later one is told of the conflict.

use std::collections::BTreeMap;

use busgrant_sim::{JournalEntry, JournalFilter, Semantics, Settings};
use futures::future::join_all;
use serde_json::Value;
use tokio::time::Duration;

use super::drawn;
use super::record::SOMEBODY_ELSE;
use super::scene::{Scene, is, is_list, spec};
use super::seeds::{Random, each_seed};
use super::somebody::SomebodyElse;

/// Longer than any pause that the operator makes before it looks again for what it has written.
const LONGEST_PAUSE_MILLIS: i64 = 5000;

/// Waits until nothing is under way on the bus, nothing has been for a while, and a look over all buses found nothing to do.
async fn comes_to_rest(scene: &Scene) {
    crate::support::eventually("it comes to rest", crate::support::PATIENCE, async || {
        let calls = scene.calls(0);
        let last = calls.last().unwrap();
        let looked = scene.sim.journal_of(&JournalFilter::since(last.seq)).iter().any(is_list);
        let since = scene.sim.now_millis() - last.at_millis;
        let answered = calls.iter().all(|call| call.answered.is_some());
        let rests = answered && looked && since > LONGEST_PAUSE_MILLIS;
        if rests { Ok(()) } else { Err(format!("{since} ms after {last:?}")) }
    })
    .await;
}

/// Two to eight objects that change on one bus while somebody else writes there too.
async fn contest(purpose: &str, semantics: Semantics, seed: u64) {
    let mut random = Random::new(seed);
    let scene = Scene::running(purpose).await;
    scene.overwritten.set(semantics == Semantics::LastWriterWins);
    let gap_millis = u64::try_from(random.between(20, 150)).unwrap();
    scene.sim.set(Settings { semantics, gap_millis, ..Settings::default() });
    let pause = Duration::from_millis(u64::try_from(random.between(10, 200)).unwrap());
    let somebody = SomebodyElse::starts(&scene, pause, random.seed()).await;

    let names: Vec<String> = (0..random.between(2, 8)).map(|number| format!("n{number}")).collect();
    let mut given: BTreeMap<&str, Value> = BTreeMap::new();
    for _ in 0..random.between(2, 3) {
        let mut edits = Vec::new();
        for name in &names {
            let statements = if random.percent(20) {
                drawn::statements(&mut random, 2)
            } else {
                drawn::short_statements(&mut random, 2)
            };
            given.insert(name, spec(&statements));
            edits.push((name, spec(&statements)));
        }
        join_all(edits.iter().map(|(name, spec)| scene.apply(name, spec))).await;
        let writes = of_others(&scene) + random.between(4, 10);
        scene.sim.wait_until(|_| of_others(&scene) >= writes).await;
    }
    if names.len() > 2 {
        scene.delete(&names[0]).await;
        given.remove(names[0].as_str());
    }
    somebody.stops();
    comes_to_rest(&scene).await;

    for (name, spec) in &given {
        assert_eq!(scene.held(name), scene.wanted(name, spec), "{name} at rest");
        assert!(is(&scene.get(name).await, "Ready", "True"), "{name} at rest");
    }
    if names.len() > 2 {
        scene.gone(&names[0]).await;
        assert!(scene.held(&names[0]).is_empty());
    }
}

/// How many calls of somebody else were answered.
fn of_others(scene: &Scene) -> usize {
    let theirs = |call: &&JournalEntry| call.caller.contains(SOMEBODY_ELSE) && call.answered.is_some();
    scene.calls(0).iter().filter(theirs).count()
}

#[tokio::test]
async fn nothing_is_missing_where_the_last_writer_wins() {
    each_seed(400, 2, async |seed| contest("lastwins", Semantics::LastWriterWins, seed).await).await;
}

#[tokio::test]
async fn nothing_is_missing_where_conflicts_are_told() {
    each_seed(500, 2, async |seed| contest("told", Semantics::ConflictDetection, seed).await).await;
}
