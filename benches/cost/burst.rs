//! Twenty permissions of one bus, edited at once.

use busgrant_sim::{Fault, FaultKind};
use futures::future::try_join_all;

use super::report::{Table, Times, told};
use super::stage::{Grant, Stage, account};

const PERMISSIONS: usize = 20;
const ROUNDS: usize = 10;
const BUS: &str = "orders";
/// Far more calls than a burst has: this row counts flights, and is not about waiting for one's turn.
const RATE: u32 = 1000;

pub(crate) async fn measure(table: &mut Table) -> anyhow::Result<()> {
    for latency in [0, 50] {
        let stage = Stage::new().await?;
        stage.create_bus(BUS);
        if latency > 0 {
            stage.sim.inject(Fault::new(FaultKind::Latency { millis: latency }));
        }
        let operator = stage.operator(Some(RATE)).await?;
        edit_all(&stage, 0).await?;
        let (mut most, mut all, mut times) = (0.0_f64, 0.0, Vec::new());
        for round in 1..=ROUNDS {
            let before = operator.counter("busgrant_flights_total", BUS).await?;
            times.push(edit_all(&stage, round).await?.longest());
            let flights = operator.counter("busgrant_flights_total", BUS).await? - before;
            most = most.max(flights);
            all += flights;
        }
        operator.stop().await?;
        stage.stop()?;
        let what = format!("{PERMISSIONS} permissions of one bus edited at once, AWS latency {latency} ms");
        let times: Times = times.into_iter().collect();
        let measured = format!("most of {ROUNDS} rounds {most:.0}, {all:.0} in all");
        table.check(format!("{what}: flights"), "1 or 2", measured, most <= 2.0);
        table.tell(
            format!("{what}: all Ready after"),
            format!("{}, longest {}", told(times.median()), told(times.longest())),
        );
    }
    Ok(())
}

/// Edits all permissions at once, and gives the time that each took.
async fn edit_all(stage: &Stage, round: usize) -> anyhow::Result<Times> {
    let grants: Vec<Grant> = (0..PERMISSIONS)
        .map(|number| Grant {
            name: format!("p{number}"),
            bus: BUS.to_owned(),
            statement: account(round * PERMISSIONS + number),
        })
        .collect();
    let timed = try_join_all(grants.iter().map(|grant| stage.time(grant))).await?;
    Ok(timed.into_iter().map(|(time, _)| time).collect())
}
