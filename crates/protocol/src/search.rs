//! Searches every state of a configuration: stateright for what must never be, a walk backwards for what must stay possible.

use std::collections::hash_map::{DefaultHasher, Entry};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::{Hash, Hasher};
use std::time::Instant;

use stateright::{Checker, Model};

use crate::world::{Action, Protocol, State};

/// Whatever happened, the controller and the service by themselves can come to where what is wanted stands.
pub(crate) const REST: &str = "every state can come to rest with what is wanted";

/// Asserts that of all properties exactly these can be violated, and says what it took to know.
pub(crate) fn violates(protocol: &Protocol, expected: &[&'static str]) {
    let start = Instant::now();
    let checker = protocol.clone().checker().spawn_bfs().join();
    let mut found: Vec<(&str, Vec<Action>)> =
        checker.discoveries().into_iter().map(|(name, path)| (name, path.into_actions())).collect();
    let (states, stuck) = walk_back(protocol);
    assert_eq!(states, checker.unique_state_count(), "both searches find the same states");
    found.extend(stuck.map(|path| (REST, path)));
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    println!("{test}: {states} states, {} steps, {:.1?}", checker.state_count(), start.elapsed());
    for (name, path) in &found {
        println!("  not so: {name}\n    {path:?}");
    }
    let found: BTreeSet<&str> = found.into_iter().map(|(name, _)| name).collect();
    assert_eq!(found, expected.iter().copied().collect());
}

/// Asserts that every property holds in every state.
pub(crate) fn holds(protocol: &Protocol) {
    violates(protocol, &[]);
}

/// Finds all states, and the shortest way to one from which no steps of the controller and the service lead to rest.
/// (`Property::eventually` of stateright gives up where ways meet again.)
fn walk_back(protocol: &Protocol) -> (usize, Option<Vec<Action>>) {
    let mut places: HashMap<u64, usize> = HashMap::new();
    let mut came: Vec<Option<(usize, Action)>> = Vec::new();
    let mut can_rest: Vec<bool> = Vec::new();
    let mut steps: Vec<(usize, usize)> = Vec::new();
    let mut open: VecDeque<State> = VecDeque::new();
    let mut reach = |state: State, from: Option<(usize, Action)>, open: &mut VecDeque<State>| {
        let place = places.len();
        match places.entry(fingerprint(&state)) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                new.insert(place);
                came.push(from);
                open.push_back(state);
                place
            }
        }
    };
    for state in protocol.init_states() {
        reach(state, None, &mut open);
    }
    let mut actions = Vec::new();
    while let Some(state) = open.pop_front() {
        let place = can_rest.len();
        can_rest.push(protocol.is_at_rest(&state));
        protocol.actions(&state, &mut actions);
        for action in actions.drain(..) {
            let next = protocol.next_state(&state, action).expect("only possible actions are offered");
            let next = reach(next, Some((place, action)), &mut open);
            if action.is_progress() {
                steps.push((place, next));
            }
        }
    }
    let mut grows = true;
    while grows {
        grows = false;
        for (from, to) in steps.iter().rev() {
            if can_rest[*to] && !can_rest[*from] {
                can_rest[*from] = true;
                grows = true;
            }
        }
    }
    let stuck = can_rest.iter().position(|can| !can).map(|place| {
        let mut path: Vec<Action> =
            std::iter::successors(came[place], |(from, _)| came[*from]).map(|(_, by)| by).collect();
        path.reverse();
        path
    });
    (can_rest.len(), stuck)
}

fn fingerprint(state: &State) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}
