//! Patterns: following them, listing their streams, and noticing which came and went.
//!
//! What always holds: a pattern is followed before it is listed, so that no stream can come between the two unseen. At
//! most one listing of a pattern is under way. A pass over all of a pattern's streams goes from number 0 to the end; a
//! stream that a whole pass did not show is gone, and after another such pass it is let go of. After the first pass one listing every [`super::Tuning::poll`] goes on, as the
//! proof that the host is there and as the net below lost signals; with more streams than one answer holds, the polls
//! take turns over them.

use muster_contract::Code;
use muster_contract::page::{Answer, Page, StreamInfo, StreamList};
use muster_contract::pattern::StreamPattern;
use muster_contract::refusal::Refusal;
use muster_contract::state::LeaveReason;
use muster_contract::stream::StreamId;

use super::requests::Purpose;
use super::slot::{ListKind, SlotState};
use super::stream::{Key, Step};
use super::words::{Action, LinkNo, Request, RequestNo, Signal, Trouble};
use super::{Engine, Timer};

impl Engine {
    pub(super) fn follow(&mut self, slot: usize) {
        let it = &mut self.slots[slot];
        if it.is_blocked() {
            return;
        }
        it.state = SlotState::Asked;
        self.send_follow(slot, None);
    }

    /// Asks to follow, over the present connection or another.
    pub(super) fn send_follow(&mut self, slot: usize, link: Option<LinkNo>) {
        let number = u32::try_from(slot).expect("follows are bounded by FOLLOWS_MAX");
        let what = Request::Follow { slot: number, pattern: self.slots[slot].follow.pattern.clone() };
        self.send_over(link, Purpose::Follow(slot), what);
    }

    pub(super) fn following(&mut self, slot: usize) {
        let it = &mut self.slots[slot];
        it.state = SlotState::Following;
        it.last_error = None;
        it.pass += 1;
        it.pass_after = 0;
        self.list(slot, ListKind::Pass);
        self.mark_slot(slot);
    }

    /// The follow, or a listing of its streams, is refused.
    pub(super) fn follow_refused(&mut self, slot: usize, text: &str) {
        let (code, message) = refusal(text);
        self.slots[slot].last_error = Some(message);
        if code.is_retryable() {
            self.follow_later(slot, LeaveReason::Unknown);
        } else {
            let reason = blocking_reason(code);
            self.token_may_be_over(code);
            self.slots[slot].state = SlotState::Blocked(reason);
            self.leave_slot(slot, reason);
        }
    }

    /// What a code says of the token of the present connection.
    pub(super) fn token_may_be_over(&mut self, code: Code) {
        if let (Code::Unauthorized, Some(link)) = (code, self.link.open()) {
            self.renew(link);
        }
    }

    fn follow_later(&mut self, slot: usize, reason: LeaveReason) {
        self.slots[slot].attempts += 1;
        let wait = self.backoff(self.slots[slot].attempts);
        let until = self.after(wait, Timer::Refollow(slot));
        self.slots[slot].disconnected();
        self.slots[slot].state = SlotState::Waiting { until, reason };
        self.leave_slot(slot, reason);
    }

    fn leave_slot(&mut self, slot: usize, reason: LeaveReason) {
        for key in self.keys() {
            if self.streams[key.0].slot == slot {
                self.forget_request(key);
                self.unlist(key);
                self.streams[key.0].leave_live(reason);
            }
        }
        self.mark_slot(slot);
    }

    pub(super) fn refollow(&mut self, slot: usize) {
        let is_due = matches!(self.slots[slot].state, SlotState::Waiting { until, .. } if until <= self.now);
        if is_due && self.link.open().is_some() {
            self.follow(slot);
        }
    }

    pub(super) fn unblock_slot(&mut self, slot: usize) {
        if self.slots[slot].is_blocked() {
            self.slots[slot].state = SlotState::Away;
            if self.link.open().is_some() {
                self.follow(slot);
            }
        }
    }

    pub(super) fn poll(&mut self, slot: usize) {
        self.slots[slot].is_poll_due = true;
        self.list_next(slot);
    }

    /// The next poll. There is one to come at a time, however many connections have passed.
    fn poll_later(&mut self, slot: usize) {
        if let Some(at) = self.slots[slot].poll_at.take() {
            self.timers.remove(&(at, Timer::Poll(slot)));
        }
        let at = self.after(self.options.tuning.poll, Timer::Poll(slot));
        self.slots[slot].poll_at = Some(at);
    }

    /// Lists what is to be listed next, if anything is.
    fn list_next(&mut self, slot: usize) {
        let it = &self.slots[slot];
        if it.listing.is_some() || it.state != SlotState::Following {
            return;
        }
        if !it.is_complete || (it.news.is_none() && it.is_poll_due) {
            self.list(slot, ListKind::Pass);
        } else if it.news.is_some() {
            self.list(slot, ListKind::News);
        }
    }

    fn list(&mut self, slot: usize, kind: ListKind) {
        let it = &mut self.slots[slot];
        let after_no = match kind {
            ListKind::Pass => {
                it.is_poll_due = false;
                it.pass_after
            }
            ListKind::News => it.news.take().unwrap_or(0),
        };
        let what = Request::List { pattern: it.follow.pattern.clone(), after_no };
        let request = self.send(Purpose::List(slot, kind), what);
        self.slots[slot].listing = Some(request);
    }

    /// Whether this is the listing that is waited for, and no earlier one of a follow that has ended since.
    pub(super) fn lists(&mut self, slot: usize, request: RequestNo) -> bool {
        let is_awaited = self.slots[slot].listing == Some(request);
        if is_awaited {
            self.slots[slot].listing = None;
        } else {
            self.counters.late_answers += 1;
        }
        is_awaited
    }

    pub(super) fn listed(&mut self, slot: usize, kind: ListKind, answer: Answer<StreamList>) {
        let list = match answer {
            Answer::Ok(list) => list,
            Answer::Refused(text) => return self.follow_refused(slot, &text),
            Answer::Stale(_) => return self.give_up_link("the host answered a listing with a stale cursor".into()),
        };
        let resume_after = list.resume_after;
        for info in list.streams {
            self.seen(slot, info);
        }
        match (kind, list.more) {
            (ListKind::News, true) => {
                let news = &mut self.slots[slot].news;
                *news = Some(news.map_or(resume_after, |news| news.min(resume_after)));
            }
            (ListKind::News, false) => {}
            (ListKind::Pass, true) => {
                self.slots[slot].pass_after = resume_after;
                if self.slots[slot].is_complete {
                    self.poll_later(slot);
                }
            }
            (ListKind::Pass, false) => self.passed(slot, resume_after),
        }
        self.list_next(slot);
    }

    /// A pass has come to its end, with the stream of this number.
    fn passed(&mut self, slot: usize, last: u64) {
        let pass = self.slots[slot].pass;
        for key in self.keys() {
            let stream = &self.streams[key.0];
            if stream.slot == slot && stream.pass != pass {
                self.missed(key);
            }
        }
        let it = &mut self.slots[slot];
        it.pass += 1;
        it.pass_after = 0;
        if std::mem::replace(&mut it.is_complete, true) {
            // It has lasted: a host that acknowledges a follow and ends it at once must not be asked ever again at once.
            it.attempts = 0;
        } else {
            self.mark_slot(slot);
        }
        self.establish(slot, last);
        self.poll_later(slot);
    }

    /// Writes down which streams were there when the follow began: those up to `last`, unless they are known to have come
    /// during the first pass.
    fn establish(&mut self, slot: usize, last: u64) {
        let it = &mut self.slots[slot];
        let last_no = *it.established.get_or_insert(it.later_from.map_or(last, |first| last.min(first - 1)));
        if !std::mem::replace(&mut it.is_recorded, true) {
            self.out.push(Action::Establish { pattern: it.follow.pattern.clone(), last_no });
        }
    }

    /// The store could not write it down: the next pass tries again.
    pub(super) fn establish_failed(&mut self, pattern: &StreamPattern) {
        for slot in self.slots.iter_mut().filter(|slot| slot.follow.pattern == *pattern) {
            slot.is_recorded = false;
        }
    }

    /// The host has this stream.
    fn seen(&mut self, slot: usize, info: StreamInfo) {
        let Ok(id) = StreamId::parse(&info.id) else { return };
        if !self.slots[slot].follow.pattern.matches(&id) {
            return;
        }
        let key = self.by_id.get(&id).copied().unwrap_or_else(|| self.add_stream(id, slot));
        let holder = self.streams[key.0].slot;
        if holder != slot {
            // Two patterns match it; the first that is followed serves it.
            if self.slots[holder].state == SlotState::Following && self.streams[key.0].no.is_some() {
                return;
            }
            self.streams[key.0].slot = slot;
        }
        let stream = &mut self.streams[key.0];
        stream.pass = self.slots[slot].pass;
        stream.is_missed = false;
        if stream.no != Some(info.no) {
            if let Some(old) = stream.no.replace(info.no) {
                self.by_no.remove(&old);
            }
            self.by_no.insert(info.no, key);
        }
        self.holds(key, &info);
    }

    /// A whole pass did not show this stream. The second one is the last: until then it is told of as closed.
    fn missed(&mut self, key: Key) {
        let stream = &mut self.streams[key.0];
        let was_missed = std::mem::replace(&mut stream.is_missed, true);
        if stream.no.is_some() {
            self.gone(key);
        } else if was_missed && stream.applying.is_none() {
            self.drop_ready(key);
            self.let_go_of(key);
        } else {
            self.mark(key);
        }
    }

    /// The host has this stream no more.
    pub(super) fn gone(&mut self, key: Key) {
        self.forget_request(key);
        self.unlist(key);
        self.streams[key.0].leave_live(LeaveReason::StreamClosed);
        self.streams[key.0].reason = Some(LeaveReason::StreamClosed);
        self.mark(key);
    }

    /// Nothing is asked for this stream until it is listed again.
    fn unlist(&mut self, key: Key) {
        let stream = &mut self.streams[key.0];
        stream.step = Step::Await;
        stream.is_verified = false;
        stream.is_caught_up = false;
        if let Some(no) = stream.no.take() {
            self.by_no.remove(&no);
        }
    }

    pub(super) fn signalled(&mut self, link: LinkNo, slot: u32, stream: u64, what: Signal, page: Option<Page>) {
        let slot = slot as usize;
        if self.successor.hears(link) {
            // What the other two say makes the present connection ask.
            if what == Signal::FollowEnded {
                let message = "the host ended what the next session follows".into();
                return self.successor_failed(Trouble { is_retryable: true, code: None, message });
            }
        } else if self.link.open() != Some(link) {
            return;
        }
        let page = page.filter(|_| self.link.open() == Some(link));
        if self.slots.get(slot).is_none_or(|slot| slot.state != SlotState::Following) {
            return;
        }
        let known = self.by_no.get(&stream).copied();
        match (what, known) {
            (Signal::Ahead, Some(key)) => match page {
                Some(page) => self.rides(key, page),
                None => self.wake(key),
            },
            (Signal::Ahead | Signal::NewStream, _) => {
                let it = &mut self.slots[slot];
                if what == Signal::NewStream && it.established.is_none() {
                    it.later_from = Some(it.later_from.map_or(stream, |first| first.min(stream)).max(1));
                }
                let after = stream.saturating_sub(1);
                let news = &mut self.slots[slot].news;
                *news = Some(news.map_or(after, |news| news.min(after)));
                self.list_next(slot);
            }
            (Signal::Gone, Some(key)) => self.gone(key),
            (Signal::Gone, None) => {}
            (Signal::FollowEnded, _) => {
                // Its grant may have ended; the next answer says so, and by then another token may be there.
                self.renew(link);
                self.follow_later(slot, LeaveReason::StreamClosed);
            }
        }
    }
}

/// The code and words of a refusal; a text that is none is the host's own failure.
pub(super) fn refusal(text: &str) -> (Code, String) {
    match Refusal::from_wire(text) {
        Some(refusal) => (refusal.code, refusal.to_string()),
        None => (Code::Internal, text.to_owned()),
    }
}

/// What a code that is not to be tried again means for a stream.
pub(super) fn blocking_reason(code: Code) -> LeaveReason {
    match code {
        Code::ForbiddenStream => LeaveReason::Forbidden,
        Code::Unauthorized => LeaveReason::Unauthorized,
        _ => LeaveReason::Unknown,
    }
}
