//! One call from arrival to answer: credentials, faults, the operation, the journal.

use serde_json::{Map, Value};

use crate::buses;
use crate::error::Refusal;
use crate::faults::{Effects, FaultId, FaultKind, Moment, Target};
use crate::foreign::write_foreign;
use crate::iam::Caller;
use crate::input::bare_bus_name;
use crate::journal::JournalEntry;
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
pub(crate) struct Underway<'a> {
    pub(crate) seq: u64,
    pub(crate) operation: Operation,
    pub(crate) caller: Caller,
    pub(crate) region: String,
    pub(crate) input: Map<String, Value>,
    pub(crate) body: &'a str,
    pub(crate) effects: Effects,
}

impl Underway<'_> {
    /// The bus of that name in the caller's own account and Region.
    pub(crate) fn own_bus(&self, name: Option<&str>) -> BusName {
        BusName::new(&self.caller.account, &self.region, name.unwrap_or("default"))
    }

    /// Does what the faults want done around the call: the bus vanishes, another writer writes.
    pub(crate) fn disturb(&self, world: &mut World, bus: &BusName, moment: Moment, now: i64) {
        if moment == Moment::Before && self.effects.vanish {
            world.delete_bus(bus, crate::journal::Writer::Foreign, now);
        }
        for (_, write) in self.effects.foreign.iter().filter(|(when, _)| *when == moment) {
            write_foreign(world, bus, write, now);
        }
    }
}

/// Carries a call out. `None` when its connection is to be dropped.
pub(crate) async fn carry_out(core: &Core, call: &Call) -> (u64, Option<Answer>) {
    let (underway, request_id) = begin(core, call);
    let underway = match underway {
        Ok(underway) => underway,
        Err((seq, refusal)) => return (seq, Some(finish(core, seq, call.protocol, request_id, Err(refusal)))),
    };
    let (seq, effects) = (underway.seq, &underway.effects);
    if effects.latency_millis > 0 {
        core.clock
            .sleep_until(later(core.clock.now(), effects.latency_millis))
            .await;
    }
    if let Some((fault, millis)) = effects.hold_before {
        core.hold(seq, fault, millis).await;
    }
    if effects.drop_before {
        dropped(core, seq);
        return (seq, None);
    }
    let result = match effects.refusal.as_ref() {
        Some(kind) => Err(refusal_of(kind, &underway)),
        None => execute(core, &underway).await,
    };
    if let Some((fault, millis)) = effects.hold_after {
        core.hold(seq, fault, millis).await;
    }
    if effects.drop_after {
        dropped(core, seq);
        return (seq, None);
    }
    (seq, Some(finish(core, seq, call.protocol, request_id, result)))
}

async fn execute(core: &Core, call: &Underway<'_>) -> Result<String, Refusal> {
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
fn begin<'a>(core: &Core, call: &'a Call) -> (Result<Underway<'a>, (u64, Refusal)>, String) {
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
    let region = call.credential.as_ref().map_or("", |credential| &credential.region);
    let account = caller.as_ref().map_or("", |caller| &caller.account);
    let empty = Map::new();
    let target = target(call, parsed.as_ref().unwrap_or(&empty), account, region);
    let effects = if caller.is_ok() {
        world.faults.strike(&target)
    } else {
        Effects::default()
    };
    let entry = JournalEntry {
        seq: 0,
        at_millis: now,
        account: account.to_owned(),
        caller: caller
            .as_ref()
            .map_or_else(|_| String::new(), |caller| caller.arn.clone()),
        region: region.to_owned(),
        operation: call.operation,
        input: Value::Null,
        bus: target.buses.first().map(|name| (*name).to_owned()),
        faults: effects.ids.clone(),
        applied: None,
        policy_before: None,
        policy_after: None,
        answered: None,
        status: None,
        error: None,
        message: None,
        client_gone: false,
    };
    let seq = world.journal.arrived(entry, &call.body);
    let (operation, region) = (call.operation, region.to_owned());
    let underway = caller
        .and_then(|caller| Ok((caller, parsed?)))
        .map(|(caller, input)| Underway {
            seq,
            operation,
            caller,
            region,
            input,
            body: &call.body,
            effects,
        })
        .map_err(|refusal| (seq, refusal));
    drop(world);
    core.changed.notify_waiters();
    (underway, request_id)
}

/// What of a call the filters of faults look at.
fn target<'a>(call: &Call, input: &'a Map<String, Value>, account: &'a str, region: &'a str) -> Target<'a> {
    let field = |name: &str| input.get(name).and_then(Value::as_str);
    let (mut buses, mut sids) = (Vec::new(), Vec::new());
    match call.operation {
        Operation::PutPermission | Operation::RemovePermission => {
            buses.push(field("EventBusName").unwrap_or("default"));
            sids.extend(field("StatementId").map(ToOwned::to_owned));
            let document = field("Policy").and_then(|text| serde_json::from_str::<Value>(text).ok());
            if let Some(Value::Array(statements)) = document.as_ref().and_then(|document| document.get("Statement")) {
                sids.extend(statements.iter().filter_map(sid_of).map(ToOwned::to_owned));
            }
        }
        Operation::CreateEventBus | Operation::DeleteEventBus | Operation::DescribeEventBus => {
            buses.push(field("Name").map_or("default", bare_bus_name));
        }
        Operation::PutRule | Operation::DeleteRule => {
            buses.push(field("EventBusName").map_or("default", bare_bus_name));
        }
        Operation::PutEvents => {
            let entries = input.get("Entries").and_then(Value::as_array).into_iter().flatten();
            let named = entries.map(|entry| entry.get("EventBusName").and_then(Value::as_str));
            buses.extend(named.map(|name| name.map_or("default", bare_bus_name)));
        }
        Operation::ListEventBuses | Operation::GetCallerIdentity | Operation::AssumeRole => {}
    }
    Target {
        operation: call.operation,
        account,
        region,
        buses,
        sids,
    }
}

/// The error that a fault stands for.
fn refusal_of(kind: &FaultKind, call: &Underway<'_>) -> Refusal {
    match kind {
        FaultKind::Throttling => Refusal::new(400, "ThrottlingException", "Rate exceeded"),
        FaultKind::TooManyRequests => Refusal::new(429, "TooManyRequestsException", "Too Many Requests"),
        FaultKind::ServiceUnavailable => {
            let message = "The request has failed due to a temporary failure of the server.";
            Refusal::new(503, "ServiceUnavailable", message)
        }
        FaultKind::AccessDenied => {
            let name = call
                .input
                .get("EventBusName")
                .or_else(|| call.input.get("Name"))
                .and_then(Value::as_str);
            let resource = call.own_bus(name.map(bare_bus_name)).arn();
            let action = format!("events:{}", call.operation.name());
            let because = format!("because no identity-based policy allows the {action} action");
            Refusal::access_denied(&call.caller.arn, &action, &resource, &because)
        }
        FaultKind::OperationDisabled => {
            let message = "The operation you are attempting is not available in this region.";
            Refusal::new(400, "OperationDisabledException", message)
        }
        FaultKind::Error { status, code, message } => Refusal::new(*status, code.clone(), message.clone()),
        _ => Refusal::new(
            500,
            "InternalException",
            "This exception occurs due to unexpected causes.",
        ),
    }
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

fn dropped(core: &Core, seq: u64) {
    core.lock().0.journal.answered(seq, |_| {});
    core.changed.notify_waiters();
}

fn later(now: i64, millis: u64) -> i64 {
    now.saturating_add_unsigned(millis)
}

impl Core {
    /// Waits until the call is released or, if there is a limit, the clock has moved so far.
    async fn hold(&self, seq: u64, fault: FaultId, millis: Option<u64>) {
        self.lock().0.faults.held.insert(seq, fault);
        self.changed.notify_waiters();
        let until = millis.map_or(i64::MAX, |millis| later(self.clock.now(), millis));
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable(); // before the look, so that no release falls between
            if !self.lock().0.faults.held.contains_key(&seq) {
                return;
            }
            let limit = async {
                if millis.is_some() {
                    self.clock.sleep_until(until).await;
                } else {
                    std::future::pending().await
                }
            };
            tokio::select! {
                () = &mut changed => {}
                () = limit => {
                    self.lock().0.faults.held.remove(&seq);
                    return;
                }
            }
        }
    }
}
