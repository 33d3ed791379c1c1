//! Seeds: all that a random test draws from, so that a failure can be had again.

use std::env;

/// A source of chance that is the same for the same seed (`SplitMix64`).
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit).unwrap()).unwrap()
    }

    /// A number from `least` to `most`.
    pub(super) fn between(&mut self, least: usize, most: usize) -> usize {
        least + self.below(most - least + 1)
    }

    /// Whether something that happens so many times in a hundred happens.
    pub(super) fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(super) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// The same things in another order.
    pub(super) fn shuffled<T>(&mut self, mut things: Vec<T>) -> Vec<T> {
        for last in (1..things.len()).rev() {
            things.swap(last, self.below(last + 1));
        }
        things
    }

    /// A text of so many of these characters.
    pub(super) fn text(&mut self, of: &str, length: usize) -> String {
        let letters: Vec<char> = of.chars().collect();
        (0..length).map(|_| *self.pick(&letters)).collect()
    }

    /// An account, one of a thousand.
    pub(super) fn account(&mut self) -> String {
        format!("{:012}", 700_000_000_000 + self.below(1000))
    }

    /// A seed for something else.
    pub(super) fn seed(&mut self) -> u64 {
        self.next()
    }
}

/// Tries something with so many seeds, times `BUSGRANT_SOAK`, or with the one that `BUSGRANT_SEED` names. A failure prints
/// the seed.
pub(super) async fn each_seed(first: u64, count: u64, mut attempt: impl AsyncFnMut(u64)) {
    let number = |name: &str| env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seeds = match number("BUSGRANT_SEED") {
        Some(seed) => seed..seed + 1,
        None => first..first + count * soak(),
    };
    for seed in seeds {
        let told = Told(seed);
        attempt(seed).await;
        drop(told);
    }
}

/// How much longer than usual random tests are to look.
pub(super) fn soak() -> u64 {
    env::var("BUSGRANT_SOAK").map_or(1, |times| times.parse().unwrap())
}

struct Told(u64);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("it was seed {0}: BUSGRANT_SEED={0} tries it alone", self.0);
        }
    }
}

#[test]
fn the_same_seed_draws_the_same() {
    let drawn = |seed| {
        let mut random = Random::new(seed);
        (random.below(1000), random.between(3, 9), random.text("abc", 20), random.shuffled((0..20).collect::<Vec<_>>()))
    };
    assert_eq!(drawn(7), drawn(7));
    assert_ne!(drawn(7), drawn(8));
}
