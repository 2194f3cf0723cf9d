//! The connection: opening it, losing it, and when to try again.
//!
//! | state | goes to |
//! | --- | --- |
//! | down | opening, when the store is open or a refresh or a person asks for it |
//! | opening | open; waiting (retryable); blocked |
//! | open | waiting (lost, retryable); blocked; another that is open (`successor.rs`) |
//! | waiting | opening, when its time has come |
//! | blocked | opening, when somebody changed something, or slowly where the host may change its mind |
//!
//! What always holds: the count of attempts goes back to zero only when the host has answered something, so a host
//! that accepts and drops is not hammered.

use std::time::Duration;

use muster_contract::Code;
use muster_contract::state::LeaveReason;

use super::slot::SlotState;
use super::words::{Action, LinkNo, Trouble};
use super::{Engine, Phase, Timer};
use crate::limits::{BLOCKED_RETRY_MS, BLOCKED_SPREAD_MS, OPENING_MS_MAX, ms};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum LinkState {
    #[default]
    Down,
    Opening(LinkNo),
    Open(LinkNo),
    Waiting(Duration),
    /// Until somebody changes something, or, where that may happen at the host, until then.
    Blocked(Option<Duration>),
}

#[derive(Debug, Default)]
pub(super) struct Link {
    pub(super) state: LinkState,
    last: u64,
    /// For which connection another token was asked for last, and which one's token was seen to be good last.
    renewed: Option<LinkNo>,
    taken: Option<LinkNo>,
    pub(super) attempts: u32,
    pub(super) reason: Option<LeaveReason>,
    pub(super) last_error: Option<String>,
    /// It was blocked, and the attempt under way has not shown yet that it is not any more.
    pub(super) is_blocked: bool,
    /// When the newest request was made that the host has answered on this connection, while that is recent.
    proof: Option<Duration>,
}

impl Link {
    /// The open connection.
    pub(super) fn open(&self) -> Option<LinkNo> {
        match self.state {
            LinkState::Open(link) => Some(link),
            _ => None,
        }
    }

    /// The connection that is open or opening.
    pub(super) fn number(&self) -> Option<LinkNo> {
        match self.state {
            LinkState::Open(link) | LinkState::Opening(link) => Some(link),
            _ => None,
        }
    }

    /// Whether the host's word is recent.
    pub(super) fn is_proven(&self) -> bool {
        self.proof.is_some()
    }

    /// When the newest request was made that the host has answered on this connection, while that is recent.
    pub(super) fn proof(&self) -> Option<Duration> {
        self.proof
    }
}

impl Engine {
    pub(super) fn next_link(&mut self) -> LinkNo {
        self.link.last += 1;
        self.counters.connections += 1;
        LinkNo(self.link.last)
    }

    pub(super) fn connect(&mut self) {
        self.drop_successor();
        let link = self.next_link();
        self.link.state = LinkState::Opening(link);
        self.after(ms(OPENING_MS_MAX), Timer::Opening(link));
        self.out.push(Action::Connect(link));
        self.mark_all();
    }

    pub(super) fn connected(&mut self, link: LinkNo) {
        if self.successor.number() == Some(link) {
            return self.successor_connected(link);
        }
        if self.link.state != LinkState::Opening(link) {
            // Given up in the meantime.
            return self.out.push(Action::Disconnect(link));
        }
        // Its token may be another one, of which nobody was told because this connection waited for it.
        self.unblock_what_a_token_mends();
        self.link.state = LinkState::Open(link);
        for slot in 0..self.slots.len() {
            self.follow(slot);
        }
        self.mark_all();
    }

    pub(super) fn disconnected(&mut self, link: LinkNo, why: Trouble) {
        if self.successor.number() == Some(link) {
            return self.successor_failed(why);
        }
        if self.link.number() != Some(link) {
            return;
        }
        let reason = reason_of(&why);
        self.link.reason = Some(reason);
        self.link.last_error = Some(why.message.clone());
        self.let_go(link, reason);
        if is_mended_by_a_token(reason) {
            self.renew(link);
        }
        if self.successor_steps_in() {
            self.link.is_blocked = false;
        } else if why.is_retryable {
            self.link.attempts += 1;
            let wait = self.backoff(self.link.attempts);
            let until = self.after(wait, Timer::Reconnect);
            self.link.is_blocked = false;
            self.link.state = LinkState::Waiting(until);
        } else {
            self.link.is_blocked = true;
            let until = may_be_mended(&why).then(|| {
                let wait = self.slow_wait();
                self.after(wait, Timer::Reconnect)
            });
            self.link.state = LinkState::Blocked(until);
        }
    }

    /// Forgets everything that belonged to the connection. What has come over it and was checked is kept.
    fn let_go(&mut self, link: LinkNo, reason: LeaveReason) {
        self.link.proof = None;
        self.forget_requests(link);
        self.by_no.clear();
        self.checkpoints.clear();
        self.checkpoints_under_way = 0;
        for slot in &mut self.slots {
            slot.disconnected();
        }
        for key in self.keys() {
            self.forget_request(key);
            let stream = &mut self.streams[key.0];
            stream.no = None;
            stream.is_verified = false;
            stream.is_caught_up = false;
            stream.step = super::stream::Step::Await;
            stream.checkpoint_armed = false;
            // Its answer may be lost, or the host another one: said again once it is seen that the cursor holds.
            stream.acknowledged = None;
            stream.leave_live(reason);
        }
        self.mark_all();
    }

    pub(super) fn reconnect(&mut self) {
        if matches!(self.link.state, LinkState::Waiting(until) | LinkState::Blocked(Some(until)) if until <= self.now) {
            self.connect();
        }
    }

    /// The next attempt of one that is blocked: each waits another time, so that not all come together.
    pub(super) fn slow_wait(&mut self) -> Duration {
        let spread = (u128::from(self.next_random()) * u128::from(BLOCKED_SPREAD_MS)) >> 64;
        ms(BLOCKED_RETRY_MS) + ms(u64::try_from(spread).unwrap_or(BLOCKED_SPREAD_MS))
    }

    pub(super) fn opening_took_too_long(&mut self, link: LinkNo) {
        let message = "the connection took too long to open".to_owned();
        if self.link.state == LinkState::Opening(link) {
            self.give_up_link(message);
        } else if self.successor.is_opening(link) {
            self.successor_failed(Trouble { is_retryable: true, code: None, message });
        }
    }

    /// There is another token: a session with it takes over from the one that is open, or is made at once.
    pub(super) fn refresh_link(&mut self) {
        if self.phase != Phase::Running {
            return;
        }
        if self.link.open().is_some() {
            return self.begin_successor();
        }
        self.unblock_what_a_token_mends();
        if matches!(self.link.state, LinkState::Blocked(_)) && self.link.reason.is_some_and(is_mended_by_a_token) {
            self.link.is_blocked = false;
            return self.connect();
        }
        if let Some(link) = self.link.number() {
            self.out.push(Action::Disconnect(link));
            self.link.reason = Some(LeaveReason::TokenRefreshDue);
            self.let_go(link, LeaveReason::TokenRefreshDue);
            self.connect();
        }
    }

    /// The host does not take the token of this connection, or what it granted has ended: another is needed.
    pub(super) fn renew(&mut self, link: LinkNo) {
        if self.link.renewed != Some(link) {
            self.link.renewed = Some(link);
            self.out.push(Action::RenewToken(link));
        }
    }

    /// The host lets this connection follow: its token is good.
    pub(super) fn taken(&mut self, link: LinkNo) {
        if self.link.taken != Some(link) {
            self.link.taken = Some(link);
            self.out.push(Action::TokenTaken(link));
        }
    }

    /// What the token before did not grant is asked for again.
    pub(super) fn unblock_streams_that_a_token_mends(&mut self) {
        for key in self.keys() {
            if self.streams[key.0].blocked.take_if(|(reason, _)| is_mended_by_a_token(*reason)).is_some() {
                self.restart(key);
            }
        }
    }

    fn unblock_what_a_token_mends(&mut self) {
        self.unblock_streams_that_a_token_mends();
        for slot in 0..self.slots.len() {
            if matches!(self.slots[slot].state, SlotState::Blocked(reason) if is_mended_by_a_token(reason)) {
                self.unblock_slot(slot);
            }
        }
    }

    pub(super) fn unblock_link(&mut self) {
        if matches!(self.link.state, LinkState::Blocked(_)) {
            self.link.is_blocked = false;
            self.connect();
        }
    }

    /// The host has answered what was asked at `asked_at`: it was there at that time or later.
    pub(super) fn proven(&mut self, asked_at: Duration) {
        self.link.attempts = 0;
        self.link.last_error = None;
        self.link.is_blocked = false;
        let was_proven = self.link.is_proven();
        let proof = self.link.proof.map_or(asked_at, |proof| proof.max(asked_at));
        if proof + self.options.tuning.liveness > self.now {
            self.link.proof = Some(proof);
            if !was_proven {
                self.mark_all();
            }
        }
    }

    /// Whether there is anything to ask the host, so that its silence means something. Of what it refuses it is not asked
    /// again.
    pub(super) fn asks_anything(&self) -> bool {
        self.slots.iter().any(|slot| !slot.is_blocked())
    }

    /// When the host's word is no longer recent.
    pub(super) fn proof_ends(&self) -> Option<Duration> {
        self.link.proof().map(|proof| proof + self.options.tuning.liveness)
    }

    pub(super) fn proof_may_end(&mut self) {
        if self.proof_ends().is_some_and(|end| end <= self.now) {
            self.link.proof = None;
            if self.asks_anything() {
                self.link.reason = Some(LeaveReason::Network);
            }
            // Whatever comes next says that the host is there, and not that nothing has happened in the meantime.
            for key in self.keys() {
                let stream = &mut self.streams[key.0];
                stream.leave_live(LeaveReason::Network);
                stream.is_verified = false;
                stream.is_caught_up = false;
                self.nudge(key);
            }
        }
    }
}

/// Whether what the host has against the connection may go away without anybody doing anything here: a right is given, a
/// key is known again, the database is published. A contract that does not fit stays until one side is another build.
pub(super) fn may_be_mended(why: &Trouble) -> bool {
    matches!(why.code, None | Some(Code::Unauthorized | Code::ForbiddenStream))
}

pub(super) fn is_mended_by_a_token(reason: LeaveReason) -> bool {
    matches!(reason, LeaveReason::Unauthorized | LeaveReason::Forbidden)
}

fn reason_of(why: &Trouble) -> LeaveReason {
    match why.code {
        Some(Code::Unauthorized) => LeaveReason::Unauthorized,
        Some(Code::ForbiddenStream) => LeaveReason::Forbidden,
        Some(Code::StreamClosed) => LeaveReason::StreamClosed,
        None if why.is_retryable => LeaveReason::Network,
        _ => LeaveReason::Unknown,
    }
}
