//! A request of the operator, and what stops the operator there.

use std::fmt::{Display, Formatter, Result as Written};

use busgrant_sim::{Fault, FaultId, FaultKind, JournalEntry, JournalFilter, Operation};

use super::scenario::{Marks, Scenario};
use crate::controller::scene::Scene;
use crate::controller::stops::{Asked, Moment, Stopped};

/// A request, and what becomes of it when its sender is killed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Point {
    call: Call,
    /// The first of its kind after the change is 1.
    number: usize,
    pub(super) fate: Fate,
}

#[derive(Debug, Clone, PartialEq)]
enum Call {
    Aws(Operation),
    Kubernetes(Asked),
}

/// What becomes of a request whose sender is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It has no effect, at least not before all is over.
    Lost,
    /// It takes effect after the first read that follows the restart.
    Late,
    /// It takes effect, if it can have one, before the restart.
    Unanswered,
}

impl Display for Point {
    fn fmt(&self, text: &mut Formatter<'_>) -> Written {
        match &self.call {
            Call::Aws(operation) => write!(text, "{}", operation.name())?,
            Call::Kubernetes(Asked { method, subject }) => write!(text, "{method} {subject}")?,
        }
        let fate = match self.fate {
            Fate::Lost => "lost",
            Fate::Late => "late",
            Fate::Unanswered => "unanswered",
        };
        write!(text, " {} {fate}", self.number)
    }
}

/// The points of a run that has ended.
pub(super) fn points(scene: &Scene, scenario: &Scenario, marks: &Marks) -> Vec<Point> {
    let calls = scene.sim.journal_of(&JournalFilter::since(marks.sim)).into_iter();
    let asked = scene.front.asked().into_iter().skip(marks.asked);
    let calls = calls.map(|call| Call::Aws(call.operation)).chain(asked.map(Call::Kubernetes));
    let mut before: Vec<Call> = Vec::new();
    let mut points = Vec::new();
    for call in calls {
        before.push(call.clone());
        let number = before.iter().filter(|other| **other == call).count();
        let fates: &[Fate] = match &call {
            // However many lists there are, the first is like the others; and elsewhere they come when it is time.
            Call::Aws(Operation::ListEventBuses) if number > 1 || !scenario.is_silent() => &[],
            Call::Aws(Operation::PutPermission | Operation::RemovePermission) => {
                &[Fate::Lost, Fate::Late, Fate::Unanswered]
            }
            // It can only come before the restart or too late: it names the version of the object that it is about.
            Call::Kubernetes(asked) if asked.method != "GET" => &[Fate::Lost, Fate::Unanswered],
            // Whether a read was done makes no difference to anybody.
            _ => &[Fate::Unanswered],
        };
        points.extend(fates.iter().map(|fate| Point { call: call.clone(), number, fate: *fate }));
    }
    points
}

/// What stops the operator at a point.
pub(super) enum Trap {
    Aws(FaultId),
    Kubernetes(Asked, Stopped),
}

impl Trap {
    pub(super) fn set(scene: &Scene, point: &Point) -> Self {
        let done = point.fate == Fate::Unanswered;
        match &point.call {
            Call::Aws(operation) => {
                let after = FaultKind::HoldAfterApply { millis: None };
                let kind = if done { after } else { FaultKind::HoldBeforeApply { millis: None } };
                Self::Aws(scene.sim.inject(Fault::new(kind).on(*operation)))
            }
            Call::Kubernetes(asked) => {
                let moment = if done { Moment::BeforeItIsAnswered } else { Moment::BeforeItIsPassedOn };
                Self::Kubernetes(asked.clone(), scene.front.stop(asked, point.number - 1, moment))
            }
        }
    }

    /// Waits until the operator is at the point.
    pub(super) async fn holds(&self, scene: &Scene, point: &Point) {
        match self {
            Self::Kubernetes(_, stopped) => stopped.is_there().await,
            Self::Aws(fault) => {
                for _ in 1..point.number {
                    scene.sim.wait_held(1).await;
                    scene.sim.release(*fault);
                }
                scene.sim.wait_held(1).await;
            }
        }
    }

    /// Lets all later calls pass.
    pub(super) fn disarm(&self, scene: &Scene) {
        if let Self::Aws(fault) = self {
            scene.sim.clear_fault(*fault);
        }
    }

    /// Lets the request take effect, and waits for it.
    pub(super) async fn let_go(&self, scene: &Scene) {
        match self {
            Self::Kubernetes(_, stopped) => stopped.let_go().await,
            Self::Aws(fault) => {
                let held = scene.sim.held();
                scene.sim.release(*fault);
                let answered = |call: &JournalEntry| held.contains(&call.seq) && call.answered.is_some();
                scene.sim.wait_until(|sim| sim.journal().iter().any(answered)).await;
            }
        }
    }
}
