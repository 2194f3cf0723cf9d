//! What a subscriber says of itself: overall and by stream.
//!
//! What always holds: `live` stands here only while the connection is open, the follow is acknowledged, the host's last
//! word was that nothing follows the cursor, and that word is younger than [`crate::engine::Tuning::liveness`] ([`crate::limits::LIVENESS_MS_MAX`] unless it is told otherwise).

use std::time::Duration;

use muster_contract::cursor::Position;
use muster_contract::pattern::StreamPattern;
use muster_contract::state::{ConnectionState, LeaveReason};
use muster_contract::stream::StreamId;

/// What the subscriber as a whole is doing.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// `live` only if every stream is that the host has; `replaying` while one is behind; otherwise the worst that a
    /// stream, a follow or the connection is in: `blocked`, `backoff`, `connecting`.
    pub state: ConnectionState,
    /// Why `live` was left, or is not reached.
    pub reason: Option<LeaveReason>,
    /// How many streams are in which state.
    pub streams: Counts,
    /// How many patterns are followed, or are to be.
    pub follows: usize,
    /// Those of them that the host refuses on the present connection. Their streams, as far as any are known, are blocked.
    pub refused: Vec<StreamPattern>,
    /// Events that the host is known to have and the store has not, over all streams.
    pub lag: u64,
    /// Attempts to connect since the last one that came to something.
    pub attempts: u32,
    /// When the next attempt is due, on the clock that the engine is given.
    pub next_retry: Option<Duration>,
    /// What went wrong last, as one line; `None` once it went well again.
    pub last_error: Option<String>,
}

impl Status {
    /// Whether nothing goes on before a person changes something: blocked, and not only in a part of the streams or of the
    /// patterns.
    pub fn is_stuck(&self) -> bool {
        use ConnectionState::{Backoff, Blocked, Connecting, Live, Replaying};
        let some_are_followed = !self.refused.is_empty() && self.refused.len() < self.follows;
        self.state == Blocked
            && !some_are_followed
            && [Backoff, Connecting, Live, Replaying].into_iter().all(|state| self.streams.of(state) == 0)
    }
}

/// Streams by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    by_state: [usize; ConnectionState::ALL.len()],
}

impl Counts {
    /// How many are in this state.
    pub fn of(&self, state: ConnectionState) -> usize {
        self.by_state[index(state)]
    }

    /// All of them.
    pub fn total(&self) -> usize {
        self.by_state.iter().sum()
    }

    pub(crate) fn add(&mut self, state: ConnectionState) {
        self.by_state[index(state)] += 1;
    }

    pub(crate) fn remove(&mut self, state: ConnectionState) {
        self.by_state[index(state)] -= 1;
    }
}

fn index(state: ConnectionState) -> usize {
    ConnectionState::ALL.iter().position(|known| *known == state).expect("every state is in the list of all")
}

/// What one stream is doing.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamStatus {
    /// Which stream.
    pub stream: StreamId,
    /// What it is doing.
    pub state: ConnectionState,
    /// Why `live` was left, or is not reached; `None` while live.
    pub reason: Option<LeaveReason>,
    /// Up to where the store has it; `None` where it has nothing yet.
    pub cursor: Option<Position>,
    /// The highest number that the host is known to have given; 0 where nothing is known.
    pub head: u64,
    /// `head` less the cursor.
    pub lag: u64,
    /// Failed attempts since the last success.
    pub attempts: u32,
    /// When the next attempt is due, on the clock that the engine is given.
    pub next_retry: Option<Duration>,
    /// What went wrong last, as one line; `None` once it went well again.
    pub last_error: Option<String>,
}
