//! Edits at a steady rate over many buses. They come when they come, whether the ones before are done or not.

use std::time::{Duration, Instant};

use futures::future::try_join_all;
use tokio::time::sleep_until;

use super::operator::has_rate;
use super::report::{Table, Times, told};
use super::stage::{Grant, Stage, account};

const BUSES: usize = 100;
const ON_EACH_BUS: usize = 10;
const EVERY: Duration = Duration::from_millis(50);
/// 20 edits a second of two steps each take 80 calls a second.
const RATE: u32 = 100;
/// Enough for seeding.
const SEED_RATE: u32 = 1000;
/// How many edits show what the default rate sustains.
const SUSTAINED: usize = 300;

pub(crate) async fn measure(table: &mut Table) -> anyhow::Result<()> {
    let stage = Stage::new().await?;
    let grants: Vec<Grant> = (0..BUSES * ON_EACH_BUS).map(|number| grant(number, account(number))).collect();
    for grant in &grants {
        stage.create_bus(&grant.bus);
    }
    let seeding = stage.operator(Some(SEED_RATE)).await?;
    stage.apply_all(&grants).await?;
    stage.watch.all_ready(grants.len()).await?;
    seeding.stop().await?;

    let limited = has_rate()?;
    let edits = run(&stage, Some(RATE), grants.len(), 1).await?;
    let rate = if limited { format!(", {RATE} calls/s allowed") } else { String::new() };
    let what = format!("{} edits at 20/s over {BUSES} buses{rate}", grants.len());
    let p99 = edits.times.percentile(99);
    let measured =
        format!("{}, median {}, longest {}", told(p99), told(edits.times.median()), told(edits.times.longest()));
    table.check(format!("{what}: p99 verified"), "< 2 s", measured, p99 < Duration::from_secs(2));
    table.tell(format!("{what}: calls"), calls(edits.calls, grants.len()));
    if limited {
        let edits = run(&stage, None, SUSTAINED, 2).await?;
        let what = format!("{SUSTAINED} edits at 20/s over {BUSES} buses, calls as by default");
        let sustained = f64::from(u32::try_from(SUSTAINED)?) / edits.took.as_secs_f64();
        let measured = format!("{sustained:.1} edits/s, the last after {}", told(edits.times.longest()));
        table.tell(format!("{what}: sustained"), measured);
        table.tell(format!("{what}: calls"), calls(edits.calls, SUSTAINED));
    }
    stage.stop()
}

struct Edits {
    times: Times,
    /// From the first edit until all were verified.
    took: Duration,
    calls: usize,
}

/// Edits so many permissions, each to another account in each round.
async fn run(stage: &Stage, rate: Option<u32>, edits: usize, round: usize) -> anyhow::Result<Edits> {
    let mut operator = stage.operator(rate).await?;
    operator.landed(BUSES * ON_EACH_BUS, BUSES).await?;
    // What follows a start is over before the first edit.
    sleep_until((operator.started + Duration::from_secs(40)).into()).await;
    let (mark, started) = (stage.sim.mark(), Instant::now());
    let timed = try_join_all((0..edits).map(async |edit| {
        let due = started + EVERY * u32::try_from(edit)?;
        sleep_until(due.into()).await;
        let sent = stage.apply(&grant(edit, account(round * 1_000_000 + edit))).await?;
        let ready = stage.watch.ready(&grant(edit, account(edit)).name, sent.generation).await?;
        anyhow::Ok(ready.at.duration_since(due))
    }))
    .await?;
    let took = started.elapsed();
    let calls = stage.calls_of_changes(mark);
    operator.stop().await?;
    Ok(Edits { times: timed.into_iter().collect(), took, calls })
}

/// One after the other is on another bus.
fn grant(number: usize, statement: serde_json::Value) -> Grant {
    Grant { name: format!("p{number}"), bus: format!("bus-{}", number % BUSES), statement }
}

fn calls(calls: usize, edits: usize) -> String {
    let hundredths = calls * 100 / edits;
    format!("{calls}, {}.{:02} an edit of 2 steps", hundredths / 100, hundredths % 100)
}
