//! What the measuring process asks of those that publish and apply, and what they answer: one JSON document a line.
//!
//! What always holds: an answer follows each order, in their order; times are in microseconds since 1970, on the clock
//! that the processes of a machine share.

use std::time::{SystemTime, UNIX_EPOCH};

use muster_contract::StreamId;
use serde::{Deserialize, Serialize};

/// To the publisher: events `first`, `first + 1`, … of each stream, so many of each, in batches that take turns between
/// the streams. Answered once the host has confirmed all of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Publish {
    /// What the names of the streams begin with.
    pub(crate) prefix: String,
    pub(crate) streams: usize,
    pub(crate) first: u64,
    pub(crate) each: u64,
    pub(crate) batch: u64,
    pub(crate) payload_bytes: usize,
    /// Between two batches; 0 for as fast as it goes.
    pub(crate) pause_us: u64,
}

impl Publish {
    /// All of them.
    pub(crate) fn events(&self) -> u64 {
        self.each * self.streams as u64
    }

    /// The index-th stream.
    pub(crate) fn stream(&self, index: usize) -> StreamId {
        stream(&self.prefix, index)
    }
}

/// The index-th stream of those whose names begin so.
pub(crate) fn stream(prefix: &str, index: usize) -> StreamId {
    StreamId::parse(&format!("{prefix}.s{index}")).expect("a plain id")
}

/// The publisher's answer.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Published {
    pub(crate) began_us: u64,
    /// The last event was on disk in the outbox.
    pub(crate) kept_us: u64,
    /// The host had confirmed the last.
    pub(crate) confirmed_us: u64,
    /// Calls of `append_encoded` since the process began.
    pub(crate) calls: u64,
    /// Commits of the outbox since then.
    pub(crate) commits: u64,
}

/// To the engine in a process of its own. Two steps, so that what is hashed and encoded costs nobody anything who is measured
/// at the same time.
#[cfg(any(feature = "host", feature = "peers"))]
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Append {
    /// Hash and encode the calls of these events; answered with nothing once they are there.
    Prepare(Publish),
    /// Append what was prepared; answered with an [`Appended`] once all of it is confirmed.
    Go,
}

/// The engine's answer.
#[cfg(any(feature = "host", feature = "peers"))]
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Appended {
    pub(crate) began_us: u64,
    /// The last append was confirmed.
    pub(crate) done_us: u64,
}

/// To the subscriber.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Wait {
    /// Until so many events are committed in its database, counted from its beginning.
    Applied(u64),
}

/// The subscriber's answer.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Applied {
    /// When the last of them was found committed.
    pub(crate) at_us: u64,
    /// Batches that the application was given since the process began.
    pub(crate) batches: u64,
    /// Milliseconds from an event's time, which is when it was given to the publisher, until it was known to be committed:
    /// of the events since the last answer, if that is measured.
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
}

pub(crate) fn now_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}
