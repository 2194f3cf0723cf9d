//! What the engine knows of one pattern that it follows.
//!
//! What always holds: what the host refuses is not asked for again on the same connection unless somebody changes something.

use std::time::Duration;

use muster_contract::state::{ConnectionState, LeaveReason};

use super::words::{Follow, RequestNo};

#[derive(Debug)]
pub(super) struct Slot {
    pub(super) follow: Follow,
    /// The highest number that a stream had when all had been listed once, in this or an earlier run: where the follow
    /// says that it begins "now", this was now.
    pub(super) established: Option<u64>,
    /// While that is not known: streams from this number on have come since the pattern was followed.
    pub(super) later_from: Option<u64>,
    /// The store has that written down, or is about to.
    pub(super) is_recorded: bool,
    pub(super) state: SlotState,
    /// The listing under way.
    pub(super) listing: Option<RequestNo>,
    /// The first pass on this connection is done.
    pub(super) is_complete: bool,
    pub(super) pass: u64,
    /// Where the pass goes on.
    pub(super) pass_after: u64,
    pub(super) is_poll_due: bool,
    pub(super) poll_at: Option<Duration>,
    /// Streams behind this number may be new.
    pub(super) news: Option<u64>,
    /// How often in a row it could not be followed, or was ended by the host.
    pub(super) attempts: u32,
    pub(super) last_error: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SlotState {
    Away,
    Asked,
    Following,
    /// Asked for again then; and why it is not followed meanwhile.
    Waiting {
        until: Duration,
        reason: LeaveReason,
    },
    Blocked(LeaveReason),
}

/// Which part of a pattern's streams is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListKind {
    /// The next part of a pass.
    Pass,
    /// What may be new.
    News,
}

impl Slot {
    pub(super) fn new(follow: Follow) -> Slot {
        Slot {
            follow,
            established: None,
            later_from: None,
            is_recorded: false,
            state: SlotState::Away,
            listing: None,
            is_complete: false,
            pass: 0,
            pass_after: 0,
            is_poll_due: false,
            poll_at: None,
            news: None,
            attempts: 0,
            last_error: None,
        }
    }

    /// Whether the stream of this number came after the pattern was first followed. (Numbers grow.)
    pub(super) fn is_later(&self, no: u64) -> bool {
        self.established.is_some_and(|last| no > last) || self.later_from.is_some_and(|first| no >= first)
    }

    /// What is said of it while it waits. That the host ended it is no failure yet: what is asked next is answered with
    /// why, and until then nobody knows.
    pub(super) fn waits_as(&self) -> Option<(ConnectionState, LeaveReason)> {
        match self.state {
            SlotState::Waiting { reason: LeaveReason::StreamClosed, .. } if self.attempts == 1 => {
                Some((ConnectionState::Connecting, LeaveReason::StreamClosed))
            }
            SlotState::Waiting { reason, .. } => Some((ConnectionState::Backoff, reason)),
            _ => None,
        }
    }

    /// Whether the host refuses it.
    pub(super) fn is_blocked(&self) -> bool {
        matches!(self.state, SlotState::Blocked(_))
    }

    /// Another connection follows it from now on.
    pub(super) fn moved_over(&mut self) {
        self.listing = None;
        self.news = None;
        self.is_poll_due = false;
    }

    pub(super) fn disconnected(&mut self) {
        self.listing = None;
        self.is_complete = false;
        self.news = None;
        self.is_poll_due = false;
        if !self.is_blocked() {
            self.state = SlotState::Away;
        }
    }
}
