//! One call from arrival to answer: credentials, faults, the operation, the journal.

use serde_json::{Map, Value};

use crate::buses;
use crate::error::Refusal;
use crate::fault::{FaultId, FaultKind, Moment};
use crate::faults::{Effects, Target};
use crate::foreign::write_foreign;
use crate::iam::Caller;
use crate::input::bare_bus_name;
use crate::journal::{JournalEntry, Writer};
use crate::operation::Operation;
use crate::policy::sid_of;
use crate::state::{BusName, Core, World};
use crate::wire::{Answer, Credential, Protocol, unsigned};
use crate::{events, permissions, sts};

/// A call as it came off the wire.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) operation: Operation,
    pub(crate) protocol: Protocol,
    pub(crate) credential: Option<Credential>,
    pub(crate) body: String,
}

/// A call whose caller is known and whose faults are drawn.
#[derive(Debug)]
pub(crate) struct Underway {
    pub(crate) seq: u64,
    pub(crate) operation: Operation,
    pub(crate) caller: Caller,
    pub(crate) region: String,
    pub(crate) input: Map<String, Value>,
    pub(crate) body: String,
    pub(crate) effects: Effects,
}

impl Underway {
    /// The bus of that name in the caller's own account and Region.
    pub(crate) fn own_bus(&self, name: Option<&str>) -> BusName {
        BusName::new(&self.caller.account, &self.region, name.unwrap_or("default"))
    }

    /// Does what the faults want done around the call: the bus vanishes, another writer writes.
    pub(crate) fn disturb(&self, world: &mut World, bus: &BusName, moment: Moment, now: i64) {
        for kind in self.effects.kinds() {
            match kind {
                FaultKind::BusVanishes if moment == Moment::Before => world.delete_bus(bus, Writer::Foreign, now),
                FaultKind::ForeignWrite { write, moment: when } if *when == moment => {
                    write_foreign(world, bus, write, now);
                }
                _ => {}
            }
        }
    }
}

/// A call that has arrived: journalled, and if its caller and input are sound, under way.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) seq: u64,
    protocol: Protocol,
    request_id: String,
    underway: Result<Underway, Refusal>,
}

/// Carries a call out. `None` when its connection is to be dropped.
pub(crate) async fn carry_out(core: &Core, begun: Begun) -> Option<Answer> {
    let Begun { seq, protocol, request_id, underway } = begun;
    let underway = match underway {
        Ok(underway) => underway,
        Err(refusal) => return Some(finish(core, seq, protocol, request_id, Err(refusal))),
    };
    let effects = &underway.effects;
    let latency = effects.kinds().map(|kind| if let FaultKind::Latency { millis } = kind { *millis } else { 0 }).sum();
    if latency > 0 {
        core.clock.sleep_until(core.clock.now().saturating_add_unsigned(latency)).await;
    }
    core.hold(seq, effects.hold(false)).await;
    if effects.has(&FaultKind::DropBeforeApply) {
        return dropped(core, seq);
    }
    let result = match effects.kinds().find_map(|kind| refusal_of(kind, &underway)) {
        Some(refusal) => Err(refusal),
        None => execute(core, &underway).await,
    };
    core.hold(seq, effects.hold(true)).await;
    if effects.has(&FaultKind::DropAfterApply) {
        return dropped(core, seq);
    }
    Some(finish(core, seq, protocol, request_id, result))
}

async fn execute(core: &Core, call: &Underway) -> Result<String, Refusal> {
    match call.operation {
        Operation::CreateEventBus => buses::create(core, call),
        Operation::DeleteEventBus => buses::delete(core, call),
        Operation::DescribeEventBus => buses::describe(core, call),
        Operation::ListEventBuses => buses::list(core, call),
        Operation::PutPermission | Operation::RemovePermission => permissions::write(core, call).await,
        Operation::PutEvents => events::put_events(core, call),
        Operation::PutRule | Operation::DeleteRule => events::change_rule(core, call),
        Operation::GetCallerIdentity => Ok(sts::get_caller_identity(core, call)),
        Operation::AssumeRole => sts::assume_role(core, call),
    }
}

/// Journals a call's arrival, finds its caller and draws its faults.
pub(crate) fn begin(core: &Core, call: Call) -> Begun {
    let parsed: Result<Map<String, Value>, Refusal> = match call.protocol {
        Protocol::Query => Ok(Map::new()),
        Protocol::Json if call.body.is_empty() => Ok(Map::new()),
        Protocol::Json => serde_json::from_str(&call.body).map_err(|_| Refusal::serialization("")),
    };
    let (mut world, now) = core.lock();
    let request_id = world.random.uuid();
    let caller = match &call.credential {
        None => Err(unsigned(call.protocol)),
        Some(credential) => credential.caller(&world.iam, now, call.protocol),
    };
    let region = call.credential.as_ref().map_or_else(String::new, |credential| credential.region.clone());
    let account = caller.as_ref().map_or("", |caller| &caller.account);
    let empty = Map::new();
    let target = target(call.operation, parsed.as_ref().unwrap_or(&empty), account, &region);
    let effects = if caller.is_ok() { world.faults.strike(&target) } else { Effects::default() };
    let entry = JournalEntry {
        at_millis: now,
        account: account.to_owned(),
        caller: caller.as_ref().map_or_else(|_| String::new(), |caller| caller.arn.clone()),
        region: region.clone(),
        operation: call.operation,
        bus: target.buses.first().map(|name| (*name).to_owned()),
        faults: effects.0.iter().map(|(id, _)| *id).collect(),
        ..JournalEntry::default()
    };
    let seq = world.journal.arrived(entry, &call.body);
    let Call { operation, protocol, body, .. } = call;
    let underway = caller.and_then(|caller| Ok((caller, parsed?))).map(|(caller, input)| Underway {
        seq,
        operation,
        caller,
        region,
        input,
        body,
        effects,
    });
    drop(world);
    core.changed.notify_waiters();
    Begun { seq, protocol, request_id, underway }
}

/// What of a call the filters of faults look at.
fn target<'a>(operation: Operation, input: &'a Map<String, Value>, account: &'a str, region: &'a str) -> Target<'a> {
    let field = |name: &str| input.get(name).and_then(Value::as_str);
    let bus = |name: Option<&'a str>| name.map_or("default", bare_bus_name);
    let document = field("Policy").and_then(|text| serde_json::from_str::<Value>(text).ok()).unwrap_or_default();
    let statements = document.get("Statement").and_then(Value::as_array).into_iter().flatten();
    let sids = field("StatementId").into_iter().chain(statements.filter_map(sid_of)).map(ToOwned::to_owned).collect();
    let buses = match operation {
        Operation::ListEventBuses | Operation::GetCallerIdentity | Operation::AssumeRole => Vec::new(),
        Operation::CreateEventBus | Operation::DeleteEventBus | Operation::DescribeEventBus => vec![bus(field("Name"))],
        Operation::PutEvents => {
            let entries = input.get("Entries").and_then(Value::as_array).into_iter().flatten();
            entries.map(|entry| bus(entry.get("EventBusName").and_then(Value::as_str))).collect()
        }
        _ => vec![bus(field("EventBusName"))],
    };
    Target { operation, account, region, buses, sids }
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

fn finish(core: &Core, seq: u64, protocol: Protocol, id: String, result: Result<String, Refusal>) -> Answer {
    let message = result.as_ref().err().map(|refusal| refusal.message.clone());
    let answer = Answer::new(protocol, id, result);
    let (mut world, _) = core.lock();
    world.journal.answered(seq, |entry| {
        (entry.status, entry.error, entry.message) = (Some(answer.status), answer.error.clone(), message);
    });
    drop(world);
    core.changed.notify_waiters();
    answer
}

fn dropped(core: &Core, seq: u64) -> Option<Answer> {
    core.lock().0.journal.answered(seq, |_| {});
    core.changed.notify_waiters();
    None
}

impl Core {
    /// Waits until the call is released or, if there is a limit, the clock has moved so far.
    async fn hold(&self, seq: u64, hold: Option<(FaultId, Option<u64>)>) {
        let Some((fault, millis)) = hold else { return };
        self.lock().0.faults.held.insert(seq, fault);
        self.changed.notify_waiters();
        // Without a limit, some 30,000 years.
        let until = self.clock.now().saturating_add_unsigned(millis.unwrap_or(1 << 50));
        let mut limit = std::pin::pin!(self.clock.sleep_until(until));
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable(); // before the look, so that no release falls between
            if !self.lock().0.faults.held.contains_key(&seq) {
                return;
            }
            tokio::select! {
                () = &mut changed => {}
                () = &mut limit => {
                    self.lock().0.faults.held.remove(&seq);
                    return;
                }
            }
        }
    }
}
