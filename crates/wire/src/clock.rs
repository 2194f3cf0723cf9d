//! A clock that goes on while the machine sleeps.
//!
//! What always holds: it never runs slower than the runtime's own, which stands still in a suspended machine, and never
//! backwards. The clock on the wall only tells how long the machine slept; where it is set forward, things seem older than
//! they are and are asked for anew; where it is set back, nothing follows.

use std::time::{Duration, SystemTime};

use crate::limits::{SLEEP_MS_MIN, ms};

/// Time since some moment, suspended machines included. It is told the time of two other clocks at each look.
#[derive(Debug, Default)]
pub struct Clock {
    /// When both were looked at last.
    last: Option<(Duration, SystemTime)>,
    slept: Duration,
}

impl Clock {
    /// A clock that has not been looked at.
    pub fn new() -> Clock {
        Clock::default()
    }

    /// The time on this clock, when so much has passed on the runtime's and the wall's shows this.
    pub fn now(&mut self, awake: Duration, wall: SystemTime) -> Duration {
        if let Some((before, wall_before)) = self.last.replace((awake, wall)) {
            let passed = wall.duration_since(wall_before).unwrap_or_default();
            let asleep = passed.saturating_sub(awake.saturating_sub(before));
            if asleep >= ms(SLEEP_MS_MIN) {
                self.slept += asleep;
            }
        }
        awake + self.slept
    }

    /// A time of this clock on the runtime's.
    pub fn awake(&self, at: Duration) -> Duration {
        at.saturating_sub(self.slept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_suspended_machine_finds_its_hour_gone() {
        let (mut clock, noon) = (Clock::new(), SystemTime::UNIX_EPOCH + seconds(1_000_000));
        assert_eq!(clock.now(seconds(5), noon), seconds(5));
        assert_eq!(clock.now(seconds(6), noon + seconds(3_601)), seconds(3_606));
        assert_eq!(clock.now(seconds(7), noon + seconds(3_602)), seconds(3_607));
        assert_eq!(clock.awake(seconds(3_610)), seconds(10));
    }

    #[test]
    fn a_clock_that_is_set_back_or_slewed_changes_nothing() {
        let (mut clock, noon) = (Clock::new(), SystemTime::UNIX_EPOCH + seconds(1_000_000));
        clock.now(seconds(5), noon);
        assert_eq!(clock.now(seconds(6), noon - seconds(3_600)), seconds(6));
        assert_eq!(clock.now(seconds(7), noon - seconds(3_599) + Duration::from_millis(20)), seconds(7));
    }
}
