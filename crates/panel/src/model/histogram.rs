//! Latencies, counted into buckets that double.
//!
//! What always holds: counting costs the same however much was counted before, and old counts fade: what is shown is the
//! recent past, not the whole run.

use std::time::Duration;

use serde::Serialize;

use crate::clock::At;
use crate::limits::LATENCY_MS_MAX;

/// How many buckets: the first is below 1 ms, each next one twice as wide, the last has everything above 524 s.
pub const BUCKETS: usize = 21;

/// How long a generation of counts lasts, in microseconds; two are shown.
const GENERATION_US: i64 = 30_000_000;

/// Counts by bucket.
pub type Counts = [u64; BUCKETS];

/// The last half minute to minute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Histogram {
    began: Option<At>,
    now: Counts,
    before: Counts,
    /// Events that were counted, since the screen began.
    pub counted: u64,
    /// Events that have no latency, since the screen began: written before it was connected, or more than ten minutes away
    /// from this machine's time, for another day or by another clock.
    pub left_out: u64,
}

/// Which bucket a latency belongs to; `None` where it is none: more than ten minutes, or more than a second before it
/// happened.
pub fn bucket(latency_us: i64) -> Option<usize> {
    if latency_us < -1_000_000 {
        return None;
    }
    let ms = u64::try_from(latency_us / 1_000).unwrap_or(0);
    if ms > LATENCY_MS_MAX {
        return None;
    }
    Some(((u64::BITS - ms.leading_zeros()) as usize).min(BUCKETS - 1))
}

/// The upper bound of a bucket.
pub fn upper(bucket: usize) -> Duration {
    Duration::from_millis(1 << bucket.min(BUCKETS - 1))
}

impl Histogram {
    /// Adds what was counted at `now`.
    pub fn add(&mut self, now: At, counts: &Counts, left_out: u64) {
        self.age(now);
        for (total, count) in self.now.iter_mut().zip(counts) {
            *total += count;
            self.counted += count;
        }
        self.left_out += left_out;
    }

    /// Lets old counts fade; whether that changed anything.
    pub fn age(&mut self, now: At) -> bool {
        let began = *self.began.get_or_insert(now);
        if now.0 - began.0 < GENERATION_US {
            return false;
        }
        let is_long_ago = now.0 - began.0 >= 2 * GENERATION_US;
        let old = std::mem::take(&mut self.now);
        let before = std::mem::replace(&mut self.before, if is_long_ago { Counts::default() } else { old });
        self.began = Some(now);
        before != self.before || old != Counts::default()
    }

    /// The recent counts.
    pub fn counts(&self) -> Counts {
        std::array::from_fn(|index| self.now[index] + self.before[index])
    }

    /// The bound below which this share (0 to 1) of the recent latencies lies; `None` without any.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let counts = self.counts();
        let total: u64 = counts.iter().sum();
        let mut seen = 0;
        let index = counts.iter().position(|count| {
            seen += count;
            total > 0 && seen as f64 >= share * total as f64
        })?;
        Some(upper(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_fall_into_buckets_that_double() {
        let cases =
            [(-2_000_000, None), (-5, Some(0)), (999, Some(0)), (1_000, Some(1)), (3_999, Some(2)), (4_000, Some(3))];
        for (us, expected) in cases {
            assert_eq!(bucket(us), expected, "{us}");
        }
        assert_eq!(bucket(600_000_000), Some(20));
        assert_eq!(bucket(601_000_000), None);
        assert_eq!((upper(0), upper(3)), (Duration::from_millis(1), Duration::from_millis(8)));
    }

    #[test]
    fn old_counts_fade_and_quantiles_are_of_the_recent_ones() {
        let mut histogram = Histogram::default();
        let mut counts = Counts::default();
        (counts[1], counts[10]) = (90, 10);
        histogram.add(At(0), &counts, 3);
        assert_eq!(histogram.quantile(0.5), Some(upper(1)));
        assert_eq!(histogram.quantile(0.99), Some(upper(10)));
        assert!(histogram.age(At(GENERATION_US)));
        assert_eq!(histogram.quantile(0.5), Some(upper(1)));
        assert!(histogram.age(At(2 * GENERATION_US)));
        assert_eq!((histogram.quantile(0.5), histogram.counted, histogram.left_out), (None, 100, 3));
        histogram.add(At(3 * GENERATION_US), &counts, 0);
        assert!(histogram.age(At(9 * GENERATION_US)));
        assert_eq!(histogram.counts(), Counts::default(), "half an hour later nothing is recent");
    }
}
