//! What the engine knows of one stream.
//!
//! What always holds: `place`, what is with the store, what is `ready` and `fetch` follow each other without a hole:
//! each begins where the one before it ends.

use std::time::Duration;

use muster_contract::cursor::Position;
use muster_contract::resume::{StaleReason, StreamBounds};
use muster_contract::state::{ConnectionState, LeaveReason};
use muster_contract::stream::StreamId;

use super::words::RequestNo;
use crate::batch::{Batch, Place};
use crate::limits::{BEHIND_MS_MAX, ms};

/// A stream's place in the engine's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(pub(super) usize);

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: StreamId,
    /// The follow that brought it.
    pub(super) slot: usize,
    /// The host's number, once listed on this connection.
    pub(super) no: Option<u64>,
    /// In which pass of its follow's listing it was seen last.
    pub(super) pass: u64,
    /// Where this reader begins that wants only what comes: kept, so that a failure or a cut does not move it.
    pub(super) begins_at: Option<Position>,
    /// What the store has committed.
    pub(super) place: Option<Place>,
    /// A whole pass has not shown it.
    pub(super) is_missed: bool,
    /// Nobody's any more, until another stream takes the place.
    pub(super) is_vacant: bool,
    /// What the host said it holds, when it was last asked.
    pub(super) bounds: Option<StreamBounds>,
    /// The highest number that the host is known to have given.
    pub(super) head: u64,
    pub(super) step: Step,
    /// The request under way, and the bytes kept free for its answer.
    pub(super) asked: Option<(RequestNo, usize)>,
    /// What comes next for the store.
    pub(super) ready: Option<Batch>,
    /// Where the stream will stand once the store has committed what it has.
    pub(super) applying: Option<Applying>,
    /// A page has been answered on this connection: the host's history is the one that was applied.
    pub(super) is_verified: bool,
    /// The last page said that nothing follows it.
    pub(super) is_caught_up: bool,
    /// Everything that the host was known to have is committed, as of the last look.
    pub(super) is_live: bool,
    /// The last thing taken was a new beginning: another one right behind it is a reason to wait.
    pub(super) was_reset: bool,
    /// Since when there is a signal that no request has followed.
    pub(super) woken_at: Option<Duration>,
    /// Up to which event of the present life those signals told of events; `None` where one did not say.
    pub(super) woken_to: Option<u64>,
    /// Since when something is known to be missing that a request has been made for, and that has not come.
    pub(super) owed_since: Option<Duration>,
    /// The same for what is `ready`, and whether it was all that the host had.
    pub(super) ready_owed: Owed,
    pub(super) blocked: Option<(LeaveReason, String)>,
    pub(super) reason: Option<LeaveReason>,
    pub(super) attempts: u32,
    pub(super) retry_at: Option<Duration>,
    pub(super) last_error: Option<String>,
    pub(super) acknowledged: Option<Position>,
    pub(super) checkpoint_armed: bool,
    pub(super) is_asking: bool,
    pub(super) is_ready: bool,
    pub(super) is_dirty: bool,
    /// The state that was told last, and the lag with it.
    pub(super) told: ConnectionState,
    pub(super) told_lag: u64,
}

/// What has to be done for a stream next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Step {
    /// Nothing, until it is listed.
    Await,
    /// Read on after this place.
    Read(Position),
    /// Start again: fetch the snapshot first.
    Snapshot { reason: Option<StaleReason>, bounds: StreamBounds },
}

/// A batch with the store.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Applying {
    pub(super) ends: Place,
    pub(super) bytes: usize,
    pub(super) owed: Owed,
}

/// What was known of a batch when it came.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Owed {
    /// Since when it was missing.
    pub(super) since: Option<Duration>,
    /// It went up to the head of that moment.
    pub(super) is_all: bool,
}

impl Stream {
    pub(super) fn new(id: StreamId, slot: usize) -> Stream {
        Stream {
            id,
            slot,
            no: None,
            pass: 0,
            begins_at: None,
            place: None,
            is_missed: false,
            is_vacant: false,
            bounds: None,
            head: 0,
            step: Step::Await,
            asked: None,
            ready: None,
            applying: None,
            is_verified: false,
            is_caught_up: false,
            is_live: false,
            was_reset: false,
            woken_at: None,
            woken_to: None,
            owed_since: None,
            ready_owed: Owed::default(),
            blocked: None,
            reason: None,
            attempts: 0,
            retry_at: None,
            last_error: None,
            acknowledged: None,
            checkpoint_armed: false,
            is_asking: false,
            is_ready: false,
            is_dirty: false,
            told: ConnectionState::Idle,
            told_lag: 0,
        }
    }

    /// A place that is nobody's. Timers, turns and requests of the stream that had it find nothing to do here, nor with
    /// the next one.
    pub(super) fn vacant(id: StreamId) -> Stream {
        Stream { is_vacant: true, ..Stream::new(id, usize::MAX) }
    }

    /// Where the stream will stand once everything that was taken is committed.
    pub(super) fn taken(&self) -> Option<Place> {
        match (&self.ready, &self.applying) {
            (Some(batch), _) => Some(batch.ends()),
            (None, Some(applying)) => Some(applying.ends),
            (None, None) => self.place,
        }
    }

    /// Whether nothing is under way to the store.
    pub(super) fn is_settled(&self) -> bool {
        self.ready.is_none() && self.applying.is_none()
    }

    /// Events known to be missing.
    pub(super) fn lag(&self) -> u64 {
        self.head.saturating_sub(self.place.map_or(0, |place| place.position.seq.get()))
    }

    pub(super) fn leave_live(&mut self, reason: LeaveReason) {
        if std::mem::take(&mut self.is_live) || self.reason.is_none() {
            self.reason = Some(reason);
        }
    }

    /// Since when it is known to be behind.
    pub(super) fn behind_since(&self) -> Option<Duration> {
        let applying = self.applying.and_then(|applying| applying.owed.since);
        [self.owed_since, self.woken_at, self.ready_owed.since, applying].into_iter().flatten().min()
    }

    /// Whether it has been behind for too long to be called live.
    pub(super) fn is_long_behind(&self, now: Duration) -> bool {
        self.behind_since().is_some_and(|since| since + ms(BEHIND_MS_MAX) <= now)
    }
}
