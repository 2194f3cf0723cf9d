//! What waits on this machine to be sent.
//!
//! What always holds: it is read from the outbox's file, which another process may own, and never written.

use std::sync::Arc;

use serde::Serialize;

use super::refusal::Refusal;
use crate::clock::At;

/// A stream with events that wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OutboxRow {
    /// Its id.
    pub stream: String,
    /// Events that are not confirmed.
    pub pending: u64,
    /// Events that the host has confirmed, since the outbox began.
    pub confirmed: u64,
    /// Why it waits for a person, if it does.
    pub parked: Option<ParkedFacts>,
}

/// Why a stream waits for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ParkedFacts {
    /// The stable code.
    pub code: String,
    /// What was said.
    pub message: String,
    /// Since when.
    pub since: At,
}

/// What was found in the outbox.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OutboxLook {
    /// Events that are not confirmed.
    pub depth: u64,
    /// Bytes on disk for them.
    pub bytes: u64,
    /// When the oldest of them was published.
    pub oldest: Option<At>,
    /// The streams that have any, at most [`crate::limits::OUTBOX_STREAMS_MAX`].
    #[serde(serialize_with = "super::shared")]
    pub streams: Arc<Vec<OutboxRow>>,
}

/// The outbox pane.
#[derive(Clone, Debug, Default)]
pub struct OutboxFacts {
    /// Where it is looked for; `None` where no place is known.
    pub path: Option<String>,
    /// What it has; `None` where there is no outbox.
    pub look: Option<OutboxLook>,
    /// When it was last looked into.
    pub read_at: Option<At>,
    /// What takes the pane over: the file cannot be read.
    pub refusal: Option<Refusal>,
}

impl OutboxFacts {
    /// Streams that wait for a person.
    pub fn parked(&self) -> usize {
        self.look.as_ref().map_or(0, |look| look.streams.iter().filter(|row| row.parked.is_some()).count())
    }
}
