//! Faults on demand: what is to go wrong, for which calls, how often.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::operation::Operation;
use crate::random::Random;
use crate::state::BusName;

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
        #[serde(default)]
        kept: Option<Value>,
    },
    /// The connection is dropped before anything is done.
    DropBeforeApply,
    /// The call is carried out, then the connection is dropped.
    DropAfterApply,
    /// The call waits, is then carried out and answered, also when the client has given up.
    HoldBeforeApply {
        /// Until when, at the latest; without it, until released.
        #[serde(default)]
        millis: Option<u64>,
    },
    /// The call is carried out, and its answer waits.
    HoldAfterApply {
        /// Until when, at the latest; without it, until released.
        #[serde(default)]
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
    /// Reads show policies as they were so many changes ago, at most 32.
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// What goes wrong.
    pub kind: FaultKind,
    /// The operations it strikes; none given, those of EventBridge for which it makes sense.
    #[serde(default)]
    pub operations: Vec<Operation>,
    /// Only calls by this account.
    #[serde(default)]
    pub account: Option<String>,
    /// Only calls in this Region.
    #[serde(default)]
    pub region: Option<String>,
    /// Only calls about this bus. What changes reads strikes this bus in lists as well.
    #[serde(default)]
    pub bus: Option<String>,
    /// Only calls that name this Sid; for what changes reads, only this statement.
    #[serde(default)]
    pub sid: Option<String>,
    /// For how many calls; without it, until cleared.
    #[serde(default)]
    pub times: Option<u64>,
    /// With which probability it strikes; without it, always.
    #[serde(default)]
    pub rate: Option<f64>,
    /// The seed of that chance.
    #[serde(default)]
    pub seed: u64,
}

impl Fault {
    /// A fault that strikes every call for which it makes sense, until it is cleared.
    pub fn new(kind: FaultKind) -> Self {
        let (account, region, bus, sid) = (None, None, None, None);
        Self {
            kind,
            operations: Vec::new(),
            account,
            region,
            bus,
            sid,
            times: None,
            rate: None,
            seed: 0,
        }
    }

    /// Only this operation, or this one as well.
    #[must_use]
    pub fn on(mut self, operation: Operation) -> Self {
        self.operations.push(operation);
        self
    }

    /// Only calls about this bus.
    #[must_use]
    pub fn bus(mut self, name: &str) -> Self {
        self.bus = Some(name.to_owned());
        self
    }

    /// Only calls that name this Sid.
    #[must_use]
    pub fn sid(mut self, sid: &str) -> Self {
        self.sid = Some(sid.to_owned());
        self
    }

    /// Only calls by this account.
    #[must_use]
    pub fn account(mut self, account: &str) -> Self {
        self.account = Some(account.to_owned());
        self
    }

    /// Only the next `calls` calls.
    #[must_use]
    pub fn times(mut self, calls: u64) -> Self {
        self.times = Some(calls);
        self
    }

    /// With a probability, from a seed.
    #[must_use]
    pub fn rate(mut self, rate: f64, seed: u64) -> Self {
        (self.rate, self.seed) = (Some(rate), seed);
        self
    }

    fn changes_reads(&self) -> bool {
        use FaultKind::{OpaquePrincipals, ShuffleStatements, StaleRead, StaleReadBehind};
        matches!(
            self.kind,
            StaleRead { .. } | StaleReadBehind { .. } | ShuffleStatements | OpaquePrincipals
        )
    }

    fn makes_sense(&self, operation: Operation) -> bool {
        if self.changes_reads() {
            return operation.reads_policy();
        }
        match self.kind {
            FaultKind::ConcurrentModification | FaultKind::LostUpdate { .. } => operation.writes_policy(),
            FaultKind::BusVanishes | FaultKind::ForeignWrite { .. } => {
                operation.writes_policy() || operation == Operation::DescribeEventBus
            }
            _ => !operation.is_sts(),
        }
    }

    fn strikes(&self, call: &Target<'_>) -> bool {
        let operation = if self.operations.is_empty() {
            self.makes_sense(call.operation)
        } else {
            self.operations.contains(&call.operation)
        };
        let is = |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|wanted| wanted == value);
        let bus = || self.bus.as_deref().is_none_or(|wanted| call.buses.contains(&wanted));
        let sid = || {
            self.sid
                .as_deref()
                .is_none_or(|wanted| call.sids.iter().any(|sid| sid == wanted))
        };
        let listed = self.changes_reads() && call.operation == Operation::ListEventBuses;
        operation
            && is(&self.account, call.account)
            && is(&self.region, call.region)
            && (listed || bus())
            && (self.changes_reads() || sid())
    }
}

/// What of a call decides whether a fault strikes it.
#[derive(Debug)]
pub(crate) struct Target<'a> {
    pub(crate) operation: Operation,
    pub(crate) account: &'a str,
    pub(crate) region: &'a str,
    pub(crate) buses: Vec<&'a str>,
    pub(crate) sids: Vec<String>,
}

/// A fault that changes what a read shows, for one bus or all.
#[derive(Debug, Clone)]
pub(crate) struct ReadFault {
    pub(crate) kind: FaultKind,
    bus: Option<String>,
    pub(crate) sid: Option<String>,
}

impl ReadFault {
    pub(crate) fn strikes(&self, bus: &BusName) -> bool {
        self.bus.as_deref().is_none_or(|name| name == bus.name)
    }
}

/// What strikes one call.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    pub(crate) ids: Vec<FaultId>,
    pub(crate) latency_millis: u64,
    /// Throttling, 5xx, access denied and the like: the first one wins.
    pub(crate) refusal: Option<FaultKind>,
    pub(crate) conflict: bool,
    pub(crate) lost: Option<Option<Value>>,
    pub(crate) drop_before: bool,
    pub(crate) drop_after: bool,
    pub(crate) hold_before: Option<(FaultId, Option<u64>)>,
    pub(crate) hold_after: Option<(FaultId, Option<u64>)>,
    pub(crate) vanish: bool,
    pub(crate) foreign: Vec<(Moment, ForeignWrite)>,
    pub(crate) reads: Vec<ReadFault>,
}

#[derive(Debug)]
struct Active {
    fault: Fault,
    random: Random,
}

/// The faults in force, and the calls that they hold.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    last: u64,
    active: BTreeMap<FaultId, Active>,
    /// Sequence numbers of held calls, and what holds them.
    pub(crate) held: BTreeMap<u64, FaultId>,
}

impl Faults {
    pub(crate) fn inject(&mut self, fault: Fault) -> FaultId {
        self.last += 1;
        let (id, random) = (FaultId(self.last), Random::new(fault.seed));
        self.active.insert(id, Active { fault, random });
        id
    }

    /// The faults in force, with the calls that are left to them.
    pub(crate) fn list(&self) -> Vec<(FaultId, Fault)> {
        self.active
            .iter()
            .map(|(id, active)| (*id, active.fault.clone()))
            .collect()
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

    /// Which faults strike a call, each counted.
    pub(crate) fn strike(&mut self, call: &Target<'_>) -> Effects {
        let mut effects = Effects::default();
        if self.active.is_empty() {
            return effects;
        }
        for (id, active) in &mut self.active {
            let fault = &mut active.fault;
            let struck = fault.times != Some(0)
                && fault.strikes(call)
                && fault.rate.is_none_or(|rate| active.random.chance(rate));
            if !struck {
                continue;
            }
            fault.times = fault.times.map(|left| left - 1);
            effects.ids.push(*id);
            effects.add(*id, fault);
        }
        self.active.retain(|_, active| active.fault.times != Some(0));
        effects
    }
}

impl Effects {
    fn add(&mut self, id: FaultId, fault: &Fault) {
        let kind = &fault.kind;
        match kind {
            FaultKind::ConcurrentModification => self.conflict = true,
            FaultKind::LostUpdate { kept } => self.lost = Some(kept.clone()),
            FaultKind::DropBeforeApply => self.drop_before = true,
            FaultKind::DropAfterApply => self.drop_after = true,
            FaultKind::HoldBeforeApply { millis } => self.hold_before = Some((id, *millis)),
            FaultKind::HoldAfterApply { millis } => self.hold_after = Some((id, *millis)),
            FaultKind::Latency { millis } => self.latency_millis += millis,
            FaultKind::BusVanishes => self.vanish = true,
            FaultKind::ForeignWrite { write, moment } => self.foreign.push((*moment, write.clone())),
            FaultKind::StaleRead { .. }
            | FaultKind::StaleReadBehind { .. }
            | FaultKind::ShuffleStatements
            | FaultKind::OpaquePrincipals => {
                self.reads.push(ReadFault {
                    kind: kind.clone(),
                    bus: fault.bus.clone(),
                    sid: fault.sid.clone(),
                });
            }
            FaultKind::Throttling
            | FaultKind::TooManyRequests
            | FaultKind::InternalError
            | FaultKind::ServiceUnavailable
            | FaultKind::Error { .. }
            | FaultKind::AccessDenied
            | FaultKind::OperationDisabled => {
                self.refusal.get_or_insert_with(|| kind.clone());
            }
        }
    }
}
