//! Moments, as a screen needs them: comparable with what an earlier run wrote down, and never running backwards.
//!
//! What always holds: within one run the clock only goes forward, whatever happens to the clock on the wall, and the time
//! that a suspended machine slept counts.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

/// A moment, in microseconds since 1970 by the clock on the wall as it was when the run began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct At(pub i64);

impl At {
    /// How long ago `earlier` was; nothing if it is not earlier.
    pub fn since(self, earlier: At) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// How long until `later`; nothing if it is not later.
    pub fn until(self, later: At) -> Duration {
        later.since(self)
    }

    /// So much later.
    pub fn after(self, duration: Duration) -> At {
        At(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// So much earlier.
    pub fn before(self, duration: Duration) -> At {
        At(self.0.saturating_sub(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// As RFC 3339, in UTC, with seconds.
    pub fn rfc3339(self) -> String {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(at) => at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            Err(_) => format!("{}us", self.0),
        }
    }

    /// As hours, minutes and seconds on this machine's clock.
    pub fn time_of_day(self) -> String {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(at) => at.to_zoned(jiff::tz::TimeZone::system()).strftime("%H:%M:%S").to_string(),
            Err(_) => format!("{}us", self.0),
        }
    }

    /// As date and time on this machine's clock.
    pub fn date_and_time(self) -> String {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(at) => at.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
            Err(_) => format!("{}us", self.0),
        }
    }
}

/// The clock of a run.
#[derive(Debug)]
pub struct Clock {
    began: Instant,
    began_wall: i64,
    looks: Mutex<Looks>,
}

/// What the looks at both clocks have shown.
#[derive(Debug)]
struct Looks {
    /// The last look: how much had passed on the clock that stands still in a suspended machine, and what the wall's showed.
    last: (Duration, SystemTime),
    /// When sleeps were noticed, on the first clock, and how long the machine had slept in all by then; the newest last.
    sleeps: VecDeque<(Duration, Duration)>,
}

/// By how much the wall's clock must be ahead of the other between two looks for the machine to have slept.
const SLEPT_MIN: Duration = Duration::from_secs(1);

/// Sleeps that are told apart. What was before the oldest of them is taken to be older than it is.
const SLEEPS_MAX: usize = 8;

impl Looks {
    fn look(&mut self, awake: Duration, wall: SystemTime) {
        let (before, wall_before) = self.last;
        let passed = wall.duration_since(wall_before).unwrap_or_default();
        let asleep = passed.saturating_sub(awake.saturating_sub(before));
        if asleep >= SLEPT_MIN {
            let slept = self.sleeps.back().map_or(Duration::ZERO, |(_, slept)| *slept) + asleep;
            self.sleeps.push_back((awake, slept));
            if self.sleeps.len() > SLEEPS_MAX {
                self.sleeps.pop_front();
            }
        }
        self.last = (awake.max(before), wall);
    }

    /// How long the machine had slept by then. What was before a sleep was noticed may have been before the sleep.
    fn slept_by(&self, awake: Duration) -> Duration {
        let last = self.sleeps.iter().rev().find(|(noticed, _)| *noticed <= awake);
        last.map_or(Duration::ZERO, |(_, slept)| *slept)
    }
}

impl Default for Clock {
    fn default() -> Clock {
        Clock::new()
    }
}

impl Clock {
    /// A clock that begins now.
    pub fn new() -> Clock {
        let wall = SystemTime::now();
        let micros = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros();
        Clock {
            began: Instant::now(),
            began_wall: i64::try_from(micros).unwrap_or(i64::MAX),
            looks: Mutex::new(Looks { last: (Duration::ZERO, wall), sleeps: VecDeque::new() }),
        }
    }

    /// Now.
    pub fn now(&self) -> At {
        self.read(|| {
            let awake = self.began.elapsed();
            (awake, awake, SystemTime::now())
        })
    }

    /// When that was, or will be, on this clock. What was before the machine slept is as much older as it slept.
    pub fn at(&self, instant: Instant) -> At {
        let at = instant.saturating_duration_since(self.began);
        self.read(|| (at, self.began.elapsed(), SystemTime::now()))
    }

    /// When it was, by a moment and both clocks as they are now, looked at by one at a time.
    fn read(&self, look: impl FnOnce() -> (Duration, Duration, SystemTime)) -> At {
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, awake, wall) = look();
        looks.look(awake, wall);
        At(self.began_wall).after(at + looks.slept_by(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sleep_of_a_suspended_machine_counts_and_a_clock_set_back_does_not() {
        let clock = Clock::new();
        let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
        let seconds = Duration::from_secs;
        let now = |awake, wall| clock.read(|| (seconds(awake), seconds(awake), wall));
        now(5, noon);
        let before = now(6, noon + seconds(1));
        let woken = now(7, noon + seconds(3_601));
        assert_eq!(woken.since(before), seconds(3_600));
        let set_back = now(8, noon);
        assert_eq!(set_back.since(woken), seconds(1));
    }

    #[test]
    fn what_was_before_the_machine_slept_is_not_moved_behind_its_sleep() {
        let clock = Clock::new();
        let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
        let seconds = Duration::from_secs;
        clock.read(|| (seconds(1), seconds(1), noon));
        // Asked at the fifth second; the machine slept for an hour after the sixth; it is the seventh that it is awake.
        clock.read(|| (seconds(6), seconds(6), noon + seconds(5)));
        let proof = clock.read(|| (seconds(5), seconds(7), noon + seconds(3_606)));
        let now = clock.read(|| (seconds(7), seconds(7), noon + seconds(3_606)));
        assert_eq!(now.since(proof), seconds(3_602));
        // And what comes later is told as it is.
        assert_eq!(now.until(clock.read(|| (seconds(9), seconds(7), noon + seconds(3_606)))), seconds(2));
        for sleep in 0..50 {
            clock.read(|| (seconds(10), seconds(10), noon + seconds(10_000 * sleep)));
        }
        assert!(clock.looks.lock().expect("whole").sleeps.len() <= SLEEPS_MAX);
    }

    #[test]
    fn moments_are_subtracted_without_running_below_zero() {
        let (early, late) = (At(1_000_000), At(3_500_000));
        assert_eq!((late.since(early), early.since(late)), (Duration::from_millis(2_500), Duration::ZERO));
        assert_eq!(early.until(late), Duration::from_millis(2_500));
        assert_eq!(early.after(Duration::from_millis(2_500)), late);
        assert_eq!(At(1_700_000_000_000_000).rfc3339(), "2023-11-14T22:13:20Z");
    }
}
