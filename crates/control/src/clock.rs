//! The one place that asks what time it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970, from the machine or, in tests, from a hand.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The machine's.
    #[default]
    System,
    /// Set by [`Clock::advance`].
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that stands at this machine's time until it is moved.
    pub fn manual() -> Clock {
        Clock::Manual(Arc::new(AtomicI64::new(Clock::System.now_s())))
    }

    /// The time, in seconds since 1970.
    pub fn now_s(&self) -> i64 {
        match self {
            Clock::System => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX)),
            Clock::Manual(now_s) => now_s.load(Ordering::SeqCst),
        }
    }

    /// Moves a manual clock forward; the machine's stays as it is.
    pub fn advance(&self, seconds: i64) {
        if let Clock::Manual(now_s) = self {
            now_s.fetch_add(seconds, Ordering::SeqCst);
        }
    }
}
