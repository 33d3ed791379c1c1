//! The rate of calls: one token bucket for each account and Region, well under what everything in the account shares (50
//! control-plane calls a second, `EventBridge` quotas). Removals go first. Otherwise who came first is served first, and
//! since a bus has one call at a time, the buses take turns.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use busgrant_policy::{AccountId, Region};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

/// Who is served first where calls have to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// Something is to be taken away from the bus.
    Removal,
    /// Anything else.
    Other,
}

/// The controller ends, so nothing waits any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

/// The buckets of every account and Region.
#[derive(Debug)]
pub struct Rates {
    per_second: u32,
    buckets: Mutex<HashMap<(AccountId, Region), Arc<Bucket>>>,
}

#[derive(Debug)]
struct Bucket {
    per_second: u32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    tokens: f64,
    filled_at: Instant,
    closed: bool,
    /// Whether a task hands tokens to those who wait.
    served: bool,
    removals: VecDeque<oneshot::Sender<()>>,
    others: VecDeque<oneshot::Sender<()>>,
}

impl Rates {
    /// So many calls a second for each account and Region, and as many at once after a rest.
    pub fn new(per_second: u32) -> Self {
        Self { per_second, buckets: Mutex::default() }
    }

    /// Waits until a call may be made; gives how long that took.
    pub async fn turn(&self, account: &AccountId, region: &Region, urgency: Urgency) -> Result<Duration, Closed> {
        let bucket = {
            let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
            let new = || Arc::new(Bucket::new(self.per_second));
            Arc::clone(buckets.entry((account.clone(), region.clone())).or_insert_with(new))
        };
        bucket.turn(urgency).await
    }

    /// Sends everyone away who waits now or would have to later.
    pub fn close(&self) {
        for bucket in self.buckets.lock().unwrap_or_else(PoisonError::into_inner).values() {
            let mut state = bucket.state();
            state.closed = true;
            state.removals.clear();
            state.others.clear();
        }
    }
}

impl Bucket {
    fn new(per_second: u32) -> Self {
        let state = State {
            tokens: f64::from(per_second),
            filled_at: Instant::now(),
            closed: false,
            served: false,
            removals: VecDeque::new(),
            others: VecDeque::new(),
        };
        Self { per_second, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn turn(self: &Arc<Self>, urgency: Urgency) -> Result<Duration, Closed> {
        let asked = Instant::now();
        let turn = {
            let mut state = self.state();
            state.fill(self.per_second);
            if state.tokens >= 1.0 && state.removals.is_empty() && state.others.is_empty() {
                state.tokens -= 1.0;
                return Ok(Duration::ZERO);
            }
            if state.closed {
                return Err(Closed);
            }
            let (waiter, turn) = oneshot::channel();
            match urgency {
                Urgency::Removal => state.removals.push_back(waiter),
                Urgency::Other => state.others.push_back(waiter),
            }
            if !std::mem::replace(&mut state.served, true) {
                tokio::spawn(Arc::clone(self).serve());
            }
            turn
        };
        turn.await.map(|()| asked.elapsed()).map_err(|_| Closed)
    }

    /// Hands out tokens as they come, until nobody waits.
    async fn serve(self: Arc<Self>) {
        while let Some(pause) = self.hand_out() {
            sleep(pause).await;
        }
    }

    /// Gives the time until there is a token for the next who waits, if anybody does.
    fn hand_out(&self) -> Option<Duration> {
        let mut state = self.state();
        state.fill(self.per_second);
        while state.tokens >= 1.0 {
            let next = state.removals.pop_front().or_else(|| state.others.pop_front());
            let Some(waiter) = next else { break };
            // Who has given up needs no token.
            if waiter.send(()).is_ok() {
                state.tokens -= 1.0;
            }
        }
        state.served = !(state.removals.is_empty() && state.others.is_empty());
        let missing = (1.0 - state.tokens).max(0.0) / f64::from(self.per_second);
        // Timers are a millisecond apart; a shorter pause would only be taken again.
        state.served.then(|| Duration::from_secs_f64(missing).max(Duration::from_millis(1)))
    }
}

impl State {
    fn fill(&mut self, per_second: u32) {
        let now = Instant::now();
        let come = now.duration_since(self.filled_at).as_secs_f64() * f64::from(per_second);
        self.tokens = (self.tokens + come).min(f64::from(per_second));
        self.filled_at = now;
    }
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;

    use super::*;

    fn home() -> (AccountId, Region) {
        ("123456789012".parse().unwrap(), "eu-west-1".parse().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn no_second_has_more_calls_than_its_tokens_and_those_saved_up() {
        let rates = Rates::new(20);
        let (account, region) = home();
        let began = Instant::now();
        let turn = async || {
            rates.turn(&account, &region, Urgency::Other).await.unwrap();
            began.elapsed()
        };
        let at = join_all((0..120).map(|_| turn())).await;
        let by = |seconds: u64| at.iter().filter(|at| **at <= Duration::from_secs(seconds)).count();
        assert_eq!(by(0), 20);
        assert!((39..=40).contains(&by(1)), "{}", by(1));
        assert!((118..=120).contains(&by(5)), "{}", by(5));
    }

    #[tokio::test(start_paused = true)]
    async fn removals_overtake_what_waits_and_others_keep_their_order() {
        let rates = Rates::new(1);
        let (account, region) = home();
        rates.turn(&account, &region, Urgency::Other).await.unwrap();
        let order = Mutex::new(Vec::new());
        let ask = async |name: &'static str, urgency| {
            rates.turn(&account, &region, urgency).await.unwrap();
            order.lock().unwrap().push(name);
        };
        let asked = [
            ask("first", Urgency::Other),
            ask("second", Urgency::Other),
            ask("removal", Urgency::Removal),
            ask("third", Urgency::Other),
        ];
        join_all(asked).await;
        assert_eq!(*order.lock().unwrap(), ["removal", "first", "second", "third"]);
    }

    #[tokio::test(start_paused = true)]
    async fn accounts_and_regions_do_not_wait_for_each_other() {
        let rates = Rates::new(1);
        let (account, region) = home();
        rates.turn(&account, &region, Urgency::Other).await.unwrap();
        let elsewhere = "us-east-1".parse().unwrap();
        assert_eq!(rates.turn(&account, &elsewhere, Urgency::Other).await, Ok(Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_end_nobody_waits() {
        let rates = Rates::new(1);
        let (account, region) = home();
        rates.turn(&account, &region, Urgency::Other).await.unwrap();
        let (waited, ()) = tokio::join!(rates.turn(&account, &region, Urgency::Other), async { rates.close() });
        assert_eq!(waited, Err(Closed));
        assert_eq!(rates.turn(&account, &region, Urgency::Removal).await, Err(Closed));
    }
}
