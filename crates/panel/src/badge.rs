//! How fresh what a pane shows is: the one place that may say `live`.
//!
//! What always holds: `live` is said only if the source is open, what is shown is all that it has, and the host has
//! answered a question that was asked at most the bound ago. Nothing here remembers: the same source is judged anew each
//! time it is shown, so a screen whose feeder hangs stops saying `live` by itself.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::clock::At;

/// Where a pane's content is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Badge {
    /// From the host, complete, and proven within the bound.
    Live,
    /// From the host, which answers, and not complete yet.
    CatchingUp,
    /// What was known `age_ms` ago.
    Cached {
        /// How long ago it was last known to be true, in milliseconds.
        age_ms: u64,
    },
    /// There is nothing to show.
    Disconnected,
}

impl Badge {
    /// Without an age: what a badge's colour follows.
    pub const fn word(self) -> &'static str {
        match self {
            Badge::Live => "live",
            Badge::CatchingUp => "catching up",
            Badge::Cached { .. } => "cached",
            Badge::Disconnected => "disconnected",
        }
    }

    /// For how long this badge reads the same, if nothing happens: what a screen may sleep. `None` is for ever.
    pub fn holds_for(self) -> Option<Duration> {
        let Badge::Cached { age_ms } = self else { return None };
        let step = step(Duration::from_millis(age_ms)).as_millis();
        let left = step - u128::from(age_ms) % step;
        Some(Duration::from_millis(u64::try_from(left).unwrap_or(1_000)))
    }
}

impl fmt::Display for Badge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Badge::Cached { age_ms } => write!(f, "cached {}", age(Duration::from_millis(*age_ms))),
            badge => f.write_str(badge.word()),
        }
    }
}

/// In which steps an age is told.
fn step(age: Duration) -> Duration {
    Duration::from_secs(match age.as_secs() {
        0..10 => 1,
        10..60 => 5,
        60..3_600 => 60,
        _ => 3_600,
    })
}

/// An age in one unit, rounded down: `3 s`, `25 s`, `12 min`, `5 h`, `3 d`.
pub fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..10 => format!("{seconds} s"),
        10..60 => format!("{} s", seconds / 5 * 5),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// What is known of where a pane's content is from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// Whether the connection that it comes over is open, as far as this side knows.
    pub is_open: bool,
    /// Whether what is shown is all that the host had when it last answered.
    pub is_complete: bool,
    /// Whether anything is under way that will make it complete.
    pub is_moving: bool,
    /// When the newest question was asked that the host has answered on this connection.
    pub proof: Option<At>,
    /// When what is shown was last known to be true, perhaps in an earlier run.
    pub seen: Option<At>,
}

impl Source {
    /// Whether the host has answered a question that is younger than the bound. What comes from a clock ahead of `now` is
    /// no proof.
    pub fn is_proven(&self, now: At, bound: Duration) -> bool {
        self.is_open && self.proof.is_some_and(|proof| proof <= now && now.since(proof) <= bound)
    }

    /// The badge of a pane that shows what is from here.
    pub fn badge(&self, now: At, bound: Duration) -> Badge {
        match (self.is_proven(now, bound), self.is_complete, self.is_moving) {
            (true, true, _) => Badge::Live,
            (true, false, true) => Badge::CatchingUp,
            _ => match self.seen {
                Some(seen) => Badge::Cached { age_ms: u64::try_from(now.since(seen).as_millis()).unwrap_or(u64::MAX) },
                None => Badge::Disconnected,
            },
        }
    }

    /// For how long the badge stays as it is, if nothing happens.
    pub fn holds_for(&self, now: At, bound: Duration) -> Option<Duration> {
        match self.badge(now, bound) {
            Badge::Live | Badge::CatchingUp => {
                // One millisecond beyond the bound it has ended.
                self.proof.map(|proof| now.until(proof.after(bound)) + Duration::from_millis(1))
            }
            badge => badge.holds_for(),
        }
    }

    /// The host has answered what was asked at `asked_at`.
    pub fn proven(&mut self, asked_at: At) {
        self.proof = Some(self.proof.map_or(asked_at, |proof| proof.max(asked_at)));
        if self.is_open && self.is_complete {
            self.seen = self.seen.max(self.proof);
        }
    }

    /// The connection is gone, and with it the proof.
    pub fn lost(&mut self) {
        *self = Source { seen: self.seen, ..Source::default() };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUND: Duration = Duration::from_millis(1_900);
    const NOW: At = At(1_000_000_000);

    fn source(is_open: bool, is_complete: bool, is_moving: bool, proof_age_ms: Option<i64>, seen: bool) -> Source {
        Source {
            is_open,
            is_complete,
            is_moving,
            proof: proof_age_ms.map(|age| At(NOW.0 - age * 1_000)),
            seen: seen.then_some(At(NOW.0 - 65_000_000)),
        }
    }

    #[test]
    fn a_badge_follows_from_connection_proof_and_completeness() {
        let cached = Badge::Cached { age_ms: 65_000 };
        for (source, expected) in [
            (source(true, true, false, Some(0), true), Badge::Live),
            (source(true, true, true, Some(1_900), false), Badge::Live),
            (source(true, true, false, Some(1_901), true), cached),
            (source(true, true, false, Some(1_901), false), Badge::Disconnected),
            (source(true, true, false, None, true), cached),
            (source(true, true, false, Some(-1), true), cached),
            (source(false, true, false, Some(0), true), cached),
            (source(true, false, true, Some(0), true), Badge::CatchingUp),
            (source(true, false, false, Some(0), true), cached),
            (source(false, false, true, None, false), Badge::Disconnected),
        ] {
            assert_eq!(source.badge(NOW, BOUND), expected, "{source:?}");
        }
    }

    #[test]
    fn ages_are_told_in_one_unit() {
        let told = |seconds| age(Duration::from_secs(seconds));
        assert_eq!(
            [0, 9, 14, 59, 60, 3_599, 3_600, 172_800].map(told),
            ["0 s", "9 s", "10 s", "55 s", "1 min", "59 min", "1 h", "2 d"]
        );
        assert_eq!(Badge::Cached { age_ms: 64_999 }.to_string(), "cached 1 min");
    }

    proptest! {
        #[test]
        fn a_badge_reads_the_same_for_as_long_as_it_says(age_ms in 0u64..10_000_000) {
            let badge = Badge::Cached { age_ms };
            let holds = u64::try_from(badge.holds_for().expect("ages grow").as_millis()).expect("small");
            prop_assert!(holds > 0);
            prop_assert_eq!(Badge::Cached { age_ms: age_ms + holds - 1 }.to_string(), badge.to_string());
        }

        #[test]
        fn live_ends_when_it_says(proof_age in 0i64..1_900, later in 0u64..5_000) {
            let source = source(true, true, false, Some(proof_age), true);
            let holds = source.holds_for(NOW, BOUND).expect("a proof ends");
            let at = NOW.after(Duration::from_millis(later));
            let is_live = source.badge(at, BOUND) == Badge::Live;
            prop_assert_eq!(is_live, Duration::from_millis(later) < holds, "{} of {:?}", later, holds);
        }
    }
}
