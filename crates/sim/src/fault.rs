//! What can be made to go wrong, and for which calls; the faults in force, and the calls that they hold.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::journal::JournalEntry;
use crate::operation::Operation;
use crate::random::Random;
use crate::world::BusName;

/// Names a fault that was injected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FaultId(pub u64);

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum FaultKind {
    /// A write is refused with `ConcurrentModificationException`, after it was found valid.
    ConcurrentModification,
    /// A write is answered 200 and not kept. `kept` is the other writer's document that stands instead, if any.
    LostUpdate {
        /// What the other writer left.
        kept: Option<Value>,
    },
    /// The connection is dropped before anything is done.
    DropBeforeApply,
    /// The call is carried out, then the connection is dropped.
    DropAfterApply,
    /// The call waits, is then carried out and answered, also when the client has given up.
    HoldBeforeApply {
        /// Until when, at the latest; without it, until released.
        millis: Option<u64>,
    },
    /// The call is carried out, and its answer waits.
    HoldAfterApply {
        /// Until when, at the latest; without it, until released.
        millis: Option<u64>,
    },
    /// `ThrottlingException`, HTTP 400.
    Throttling,
    /// `TooManyRequestsException`, HTTP 429: the other code that SDKs take for throttling.
    TooManyRequests,
    /// `InternalException`, HTTP 500.
    InternalError,
    /// `ServiceUnavailable`, HTTP 503.
    ServiceUnavailable,
    /// Any other error.
    Error {
        /// The HTTP status.
        status: u16,
        /// The error type.
        code: String,
        /// The message.
        #[serde(default)]
        message: String,
    },
    /// The call takes so much longer.
    Latency {
        /// How much.
        millis: u64,
    },
    /// Reads show policies as they were so long ago.
    StaleRead {
        /// How long.
        millis: u64,
    },
    /// Reads show policies as they were so many changes ago, at most 16.
    StaleReadBehind {
        /// How many.
        changes: usize,
    },
    /// Reads show the statements in random order.
    ShuffleStatements,
    /// Reads show roles and users as unique ids, as if they had been deleted.
    OpaquePrincipals,
    /// `AccessDeniedException`.
    AccessDenied,
    /// `OperationDisabledException`.
    OperationDisabled,
    /// The bus is deleted just before the call.
    BusVanishes,
    /// Another writer changes the policy around the call.
    ForeignWrite {
        /// What it does.
        write: ForeignWrite,
        /// When.
        #[serde(default)]
        moment: Moment,
    },
}

/// What a foreign writer does to a policy. Nothing is checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum ForeignWrite {
    /// Puts one statement, replacing one of the same Sid.
    Put {
        /// The statement.
        statement: Value,
    },
    /// Removes one statement.
    Remove {
        /// Its Sid.
        sid: String,
    },
    /// Rewrites the whole document, or removes it.
    Document {
        /// The document.
        policy: Option<Value>,
    },
}

/// When a foreign write happens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Moment {
    /// Before the call is looked at.
    #[default]
    Before,
    /// Between a write's reading the policy and its writing it.
    Between,
    /// After the call took effect, before it is answered.
    After,
}

/// A fault, and the calls that it strikes.
#[must_use]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// What goes wrong.
    pub kind: FaultKind,
    /// The operations it strikes; none given, those of `EventBridge` for which it makes sense.
    #[serde(default)]
    pub operations: Vec<Operation>,
    /// Only calls by this account.
    pub account: Option<String>,
    /// Only calls in this Region.
    pub region: Option<String>,
    /// Only calls about this bus. What changes reads strikes this bus in lists as well.
    pub bus: Option<String>,
    /// Only calls that name this Sid; for what changes reads, only this statement.
    pub sid: Option<String>,
    /// For how many calls; without it, until cleared.
    pub times: Option<u64>,
    /// With which probability it strikes; without it, always.
    pub rate: Option<f64>,
    /// The seed of that chance.
    #[serde(default)]
    pub seed: u64,
}

impl Fault {
    /// A fault that strikes every call for which it makes sense, until it is cleared.
    pub fn new(kind: FaultKind) -> Self {
        let (account, region, bus, sid) = (None, None, None, None);
        Self { kind, operations: Vec::new(), account, region, bus, sid, times: None, rate: None, seed: 0 }
    }

    /// Only this operation, or this one as well.
    pub fn on(mut self, operation: Operation) -> Self {
        self.operations.push(operation);
        self
    }

    /// Only calls about this bus.
    pub fn bus(mut self, name: &str) -> Self {
        self.bus = Some(name.to_owned());
        self
    }

    /// Only calls that name this Sid.
    pub fn sid(mut self, sid: &str) -> Self {
        self.sid = Some(sid.to_owned());
        self
    }

    /// Only calls by this account.
    pub fn account(mut self, account: &str) -> Self {
        self.account = Some(account.to_owned());
        self
    }

    /// Only the next `calls` calls.
    pub fn times(mut self, calls: u64) -> Self {
        self.times = Some(calls);
        self
    }

    /// With a probability, from a seed.
    pub fn rate(mut self, rate: f64, seed: u64) -> Self {
        (self.rate, self.seed) = (Some(rate), seed);
        self
    }

    /// Whether it changes what a read of this bus shows.
    pub(crate) fn shows_on(&self, bus: &BusName) -> bool {
        self.changes_reads() && self.bus.as_deref().is_none_or(|name| name == bus.name)
    }

    fn changes_reads(&self) -> bool {
        use FaultKind::{OpaquePrincipals, ShuffleStatements, StaleRead, StaleReadBehind};
        matches!(self.kind, StaleRead { .. } | StaleReadBehind { .. } | ShuffleStatements | OpaquePrincipals)
    }

    fn makes_sense(&self, operation: Operation) -> bool {
        use Operation::{DescribeEventBus, ListEventBuses, PutPermission, RemovePermission};
        match self.kind {
            _ if self.changes_reads() => matches!(operation, DescribeEventBus | ListEventBuses),
            FaultKind::ConcurrentModification | FaultKind::LostUpdate { .. } => {
                matches!(operation, PutPermission | RemovePermission)
            }
            FaultKind::BusVanishes | FaultKind::ForeignWrite { .. } => {
                matches!(operation, PutPermission | RemovePermission | DescribeEventBus)
            }
            _ => !operation.is_sts(),
        }
    }

    pub(crate) fn strikes(&self, call: &JournalEntry, buses: &[String], sids: &[String]) -> bool {
        let operation = if self.operations.is_empty() {
            self.makes_sense(call.operation)
        } else {
            self.operations.contains(&call.operation)
        };
        let is = |wanted: &Option<String>, value: &String| wanted.as_ref().is_none_or(|wanted| wanted == value);
        let among = |wanted: &Option<String>, values: &[String]| wanted.as_ref().is_none_or(|one| values.contains(one));
        let reads = self.changes_reads();
        operation
            && is(&self.account, &call.account)
            && is(&self.region, &call.region)
            && (among(&self.bus, buses) || (reads && call.operation == Operation::ListEventBuses))
            && (reads || among(&self.sid, sids))
    }
}

#[derive(Debug, Default)]
pub(crate) struct Faults {
    last: u64,
    active: BTreeMap<FaultId, (Fault, Random)>,
    /// Sequence numbers of held calls, and what holds them.
    pub(crate) held: BTreeMap<u64, FaultId>,
}

impl Faults {
    pub(crate) fn inject(&mut self, fault: Fault) -> FaultId {
        self.last += 1;
        let random = Random::new(fault.seed);
        self.active.insert(FaultId(self.last), (fault, random));
        FaultId(self.last)
    }

    /// The faults in force, with the calls that are left to them.
    pub(crate) fn list(&self) -> Vec<(FaultId, Fault)> {
        self.active.iter().map(|(id, (fault, _))| (*id, fault.clone())).collect()
    }

    pub(crate) fn clear(&mut self, id: Option<FaultId>) {
        self.active.retain(|active, _| id.is_some_and(|id| id != *active));
    }

    /// Lets held calls go on: all, or those of one fault.
    pub(crate) fn release(&mut self, id: Option<FaultId>) -> usize {
        let before = self.held.len();
        self.held.retain(|_, holder| id.is_some_and(|id| id != *holder));
        before - self.held.len()
    }

    /// Which faults strike a call about these buses that names these Sids, in the order of their injection. Each is counted.
    pub(crate) fn strike(&mut self, call: &JournalEntry, buses: &[String], sids: &[String]) -> Vec<(FaultId, Fault)> {
        let mut struck = Vec::new();
        for (id, (fault, random)) in &mut self.active {
            let due = fault.times != Some(0) && fault.strikes(call, buses, sids);
            if due && fault.rate.is_none_or(|rate| random.chance(rate)) {
                fault.times = fault.times.map(|left| left - 1);
                struck.push((*id, fault.clone()));
            }
        }
        self.active.retain(|_, (fault, _)| fault.times != Some(0));
        struck
    }
}
