//! Moments, as a screen needs them: comparable with what an earlier run wrote down, and never running backwards.
//!
//! What always holds: within one run the clock only goes forward, whatever happens to the clock on the wall, and the time
//! that a suspended machine slept counts.

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
    last: Mutex<(Duration, SystemTime, Duration)>,
}

/// By how much the wall's clock must be ahead of the other between two looks for the machine to have slept.
const SLEPT_MIN: Duration = Duration::from_secs(1);

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
            last: Mutex::new((Duration::ZERO, wall, Duration::ZERO)),
        }
    }

    /// Now.
    pub fn now(&self) -> At {
        self.read(self.began.elapsed(), SystemTime::now())
    }

    fn read(&self, awake: Duration, wall: SystemTime) -> At {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (before, wall_before, slept) = &mut *last;
        let passed = wall.duration_since(*wall_before).unwrap_or_default();
        let asleep = passed.saturating_sub(awake.saturating_sub(*before));
        if asleep >= SLEPT_MIN {
            *slept += asleep;
        }
        (*before, *wall_before) = (awake.max(*before), wall);
        At(self.began_wall).after(awake + *slept)
    }

    /// When that was, on this clock.
    pub fn at(&self, instant: Instant) -> At {
        let now = Instant::now();
        match instant.checked_duration_since(now) {
            Some(ahead) => self.now().after(ahead),
            None => self.now().before(now.saturating_duration_since(instant)),
        }
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
        clock.read(seconds(5), noon);
        let before = clock.read(seconds(6), noon + seconds(1));
        let woken = clock.read(seconds(7), noon + seconds(3_601));
        assert_eq!(woken.since(before), seconds(3_600));
        let set_back = clock.read(seconds(8), noon);
        assert_eq!(set_back.since(woken), seconds(1));
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
