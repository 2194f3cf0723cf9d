//! Whether the host's clock may be believed about how old events are.
//!
//! What always holds: events are deleted for their age only while the clock has moved between two looks by no more than
//! sweeps are apart and an hour. A clock that is further ahead (a wrong date, a machine that was off, a copy that was
//! restored) is believed only once it has said so for an hour; until then nothing goes for its age, and the host's log says
//! why. Limits of events and bytes know no time and hold throughout. A module has no other clock, so smaller steps pass.

use spacetimedb::{ReducerContext, Timestamp, log};

use super::limits::{CLOCK_AHEAD_S_MAX, CLOCK_HOLD_S};
use super::tables::{LaneConfig, RetentionClock, retention_clock};

/// What is known of the clock, in microseconds since the beginning of 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    /// What it said at the last look.
    seen_us: i64,
    /// Until when it is not believed; 0 if it is.
    held_until_us: i64,
}

impl Known {
    /// What is known after it says `now_us`, where looks are at most `apart_s` apart.
    fn after(self, now_us: i64, apart_s: u64) -> Known {
        let ahead_us = now_us.saturating_sub(self.seen_us);
        let is_ahead = ahead_us > us(apart_s.saturating_add(CLOCK_AHEAD_S_MAX));
        // Before the moment in which it was first doubted, it has been put right.
        let is_put_right = now_us < self.held_until_us.saturating_sub(us(CLOCK_HOLD_S));
        let held_until_us = match (is_ahead, is_put_right) {
            (true, _) => now_us.saturating_add(us(CLOCK_HOLD_S)),
            (false, true) => 0,
            (false, false) => self.held_until_us,
        };
        Known { seen_us: now_us, held_until_us }
    }

    fn is_believed(self) -> bool {
        self.seen_us >= self.held_until_us
    }
}

fn us(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000)
}

/// Looks at the clock; whether it may be believed about ages.
pub(super) fn is_believed(ctx: &ReducerContext, config: &LaneConfig) -> bool {
    let now_us = ctx.timestamp.to_micros_since_unix_epoch();
    let before = ctx
        .db
        .retention_clock()
        .id()
        .find(0)
        .map(|row| Known { seen_us: row.seen_us, held_until_us: row.held_until_us });
    let known = before.unwrap_or(Known { seen_us: now_us, held_until_us: 0 }).after(now_us, config.sweep_every_s);
    if before.is_none_or(Known::is_believed) && !known.is_believed() {
        log::warn!(
            "the host's clock is far ahead of the last look at it: no event goes for its age before {}; put the clock right, \
             or call configure_lane if it is",
            Timestamp::from_micros_since_unix_epoch(known.held_until_us)
        );
    }
    let Known { seen_us, held_until_us } = known;
    ctx.db.retention_clock().id().insert_or_update(RetentionClock { id: 0, seen_us, held_until_us });
    known.is_believed()
}

/// The owner has just said how long events are kept, by what the clock says now.
pub(super) fn believe(ctx: &ReducerContext) {
    let seen_us = ctx.timestamp.to_micros_since_unix_epoch();
    ctx.db.retention_clock().id().insert_or_update(RetentionClock { id: 0, seen_us, held_until_us: 0 });
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_US: i64 = 3_600_000_000;
    const NOW: Known = Known { seen_us: 1_000 * HOUR_US, held_until_us: 0 };

    #[test]
    fn a_clock_that_goes_on_as_clocks_do_is_believed() {
        for ahead_us in [-HOUR_US, 0, 10_000_000, HOUR_US] {
            let known = NOW.after(NOW.seen_us + ahead_us, 10);
            assert!(known.is_believed(), "{ahead_us}");
        }
    }

    #[test]
    fn a_clock_that_is_far_ahead_is_believed_only_once_it_has_said_so_for_an_hour() {
        let jumped = NOW.seen_us + 24 * HOUR_US;
        let mut known = NOW.after(jumped, 10);
        assert!(!known.is_believed());
        for minutes in 1..60 {
            known = known.after(jumped + minutes * HOUR_US / 60, 10);
            assert!(!known.is_believed(), "{minutes}");
        }
        assert!(known.after(jumped + HOUR_US, 10).is_believed());
    }

    #[test]
    fn a_clock_that_is_put_right_is_believed_at_once() {
        let known = NOW.after(NOW.seen_us + 24 * HOUR_US, 10).after(NOW.seen_us + 60_000_000, 10);
        assert!(known.is_believed());
    }

    #[test]
    fn looks_may_be_as_far_apart_as_the_owner_wants_sweeps() {
        assert!(NOW.after(NOW.seen_us + 24 * HOUR_US, 86_400).is_believed());
        assert!(!NOW.after(NOW.seen_us + 26 * HOUR_US, 86_400).is_believed());
    }

    #[test]
    fn no_time_is_too_far_away_to_be_reckoned_with() {
        for (seen_us, now_us) in [(i64::MIN, i64::MAX), (i64::MAX, i64::MIN), (0, i64::MAX)] {
            let known = Known { seen_us, held_until_us: 0 }.after(now_us, u64::MAX);
            assert_eq!(known.seen_us, now_us);
        }
    }
}
