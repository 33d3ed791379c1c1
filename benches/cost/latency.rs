//! From apply to verified Ready, on a system that does nothing else.

use std::time::{Duration, Instant};

use busgrant_sim::{Fault, FaultKind};
use tokio::time::sleep_until;

use super::report::{Table, Times, told};
use super::stage::{Grant, Stage, account};

/// How often a change is made: less than the default rate of calls allows.
const EVERY: Duration = Duration::from_millis(300);
/// What is not timed yet: connections are opened, and memory is touched for the first time.
const WARM_UP: usize = 5;
const ON_EACH_BUS: usize = 20;

/// What one kind of change came to.
struct Samples {
    times: Times,
    /// The most calls that one took.
    calls: usize,
}

pub(crate) async fn measure(table: &mut Table, samples: usize) -> anyhow::Result<()> {
    for (latency, samples) in [(0, samples), (50, samples.div_ceil(2))] {
        let stage = Stage::new().await?;
        if latency > 0 {
            stage.sim.inject(Fault::new(FaultKind::Latency { millis: latency }));
        }
        let operator = stage.operator(None).await?;
        let created = timed(&stage, samples, account).await?;
        let edited = timed(&stage, samples, |number| account(1_000_000 + number)).await?;
        operator.stop().await?;
        stage.stop()?;
        tell(table, &format!("apply a new permission, AWS latency {latency} ms"), latency, &created, 1);
        tell(table, &format!("edit: another account, AWS latency {latency} ms"), latency, &edited, 2);
    }
    Ok(())
}

/// Changes one permission after the other.
async fn timed(
    stage: &Stage,
    samples: usize,
    statement: impl Fn(usize) -> serde_json::Value,
) -> anyhow::Result<Samples> {
    let (mut times, mut most) = (Vec::new(), 0);
    for number in 0..WARM_UP + samples {
        let next = Instant::now() + EVERY;
        let bus = format!("bus-{}", number / ON_EACH_BUS);
        stage.create_bus(&bus);
        let mark = stage.sim.mark();
        let grant = Grant { name: format!("p{number}"), bus, statement: statement(number) };
        let (time, _) = stage.time(&grant).await?;
        if number >= WARM_UP {
            times.push(time);
            most = most.max(stage.calls_of_changes(mark));
        }
        sleep_until(next.into()).await;
    }
    Ok(Samples { times: times.into_iter().collect(), calls: most })
}

fn tell(table: &mut Table, what: &str, latency: u64, samples: &Samples, steps: usize) {
    let (median, p99) = (samples.times.median(), samples.times.percentile(99));
    let measured = format!("{}, p99 {}", told(median), told(p99));
    // The target is for new objects: an edit has more steps.
    if latency == 0 && steps == 1 {
        table.check(format!("{what}: median"), "< 40 ms", measured, median < Duration::from_millis(40));
    } else {
        table.tell(format!("{what}: median"), measured);
    }
    let target = format!("{} = {steps} + 2", steps + 2);
    table.check(format!("{what}: most calls"), target, samples.calls, samples.calls <= steps + 2);
}
