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
    /// What there is none of, while there is no stream.
    missing: String,
    overall: Option<(ConnectionState, Option<LeaveReason>, Option<String>, bool)>,
    troubled: BTreeMap<StreamId, String>,
}

impl States {
    /// With nothing said yet. `missing` says what there is none of, while there is no stream.
    pub(crate) fn new(missing: String) -> States {
        States { missing, ..States::default() }
    }

    /// What is to be said of the whole, if anything.
    pub(crate) fn overall(&mut self, status: &Status) -> Option<String> {
        let is_empty = status.streams.total() == 0;
        let new = (status.state, status.reason, status.last_error.clone(), is_empty);
        if self.overall.as_ref() == Some(&new) {
            return None;
        }
        // To try again is what `backoff` says already, and it says why until something changes.
        let was_away = matches!(&self.overall, Some((ConnectionState::Backoff, ..)));
        if was_away && status.state == ConnectionState::Connecting {
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
            ConnectionState::Live if is_empty => format!("live: 0 streams ({}, yet)", self.missing),
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

#[cfg(test)]
mod tests {
    use muster_sync::Counts;

    use super::*;

    fn status(state: ConnectionState, error: Option<&str>) -> Status {
        let reason = error.map(|_| LeaveReason::Network);
        let (streams, last_error) = (Counts::default(), error.map(String::from));
        let refused = Vec::new();
        Status { state, reason, streams, follows: 1, refused, lag: 0, attempts: 0, next_retry: None, last_error }
    }

    #[test]
    fn the_same_state_for_the_same_reason_is_said_once() {
        let mut states = States::new("there is no stream `a`".into());
        let mut told = Vec::new();
        let (connecting, away) = (ConnectionState::Connecting, ConnectionState::Backoff);
        for (state, error) in [
            (connecting, None),
            (away, Some("refused")),
            (connecting, Some("refused")),
            (away, Some("refused")),
            (away, Some("gone")),
            (ConnectionState::Live, None),
            (away, Some("gone")),
        ] {
            told.extend(states.overall(&status(state, error)));
        }
        let expected = [
            "connecting",
            "backoff (network): refused",
            "backoff (network): gone",
            "live: 0 streams (there is no stream `a`, yet)",
            "backoff (network): gone",
        ];
        assert_eq!(told, expected);
    }
}
