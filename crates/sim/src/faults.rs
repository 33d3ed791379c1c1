//! The faults in force: which strike a call, and which calls are held.

use std::collections::BTreeMap;

use crate::fault::{Fault, FaultId, FaultKind};
use crate::operation::Operation;
use crate::random::Random;
use crate::state::BusName;

/// What of a call decides whether a fault strikes it.
#[derive(Debug)]
pub(crate) struct Target<'a> {
    pub(crate) operation: Operation,
    pub(crate) account: &'a str,
    pub(crate) region: &'a str,
    pub(crate) buses: Vec<&'a str>,
    pub(crate) sids: Vec<String>,
}

/// The faults that strike one call, in the order of their injection.
#[derive(Debug, Default)]
pub(crate) struct Effects(pub(crate) Vec<(FaultId, Fault)>);

impl Effects {
    pub(crate) fn kinds(&self) -> impl Iterator<Item = &FaultKind> {
        self.0.iter().map(|(_, fault)| &fault.kind)
    }

    pub(crate) fn has(&self, kind: &FaultKind) -> bool {
        self.kinds().any(|struck| struck == kind)
    }

    /// Those that change what a read of this bus shows.
    pub(crate) fn on(&self, bus: &BusName) -> impl Iterator<Item = &Fault> {
        self.0.iter().map(|(_, fault)| fault).filter(move |fault| fault.shows_on(bus))
    }

    /// What holds the call before, or after, it is applied, and for how long at most.
    pub(crate) fn hold(&self, after: bool) -> Option<(FaultId, Option<u64>)> {
        self.0.iter().find_map(|(id, fault)| match fault.kind {
            FaultKind::HoldBeforeApply { millis } if !after => Some((*id, millis)),
            FaultKind::HoldAfterApply { millis } if after => Some((*id, millis)),
            _ => None,
        })
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

    /// Which faults strike a call, each counted.
    pub(crate) fn strike(&mut self, call: &Target<'_>) -> Effects {
        let mut struck = Vec::new();
        for (id, (fault, random)) in &mut self.active {
            let due = fault.times != Some(0) && fault.strikes(call);
            if due && fault.rate.is_none_or(|rate| random.chance(rate)) {
                fault.times = fault.times.map(|left| left - 1);
                struck.push((*id, fault.clone()));
            }
        }
        self.active.retain(|_, (fault, _)| fault.times != Some(0));
        Effects(struck)
    }
}
