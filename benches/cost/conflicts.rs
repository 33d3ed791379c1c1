//! Concurrent modifications in a row: how long, how many calls, and whether the first status that says Ready counts them.

use std::time::Duration;

use busgrant_sim::{Fault, FaultKind, Operation};

use super::report::{Table, Times, told};
use super::stage::{Grant, Stage, account};

/// How often each row of conflicts is made: the pauses between attempts are jittered.
const SAMPLES: usize = 20;
const BUS: &str = "orders";

pub(crate) async fn measure(table: &mut Table) -> anyhow::Result<()> {
    let stage = Stage::new().await?;
    stage.create_bus(BUS);
    let operator = stage.operator(None).await?;
    let grant = |number| Grant { name: format!("p{number}"), bus: BUS.to_owned(), statement: account(number) };
    stage.time(&grant(0)).await?;
    let mut number = 0;
    for (conflicts, target) in [(3, Duration::from_millis(500)), (8, Duration::from_secs(3))] {
        let (mut times, mut most, mut right) = (Vec::new(), 0, 0);
        for _ in 0..SAMPLES {
            number += 1;
            let fault = Fault::new(FaultKind::ConcurrentModification).on(Operation::PutPermission).times(conflicts);
            stage.sim.inject(fault);
            let mark = stage.sim.mark();
            let (time, status) = stage.time(&grant(number)).await?;
            times.push(time);
            most = most.max(stage.calls_of_changes(mark));
            let writes = &status["writes"];
            let counted = |field: &str| writes[field].as_u64() == Some(conflicts);
            right += usize::from(
                counted("concurrentModificationRetries")
                    && counted("concurrentModificationRetriesTotal")
                    && writes["lastConcurrentModificationTime"].is_string(),
            );
        }
        let times: Times = times.into_iter().collect();
        let what = format!("{conflicts} concurrent modifications in a row");
        let measured = format!("longest of {SAMPLES} {}, median {}", told(times.longest()), told(times.median()));
        table.check(format!("{what}: Ready after"), format!("< {}", told(target)), measured, times.longest() < target);
        // Beside the read, the step and the read that the change takes without them.
        let each = usize::try_from(conflicts)? * 2;
        let beside = most.saturating_sub(3);
        table.check(
            format!("{what}: most calls beside the change's 3"),
            format!("{each} = 2 each"),
            beside,
            beside <= each,
        );
        let measured = format!("{right} of {SAMPLES}");
        table.check(
            format!("{what}: counted by the first status that says Ready"),
            SAMPLES,
            measured,
            right == SAMPLES,
        );
    }
    operator.stop().await?;
    stage.stop()
}
