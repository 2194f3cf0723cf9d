//! Requests under way: each is answered at most once, and only a bounded number of them at a time.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::slot::ListKind;
use super::stream::Key;
use super::words::{Action, LinkNo, Reply, Request, RequestNo, Trouble};
use super::{Engine, Timer};
use crate::limits::{REQUEST_MS_MAX, REQUESTS_AT_ONCE_MAX, ms};

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Purpose {
    Follow(usize),
    List(usize, ListKind),
    Page(Key),
    Snapshot(Key),
    Checkpoint(Key),
}

#[derive(Debug)]
struct Sent {
    link: LinkNo,
    purpose: Purpose,
    at: Duration,
    deadline: Duration,
}

#[derive(Debug, Default)]
pub(super) struct Requests {
    sent: BTreeMap<RequestNo, Sent>,
    /// Over a connection of its own, or over the one that is open then.
    waiting: VecDeque<(RequestNo, Option<LinkNo>, Purpose, Request)>,
    last: u64,
}

impl Requests {
    /// Whether one more would go out at once.
    pub(super) fn has_room(&self) -> bool {
        self.sent.len() < REQUESTS_AT_ONCE_MAX && self.waiting.is_empty()
    }

    /// What was asked over this connection counts no more when it is answered. What waits for no connection in particular
    /// waits for the present one.
    fn forget(&mut self, link: LinkNo, is_present: bool) -> impl Iterator<Item = (Duration, Timer)> + use<> {
        self.waiting.retain(|(_, over, ..)| over.map_or(!is_present, |over| over != link));
        let gone = self.sent.extract_if(.., |_, sent| sent.link == link);
        let gone: Vec<_> = gone.map(|(request, sent)| (sent.deadline, Timer::Request(request))).collect();
        gone.into_iter()
    }
}

impl Engine {
    /// Asks the host, now or as soon as there is room.
    pub(super) fn send(&mut self, purpose: Purpose, what: Request) -> RequestNo {
        self.send_over(None, purpose, what)
    }

    /// The same over a connection that is not, or not yet, the present one.
    pub(super) fn send_over(&mut self, link: Option<LinkNo>, purpose: Purpose, what: Request) -> RequestNo {
        self.requests.last += 1;
        let request = RequestNo(self.requests.last);
        self.requests.waiting.push_back((request, link, purpose, what));
        self.send_waiting();
        request
    }

    fn send_waiting(&mut self) {
        while self.requests.sent.len() < REQUESTS_AT_ONCE_MAX
            && let Some((_, over, ..)) = self.requests.waiting.front()
            && let Some(link) = over.or(self.link.open())
            && let Some((request, _, purpose, what)) = self.requests.waiting.pop_front()
        {
            let deadline = self.after(ms(REQUEST_MS_MAX), Timer::Request(request));
            self.requests.sent.insert(request, Sent { link, purpose, at: self.now, deadline });
            self.out.push(Action::Ask { link, request, what });
        }
    }

    pub(super) fn answered(&mut self, request: RequestNo, reply: Reply) {
        // Answered before, or asked over a connection that is gone.
        let Some(sent) = self.requests.sent.remove(&request) else { return self.counters.late_answers += 1 };
        self.timers.remove(&(sent.deadline, Timer::Request(request)));
        self.send_waiting();
        if self.successor.number() == Some(sent.link) {
            let Purpose::Follow(slot) = sent.purpose else { return };
            return self.successor_answered(slot, sent.at, reply);
        }
        let attempts = self.link.attempts;
        if !matches!(reply, Reply::Failed(_)) {
            self.proven(sent.at);
        }
        if let (Purpose::Follow(_), Reply::Refused(_)) = (sent.purpose, &reply) {
            // It is there, and nothing has come of it: one that refuses and drops is not to be hammered either.
            self.link.attempts = attempts;
        }
        match (sent.purpose, reply) {
            (Purpose::Follow(slot), Reply::Done) => {
                self.taken(sent.link);
                self.following(slot);
            }
            (Purpose::Follow(slot), Reply::Refused(text)) => self.follow_refused(slot, &text),
            (Purpose::List(slot, kind), Reply::Listed(answer)) => {
                if self.lists(slot, request) {
                    self.listed(slot, kind, answer);
                }
            }
            (Purpose::List(slot, _), Reply::Refused(text)) => {
                if self.lists(slot, request) {
                    self.follow_refused(slot, &text);
                }
            }
            (Purpose::Page(key), Reply::Page(answer)) => self.page(key, request, sent.at, answer),
            (Purpose::Snapshot(key), Reply::Snapshot(answer)) => self.snapshot(key, request, answer),
            (Purpose::Page(key) | Purpose::Snapshot(key), Reply::Refused(text)) => {
                if self.answers(key, request) {
                    self.stream_refused(key, &text);
                }
            }
            (Purpose::Checkpoint(key), reply) => self.checkpoint_answered(key, reply),
            // An ordered connection that leaves a request without an answer has lost its way.
            (_, Reply::Failed(message)) => self.give_up_link(message),
            (_, _) => self.give_up_link("the host answered with something that was not asked for".into()),
        }
    }

    pub(super) fn request_took_too_long(&mut self, request: RequestNo) {
        let Some(sent) = self.requests.sent.get(&request) else { return };
        let message = "the host left a request without an answer for too long".into();
        if self.successor.number() == Some(sent.link) {
            self.successor_failed(Trouble { is_retryable: true, code: None, message });
        } else {
            self.give_up_link(message);
        }
    }

    /// What was asked over this connection counts no more.
    pub(super) fn forget_requests(&mut self, link: LinkNo) {
        let is_present = self.successor.number() != Some(link);
        for timer in self.requests.forget(link, is_present) {
            self.timers.remove(&timer);
        }
    }

    /// Drops the connection and tries again after a wait.
    pub(super) fn give_up_link(&mut self, message: String) {
        if let Some(link) = self.link.number() {
            self.out.push(Action::Disconnect(link));
            self.disconnected(link, Trouble { is_retryable: true, code: None, message });
        }
    }
}
