//! One call from arrival to answer: credentials, faults, the operation, the journal.

use serde_json::{Map, Value};

use crate::arn::Arn;
use crate::core::Core;
use crate::error::{Outcome, Refusal};
use crate::fault::{Fault, FaultId, FaultKind, Moment};
use crate::foreign::write_foreign;
use crate::iam::Caller;
use crate::input::bare_bus_name;
use crate::journal::{JournalEntry, Writer};
use crate::operation::Operation;
use crate::policy::sid_of;
use crate::wire::{Credential, Protocol, form};
use crate::world::{BusName, World};
use crate::{buses, events, permissions, sts};

/// A call whose caller is known and whose faults are drawn.
#[derive(Debug)]
pub(crate) struct Underway {
    pub(crate) seq: u64,
    pub(crate) operation: Operation,
    pub(crate) caller: Caller,
    pub(crate) region: String,
    pub(crate) input: Map<String, Value>,
    pub(crate) faults: Vec<(FaultId, Fault)>,
}

impl Underway {
    /// The bus of that name in the caller's own account and Region.
    pub(crate) fn own_bus(&self, name: Option<&str>) -> BusName {
        BusName::new(&self.caller.account, &self.region, name.unwrap_or("default"))
    }

    /// The bus of that name or ARN, which may be another account's.
    pub(crate) fn bus(&self, name_or_arn: Option<&str>) -> Result<BusName, Refusal> {
        match name_or_arn.and_then(Arn::of_bus) {
            None => Ok(self.own_bus(name_or_arn)),
            Some((arn, name)) if arn.region == self.region => Ok(BusName::new(arn.account, arn.region, name)),
            Some(_) => Err(Refusal::validation("Cross-region api call is not allowed.")), // aws-observations #94
        }
    }

    /// What goes wrong with it.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = &FaultKind> {
        self.faults.iter().map(|(_, fault)| &fault.kind)
    }

    /// The faults that change what a read of this bus shows.
    pub(crate) fn faults_on(&self, bus: &BusName) -> impl Iterator<Item = &Fault> {
        self.faults.iter().map(|(_, fault)| fault).filter(move |fault| fault.shows_on(bus))
    }

    /// Does what the faults want done around the call: the bus vanishes, another writer writes.
    pub(crate) fn disturb(&self, world: &mut World, bus: &BusName, moment: Moment) {
        for kind in self.kinds() {
            match kind {
                FaultKind::BusVanishes if moment == Moment::Before => world.delete_bus(bus, Writer::Foreign),
                FaultKind::ForeignWrite { write, moment: when } if *when == moment => {
                    write_foreign(world, bus, write);
                }
                _ => {}
            }
        }
    }
}

/// Journals a call's arrival, finds its caller and draws its faults. The call is under way if its caller and its input are
/// sound.
pub(crate) fn begin(
    core: &Core,
    operation: Operation,
    protocol: Protocol,
    credential: Option<Credential>,
    body: String,
) -> (u64, Result<Underway, Refusal>) {
    let input = match protocol {
        Protocol::Query => Ok(form(&body)),
        Protocol::Json if body.is_empty() => Ok(Map::new()),
        Protocol::Json => serde_json::from_str(&body).map_err(|_| Refusal::serialization("")),
    };
    core.change(|world| {
        let caller = Credential::caller(credential.as_ref(), &world.iam, world.now, protocol);
        let region = credential.map_or_else(String::new, |credential| credential.region);
        let (buses, sids) = named(operation, input.as_ref().ok());
        let (at_millis, bus) = (world.now, buses.first().cloned());
        let mut entry = JournalEntry { at_millis, region: region.clone(), operation, bus, ..JournalEntry::default() };
        let mut faults = Vec::new();
        if let Ok(caller) = &caller {
            (entry.account, entry.caller) = (caller.account.clone(), caller.arn.clone());
            faults = world.faults.strike(&entry, &buses, &sids);
            entry.faults = faults.iter().map(|(id, _)| *id).collect();
        }
        let seq = world.journal.arrived(entry, body);
        (seq, caller.and_then(|caller| Ok(Underway { seq, operation, caller, region, input: input?, faults })))
    })
}

/// The bare names of the buses that a call is about, and the Sids that it names.
fn named(operation: Operation, input: Option<&Map<String, Value>>) -> (Vec<String>, Vec<String>) {
    let field = |name: &str| input?.get(name);
    let text = |name: &str| field(name).and_then(Value::as_str);
    let bus = |name: Option<&str>| name.map_or("default", bare_bus_name).to_owned();
    let document = text("Policy").and_then(|text| serde_json::from_str::<Value>(text).ok()).unwrap_or_default();
    let statements = document.get("Statement").and_then(Value::as_array).into_iter().flatten();
    let sids = text("StatementId").into_iter().chain(statements.filter_map(sid_of)).map(ToOwned::to_owned).collect();
    let buses = match operation {
        Operation::ListEventBuses | Operation::GetCallerIdentity | Operation::AssumeRole => Vec::new(),
        Operation::CreateEventBus | Operation::DeleteEventBus | Operation::DescribeEventBus => vec![bus(text("Name"))],
        Operation::PutEvents => {
            let entries = field("Entries").and_then(Value::as_array).into_iter().flatten();
            entries.map(|entry| bus(entry.get("EventBusName").and_then(Value::as_str))).collect()
        }
        _ => vec![bus(text("EventBusName"))],
    };
    (buses, sids)
}

/// Carries a call out. `None` when its connection is to be dropped.
pub(crate) async fn carry_out(core: &Core, seq: u64, underway: Result<Underway, Refusal>) -> Option<Outcome> {
    let outcome = match underway {
        Ok(call) => run(core, &call).await,
        Err(refusal) => Some(Err(refusal)),
    };
    core.change(|world| world.journal.answered(seq, outcome.as_ref()));
    outcome
}

async fn run(core: &Core, call: &Underway) -> Option<Outcome> {
    detain(core, call, false).await?;
    let outcome = match call.kinds().find_map(|kind| refusal_of(kind, call)) {
        Some(refusal) => Err(refusal),
        None => execute(core, call).await,
    };
    detain(core, call, true).await?;
    Some(outcome)
}

/// What faults do to a call before it is applied, or after: it takes longer, is held, or nothing comes of it any more.
async fn detain(core: &Core, call: &Underway, applied: bool) -> Option<()> {
    for (id, fault) in &call.faults {
        match (applied, &fault.kind) {
            (false, FaultKind::Latency { millis }) => core.sleep(*millis).await,
            (false, FaultKind::HoldBeforeApply { millis }) | (true, FaultKind::HoldAfterApply { millis }) => {
                core.change(|world| world.faults.held.insert(call.seq, *id));
                tokio::select! {
                    () = core.wait_until(|| !core.lock().faults.held.contains_key(&call.seq)) => {}
                    () = core.sleep(millis.unwrap_or(u64::MAX)) => {}
                }
                core.lock().faults.held.remove(&call.seq);
            }
            (false, FaultKind::DropBeforeApply) | (true, FaultKind::DropAfterApply) => return None,
            _ => {}
        }
    }
    Some(())
}

async fn execute(core: &Core, call: &Underway) -> Outcome {
    match call.operation {
        Operation::CreateEventBus => buses::create(core, call),
        Operation::DeleteEventBus => buses::delete(core, call),
        Operation::DescribeEventBus => buses::describe(core, call),
        Operation::ListEventBuses => buses::list(core, call),
        Operation::PutPermission | Operation::RemovePermission => permissions::write(core, call).await,
        Operation::PutEvents => events::put_events(core, call),
        Operation::PutRule | Operation::DeleteRule => events::change_rule(core, call),
        Operation::GetCallerIdentity => Ok(sts::get_caller_identity(call)),
        Operation::AssumeRole => sts::assume_role(core, call),
    }
}

/// The error that a fault stands for, if it stands for one.
fn refusal_of(kind: &FaultKind, call: &Underway) -> Option<Refusal> {
    // Texts: the service model for its own errors, "Common errors" of the EventBridge API reference for the others.
    let (status, code, message) = match kind {
        FaultKind::Throttling => (400, "ThrottlingException", "Rate exceeded"),
        FaultKind::TooManyRequests => (429, "TooManyRequestsException", "Too Many Requests"),
        FaultKind::InternalError => (500, "InternalException", "This exception occurs due to unexpected causes."),
        FaultKind::ServiceUnavailable => {
            (503, "ServiceUnavailable", "The request has failed due to a temporary failure of the server.")
        }
        FaultKind::OperationDisabled => {
            let message = "The operation you are attempting is not available in this region.";
            (400, "OperationDisabledException", message)
        }
        FaultKind::Error { status, code, message } => {
            return Some(Refusal::new(*status, code.clone(), message.clone()));
        }
        FaultKind::AccessDenied => {
            let name = call.input.get("EventBusName").or_else(|| call.input.get("Name")).and_then(Value::as_str);
            let action = format!("events:{}", call.operation.name());
            let because = format!("because no identity-based policy allows the {action} action");
            let resource = call.own_bus(name.map(bare_bus_name)).arn();
            return Some(Refusal::access_denied(&call.caller.arn, &action, &resource, &because));
        }
        _ => return None,
    };
    Some(Refusal::new(status, code, message))
}
