//! Many permissions that are in sync: what a start, a sweep and rest cost, and what memory they take.

use std::time::Duration;

use busgrant_sim::Operation;
use tokio::time::{sleep, sleep_until};

use super::operator::{Memory, Operator};
use super::report::{Table, mib, told};
use super::stage::{Grant, Stage, account, begins_list, by_document, writes_policy};

const ON_EACH_BUS: usize = 20;
/// Every so many permissions have a statement that only a whole document can say.
const BY_DOCUMENT: usize = 4;
/// Calls a second for the grants to be made; everything is measured with the default.
const SEED_RATE: u32 = 5000;
/// What follows a start is over by then: what a predecessor may have sent is waited out, and the first sweep is done.
const SETTLED: Duration = Duration::from_secs(45);

const MEMORY_TARGET: u64 = 64 * 1024;
const START_TARGET: Duration = Duration::from_secs(20);

/// What a start came to.
struct Start {
    verified: Duration,
    /// Calls until all were verified.
    calls: usize,
    /// Calls from then on that were no sweep's.
    later: usize,
}

pub(crate) async fn measure(table: &mut Table, objects: usize, rest: Duration) -> anyhow::Result<()> {
    let stage = Stage::new().await?;
    let mut resident = Vec::new();
    for part in [objects / 4, objects / 2] {
        grow(&stage, part).await?;
        let (operator, _) = start(&stage, part).await?;
        resident.push((part, operator.memory()?));
        operator.stop().await?;
    }
    grow(&stage, objects).await?;
    let (operator, begun) = start(&stage, objects).await?;
    let what = format!("{objects} permissions on {} buses", objects.div_ceil(ON_EACH_BUS));
    tell_start(table, &what, objects, &begun);
    tell_rest(table, &what, objects, &stage, &operator, rest).await?;
    resident.push((objects, operator.memory()?));
    tell_memory(table, &what, &resident);
    operator.stop().await?;
    stage.stop()
}

/// Has so many permissions made and granted.
async fn grow(stage: &Stage, objects: usize) -> anyhow::Result<()> {
    let operator = stage.operator(Some(SEED_RATE)).await?;
    let grants: Vec<Grant> = (stage.watch.count()..objects).map(grant).collect();
    for grant in &grants {
        stage.create_bus(&grant.bus);
    }
    stage.apply_all(&grants).await?;
    stage.watch.all_ready(objects).await?;
    operator.stop().await
}

/// Every Region has a default bus, which the list shows too: it is one of those that are used.
fn grant(number: usize) -> Grant {
    let bus = match number / ON_EACH_BUS {
        0 => "default".to_owned(),
        bus => format!("bus-{bus}"),
    };
    let statement = if number.is_multiple_of(BY_DOCUMENT) { by_document(number) } else { account(number) };
    Grant { name: format!("permission-{number:05}"), bus, statement }
}

/// Starts the operator on objects that are as they should be, and waits until what follows is over.
async fn start(stage: &Stage, objects: usize) -> anyhow::Result<(Operator, Start)> {
    let mark = stage.sim.mark();
    let mut operator = stage.operator(None).await?;
    operator.landed(objects, objects.div_ceil(ON_EACH_BUS)).await?;
    let verified = operator.started.elapsed();
    let (calls, mark) = (stage.calls(mark).len(), stage.sim.mark());
    sleep_until((operator.started + SETTLED).into()).await;
    let later = stage.calls_of_changes(mark);
    Ok((operator, Start { verified, calls, later }))
}

fn tell_start(table: &mut Table, what: &str, objects: usize, start: &Start) {
    let lists = objects.div_ceil(ON_EACH_BUS).div_ceil(100);
    let measured =
        format!("{} until all are verified, {} more within {} s", start.calls, start.later, SETTLED.as_secs());
    let all = start.calls + start.later;
    table.check(format!("{what}, start with nothing changed: calls to EventBridge"), lists, measured, all == lists);
    let met = start.verified < START_TARGET;
    table.check(format!("{what}, start with nothing changed: all verified after"), "< 20 s", told(start.verified), met);
}

async fn tell_rest(
    table: &mut Table,
    what: &str,
    objects: usize,
    stage: &Stage,
    operator: &Operator,
    rest: Duration,
) -> anyhow::Result<()> {
    let statuses = operator.counter("busgrant_status_writes_total", "").await?;
    let (mark, changes, processor) = (stage.sim.mark(), stage.watch.changes(), operator.processor()?);
    sleep(rest).await;
    let processor = operator.processor()?.saturating_sub(processor);
    let calls = stage.calls(mark);
    let sweeps = calls.iter().filter(|call| begins_list(call)).count();
    let pages = calls.iter().filter(|call| call.operation == Operation::ListEventBuses).count();
    let writes = calls.iter().filter(|call| writes_policy(call)).count();
    let changes = stage.watch.changes() - changes;
    let statuses = operator.counter("busgrant_status_writes_total", "").await? - statuses;

    let lists = objects.div_ceil(ON_EACH_BUS).div_ceil(100);
    let measured = format!("{pages} in {sweeps} sweeps, and {} others", calls.len() - pages);
    let met = sweeps > 0 && calls.len() == sweeps * lists;
    table.check(format!("{what}, in sync: calls a sweep"), lists, measured, met);
    table.check(format!("{what}, in sync: writes to EventBridge"), 0, writes, writes == 0);
    let measured = format!("{statuses:.0}, and {changes} changes of objects");
    table.check(format!("{what}, in sync: status writes"), 0, measured, statuses == 0.0 && changes == 0);
    let percent = processor.as_secs_f64() / rest.as_secs_f64() * 100.0;
    let measured = format!("{percent:.2} % over {} s", rest.as_secs());
    table.check(format!("{what}, in sync: processor"), "< 1 % of a core", measured, percent < 1.0);
    Ok(())
}

/// Linear: the second half of the objects takes no more for each than the first part did, but for what an allocator adds.
fn tell_memory(table: &mut Table, what: &str, resident: &[(usize, Memory)]) {
    let &[(quarter, first), (half, second), (all, last)] = resident else { return };
    let most = format!("{}, at most {} since the start", mib(last.resident), mib(last.most));
    let met = last.resident.max(last.most) < MEMORY_TARGET;
    table.check(format!("{what}: resident memory"), "< 64 MiB", most, met);
    let growth = |from: (usize, Memory), to: (usize, Memory)| {
        (to.1.resident.saturating_sub(from.1.resident) * 1024) / u64::try_from(to.0 - from.0).unwrap_or(1).max(1)
    };
    let (early, late) = (growth((quarter, first), (half, second)), growth((half, second), (all, last)));
    let measured = format!(
        "{late} bytes each from {half} to {all}, {early} from {quarter} to {half} ({}, {}, {})",
        mib(first.resident),
        mib(second.resident),
        mib(last.resident)
    );
    table.check(format!("{what}: growth"), "linear", measured, late <= early + early / 4);
}
