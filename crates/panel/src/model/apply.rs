//! How observations become facts.
//!
//! What always holds: a proof counts only for the connection that it came over; what a closed connection showed is kept,
//! with the time until which it is known to have been true.

use std::sync::Arc;

use muster_contract::Code;
use muster_contract::state::ConnectionState;

use super::observation::{Observation, PresenceWord, Remembered, SyncWord};
use super::refusal::Refusal;
use super::sessions::{Book, SessionRow};
use super::streams::{LastEvents, StreamWord, SyncFacts, Tracks};
use super::token::TokenFacts;
use super::{Events, Facts, LaneFacts, OutboxFacts, Sessions};
use crate::clock::At;

/// Why there are no rows where the host shows none.
const HIDDEN: &str = "this token may not read who is connected (scope presence.read); these are the host's counts";

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

    /// The facts as they are. The list of sessions is made anew here, once for however many have come and gone.
    pub fn facts(&mut self) -> &Facts {
        self.book.refresh(&mut self.facts.sessions);
        &self.facts
    }

    /// [`Facts::revision`], which costs nothing.
    pub fn revision(&self) -> u64 {
        self.facts.revision
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
            Observation::Database(database) => return self.database(database),
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
            Observation::Sync(word) => return self.sync(now, word),
            Observation::StoreUnusable(refusal) => {
                facts.sync.source.lost();
                facts.sync.state = ConnectionState::Blocked;
                facts.sync.refusal = Some(refusal);
            }
            Observation::Streams(words) => self.streams(now, words),
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
            Observation::Events { stream, search, rows, epoch, through } => {
                if !facts.events.is_asked_for(&stream, &search) {
                    return false;
                }
                return facts.events.take(now, rows, epoch, through);
            }
            Observation::EventsSame { stream, search } => {
                // What was read may have been let go of since.
                if facts.events.is_asked_for(&stream, &search) && facts.events.read_at.is_some() {
                    facts.events.read_at = Some(now);
                }
                return false;
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

    /// Whoever is connected to another database is somebody else.
    fn database(&mut self, database: String) -> bool {
        let Some(lane) = self.facts.lane.as_mut().filter(|lane| lane.database != database) else { return false };
        (lane.database, lane.module) = (database, None);
        let link = self.facts.sessions.link.clone();
        self.facts.sessions = Sessions { link, ..Sessions::default() };
        self.book = Book::default();
        true
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
            PresenceWord::Rows(rows) if rows.is_empty() => self.hide_rows(HIDDEN),
            PresenceWord::Rows(rows) => self.show_rows(now, rows),
            PresenceWord::RowsRefused(said) => self.hide_rows(&said),
            PresenceWord::Changed { came, went } => return self.changed(now, came, &went),
            PresenceWord::Summary { total, by_role } => {
                let sessions = &mut self.facts.sessions;
                let is_same = sessions.total == Some(total) && *sessions.by_role == by_role;
                if sessions.rows_refused.is_none() || (is_same && sessions.source.is_complete) {
                    return false;
                }
                (sessions.total, sessions.by_role) = (Some(total), Arc::new(by_role));
                self.complete();
            }
            PresenceWord::Proof(asked_at) => {
                (link.attempts, link.last_error) = (0, None);
                let before = (source.proof.is_some(), source.is_moving);
                // What the host has to say it has said before this: what is not complete now will not be.
                source.is_moving &= source.is_complete;
                source.proven(asked_at);
                return before != (true, source.is_moving);
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
                (*link, *refusal) = (super::sessions::LinkFacts::default(), None);
            }
        }
        true
    }

    /// What a transaction has changed. A session that does not see its own row any more sees nobody's: what is left of the
    /// table is not who is connected.
    fn changed(&mut self, now: At, came: Vec<SessionRow>, went: &[String]) -> bool {
        let sessions = &mut self.facts.sessions;
        let is_own = |id: &String| sessions.own.contains(id);
        let comes = came.iter().any(|row| is_own(&row.connection_id));
        if sessions.rows_refused.is_some() {
            if comes {
                self.show_rows(now, came);
            }
            return comes;
        }
        if !comes && went.iter().any(is_own) {
            self.hide_rows(HIDDEN);
        } else {
            self.book.change(sessions, now, came, went);
        }
        true
    }

    fn show_rows(&mut self, now: At, rows: Vec<SessionRow>) {
        self.book.begin(&mut self.facts.sessions, now, rows);
        self.complete();
    }

    /// The rows are not for this session. What is known of before stays, and is not complete before the host's counts come.
    fn hide_rows(&mut self, why: &str) {
        let sessions = &mut self.facts.sessions;
        self.book.refresh(sessions);
        self.book = Book::default();
        (sessions.rows, sessions.rows_refused) = (Arc::default(), Some(why.into()));
        sessions.churn = Arc::default();
        (sessions.source.is_complete, sessions.source.is_moving) = (false, true);
        sessions.link.state = ConnectionState::Replaying;
    }

    /// Everything that there is has come.
    fn complete(&mut self) {
        let sessions = &mut self.facts.sessions;
        (sessions.source.is_complete, sessions.source.is_moving) = (true, false);
        sessions.link.state = ConnectionState::Live;
    }

    fn sync(&mut self, now: At, word: SyncWord) -> bool {
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
        if sync.source.is_moving && sync.streams.iter().any(|row| row.word.cursor.is_some()) {
            sync.source.seen = sync.source.seen.max(word.proof);
        }
        (sync.state, sync.reason, sync.attempts) = (word.state, word.reason, word.attempts);
        (sync.next_retry, sync.lag) = (word.next_retry, word.lag);
        let said = word.last_error.as_deref().unwrap_or("nothing more is known");
        // With every follow refused nothing is asked any more, and the subscriber's state says only that nothing is heard.
        let has_none = sync.streams.iter().all(|row| row.word.state == Blocked);
        let is_refused = has_none && word.state != Live && Refusal::is_final(said);
        let is_taken_over = is_refused || (word.is_stuck && word.state == Blocked);
        let refusal = is_taken_over.then(|| Refusal::of_words(word.reason, said));
        // Without a token the host was not even asked: it is the token service that refuses.
        let is_of_token = refusal.as_ref().is_some_and(|refusal| refusal.code == Some(Code::Unauthorized.as_str()));
        let of_service =
            self.facts.token.refusal.as_ref().filter(|refusal| is_of_token && refusal.is_of_token_service());
        let is_new = is_of_token && sync.refusal.is_none() && of_service.is_none();
        sync.refusal = of_service.cloned().or(refusal);
        if let Some(refusal) = sync.refusal.as_ref().filter(|_| is_new) {
            self.facts.token.last_refusal = Some((now, refusal.detail.clone()));
        }
        sync.last_error = word.last_error.map(Into::into);
        before != sync.clone_words()
    }

    fn streams(&mut self, now: At, words: Vec<StreamWord>) {
        let (sync, events) = (&mut self.facts.sync, &mut self.facts.events);
        let shown = events.stream.as_deref();
        let seen = shown.and_then(|id| sync.stream(id)).and_then(|row| sync.seen_of(row));
        sync.take(&mut self.tracks, now, words, &self.last_events);
        if self.last_events.len() > sync.streams.len() {
            self.last_events.retain(|id, _| sync.stream(id.as_str()).is_some());
        }
        events.seen = if shown.is_some_and(|id| sync.stream(id).is_none()) { events.seen.max(seen) } else { None };
        self.choose_newest();
    }

    /// Without a choice the stream with the newest event is shown, and stays.
    fn choose_newest(&mut self) {
        let events = &self.facts.events;
        if events.is_chosen || events.stream.as_deref().is_some_and(|stream| self.facts.sync.stream(stream).is_some()) {
            return;
        }
        let at = |row: &super::StreamRow| row.last_event.as_ref().map(|event| event.at);
        let newest = self.facts.sync.streams.iter().max_by_key(|row| at(row)).map(|row| row.word.stream.to_string());
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
        let token = &self.facts.token;
        // A clock that is ahead proves nothing: as long as the host serves this session, the token is good.
        let is_over = token.is_expired(now) && token.next_refresh.is_none() && !self.facts.is_heard(now);
        if is_over && token.refusal.is_none() {
            self.facts.token.refusal = Some(Refusal::expired());
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
