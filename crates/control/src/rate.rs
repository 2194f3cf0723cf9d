//! How often somebody may ask: a token bucket for each key, pure, in bounded memory.
//!
//! What always holds: time is given, never read; memory is bounded however many keys come. Why not a crate: `governor`
//! keeps a map that only grows until somebody prunes it, and reads the clock itself; this is the whole of what is needed.

use std::collections::HashMap;
use std::hash::Hash;

/// How many at once, and how fast they come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many may come at once.
    pub burst: u32,
    /// After how many microseconds one more may come.
    pub every_us: u64,
}

impl Rate {
    /// `burst` at once, then `count` in each period of `period_ms`.
    pub const fn new(burst: u32, count: u32, period_ms: u64) -> Rate {
        Rate { burst, every_us: period_ms * 1_000 / count as u64 }
    }
}

/// Buckets of one rate, by key. A bucket is the time at which it will be full again (the generic cell rate algorithm,
/// ITU-T I.371): a bucket that is full has no memory and need not be kept.
#[derive(Debug)]
pub struct Limiter<K> {
    rate: Rate,
    keys_max: usize,
    full_at_us: HashMap<K, u64>,
    /// Shared by all who find no place.
    overflow_full_at_us: u64,
}

impl<K: Hash + Eq> Limiter<K> {
    /// No key has used anything yet.
    pub fn new(rate: Rate, keys_max: usize) -> Limiter<K> {
        Limiter { rate, keys_max, full_at_us: HashMap::new(), overflow_full_at_us: 0 }
    }

    /// Takes one from the key's bucket, at `now_us`.
    ///
    /// # Errors
    /// After how many seconds, rounded up, there will be one.
    pub fn take(&mut self, key: K, now_us: u64) -> Result<(), u64> {
        let rate = self.rate;
        let next = take(rate, self.level(&key, now_us), now_us)?;
        *self.bucket(key, now_us) = next;
        Ok(())
    }

    /// Puts one back that was taken.
    pub fn give_back(&mut self, key: &K) {
        let every_us = self.rate.every_us;
        let bucket = self.full_at_us.get_mut(key).unwrap_or(&mut self.overflow_full_at_us);
        *bucket = bucket.saturating_sub(every_us);
    }

    /// How many keys are remembered.
    pub fn keys(&self) -> usize {
        self.full_at_us.len()
    }

    fn level(&mut self, key: &K, now_us: u64) -> u64 {
        if let Some(full_at_us) = self.full_at_us.get(key) {
            return *full_at_us;
        }
        if self.has_room(now_us) { 0 } else { self.overflow_full_at_us }
    }

    fn bucket(&mut self, key: K, now_us: u64) -> &mut u64 {
        if !self.full_at_us.contains_key(&key) && !self.has_room(now_us) {
            return &mut self.overflow_full_at_us;
        }
        self.full_at_us.entry(key).or_insert(0)
    }

    fn has_room(&mut self, now_us: u64) -> bool {
        if self.full_at_us.len() >= self.keys_max {
            self.full_at_us.retain(|_, full_at_us| *full_at_us > now_us);
        }
        self.full_at_us.len() < self.keys_max
    }
}

fn take(rate: Rate, full_at_us: u64, now_us: u64) -> Result<u64, u64> {
    let next = full_at_us.max(now_us).saturating_add(rate.every_us);
    let allowed = now_us.saturating_add(rate.every_us.saturating_mul(u64::from(rate.burst)));
    if next <= allowed { Ok(next) } else { Err((next - allowed).div_ceil(1_000_000).max(1)) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RATE: Rate = Rate::new(3, 2, 1_000);

    #[test]
    fn a_burst_is_let_through_then_the_rate() {
        let mut limiter = Limiter::new(RATE, 10);
        for _ in 0..3 {
            assert_eq!(limiter.take("a", 0), Ok(()));
        }
        assert_eq!(limiter.take("a", 0), Err(1));
        assert_eq!(limiter.take("b", 0), Ok(()), "another key has its own");
        assert_eq!(limiter.take("a", 500_000), Ok(()));
        assert_eq!(limiter.take("a", 500_000), Err(1));
    }

    #[test]
    fn memory_is_bounded_and_strangers_beyond_it_share_one_bucket() {
        let mut limiter = Limiter::new(RATE, 2);
        assert_eq!((limiter.take(1, 0), limiter.take(2, 0)), (Ok(()), Ok(())));
        let through = (3..100).filter(|key| limiter.take(*key, 0).is_ok()).count();
        assert_eq!(through, 3, "one burst for all who find no place");
        assert_eq!(limiter.keys(), 2);
        assert_eq!(limiter.take(200, 1_000_000), Ok(()), "who has recovered is forgotten");
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let mut limiter = Limiter::new(RATE, 10);
        for _ in 0..100 {
            assert_eq!(limiter.take("a", 1_000_000), Ok(()));
            limiter.give_back(&"a");
        }
    }

    proptest! {
        #[test]
        fn no_more_than_the_burst_and_the_rate_come_through(mut times in proptest::collection::vec(0u64..10_000_000, 1..200)) {
            times.sort_unstable();
            let mut limiter = Limiter::new(RATE, 10);
            let through = times.iter().filter(|now_us| limiter.take((), **now_us).is_ok()).count() as u64;
            let span_us = times[times.len() - 1] - times[0];
            prop_assert!(through <= u64::from(RATE.burst) + span_us / RATE.every_us + 1);
        }
    }
}
