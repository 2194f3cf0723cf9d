//! What `tail` says of states: a line on stderr whenever there is something new.
//!
//! What always holds: `live` is said only while the subscriber says it; what keeps a stream from being followed is said
//! once, by name, also while others are live.

use std::collections::BTreeMap;

use muster_contract::state::{ConnectionState, LeaveReason};
use muster_contract::stream::StreamId;
use muster_sync::{Status, StreamStatus};

/// What was said last.
#[derive(Debug, Default)]
pub(crate) struct States {
    overall: Option<(ConnectionState, Option<LeaveReason>, Option<String>, bool)>,
    troubled: BTreeMap<StreamId, String>,
}

impl States {
    /// What is to be said of the whole, if anything.
    pub(crate) fn overall(&mut self, status: &Status) -> Option<String> {
        let is_empty = status.streams.total() == 0;
        let new = (status.state, status.reason, status.last_error.clone(), is_empty);
        if self.overall.as_ref() == Some(&new) {
            return None;
        }
        self.overall = Some(new);
        if status.state == ConnectionState::Idle && status.reason.is_none() && status.last_error.is_none() {
            // It has not begun.
            return None;
        }
        let reason = status.reason.map_or(String::new(), |reason| format!(" ({reason})"));
        let error = status.last_error.as_ref().map_or(String::new(), |error| format!(": {error}"));
        Some(match status.state {
            ConnectionState::Live if is_empty => "live: there is no such stream yet".into(),
            ConnectionState::Live => format!("live: {} caught up", streams(status.streams.of(ConnectionState::Live))),
            ConnectionState::Replaying => {
                format!("replaying: {} behind", streams(status.streams.of(ConnectionState::Replaying)))
            }
            state => format!("{state}{reason}{error}"),
        })
    }

    /// What is to be said of streams that are kept from being followed, each as soon as that is so.
    pub(crate) fn troubled(&mut self, streams: &[StreamStatus]) -> Vec<String> {
        let mut said = Vec::new();
        for status in streams {
            let why = match (&status.last_error, status.state) {
                (Some(error), ConnectionState::Blocked | ConnectionState::Backoff) => error.clone(),
                (_, ConnectionState::Idle) if status.reason == Some(LeaveReason::StreamClosed) => {
                    "the host has no such stream any more".into()
                }
                (_, ConnectionState::Live | ConnectionState::Replaying) => {
                    self.troubled.remove(&status.stream);
                    continue;
                }
                _ => continue,
            };
            if self.troubled.get(&status.stream) != Some(&why) {
                said.push(format!("{}: {} ({why})", status.stream, status.state));
                self.troubled.insert(status.stream.clone(), why);
            }
        }
        said
    }
}

fn streams(count: usize) -> String {
    if count == 1 { "1 stream".into() } else { format!("{count} streams") }
}
