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
    /// How many bytes the whole payload has.
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
    /// The highest number that the store had when they were read.
    pub through: u64,
    /// When they were read.
    pub read_at: Option<At>,
}
