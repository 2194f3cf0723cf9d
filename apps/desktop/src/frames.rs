//! How long frames take.
//!
//! What always holds: the newest [`FRAMES_MAX`] are kept as they were, and of all of them how many took how long, to a tenth.

use std::collections::VecDeque;
use std::time::Duration;

use crate::limits::FRAMES_MAX;

/// Buckets from a microsecond to some ten seconds, each a tenth wider than the one before.
const BUCKETS: usize = 170;
const WIDER: f64 = 1.1;

/// Frame times.
#[derive(Clone, Debug)]
pub struct Frames {
    newest: VecDeque<Duration>,
    all: [u64; BUCKETS],
    /// Frames since the beginning.
    pub count: u64,
    /// The longest since the beginning.
    pub longest: Duration,
}

impl Default for Frames {
    fn default() -> Frames {
        Frames { newest: VecDeque::new(), all: [0; BUCKETS], count: 0, longest: Duration::ZERO }
    }
}

impl Frames {
    /// Adds one.
    pub fn add(&mut self, took: Duration) {
        if self.newest.len() == FRAMES_MAX {
            self.newest.pop_front();
        }
        self.newest.push_back(took);
        let bucket = (took.as_secs_f64() * 1e6).max(1.0).log(WIDER) as usize;
        self.all[bucket.min(BUCKETS - 1)] += 1;
        self.count += 1;
        self.longest = self.longest.max(took);
    }

    /// Below which this share (0 to 1) of the newest lie; `None` before the first.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let mut sorted: Vec<_> = self.newest.iter().copied().collect();
        sorted.sort_unstable();
        let index = ((sorted.len() as f64 * share).ceil() as usize).saturating_sub(1);
        sorted.get(index).copied()
    }
}

impl Frames {
    /// The same of all since the beginning, to a tenth.
    pub fn quantile_of_all(&self, share: f64) -> Option<Duration> {
        let wanted = (self.count as f64 * share).ceil() as u64;
        let mut seen = 0;
        let bucket = self.all.iter().position(|count| {
            seen += count;
            self.count > 0 && seen >= wanted
        })?;
        let upper = Duration::from_secs_f64(WIDER.powi(bucket as i32 + 1) / 1e6);
        Some(upper.min(self.longest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_newest_frames() {
        let mut frames = Frames::default();
        assert_eq!(frames.quantile(0.99), None);
        for ms in 1..=100 {
            frames.add(Duration::from_millis(ms));
        }
        assert_eq!(frames.quantile(0.5), Some(Duration::from_millis(50)));
        assert_eq!(frames.quantile(0.99), Some(Duration::from_millis(99)));
        for _ in 0..FRAMES_MAX {
            frames.add(Duration::from_millis(7));
        }
        // What was long ago is forgotten by one and not by the other.
        let all = frames.quantile_of_all(0.99).expect("many").as_secs_f64() * 1e3;
        assert!((58.0..=66.0).contains(&all), "{all}: 42 of 4,196 took longer than 58 ms");
        assert_eq!(
            (frames.quantile(1.0), frames.longest),
            (Some(Duration::from_millis(7)), Duration::from_millis(100))
        );
    }
}
