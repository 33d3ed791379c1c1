//! Requests to the API server that are stopped on their way.

use std::future::pending;

use axum::http::Method;
use tokio::sync::watch;

use super::front::OBJECTS;

/// A request about one object or about our definition, whatever it does; events are none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Asked {
    pub(super) method: String,
    /// Such as `a` and `a/status`, or the whole path of what is no object of ours.
    pub(super) subject: String,
}

impl Asked {
    pub(super) fn of(method: &Method, path: &str) -> Option<Self> {
        let subject = path.rsplit_once("/eventbuspermissions/").map_or(path, |(_, subject)| subject);
        let about_one = !path.ends_with(OBJECTS) && !path.contains("/events");
        about_one.then(|| Self { method: method.to_string(), subject: subject.to_owned() })
    }
}

/// Where a request is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// The API server has not seen it.
    BeforeItIsPassedOn,
    /// The API server has answered, and the operator does not hear of it.
    BeforeItIsAnswered,
}

/// How far a request has come that is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Awaited,
    Stopped,
    Released,
    Done,
}

/// A request that is to be stopped.
#[derive(Debug)]
pub(super) struct Stop {
    asked: Asked,
    /// How many like it pass before.
    before: usize,
    moment: Moment,
    stage: watch::Sender<Stage>,
}

impl Stop {
    pub(super) fn new(asked: Asked, before: usize, moment: Moment) -> (Self, Stopped) {
        let stage = watch::Sender::new(Stage::Awaited);
        let stopped = Stopped(stage.clone());
        (Self { asked, before, moment, stage }, stopped)
    }

    /// The stop that is meant for a request, once as many like it have passed as should.
    pub(super) fn met(stops: &mut Vec<Self>, asked: &Asked) -> Option<Self> {
        let place = stops.iter().position(|stop| stop.asked == *asked)?;
        match stops[place].before.checked_sub(1) {
            None => Some(stops.remove(place)),
            Some(left) => {
                stops[place].before = left;
                None
            }
        }
    }

    /// Waits until it may be passed on.
    pub(super) async fn before_it_is_passed_on(&self) {
        if self.moment == Moment::BeforeItIsPassedOn {
            self.stage.send_replace(Stage::Stopped);
            self.stage.subscribe().wait_for(|stage| *stage == Stage::Released).await.unwrap();
        }
    }

    /// Takes note that it has been answered, and does not come back where the answer is kept.
    pub(super) async fn before_it_is_answered(self) {
        if self.moment == Moment::BeforeItIsAnswered {
            self.stage.send_replace(Stage::Stopped);
            pending::<()>().await;
        }
        self.stage.send_replace(Stage::Done);
    }
}

/// A request that is stopped, or will be.
#[derive(Debug)]
pub(super) struct Stopped(watch::Sender<Stage>);

impl Stopped {
    async fn comes_to(&self, stage: Stage) {
        self.0.subscribe().wait_for(|now| *now >= stage).await.unwrap();
    }

    /// Waits until it is there.
    pub(super) async fn is_there(&self) {
        self.comes_to(Stage::Stopped).await;
    }

    /// Passes it on, though nobody waits for its answer any more, and waits until it has had its effect.
    pub(super) async fn let_go(&self) {
        self.0.send_replace(Stage::Released);
        self.comes_to(Stage::Done).await;
    }
}
