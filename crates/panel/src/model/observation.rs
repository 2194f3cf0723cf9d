//! What a model is told.
//!
//! What always holds: each observation is what one source said at one moment, given with that moment; none says how fresh
//! anything is but by the time of a question that was answered.

use std::collections::BTreeMap;

use muster_contract::state::{ConnectionState, LeaveReason};
use muster_contract::stream::StreamId;

use super::LaneFacts;
use super::events::EventRow;
use super::histogram::Counts;
use super::outbox::OutboxLook;
use super::refusal::Refusal;
use super::sessions::SessionRow;
use super::streams::{LastEvent, StreamWord};
use super::token::TokenFacts;
use crate::clock::At;

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Observation {
    /// A lane was chosen: nothing that was known of another holds.
    Lane(LaneFacts),
    /// The database that the screen's connections go to: the lane's own, or the one that the token service names.
    Database(String),
    /// A person disconnected, or connected again.
    Wanted(bool),
    /// What an earlier run wrote down about this lane.
    Remembered(Remembered),
    /// The token that is used from now on.
    Token(TokenFacts),
    /// What was said against the token.
    TokenRefused(String),
    /// The connection that sessions come over.
    Presence(PresenceWord),
    /// The subscriber's overall status.
    Sync(SyncWord),
    /// The store cannot be used, so nothing is followed.
    StoreUnusable(Refusal),
    /// The subscriber's word about every stream that it has.
    Streams(Vec<StreamWord>),
    /// The newest events of streams, as they were applied.
    LastEvents(BTreeMap<StreamId, LastEvent>),
    /// Latencies of applied events.
    Latencies {
        /// By bucket.
        counts: Box<Counts>,
        /// Events whose producer's time is no latency.
        left_out: u64,
        /// Batches that were not counted, since the beginning.
        uncounted_batches: u64,
    },
    /// A person chose a stream, or none.
    Choose(Option<String>),
    /// A person searches.
    Search(String),
    /// Events were read from the store.
    Events {
        /// Of which stream.
        stream: String,
        /// For which search.
        search: String,
        /// The newest first.
        rows: Vec<EventRow>,
        /// Which life of the stream the store had; `None` where it had nothing.
        epoch: Option<u64>,
        /// The highest number that it had.
        through: u64,
    },
    /// The store was looked into, and has what was read last.
    EventsSame {
        /// Of which stream.
        stream: String,
        /// For which search.
        search: String,
    },
    /// The outbox was looked into; `None`: there is none there.
    Outbox(Option<OutboxLook>),
    /// The outbox cannot be read.
    OutboxUnreadable(Refusal),
    /// Something is wrong with the screen's own files, or not any more.
    Trouble(Option<String>),
    /// Time passed.
    Tick,
}

/// What an earlier run knew.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Remembered {
    /// When the host last proved the store to be complete.
    pub sync_seen: Option<At>,
    /// When the host last proved the sessions to be complete.
    pub sessions_seen: Option<At>,
    /// How many there were.
    pub total: Option<u64>,
    /// By role.
    pub by_role: Vec<(String, u64)>,
    /// The sessions, as many as were written down.
    pub rows: Vec<SessionRow>,
}

/// What the connection that sessions come over says.
#[derive(Clone, Debug)]
pub enum PresenceWord {
    /// It is being opened.
    Connecting,
    /// It is open; these are its identity's connection, and the module that it found.
    Open {
        /// This connection.
        connection_id: String,
        /// The module's build and schema version.
        module: Option<String>,
    },
    /// The rows that are there.
    Rows(Vec<SessionRow>),
    /// The rows are not for this session; counts are.
    RowsRefused(String),
    /// What a transaction changed.
    Changed {
        /// Rows that came.
        came: Vec<SessionRow>,
        /// Connections that went.
        went: Vec<String>,
    },
    /// The host's own counts.
    Summary {
        /// All sessions.
        total: u64,
        /// By role.
        by_role: Vec<(String, u64)>,
    },
    /// The host has answered what was asked then.
    Proof(At),
    /// It is gone, and tried again.
    Lost {
        /// Why.
        reason: LeaveReason,
        /// In one line.
        message: String,
        /// When the next attempt is due.
        next_retry: At,
    },
    /// The host will not have it. It is tried again slowly.
    Refused {
        /// Why.
        refusal: Refusal,
        /// When the next attempt is due.
        next_retry: At,
    },
    /// It was closed on purpose.
    Closed,
}

/// What the subscriber says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct SyncWord {
    /// What it is doing.
    pub state: ConnectionState,
    /// Why it is not live.
    pub reason: Option<LeaveReason>,
    /// Attempts since the last success.
    pub attempts: u32,
    /// When the next one is due.
    pub next_retry: Option<At>,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// What is missing over all streams.
    pub lag: u64,
    /// Whether nothing goes on before a person changes something.
    pub is_stuck: bool,
    /// When the newest question was asked that the host has answered on the present connection.
    pub proof: Option<At>,
}
