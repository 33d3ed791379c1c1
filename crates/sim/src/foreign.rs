//! Another writer on the same bus: single writes, and one that writes at a rate.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::task::AbortHandle;

use crate::core::Core;
use crate::fault::ForeignWrite;
use crate::journal::Writer;
use crate::permissions::short_form;
use crate::policy::{Policy, sid_of};
use crate::random::Random;
use crate::world::{BusName, World};

/// Does one foreign write. A bus that is not there stays so.
pub(crate) fn write_foreign(world: &mut World, name: &BusName, write: &ForeignWrite) -> bool {
    let Ok(bus) = world.bus(name) else { return false };
    let current = bus.policy.clone();
    let next = match write {
        ForeignWrite::Document { policy } => policy.as_ref().and_then(|policy| Policy::unchecked(policy, &world.iam)),
        ForeignWrite::Remove { sid } => {
            let Some(rest) = current.and_then(|policy| policy.without_statement(sid)) else { return false };
            rest
        }
        ForeignWrite::Put { statement } => {
            let sid = sid_of(statement).unwrap_or_default();
            Some(Policy::with_statement(current.as_deref(), sid, statement.clone(), &world.iam))
        }
    };
    world.apply(name, next, Writer::Foreign).is_ok()
}

/// A foreign writer that works on one bus at a rate, until it is stopped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ForeignWriter {
    /// The bus's account.
    pub account: String,
    /// The bus's Region.
    pub region: String,
    /// The bus's name.
    pub bus: String,
    /// Writes a second.
    pub per_second: f64,
    /// The seed of its choices.
    #[serde(default)]
    pub seed: u64,
    /// Whether it also rewrites the whole document: as it read it, with its own change, as careless tools do.
    #[serde(default)]
    pub documents: bool,
}

impl ForeignWriter {
    /// The next write: it puts, replaces or removes one of four statements of its own, `foreign-0` to `foreign-3`.
    fn next(&self, world: &mut World, bus: &BusName, random: &mut Random) -> ForeignWrite {
        let sid = format!("foreign-{}", random.below(4));
        let account = format!("{:012}", 100_000_000_000 + random.below(899_999_999_999));
        let statement = short_form(world, bus, &sid, &account, None);
        if self.documents && random.chance(0.3) {
            let current = world.bus(bus).ok().and_then(|bus| bus.policy.clone());
            let next = Policy::with_statement(current.as_deref(), &sid, statement, &world.iam);
            return ForeignWrite::Document { policy: Some(Value::Object(next.document())) };
        }
        if random.chance(0.3) { ForeignWrite::Remove { sid } } else { ForeignWrite::Put { statement } }
    }
}

/// Starts a foreign writer on the runtime that the simulator runs on.
pub(crate) fn start(core: &Arc<Core>, writer: ForeignWriter) -> AbortHandle {
    let core = Arc::clone(core);
    let task = tokio::spawn(async move {
        let bus = BusName::new(&writer.account, &writer.region, &writer.bus);
        let mut random = Random::new(writer.seed);
        let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / writer.per_second.clamp(0.01, 1000.0)));
        loop {
            ticks.tick().await;
            core.change(|world| {
                let write = writer.next(world, &bus, &mut random);
                write_foreign(world, &bus, &write)
            });
        }
    });
    task.abort_handle()
}
