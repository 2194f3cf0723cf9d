//! The newest applied events of one stream.
//!
//! What always holds: what is here was read from the store, so it is committed; at most
//! [`crate::limits::EVENTS_MAX`] events, the newest first.

use std::sync::Arc;

use serde::Serialize;

use crate::clock::At;

/// An applied event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EventRow {
    /// Its number.
    pub seq: u64,
    /// Which life of the stream.
    pub epoch: u64,
    /// Its kind.
    pub kind: String,
    /// When it happened, by the producer's clock.
    pub at: At,
    /// Canonical JSON, perhaps cut.
    pub payload: String,
    /// How many bytes the whole payload has, in UTF-8.
    pub payload_bytes: usize,
    /// `sha256:` and the digest in hexadecimal.
    pub hash: String,
}

impl EventRow {
    /// Whether [`EventRow::payload`] is less than the payload.
    pub fn is_cut(&self) -> bool {
        self.payload.len() < self.payload_bytes
    }

    /// The payload for a person: indented, or as it is where it is cut.
    pub fn pretty(&self) -> String {
        let value = serde_json::from_str::<serde_json::Value>(&self.payload);
        let pretty = value.ok().and_then(|value| serde_json::to_string_pretty(&value).ok());
        match pretty {
            Some(pretty) => pretty,
            None if self.is_cut() => format!("{}\n… ({} bytes in all)", self.payload, self.payload_bytes),
            None => self.payload.clone(),
        }
    }
}

/// The events pane.
#[derive(Clone, Debug, Default)]
pub struct Events {
    /// Which stream is shown; `None` while there is none.
    pub stream: Option<String>,
    /// Whether a person chose it; otherwise it is the one with the newest event.
    pub is_chosen: bool,
    /// What is searched for; empty for everything.
    pub search: String,
    /// The events, the newest first.
    pub rows: Arc<Vec<EventRow>>,
    /// Which life of the stream the store had when they were read.
    pub epoch: Option<u64>,
    /// The highest number that it had.
    pub through: u64,
    /// When the store was last found to have them.
    pub read_at: Option<At>,
    /// When they were last known to be what the host has, for as long as the host does not have the stream.
    pub seen: Option<At>,
}

impl Events {
    /// Whether this was read for what is shown: what was asked for before a person chose something else is not shown under
    /// the new name.
    pub(super) fn is_asked_for(&self, stream: &str, search: &str) -> bool {
        self.stream.as_deref() == Some(stream) && self.search == search
    }

    /// Takes what was read; whether it looks different.
    pub(super) fn take(&mut self, now: At, rows: Vec<EventRow>, epoch: Option<u64>, through: u64) -> bool {
        (self.read_at, self.epoch, self.through) = (Some(now), epoch, through);
        let is_new = *self.rows != rows;
        if is_new {
            self.rows = Arc::new(rows);
        }
        is_new
    }
}
