//! The controller: `worker`, `roster`, `flight`, `memory`, `judge` and `report`, as far as order and time matter.

use crate::model::OUTCOME_WAIT;
use crate::world::{Action, Caller, Object, Part, Policy, Protocol, State, Write};

/// What one process remembers of the bus.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Process {
    /// Ticks in which a call without an answer may still take effect, and whether that can be a predecessor's only.
    pub(crate) open: u8,
    inherited: bool,
    /// The last read that no write came after.
    seen: Option<Policy>,
    /// The generation that a flight has landed for, and whether it was being deleted.
    served: Option<(u8, bool)>,
    retry: bool,
    /// Sids whose removal was confirmed, while the object is being deleted: whether nothing else could take effect then.
    removed: [Option<bool>; 2],
    /// The tombstone: the object is gone, and its Sids are looked out for.
    pub(crate) buried: bool,
    pub(crate) flight: Option<Flight>,
}

/// Read, plan, write, and read again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Flight {
    /// The object as it was when the flight began; none for one that is buried.
    object: Option<Object>,
    /// What is still to be sent. With nothing left, it reads.
    todo: Vec<Write>,
    /// While it waits for an answer: whether nothing else of ours could take effect when the call was sent.
    alone: Option<bool>,
    /// Confirmed, and to be seen in the next read: the Sid, and whether it was put.
    written: Vec<(usize, bool)>,
    looked_again: bool,
    sent: bool,
    /// What a controller that does not verify takes the bus to hold.
    believed: Option<Policy>,
}

impl Process {
    /// Another process knows nothing, and waits for what a predecessor may have sent for an object that it held.
    pub(crate) fn successor(protocol: &Protocol, state: &State) -> Self {
        let inherited = state.object.is_some_and(|object| object.held);
        let open = if inherited && protocol.has(Part::Wait) { OUTCOME_WAIT } else { 0 };
        Self { open, inherited, ..Self::default() }
    }

    /// Whether the object changed since a flight landed for it, or it is to be tried again.
    fn is_asked(&self, state: &State) -> bool {
        let is_new = |object: Object| self.served != Some((object.generation, object.deleting));
        state.object.map_or(self.buried && self.retry, |object| object.held && (self.retry || is_new(object)))
    }

    fn sees_drift(&self, protocol: &Protocol, state: &State) -> bool {
        let cares = state.object.map_or(self.buried, |object| object.held);
        protocol.has(Part::Sweep) && cares && self.seen != Some(state.bus)
    }

    pub(crate) fn has_work(&self, protocol: &Protocol, state: &State) -> bool {
        !self.actions(protocol, state).is_empty() || self.flight.is_some()
    }

    pub(crate) fn actions(&self, protocol: &Protocol, state: &State) -> Vec<Action> {
        let lags = |flight: &Flight| state.before.is_some() && !flight.looked_again;
        match &self.flight {
            Some(flight) if flight.alone.is_some() => vec![],
            Some(flight) if !flight.todo.is_empty() => vec![Action::Send],
            Some(flight) if lags(flight) => vec![Action::Read { lagging: false }, Action::Read { lagging: true }],
            Some(_) => vec![Action::Read { lagging: false }],
            None if state.object.is_some_and(|object| !object.held) => vec![Action::Hold],
            None => {
                let asked = self.is_asked(state).then_some(Action::Begin);
                asked.into_iter().chain(self.sees_drift(protocol, state).then_some(Action::Sweep)).collect()
            }
        }
    }

    pub(crate) fn act(&mut self, protocol: &Protocol, state: &mut State, action: Action) {
        match (action, self.flight.take()) {
            (Action::Hold, _) => state.object.iter_mut().for_each(|object| object.held = true),
            (Action::Send, Some(mut flight)) => {
                state.call(flight.todo.remove(0), Caller::Us);
                (flight.alone, flight.sent) = (Some(self.open == 0), true);
                self.flight = Some(flight);
            }
            (Action::Read { lagging }, Some(flight)) => self.read(protocol, state, flight, lagging),
            (action, _) => {
                // An object that is there again owns its Sids again.
                self.buried &= state.object.is_none();
                // A change of two stages begins on the last read: the one between them checks all that it was planned on.
                let known = self.seen.take().filter(|_| action == Action::Begin && self.open == 0);
                let plan = known.map(|known| self.plan(protocol, state.object, known)).filter(|plan| plan.in_stages);
                let todo = plan.map(|plan| plan.writes).unwrap_or_default();
                let as_told = |object: Object| Object { ready: object.ready.filter(|_| object.deleting), ..object };
                self.flight = Some(Flight { object: state.object.map(as_told), todo, ..Flight::default() });
            }
        }
    }

    fn read(&mut self, protocol: &Protocol, state: &mut State, mut flight: Flight, lagging: bool) {
        let shown = state.before.filter(|_| lagging).map_or(state.bus, |(policy, _)| policy);
        let read = flight.believed.take().unwrap_or(shown);
        let plan = self.plan(protocol, flight.object, read);
        // What was confirmed and is not to be seen is looked for once more, after longer than a read lags.
        if plan.writes.iter().any(|write| flight.written.contains(&kind(*write))) && !flight.looked_again {
            state.before = None;
            self.flight = Some(Flight { looked_again: true, ..flight });
        } else if plan.writes.is_empty() {
            self.seen = Some(read);
            self.retry = self.open > 0;
            self.report(protocol, state, &flight, read);
        } else {
            flight.believed =
                (!protocol.has(Part::Verification)).then(|| plan.writes.iter().fold(read, |on, write| write.on(on)));
            self.flight = Some(Flight { todo: plan.writes, written: vec![], looked_again: false, ..flight });
        }
    }

    /// The writes that may be made on this read.
    fn plan(&self, protocol: &Protocol, object: Option<Object>, read: Policy) -> Plan {
        let wanted = |generation: u8| protocol.wants[usize::from(generation) - 1];
        let stands = |sid: &usize| read.ours[*sid] != 0;
        let remove = |goes: &dyn Fn(&usize) -> bool| (0..2).filter(goes).map(Write::Remove).collect();
        let Some(Object { generation, deleting, ready, .. }) = object else {
            return Plan { writes: remove(&stands), in_stages: false };
        };
        if deleting {
            // What spec or status know of is removed until that is confirmed, whatever the read shows.
            let told = ready.map_or([0, 0], |(generation, _)| wanted(generation));
            let known = |sid: usize| wanted(generation)[sid] != 0 || told[sid] != 0;
            let settled = |alone: bool| alone || self.open > 0 || !protocol.has(Part::LoneConfirmation);
            let removed = |sid: usize| self.removed[sid].is_some_and(settled);
            return Plan { writes: remove(&|sid| stands(sid) || known(*sid) && !removed(*sid)), in_stages: false };
        }
        let wanted = wanted(generation);
        let pending: Vec<usize> = (0..2).filter(|sid| wanted[*sid] != 0 && read.ours[*sid] != wanted[*sid]).collect();
        let stale = |sid: &usize| stands(sid) && wanted[*sid] == 0;
        if pending.is_empty() {
            return Plan { writes: remove(&stale), in_stages: false };
        }
        // What is stale waits for a read that shows what replaces it.
        let document = protocol.document && generation > 1 && pending.contains(&0);
        let narrow = pending.iter().filter(|sid| !(document && **sid == 0)).map(|sid| Write::Put(*sid, wanted[*sid]));
        // A document is not written while an older call may still land over it.
        let whole = (document && self.open == 0).then(|| Write::Document(Write::Put(0, wanted[0]).on(read)));
        Plan {
            writes: whole.into_iter().chain(narrow).collect(),
            in_stages: !document && (0..2).any(|sid| stale(&sid)),
        }
    }

    /// The plan is empty: says how the object stands, or lets it go.
    fn report(&mut self, protocol: &Protocol, state: &mut State, flight: &Flight, read: Policy) {
        let (Some(Object { generation, deleting, .. }), Some(object)) = (flight.object, &mut state.object) else {
            return;
        };
        self.served = Some((generation, deleting));
        if deleting {
            object.ready = Some((generation, false));
            if self.open == 0 {
                state.object = None;
                *self = Self { buried: true, seen: self.seen, ..Self::default() };
            }
            return;
        }
        // What a predecessor said of this generation holds, if a read agrees: all its calls were answered then. What we had
        // to repair since, it may have been repairing when it ended.
        let was_ready =
            object.ready == Some((generation, true)) && !(protocol.has(Part::DoubtOfRepairs) && flight.sent);
        let held = read.ours == protocol.wants[usize::from(generation) - 1];
        let is_ready = held && (self.open == 0 || (self.inherited && was_ready));
        self.retry |= !is_ready;
        let generation = if protocol.has(Part::OwnGeneration) { generation } else { object.generation };
        // A status that stays as it is was not said again.
        let says = flight.sent || object.ready != Some((generation, is_ready));
        object.ready = Some((generation, is_ready));
        state.lied |= is_ready && says && !protocol.is_true(state, generation);
    }

    /// What it is about to send, if anything.
    pub(crate) fn next_write(&self) -> Option<Write> {
        self.flight.as_ref().filter(|flight| flight.alone.is_none())?.todo.first().copied()
    }

    /// The call that it waits for was carried out.
    pub(crate) fn answered(&mut self, write: Write) {
        let Some(flight) = &mut self.flight else { return };
        let alone = flight.alone.take() == Some(true);
        flight.written.push(kind(write));
        if let (Write::Remove(sid), true) = (write, flight.object.is_some_and(|object| object.deleting)) {
            self.removed[sid] = Some(alone);
        }
    }

    /// The call that it waits for was not, as far as it can tell: it reads and plans again.
    pub(crate) fn failed(&mut self) {
        let flight = self.flight.take();
        self.flight = flight.map(|flight| Flight { alone: None, todo: vec![], believed: None, ..flight });
    }

    /// The call that it waits for has no answer, and may take effect for so long.
    pub(crate) fn lost_answer(&mut self, protocol: &Protocol, left: u8) {
        self.failed();
        if protocol.has(Part::Wait) {
            (self.open, self.inherited) = (self.open.max(left), false);
        }
    }
}

struct Plan {
    writes: Vec<Write>,
    /// More is planned after the next read, and no document is among these.
    in_stages: bool,
}

/// The Sid that a write changes, and whether it puts it.
fn kind(write: Write) -> (usize, bool) {
    match write {
        Write::Put(sid, _) => (sid, true),
        Write::Remove(sid) => (sid, false),
        Write::Document(_) | Write::Theirs(_) => (0, true),
    }
}
