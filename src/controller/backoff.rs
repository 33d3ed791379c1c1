//! Pauses between attempts: doubled each time up to a limit, and jittered, so that many do not come back at once.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// The pause before attempt `attempt` (1 is the first repetition): half of it fixed, half by chance.
pub fn jittered(shortest: Duration, attempt: u32, longest: Duration) -> Duration {
    let doubled = shortest.saturating_mul(1_u32 << attempt.saturating_sub(1).min(20));
    let whole = doubled.min(longest);
    // The hasher's keys are random: enough chance for a pause, without a crate for it.
    let chance = RandomState::new().hash_one(attempt) % 1000;
    whole / 2 + (whole / 2).mul_f64(f64::from(u32::try_from(chance).unwrap_or(0)) / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_limit_and_vary_by_half_at_most() {
        let (shortest, longest) = (Duration::from_millis(20), Duration::from_millis(500));
        for (attempt, whole) in [(1, 20), (2, 40), (3, 80), (6, 500), (64, 500)] {
            let pause = jittered(shortest, attempt, longest);
            let whole = Duration::from_millis(whole);
            assert!(whole / 2 <= pause && pause <= whole, "{attempt}: {pause:?}");
        }
    }
}
