//! How the sync is doing, overall and by stream.
//!
//! What always holds: states, cursors and heads are the subscriber's own words; rates and progress are computed from them
//! and from nothing else.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use muster_contract::state::{ConnectionState, LeaveReason};
use muster_contract::stream::StreamId;
use serde::Serialize;

use super::histogram::Histogram;
use super::refusal::Refusal;
use crate::badge::Source;
use crate::clock::At;
use crate::limits::{RATE_MS, RATE_STEP_MS, ms};

/// A stream, as the subscriber tells it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StreamWord {
    /// Which one.
    pub stream: StreamId,
    /// What it is doing.
    pub state: ConnectionState,
    /// Why it is not live.
    pub reason: Option<LeaveReason>,
    /// The epoch of the cursor.
    pub epoch: Option<u64>,
    /// Everything up to here is applied; `None` where nothing is.
    pub cursor: Option<u64>,
    /// The highest number that the host is known to have given; 0 where none is known.
    pub head: u64,
    /// What is missing: `head` less the cursor.
    pub lag: u64,
    /// Failed attempts since the last success.
    pub attempts: u32,
    /// When the next one is due.
    pub next_retry: Option<At>,
    /// What went wrong last.
    pub last_error: Option<String>,
}

impl StreamWord {
    /// Whether the subscriber calls it live.
    pub fn is_live(&self) -> bool {
        self.state == ConnectionState::Live
    }

    /// Whether it is on its way to being live.
    pub fn is_moving(&self) -> bool {
        matches!(self.state, ConnectionState::Replaying | ConnectionState::Connecting)
    }

    /// Whether the host has it no more, or does not show it to this session any more.
    pub fn is_gone(&self) -> bool {
        self.state == ConnectionState::Idle && self.reason == Some(LeaveReason::StreamClosed)
    }

    /// Whether what is applied of it is, as long as the host is heard, all or a true beginning of what the host has.
    fn is_true(&self) -> bool {
        matches!(self.state, ConnectionState::Live | ConnectionState::Replaying)
    }
}

/// The newest event of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LastEvent {
    /// Its number.
    pub seq: u64,
    /// Its kind.
    #[serde(serialize_with = "super::shared")]
    pub kind: Arc<str>,
    /// When it happened, by the producer's clock.
    pub at: At,
}

/// A followed stream, as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StreamRow {
    /// What the subscriber tells.
    #[serde(flatten)]
    pub word: StreamWord,
    /// Applied events a second, over the last seconds.
    pub rate: f64,
    /// How much of the present replay is done, 0 to 1; `None` while none is under way.
    pub progress: Option<f64>,
    /// The newest applied event.
    pub last_event: Option<LastEvent>,
    /// When what is applied of it was last known to be what the host has, or a true beginning of it; `None` where it never
    /// was. While it is live or replaying, the proofs of the sync say more ([`SyncFacts::seen_of`]).
    pub seen: Option<At>,
    /// Why it cannot be followed, where only a person can help.
    pub refusal: Option<Refusal>,
}

/// The sync pane.
#[derive(Clone, Debug)]
pub struct SyncFacts {
    /// What the subscriber is doing.
    pub state: ConnectionState,
    /// Why it is not live.
    pub reason: Option<LeaveReason>,
    /// Attempts to connect since the last one that came to something.
    pub attempts: u32,
    /// When the next one is due.
    pub next_retry: Option<At>,
    /// What went wrong last.
    pub last_error: Option<Arc<str>>,
    /// What is missing, over all streams.
    pub lag: u64,
    /// Applied events a second, over all streams.
    pub rate: f64,
    /// How fresh it is.
    pub source: Source,
    /// The streams, in the order of their ids.
    pub streams: Arc<Vec<StreamRow>>,
    /// From the producer's time of an event to its apply.
    pub latency: Arc<Histogram>,
    /// Batches that were not counted into the latencies, because counting was slower than the sync.
    pub uncounted_batches: u64,
    /// What takes the pane over.
    pub refusal: Option<Refusal>,
}

impl Default for SyncFacts {
    fn default() -> SyncFacts {
        SyncFacts {
            state: ConnectionState::Idle,
            reason: None,
            attempts: 0,
            next_retry: None,
            last_error: None,
            lag: 0,
            rate: 0.0,
            source: Source::default(),
            streams: Arc::default(),
            latency: Arc::default(),
            uncounted_batches: 0,
            refusal: None,
        }
    }
}

impl SyncFacts {
    /// A stream's row.
    pub fn stream(&self, id: &str) -> Option<&StreamRow> {
        let index = self.streams.binary_search_by(|row| row.word.stream.as_str().cmp(id)).ok()?;
        self.streams.get(index)
    }

    /// How many streams are in this state.
    pub fn count(&self, state: ConnectionState) -> usize {
        self.streams.iter().filter(|row| row.word.state == state).count()
    }

    /// When what is applied of a stream was last known to be what the host has.
    pub fn seen_of(&self, row: &StreamRow) -> Option<At> {
        if row.word.is_true() { row.seen.max(self.source.seen).max(self.source.proof) } else { row.seen }
    }

    /// Takes the subscriber's words about all streams.
    pub(super) fn take(&mut self, tracks: &mut Tracks, now: At, words: Vec<StreamWord>, last_events: &LastEvents) {
        if tracks.len() > words.len() {
            let there: BTreeSet<_> = words.iter().map(|word| &word.stream).collect();
            tracks.retain(|id, _| there.contains(id));
        }
        let mut rows = Vec::with_capacity(words.len());
        let mut rate = 0.0;
        let proof = self.source.proof.max(self.source.seen);
        for word in words {
            // What is known of before this run stands for streams that it has not heard of yet.
            let track = tracks
                .entry(word.stream.clone())
                .or_insert_with(|| Track { seen: self.source.seen, ..Track::default() });
            track.take(now, &word, proof);
            rate += track.rate(now);
            rows.push(track.row(now, word, last_events));
        }
        rows.sort_by(|a: &StreamRow, b| a.word.stream.cmp(&b.word.stream));
        self.rate = rate;
        self.streams = Arc::new(rows);
    }
}

/// What is remembered of every stream.
pub(super) type Tracks = BTreeMap<StreamId, Track>;
/// The newest applied event of every stream.
pub(super) type LastEvents = BTreeMap<StreamId, LastEvent>;

/// What is remembered of a stream to compute rate, progress and age.
#[derive(Clone, Debug, Default)]
pub(super) struct Track {
    samples: VecDeque<(At, u64)>,
    epoch: Option<u64>,
    replay_from: Option<u64>,
    was_true: bool,
    seen: Option<At>,
    is_heard: bool,
}

impl Track {
    fn take(&mut self, now: At, word: &StreamWord, proof: Option<At>) {
        let cursor = word.cursor.unwrap_or(0);
        let goes_back = self.samples.back().is_some_and(|(_, before)| cursor < *before);
        if word.epoch != self.epoch || goes_back {
            let (was_true, seen) = (self.was_true, self.seen);
            *self = Track { epoch: word.epoch, was_true, seen, ..Track::default() };
        }
        if self.samples.back().is_none_or(|(at, _)| now.since(*at) >= ms(RATE_STEP_MS)) {
            self.samples.push_back((now, cursor));
        }
        while self.samples.len() > 2 && self.samples.get(1).is_some_and(|(at, _)| now.since(*at) > ms(RATE_MS)) {
            self.samples.pop_front();
        }
        // Words come only where something has changed: until this one came the one before held.
        if self.was_true || word.is_true() {
            self.seen = self.seen.max(proof);
        }
        (self.was_true, self.is_heard) = (word.is_true(), word.is_live() || word.is_moving());
        match word.state {
            ConnectionState::Live => self.replay_from = None,
            ConnectionState::Replaying => drop(self.replay_from.get_or_insert(cursor)),
            _ => {}
        }
    }

    /// Applied events a second.
    fn rate(&self, now: At) -> f64 {
        let (Some((first_at, first)), Some((_, last))) = (self.samples.front(), self.samples.back()) else {
            return 0.0;
        };
        let seconds = now.since(*first_at).as_secs_f64();
        // Long after the last sample the old ones say nothing any more, and nothing is applied where nobody is heard.
        let is_old = self.samples.back().is_some_and(|(at, _)| now.since(*at) > ms(RATE_MS));
        if seconds < 0.1 || is_old || !self.is_heard { 0.0 } else { (last - first) as f64 / seconds }
    }

    fn row(&self, now: At, word: StreamWord, last_events: &LastEvents) -> StreamRow {
        let refusal = (word.state == ConnectionState::Blocked)
            .then(|| Refusal::of_words(word.reason, word.last_error.as_deref().unwrap_or("nothing more is known")));
        StreamRow {
            rate: self.rate(now),
            progress: (word.state == ConnectionState::Replaying).then(|| self.progress(&word)),
            last_event: last_events.get(&word.stream).cloned(),
            seen: self.seen,
            refusal,
            word,
        }
    }

    fn progress(&self, word: &StreamWord) -> f64 {
        let (from, cursor) = (self.replay_from.unwrap_or(0), word.cursor.unwrap_or(0));
        let all = word.head.saturating_sub(from);
        if all == 0 { 0.0 } else { (cursor.saturating_sub(from) as f64 / all as f64).min(1.0) }
    }
}
