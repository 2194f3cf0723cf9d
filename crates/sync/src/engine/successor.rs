//! The connection that takes over: another token came, and the session of the one before goes on until its successor can do
//! all that it did.
//!
//! | state | goes to |
//! | --- | --- |
//! | none | opening, when another token came while a connection is open |
//! | opening | following, once it is open; waiting, if it cannot be opened |
//! | following | none, once every pattern is followed there: it is the connection then, and the one before is closed |
//! | waiting | opening, when its time has come; at once, when yet another token came |
//!
//! What always holds: nothing is asked over a successor but to follow, and what it says of streams only makes the present
//! connection ask. With the hand-over every stream is asked for anew from its cursor, and every pattern listed, so nothing
//! depends on which of the two heard a signal. A stream stays live over it only as long as one that is a page behind does.
//! If the present connection ends first, the successor is the connection with whatever it has reached.

use std::time::Duration;

use muster_contract::Code;

use super::follow::refusal;
use super::link::{LinkState, is_mended_by_a_token, may_be_mended};
use super::slot::SlotState;
use super::words::{Action, LinkNo, Reply, Trouble};
use super::{Engine, Timer};
use crate::limits::{OPENING_MS_MAX, ms};

#[derive(Debug, Default)]
pub(super) struct Successor {
    state: State,
    /// Attempts that failed since one was handed over to.
    attempts: u32,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    None,
    Opening(LinkNo),
    Following(Following),
    Waiting(Duration),
}

#[derive(Debug)]
struct Following {
    link: LinkNo,
    /// For each slot that has to be followed there: what the host said, once it has.
    answers: Vec<Option<Answer>>,
    /// When the newest question was asked that was answered.
    proof: Duration,
}

#[derive(Debug)]
enum Answer {
    Done,
    Refused(String),
}

impl Successor {
    /// The connection that is opening or open.
    pub(super) fn number(&self) -> Option<LinkNo> {
        match &self.state {
            State::Opening(link) => Some(*link),
            State::Following(following) => Some(following.link),
            State::None | State::Waiting(_) => None,
        }
    }

    /// Whether this one is opening.
    pub(super) fn is_opening(&self, link: LinkNo) -> bool {
        matches!(self.state, State::Opening(opening) if opening == link)
    }

    /// Whether signals come over it that are to be heeded.
    pub(super) fn hears(&self, link: LinkNo) -> bool {
        matches!(&self.state, State::Following(following) if following.link == link)
    }
}

impl Engine {
    /// Another token came: connects as it, beside the open connection.
    pub(super) fn begin_successor(&mut self) {
        if let Some(link) = self.successor.number() {
            // It has the token before that one.
            self.out.push(Action::Disconnect(link));
            self.forget_requests(link);
        }
        let link = self.next_link();
        self.successor.state = State::Opening(link);
        self.after(ms(OPENING_MS_MAX), Timer::Opening(link));
        self.out.push(Action::Connect(link));
    }

    /// The successor is open: it follows what the present connection follows.
    pub(super) fn successor_connected(&mut self, link: LinkNo) {
        let answers = self.slots.iter().map(|_| None).collect();
        self.successor.state = State::Following(Following { link, answers, proof: self.now });
        for slot in 0..self.slots.len() {
            self.send_follow(slot, Some(link));
        }
    }

    /// The host answered one of the successor's follows.
    pub(super) fn successor_answered(&mut self, slot: usize, asked_at: Duration, reply: Reply) {
        let State::Following(following) = &mut self.successor.state else { return };
        let answer = match reply {
            Reply::Done => Answer::Done,
            Reply::Refused(text) => {
                let (code, message) = refusal(&text);
                if code.is_retryable() || code == Code::Unauthorized {
                    let code = Some(code).filter(|code| !code.is_retryable());
                    return self.successor_failed(Trouble { is_retryable: code.is_none(), code, message });
                }
                // What the other token does not grant is lost, and what it grants goes on.
                Answer::Refused(text)
            }
            Reply::Failed(message) => {
                return self.successor_failed(Trouble { is_retryable: true, code: None, message });
            }
            _ => {
                let message = "the host answered with something that was not asked for".into();
                return self.successor_failed(Trouble { is_retryable: true, code: None, message });
            }
        };
        following.proof = following.proof.max(asked_at);
        if let Some(place) = following.answers.get_mut(slot) {
            *place = Some(answer);
        }
        if following.answers.iter().all(Option::is_some) {
            self.hand_over();
        }
    }

    /// It cannot be had: the present connection goes on, and another is tried later.
    pub(super) fn successor_failed(&mut self, why: Trouble) {
        let Some(link) = self.successor.number() else { return };
        self.out.push(Action::Disconnect(link));
        self.forget_requests(link);
        self.successor.attempts += 1;
        let wait = if why.is_retryable { self.backoff(self.successor.attempts) } else { self.slow_wait() };
        let until = self.after(wait, Timer::Successor);
        self.successor.state = State::Waiting(until);
        if may_be_mended(&why) && why.code.is_some() {
            self.renew(link);
        }
    }

    /// The wait for another attempt is over.
    pub(super) fn successor_again(&mut self) {
        let is_due = matches!(self.successor.state, State::Waiting(until) if until <= self.now);
        if is_due && self.link.open().is_some() {
            self.begin_successor();
        } else if is_due {
            // The next connection is made with the newest token anyway.
            self.successor.state = State::None;
        }
    }

    /// No more of it, whatever it has reached.
    pub(super) fn drop_successor(&mut self) {
        if let Some(link) = self.successor.number() {
            self.out.push(Action::Disconnect(link));
            self.forget_requests(link);
        }
        self.successor = Successor::default();
    }

    /// The present connection is gone: the successor takes its place as it is. False if there is none.
    pub(super) fn successor_steps_in(&mut self) -> bool {
        match std::mem::take(&mut self.successor.state) {
            State::Opening(link) => {
                self.link.state = LinkState::Opening(link);
                self.mark_all();
                true
            }
            State::Following(following) => {
                self.link.state = LinkState::Open(following.link);
                self.unblock_streams_that_a_token_mends();
                for (slot, answer) in following.answers.into_iter().enumerate() {
                    match answer {
                        // Its answer comes to the present connection then.
                        None => self.slots[slot].state = SlotState::Asked,
                        Some(Answer::Done) => self.following(slot),
                        Some(Answer::Refused(text)) => self.follow_refused(slot, &text),
                    }
                }
                self.mark_all();
                true
            }
            State::None | State::Waiting(_) => false,
        }
    }

    /// The successor follows everything: it is the connection from now on.
    fn hand_over(&mut self) {
        let State::Following(following) = std::mem::take(&mut self.successor.state) else { return };
        self.successor.attempts = 0;
        self.counters.hand_overs += 1;
        if let Some(old) = self.link.open() {
            self.out.push(Action::Disconnect(old));
            self.forget_requests(old);
        }
        self.link.state = LinkState::Open(following.link);
        self.checkpoints.clear();
        self.checkpoints_under_way = 0;
        for key in self.keys() {
            self.forget_request(key);
            let stream = &mut self.streams[key.0];
            stream.is_verified = false;
            stream.is_caught_up = false;
            stream.checkpoint_armed = false;
            stream.acknowledged = None;
            if stream.blocked.take_if(|(reason, _)| is_mended_by_a_token(*reason)).is_some() {
                self.restart(key);
            }
            if self.streams[key.0].no.is_some() {
                self.wake(key);
            }
        }
        self.proven(following.proof);
        self.taken(following.link);
        for (slot, answer) in following.answers.into_iter().enumerate() {
            self.slots[slot].moved_over();
            match answer {
                Some(Answer::Refused(text)) => self.follow_refused(slot, &text),
                _ => self.following(slot),
            }
        }
        self.mark_all();
    }
}
