//! What may happen, and what never must.
//!
//! Time goes by in ticks. Every timer stops at zero, so that there are finitely many states and no end of time.

use stateright::{Model, Property};

use crate::controller::Process;
use crate::world::{Action, Call, Caller, Life, Object, Others, Part, Policy, Protocol, Service, State, Team, Write};

/// `T_out` in ticks: how long a call without an answer is taken to be able to take effect.
pub(crate) const OUTCOME_WAIT: u8 = 2;

pub(crate) const READY: &str =
    "Ready is said of what a read after the last write showed, and nothing of ours can undo it";
pub(crate) const GONE: &str = "nothing of an object stands once it is gone";
pub(crate) const KEPT: &str = "what was granted stays granted through a change";
pub(crate) const FOREIGN: &str = "no statement of others is lost";

impl Protocol {
    pub(crate) fn has(&self, part: Part) -> bool {
        !self.without.contains(&part)
    }

    fn refuses(&self) -> bool {
        self.service == Service::Refuses
    }

    /// Whether it is true to say `Ready` of this generation now.
    pub(crate) fn is_true(&self, state: &State, generation: u8) -> bool {
        let wanted = self.wants[usize::from(generation) - 1];
        let lagging = state.before.filter(|(_, ours)| !ours).map(|(policy, _)| policy);
        let shown = [Some(state.bus), lagging].into_iter().flatten().any(|policy| policy.ours == wanted);
        let ours = state.calls.iter().filter(|call| call.caller != Caller::Others);
        shown && ours.filter_map(|call| self.landed(state, call)).all(|policy| policy.ours == wanted)
    }

    /// Whether what stands is what is wanted, and nothing is left to do.
    pub(crate) fn is_at_rest(&self, state: &State) -> bool {
        let idle = state.process.as_ref().is_some_and(|process| !process.has_work(self, state));
        let (wanted, said) = state.object.map_or(([0, 0], true), |Object { generation, deleting, ready, .. }| {
            (self.wants[usize::from(generation) - 1], !deleting && ready == Some((generation, true)))
        });
        idle && state.calls.is_empty() && said && state.bus.ours == wanted
    }

    /// What the policy is once this call has written.
    fn landed(&self, state: &State, call: &Call) -> Option<Policy> {
        match (self.refuses(), call.beaten) {
            (true, true) => None,
            (true, false) => Some(call.write.on(state.bus)),
            (false, _) => Some(call.write.on(call.read.unwrap_or(state.bus))),
        }
    }

    /// Carries a call out; says whether it was not refused.
    fn write_half(&self, state: &mut State, call: &Call) -> bool {
        let Some(after) = self.landed(state, call) else { return false };
        state.before = self.lag.then_some((state.bus, call.caller != Caller::Others));
        state.bus = after;
        for other in state.calls.iter_mut().filter(|other| self.refuses() && other.read.is_some()) {
            other.beaten = true;
        }
        if call.caller == Caller::Others {
            state.theirs = after.theirs;
        }
        true
    }

    fn service_actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (at, call) in state.calls.iter().enumerate() {
            let reads = self.refuses() || !matches!(call.write, Write::Document(_));
            let written = !reads || call.read.is_some();
            actions.push(if written { Action::WriteHalf(at) } else { Action::ReadHalf(at) });
            if call.caller != Caller::Others {
                actions.push(Action::Fail(at));
            }
            if call.caller == Caller::Us && state.left.give_ups > 0 {
                actions.extend([Action::GiveUp(at)].into_iter().chain(written.then_some(Action::DoneButFailed(at))));
            }
        }
        actions.extend(state.before.map(|_| Action::CatchUp));
        // A call that must be over by the next tick is waited for, and so is a read that lags: a tick is longer than that.
        let bounded = |call: &Call| self.life == Life::OutcomeWait && call.caller != Caller::Others;
        let in_time = !state.calls.iter().any(|call| bounded(call) && call.left <= 1);
        let counts = state.process.as_ref().is_some_and(|process| process.open > 0);
        if in_time && state.before.is_none() && (counts || state.calls.iter().any(|call| call.left > 0)) {
            actions.push(Action::Tick);
        }
        // The sweep comes often in that time.
        let swept = state.process.as_ref().is_some_and(|process| process.buried && !process.has_work(self, state));
        if swept && (state.calls.is_empty() || self.life == Life::Unbounded) {
            actions.push(Action::TombstoneEnds);
        }
    }

    fn foreign_action(&self, state: &State) -> Option<Action> {
        let flying = state.process.as_ref().is_some_and(|process| process.flight.is_some());
        match (self.others, state.copy) {
            _ if state.left.foreign_writes == 0 => None,
            (Others::Apart, _) if flying || !state.calls.is_empty() => None,
            (Others::FromCopies, None) => Some(Action::ForeignCopy),
            (Others::FromCopies, Some(_)) => Some(Action::ForeignDocument),
            _ => Some(Action::ForeignPut),
        }
    }
}

impl State {
    /// A call reaches the service.
    pub(crate) fn call(&mut self, write: Write, caller: Caller) {
        let left = if caller == Caller::Others { 0 } else { OUTCOME_WAIT };
        self.calls.push(Call { write, caller, read: None, beaten: false, left });
    }

    fn foreign_write(&mut self, protocol: &Protocol) {
        self.left.foreign_writes -= 1;
        let says = 1 + protocol.budget.foreign_writes - self.left.foreign_writes;
        match (protocol.others, self.copy.take()) {
            (Others::Apart, _) => (self.bus.theirs, self.theirs) = (says, says),
            (_, Some(copy)) => self.call(Write::Document(Policy { theirs: says, ..copy }), Caller::Others),
            (_, None) => self.call(Write::Theirs(says), Caller::Others),
        }
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let object = Some(Object { generation: 1, ..Object::default() });
        let bus = Policy { theirs: 1, ..Policy::default() };
        let process = Some(Process::default());
        vec![State { bus, object, process, theirs: 1, left: self.budget, ..State::default() }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        match &state.process {
            None => actions.push(Action::Start),
            Some(process) => {
                actions.extend(process.actions(self, state));
                if state.left.crashes > 0 {
                    actions.push(Action::Crash);
                    actions.extend(process.next_write().filter(|_| self.pauses).map(|_| Action::Pause));
                }
            }
        }
        actions.extend(state.paused.map(|_| Action::Resume));
        let next = self.script.get(state.line).filter(|line| **line != Team::CreatesAgain || state.object.is_none());
        actions.extend(next.map(|_| Action::User));
        actions.extend(self.foreign_action(state));
        self.service_actions(state, actions);
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        match action {
            Action::Hold | Action::Begin | Action::Sweep | Action::Read { .. } | Action::Send => {
                let mut process = state.process.take()?;
                process.act(self, &mut state, action);
                state.process = Some(process);
            }
            Action::Start => state.process = Some(Process::successor(self, &state)),
            // Where conflicts are detected, when it reads counts, and not what.
            Action::ReadHalf(at) => {
                state.calls[at].read = Some(if self.refuses() { Policy::default() } else { state.bus });
            }
            Action::WriteHalf(at) | Action::DoneButFailed(at) => {
                let call = state.calls.remove(at);
                let done = self.write_half(&mut state, &call) && action == Action::WriteHalf(at);
                state.left.give_ups -= u8::from(action == Action::DoneButFailed(at));
                if call.caller == Caller::Us {
                    let process = state.process.as_mut()?;
                    if done { process.answered(call.write) } else { process.failed() }
                }
            }
            Action::Fail(at) => {
                if state.calls.remove(at).caller == Caller::Us {
                    state.process.as_mut()?.failed();
                }
            }
            Action::CatchUp => state.before = None,
            Action::Tick => {
                state.calls.iter_mut().for_each(|call| call.left = call.left.saturating_sub(1));
                state.process.iter_mut().for_each(|process| process.open = process.open.saturating_sub(1));
            }
            Action::GiveUp(at) => {
                state.left.give_ups -= 1;
                state.calls[at].caller = Caller::Nobody;
                let left = state.calls[at].left;
                state.process.as_mut()?.lost_answer(self, left);
            }
            Action::Crash | Action::Pause => {
                state.left.crashes -= 1;
                let process = state.process.take()?;
                state.paused = state.paused.or(process.next_write().filter(|_| action == Action::Pause));
                let waiting = state.calls.iter_mut().filter(|call| call.caller == Caller::Us);
                waiting.for_each(|call| call.caller = Caller::Nobody);
            }
            Action::Resume => {
                let write = state.paused.take()?;
                state.call(write, Caller::Nobody);
            }
            Action::TombstoneEnds => state.process.as_mut()?.buried = false,
            Action::User => {
                state.line += 1;
                match self.script[before.line] {
                    Team::Edits => state.object.as_mut()?.generation += 1,
                    Team::Deletes if !state.object?.held => state.object = None,
                    Team::Deletes => state.object.as_mut()?.deleting = true,
                    Team::CreatesAgain => state.object = Some(Object { generation: 1, ..Object::default() }),
                }
            }
            Action::ForeignCopy => state.copy = Some(state.bus),
            Action::ForeignPut | Action::ForeignDocument => state.foreign_write(self),
        }
        state.calls.sort_unstable();
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(READY, |_, state: &State| !state.lied),
            Property::always(GONE, |_, state: &State| state.object.is_some() || state.bus.ours == [0, 0]),
            Property::always(KEPT, |_, state: &State| {
                let granted =
                    state.object.is_some_and(|object| !object.deleting && object.ready.is_some_and(|(_, is)| is));
                !granted || state.bus.ours != [0, 0]
            }),
            Property::always(FOREIGN, |_, state: &State| {
                let busy = state.calls.iter().any(|call| call.caller == Caller::Others);
                busy || state.bus.theirs == state.theirs
            }),
        ]
    }
}
