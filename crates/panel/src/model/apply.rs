//! How observations become facts.
//!
//! What always holds: a proof counts only for the connection that it came over; what a closed connection showed is kept,
//! with the time until which it is known to have been true.

use std::sync::Arc;

use muster_contract::state::ConnectionState;

use super::observation::{Observation, PresenceWord, Remembered, SyncWord};
use super::refusal::Refusal;
use super::sessions::Book;
use super::streams::{LastEvents, SyncFacts, Tracks};
use super::token::TokenFacts;
use super::{Events, Facts, LaneFacts, OutboxFacts, Sessions};
use crate::clock::At;

/// The state of a screen.
#[derive(Clone, Debug, Default)]
pub struct Model {
    facts: Facts,
    book: Book,
    tracks: Tracks,
    last_events: LastEvents,
}

impl Model {
    /// A screen that knows nothing.
    pub fn new() -> Model {
        Model::default()
    }

    /// The facts as they are.
    pub fn facts(&mut self) -> &Facts {
        self.book.refresh(&mut self.facts.sessions);
        &self.facts
    }

    /// Takes in what happened at `now`.
    pub fn on(&mut self, now: At, observation: Observation) {
        let is_visible = self.take(now, observation);
        if is_visible {
            self.facts.revision += 1;
        }
    }

    /// Whether a screen would look different.
    fn take(&mut self, now: At, observation: Observation) -> bool {
        let facts = &mut self.facts;
        match observation {
            Observation::Lane(lane) => self.lane(lane),
            Observation::Wanted(is_wanted) => {
                if let Some(lane) = &mut facts.lane {
                    lane.is_wanted = is_wanted;
                }
            }
            Observation::Remembered(remembered) => self.remembered(remembered),
            Observation::Token(token) => {
                facts.token =
                    TokenFacts { last_refusal: token.last_refusal.clone().or(facts.token.last_refusal.take()), ..token }
            }
            Observation::TokenRefused(said) => facts.token.last_refusal = Some((now, said)),
            Observation::Presence(word) => return self.presence(now, word),
            Observation::Sync(word) => return self.sync(word),
            Observation::StoreUnusable(refusal) => {
                facts.sync.source.lost();
                facts.sync.state = ConnectionState::Blocked;
                facts.sync.refusal = Some(refusal);
            }
            Observation::Streams(words) => {
                facts.sync.take(&mut self.tracks, now, words, &self.last_events);
                self.choose_newest();
            }
            Observation::LastEvents(newest) => self.last_events.extend(newest),
            Observation::Latencies { counts, left_out, uncounted_batches } => {
                Arc::make_mut(&mut facts.sync.latency).add(now, &counts, left_out);
                facts.sync.uncounted_batches = uncounted_batches;
            }
            Observation::Choose(stream) => {
                facts.events.is_chosen = stream.is_some();
                self.show(stream);
                self.choose_newest();
            }
            Observation::Search(search) => facts.events.search = search,
            Observation::Events { stream, search, rows, through } => {
                return self.events(now, &stream, &search, rows, through);
            }
            Observation::Outbox(look) => {
                let is_new =
                    facts.outbox.look != look || facts.outbox.refusal.is_some() || facts.outbox.read_at.is_none();
                (facts.outbox.look, facts.outbox.refusal, facts.outbox.read_at) = (look, None, Some(now));
                return is_new;
            }
            Observation::OutboxUnreadable(refusal) => facts.outbox.refusal = Some(refusal),
            Observation::Trouble(trouble) => facts.trouble = trouble.map(Into::into),
            Observation::Tick => return self.tick(now),
        }
        true
    }

    fn lane(&mut self, lane: LaneFacts) {
        let revision = self.facts.revision;
        let outbox = OutboxFacts { path: self.facts.outbox.path.take(), ..OutboxFacts::default() };
        *self = Model::default();
        self.facts = Facts { revision, lane: Some(lane), outbox, ..Facts::default() };
    }

    /// Where the outbox is looked for.
    pub fn outbox_at(&mut self, path: Option<String>) {
        self.facts.outbox = OutboxFacts { path, ..OutboxFacts::default() };
        self.facts.revision += 1;
    }

    fn remembered(&mut self, remembered: Remembered) {
        let Remembered { sync_seen, sessions_seen, total, by_role, rows } = remembered;
        self.facts.sync.source.seen = self.facts.sync.source.seen.max(sync_seen);
        let sessions = &mut self.facts.sessions;
        if sessions.total.is_none() {
            (sessions.total, sessions.source.seen) = (total, sessions_seen.filter(|_| total.is_some()));
            (sessions.by_role, sessions.rows) = (Arc::new(by_role), Arc::new(rows));
        }
    }

    fn presence(&mut self, now: At, word: PresenceWord) -> bool {
        let Sessions { link, source, refusal, .. } = &mut self.facts.sessions;
        match word {
            PresenceWord::Connecting => {
                (link.state, link.next_retry) = (ConnectionState::Connecting, None);
            }
            PresenceWord::Open { connection_id, module } => {
                *source =
                    crate::badge::Source { is_open: true, is_moving: true, seen: source.seen, ..Default::default() };
                (link.state, link.reason, link.next_retry) = (ConnectionState::Replaying, None, None);
                *refusal = None;
                self.facts.token.refusal = None;
                self.facts.sessions.own = Arc::new(vec![connection_id]);
                if let Some(lane) = &mut self.facts.lane {
                    lane.module = module.or(lane.module.take());
                }
            }
            // This session's own row is there, unless none is for it to see.
            PresenceWord::Rows(rows) if rows.is_empty() => {
                self.hide_rows(
                    "this token may not read who is connected (scope presence.read); these are the host's counts",
                );
            }
            PresenceWord::Rows(rows) => {
                self.book.begin(&mut self.facts.sessions, now, rows);
                self.complete();
            }
            PresenceWord::RowsRefused(said) => {
                self.hide_rows(&said);
            }
            PresenceWord::Changed { came, went } => self.book.change(&mut self.facts.sessions, now, came, &went),
            PresenceWord::Summary { total, by_role } => {
                let sessions = &mut self.facts.sessions;
                if sessions.rows_refused.is_none() || sessions.total == Some(total) {
                    return false;
                }
                (sessions.total, sessions.by_role) = (Some(total), Arc::new(by_role));
            }
            PresenceWord::Proof(asked_at) => {
                (link.attempts, link.last_error) = (0, None);
                let was_proven = source.proof.is_some();
                source.proven(asked_at);
                return !was_proven;
            }
            PresenceWord::Lost { reason, message, next_retry } => {
                source.lost();
                link.attempts += 1;
                (link.state, link.reason) = (ConnectionState::Backoff, Some(reason));
                (link.next_retry, link.last_error) = (Some(next_retry), Some(message.into()));
            }
            PresenceWord::Refused { refusal: why, next_retry } => {
                source.lost();
                link.attempts += 1;
                (link.state, link.next_retry) = (ConnectionState::Blocked, Some(next_retry));
                link.last_error = Some(why.detail.as_str().into());
                if why.kind == super::refusal::Kind::Permission {
                    self.facts.token.last_refusal = Some((now, why.detail.clone()));
                    self.facts.token.refusal = Some(why.clone());
                }
                self.facts.sessions.refusal = Some(why);
            }
            PresenceWord::Closed => {
                source.lost();
                *link = super::sessions::LinkFacts::default();
            }
        }
        true
    }

    fn hide_rows(&mut self, why: &str) {
        let sessions = &mut self.facts.sessions;
        (sessions.rows, sessions.rows_refused) = (Arc::default(), Some(why.into()));
        self.complete();
    }

    /// Everything that there is has come.
    fn complete(&mut self) {
        let sessions = &mut self.facts.sessions;
        (sessions.source.is_complete, sessions.source.is_moving) = (true, false);
        sessions.link.state = ConnectionState::Live;
    }

    fn sync(&mut self, word: SyncWord) -> bool {
        use ConnectionState::{Blocked, Connecting, Live, Replaying};
        let sync = &mut self.facts.sync;
        let before = sync.clone_words();
        sync.source.is_open = word.proof.is_some();
        sync.source.is_complete = word.state == Live;
        sync.source.is_moving = matches!(word.state, Replaying | Connecting);
        match word.proof {
            Some(proof) => sync.source.proven(proof),
            None => sync.source.proof = None,
        }
        // While it catches up, what is shown is a true beginning of what the host has.
        if sync.source.is_moving && sync.streams.iter().any(|row| row.cursor.is_some()) {
            sync.source.seen = sync.source.seen.max(word.proof);
        }
        (sync.state, sync.reason, sync.attempts) = (word.state, word.reason, word.attempts);
        (sync.next_retry, sync.lag) = (word.next_retry, word.lag);
        let said = word.last_error.as_deref().unwrap_or("nothing more is known");
        // With every follow refused nothing is asked any more, and the subscriber's state says only that nothing is heard.
        let has_none = sync.streams.iter().all(|row| row.state == Blocked);
        let is_refused = has_none && word.state != Live && Refusal::is_final(said);
        sync.refusal =
            (is_refused || (word.is_stuck && word.state == Blocked)).then(|| Refusal::of_words(word.reason, said));
        sync.last_error = word.last_error.map(Into::into);
        before != sync.clone_words()
    }

    fn events(&mut self, now: At, stream: &str, search: &str, rows: Vec<super::EventRow>, through: u64) -> bool {
        let events = &mut self.facts.events;
        // What was asked for before a person chose something else is not shown under the new name.
        if events.stream.as_deref() != Some(stream) || events.search != search {
            return false;
        }
        (events.read_at, events.through) = (Some(now), through);
        let is_new = *events.rows != rows;
        if is_new {
            events.rows = Arc::new(rows);
        }
        is_new
    }

    /// Without a choice the stream with the newest event is shown, and stays.
    fn choose_newest(&mut self) {
        let events = &self.facts.events;
        if events.is_chosen || events.stream.as_deref().is_some_and(|stream| self.facts.sync.stream(stream).is_some()) {
            return;
        }
        let at = |row: &super::StreamRow| row.last_event.as_ref().map(|event| event.at);
        let newest = self.facts.sync.streams.iter().max_by_key(|row| at(row)).map(|row| row.stream.to_string());
        self.show(newest);
    }

    fn show(&mut self, stream: Option<String>) {
        if self.facts.events.stream != stream {
            let Events { is_chosen, search, .. } = std::mem::take(&mut self.facts.events);
            self.facts.events = Events { stream, is_chosen, search, ..Events::default() };
        }
    }

    fn tick(&mut self, now: At) -> bool {
        let latency = Arc::make_mut(&mut self.facts.sync.latency);
        let faded = latency.age(now);
        let expired = &mut self.facts.token;
        if expired.is_expired(now) && expired.refusal.is_none() && expired.next_refresh.is_none() {
            expired.refusal = Some(Refusal::of(muster_contract::Code::Unauthorized, "the token has expired"));
            return true;
        }
        faded
    }
}

impl SyncFacts {
    /// What of the overall status can be seen.
    fn clone_words(&self) -> impl PartialEq + use<> {
        let source = self.source;
        (
            (self.state, self.reason, self.attempts, self.next_retry, self.lag),
            (self.last_error.clone(), self.refusal.clone()),
            (source.is_open, source.is_complete, source.is_moving),
        )
    }
}
