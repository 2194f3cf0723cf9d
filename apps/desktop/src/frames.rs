//! How long frames take.
//!
//! What always holds: the newest [`FRAMES_MAX`] are kept, and nothing else.

use std::collections::VecDeque;
use std::time::Duration;

use crate::limits::FRAMES_MAX;

/// The newest frame times.
#[derive(Clone, Debug, Default)]
pub struct Frames {
    newest: VecDeque<Duration>,
    /// Frames since the beginning.
    pub count: u64,
    /// The longest since the beginning.
    pub longest: Duration,
}

impl Frames {
    /// Adds one.
    pub fn add(&mut self, took: Duration) {
        if self.newest.len() == FRAMES_MAX {
            self.newest.pop_front();
        }
        self.newest.push_back(took);
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
        assert_eq!(
            (frames.quantile(1.0), frames.longest),
            (Some(Duration::from_millis(7)), Duration::from_millis(100))
        );
    }
}
