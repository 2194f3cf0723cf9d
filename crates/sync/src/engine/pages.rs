//! What to ask for, and what an answer is worth.
//!
//! What always holds: a stream asks for one thing at a time, and for a page only while none waits behind the one with
//! the store, so that fetching and applying overlap and nothing piles up; what rides unasked joins what waits, up to a
//! page. Streams ask in turn. Nothing of a page is taken unless all of it is right.

use std::time::Duration;

use muster_contract::cursor::{Epoch, Position, Seq};
use muster_contract::hash::PayloadHash;
use muster_contract::page::{Answer, Page, Snapshot, StoredEvent, WireHash, mark};
use muster_contract::state::LeaveReason;

use super::follow::{blocking_reason, refusal};
use super::requests::Purpose;
use super::stream::{Key, Owed, Step};
use super::words::{Request, RequestNo};
use super::{Engine, Timer};
use crate::batch::{Change, Events, Place};
use crate::limits::{BEHIND_MS_MAX, SEQ_MAX, ms};

/// What is wrong with a page.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// Another life of the stream.
    Epoch,
    /// The host has less than it had.
    Head,
    /// Events between the cursor and the page are missing.
    Gap { expected: Seq, first: Seq },
    /// A payload is not what its hash says.
    Hash { seq: Seq },
}

impl Engine {
    /// The host has more of this stream than was asked for.
    pub(super) fn wake(&mut self, key: Key) {
        self.wake_up_to(key, None);
    }

    /// The same, where the host says up to which event of the present life.
    pub(super) fn wake_up_to(&mut self, key: Key, head: Option<u64>) {
        let now = self.now;
        let stream = &mut self.streams[key.0];
        let told = if stream.woken_at.is_none() { Some(0) } else { stream.woken_to };
        stream.woken_to = told.zip(head).map(|(told, head)| told.max(head));
        if stream.woken_at.is_none() {
            stream.woken_at = Some(now);
            self.after(ms(BEHIND_MS_MAX), Timer::Behind(key));
        }
        self.nudge(key);
    }

    /// Looks anew whether the stream has something to ask for or to apply.
    pub(super) fn nudge(&mut self, key: Key) {
        let wants = self.wants(key);
        let stream = &mut self.streams[key.0];
        if wants && !stream.is_asking {
            stream.is_asking = true;
            self.asking.push_back(key);
        }
        let stream = &mut self.streams[key.0];
        if stream.ready.is_some() && stream.applying.is_none() && !stream.is_ready {
            stream.is_ready = true;
            self.ready.push_back(key);
        }
        self.mark(key);
    }

    fn wants(&self, key: Key) -> bool {
        let stream = &self.streams[key.0];
        if stream.asked.is_some() || stream.blocked.is_some() || stream.retry_at.is_some() || stream.no.is_none() {
            return false;
        }
        match stream.step {
            Step::Await => false,
            Step::Snapshot { .. } => true,
            Step::Read(_) => {
                stream.ready.is_none() && (!stream.is_verified || !stream.is_caught_up || stream.woken_at.is_some())
            }
        }
    }

    /// Asks for what streams want, in turn, as long as there is room.
    pub(super) fn ask_in_turn(&mut self) {
        let reserve = self.options.tuning.page_bytes as usize;
        while self.link.open().is_some()
            && self.requests.has_room()
            && self.in_flight_bytes + reserve <= self.options.tuning.in_flight_bytes
            && let Some(key) = self.asking.pop_front()
        {
            self.streams[key.0].is_asking = false;
            if self.wants(key) {
                self.ask(key, reserve);
            }
        }
    }

    fn ask(&mut self, key: Key, reserve: usize) {
        let now = self.now;
        let tuning = self.options.tuning;
        let stream = &mut self.streams[key.0];
        let id = stream.id.clone();
        let (purpose, what) = match stream.step {
            Step::Await => return,
            Step::Snapshot { bounds, .. } => {
                (Purpose::Snapshot(key), Request::Snapshot { stream: id, epoch: bounds.epoch().get() })
            }
            Step::Read(at) => {
                let after_mark = stream.taken().filter(|place| place.position == at).and_then(|place| place.mark);
                let request = Request::Page {
                    stream: id,
                    epoch: at.epoch.get(),
                    after: at.seq.get(),
                    after_mark,
                    events_max: tuning.page_events,
                    bytes_max: tuning.page_bytes,
                };
                (Purpose::Page(key), request)
            }
        };
        let woken = stream.woken_at.take();
        stream.owed_since = [stream.owed_since, woken].into_iter().flatten().min();
        if stream.owed_since.is_none() {
            stream.owed_since = Some(now);
        }
        let request = self.send(purpose, what);
        self.streams[key.0].asked = Some((request, reserve));
        self.in_flight_bytes += reserve;
    }

    /// What was asked for this stream counts no more.
    pub(super) fn forget_request(&mut self, key: Key) {
        if let Some((_, reserved)) = self.streams[key.0].asked.take() {
            self.in_flight_bytes -= reserved;
        }
    }

    /// Whether this is the answer that the stream waits for; it then waits no more.
    pub(super) fn answers(&mut self, key: Key, request: RequestNo) -> bool {
        let is_awaited = self.streams[key.0].asked.is_some_and(|(asked, _)| asked == request);
        if is_awaited {
            self.forget_request(key);
        }
        is_awaited
    }

    pub(super) fn stream_refused(&mut self, key: Key, text: &str) {
        let (code, message) = refusal(text);
        if code.is_retryable() {
            self.retry(key, message);
        } else {
            self.token_may_be_over(code);
            self.block(key, blocking_reason(code), message);
        }
    }

    pub(super) fn page(&mut self, key: Key, request: RequestNo, asked_at: Duration, answer: Answer<Page>) {
        if !self.answers(key, request) {
            return self.counters.late_answers += 1;
        }
        match answer {
            Answer::Ok(page) => self.page_came(key, asked_at, page),
            Answer::Stale(stale) => self.stale(key, &stale),
            Answer::Refused(text) => self.stream_refused(key, &text),
        }
    }

    fn page_came(&mut self, key: Key, asked_at: Duration, page: Page) {
        let Step::Read(at) = self.streams[key.0].step else { return };
        let (floor, head) = (page.floor, page.head);
        let came = page.events.len() as u64;
        match check(at, page) {
            Ok((mark, events)) => {
                self.counters.events += events.len() as u64;
                self.counters.duplicates += came - events.len() as u64;
                self.page_is_right(key, at, head, mark, events);
                self.page_may_be_old(key, asked_at);
            }
            // The host says more when it is asked from the cursor again.
            Err(Flaw::Epoch | Flaw::Head) => {
                self.counters.foreign_pages += 1;
                self.retry(key, format!("the host now holds events {floor} to {head} of another history"));
            }
            Err(Flaw::Gap { expected, first }) => {
                self.counters.gaps += 1;
                self.retry(key, format!("the host left out events {expected} to {}", first.previous()));
            }
            Err(Flaw::Hash { seq }) => {
                self.counters.hash_mismatches += 1;
                let code = muster_contract::Code::PayloadHashMismatch;
                let message =
                    format!("{code}: the payload of event {seq} is not what its hash says; {}", code.remedy());
                self.block(key, LeaveReason::Unknown, message);
            }
        }
    }

    fn page_is_right(&mut self, key: Key, at: Position, head: u64, mark: u64, events: Vec<StoredEvent>) {
        let end = Position { epoch: at.epoch, seq: Seq::new(at.seq.get() + events.len() as u64) };
        let now = self.now;
        let stream = &mut self.streams[key.0];
        let is_first = !std::mem::replace(&mut stream.is_verified, true);
        stream.was_reset = false;
        let known_head = std::mem::replace(&mut stream.head, head);
        stream.is_caught_up = head == end.seq.get();
        stream.step = Step::Read(end);
        // The signals that came meanwhile told of nothing else.
        if stream.is_caught_up && stream.woken_to.is_some_and(|told| told <= end.seq.get()) {
            stream.woken_at = None;
        }
        // What has come was missing since then; what has not, since then too if it was known, else since now.
        let since = stream.owed_since.take();
        let owed = Owed { since, is_all: stream.is_caught_up };
        if !stream.is_caught_up {
            stream.is_live = false;
            stream.owed_since = Some(since.filter(|_| known_head > end.seq.get()).unwrap_or(now));
        }
        if is_first {
            self.arm_checkpoint(key);
        }
        let stream = &self.streams[key.0];
        if events.is_empty() {
            if !stream.is_caught_up {
                return self.retry(key, format!("the host has events up to {head} and gave none after {}", at.seq));
            }
            self.learn_mark(key, at, mark);
            self.settle(key);
            self.nudge(key);
        } else {
            self.put_events(key, Events { epoch: at.epoch, first: at.seq.next(), mark, events });
            self.streams[key.0].ready_owed = owed;
        }
    }

    /// A reader that began in the middle has no mark until the host has said it. From the first answer on, the history up
    /// to the cursor is that one, and the store remembers it.
    fn learn_mark(&mut self, key: Key, at: Position, mark: u64) {
        let stream = &self.streams[key.0];
        let is_unmarked = stream.taken() == Some(Place { position: at, mark: None });
        if is_unmarked && mark != 0 && stream.ready.is_none() {
            self.put_ready(key, Change::Begin(Place { position: at, mark: Some(mark) }));
            self.streams[key.0].ready_owed = Owed { since: None, is_all: true };
        }
    }

    /// An answer that was long under way says nothing of now: the stream is asked again before it is called live.
    fn page_may_be_old(&mut self, key: Key, asked_at: Duration) {
        let stream = &mut self.streams[key.0];
        if stream.is_caught_up && asked_at + self.options.tuning.liveness <= self.now {
            stream.is_caught_up = false;
            stream.is_live = false;
            self.nudge(key);
        }
    }

    pub(super) fn snapshot(&mut self, key: Key, request: RequestNo, answer: Answer<Option<Snapshot>>) {
        if !self.answers(key, request) {
            return;
        }
        let Step::Snapshot { reason, bounds } = self.streams[key.0].step else { return };
        match answer {
            Answer::Ok(Some(snapshot)) => match Epoch::new(snapshot.epoch) {
                Ok(epoch) if epoch == bounds.epoch() && snapshot.seq <= SEQ_MAX => {
                    if hash_of(&snapshot.payload) != snapshot.hash {
                        self.counters.hash_mismatches += 1;
                        let code = muster_contract::Code::PayloadHashMismatch;
                        let message = format!("{code}: the snapshot is not what its hash says; {}", code.remedy());
                        return self.block(key, LeaveReason::Unknown, message);
                    }
                    let at = Position { epoch, seq: snapshot.seq.into() };
                    self.streams[key.0].head = bounds.head().get().max(snapshot.seq);
                    self.reset(key, reason, at, Some(snapshot));
                }
                _ => self.retry(key, "the host gave a snapshot of another life of the stream".into()),
            },
            // Gone in the meantime.
            Answer::Ok(None) => {
                let at = Position { epoch: bounds.epoch(), seq: bounds.floor().previous() };
                self.reset(key, reason, at, None);
            }
            Answer::Stale(stale) => self.stale(key, &stale),
            Answer::Refused(text) => self.stream_refused(key, &text),
        }
    }
}

/// What of a page comes right after `at`: all of it, unless the host repeats what was applied. And the mark that it leads
/// to.
pub(super) fn check(at: Position, page: Page) -> Result<(u64, Vec<StoredEvent>), Flaw> {
    if page.epoch != at.epoch.get() || page.head > SEQ_MAX {
        return Err(Flaw::Epoch);
    }
    if page.head < at.seq.get() {
        return Err(Flaw::Head);
    }
    let expected = at.seq.next();
    if page.events.is_empty() {
        let is_of_cursor = page.first == expected.get();
        return Ok((if is_of_cursor { page.mark } else { 0 }, page.events));
    }
    let first = Seq::new(page.first);
    if first > expected {
        return Err(Flaw::Gap { expected, first });
    }
    let mut events = page.events;
    // What was applied is a duplicate.
    let repeated = usize::try_from(expected.get() - first.get()).unwrap_or(usize::MAX).min(events.len());
    let end =
        events.iter().fold(page.mark, |before, event| mark(before, event.hash, event.at, event.producer, event.number));
    events.drain(..repeated);
    let wrong = events.iter().position(|event| hash_of(&event.payload) != event.hash);
    match wrong {
        Some(index) => Err(Flaw::Hash { seq: Seq::new(expected.get() + index as u64) }),
        None => Ok((end, events)),
    }
}

/// A payload's hash, over its bytes as they came: the producer has made them canonical.
fn hash_of(payload: &str) -> WireHash {
    PayloadHash::of(payload.as_bytes()).into()
}
