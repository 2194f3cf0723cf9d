//! Joins and leaves by minute, over the last hour.
//!
//! What always holds: at most [`CHURN_MINUTES`] minutes are kept, and a minute without a change takes no room.

use std::collections::VecDeque;

use serde::Serialize;

use crate::clock::At;
use crate::limits::CHURN_MINUTES;

const MINUTE_US: i64 = 60_000_000;

/// One minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Minute {
    /// When it began.
    pub at: At,
    /// Sessions that came.
    pub joins: u64,
    /// Sessions that went.
    pub leaves: u64,
}

/// The last hour.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Churn {
    /// Since when it is watched without a gap known; `None` before the first rows.
    pub since: Option<At>,
    /// The minutes in which something happened, the oldest first.
    pub minutes: VecDeque<Minute>,
}

impl Churn {
    /// Counts what happened at `now`.
    pub fn count(&mut self, now: At, joins: u64, leaves: u64) {
        self.since.get_or_insert(now);
        self.forget(now);
        if joins == 0 && leaves == 0 {
            return;
        }
        let at = At(now.0 - now.0.rem_euclid(MINUTE_US));
        if self.minutes.back().is_none_or(|last| last.at < at) {
            self.minutes.push_back(Minute { at, joins: 0, leaves: 0 });
        }
        if let Some(minute) = self.minutes.back_mut() {
            minute.joins += joins;
            minute.leaves += leaves;
        }
    }

    fn forget(&mut self, now: At) {
        let oldest = now.0 - i64::try_from(CHURN_MINUTES).unwrap_or(60) * MINUTE_US;
        while self.minutes.front().is_some_and(|minute| minute.at.0 <= oldest) {
            self.minutes.pop_front();
        }
    }

    /// How many came and went in all.
    pub fn totals(&self) -> (u64, u64) {
        self.minutes.iter().fold((0, 0), |(joins, leaves), minute| (joins + minute.joins, leaves + minute.leaves))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_kept_and_no_more() {
        let mut churn = Churn::default();
        for minute in 0..120 {
            churn.count(At(minute * MINUTE_US + 5), 2, 1);
            churn.count(At(minute * MINUTE_US + 6), 0, 1);
        }
        assert_eq!(churn.minutes.len(), CHURN_MINUTES);
        assert_eq!(churn.totals(), (120, 120));
        assert_eq!(churn.minutes.back(), Some(&Minute { at: At(119 * MINUTE_US), joins: 2, leaves: 2 }));
        churn.count(At(500 * MINUTE_US), 0, 0);
        assert!(churn.minutes.is_empty());
    }
}
