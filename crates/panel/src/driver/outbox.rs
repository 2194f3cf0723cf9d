//! Looking into the outbox of this machine.
//!
//! What always holds: it is only read, whoever owns it, and only if the file has changed since the last look, or so shortly
//! before it that nobody can tell.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use muster_publisher::{Inspection, inspect};

use crate::clock::At;
use crate::limits::{OUTBOX_SETTLED_MS, OUTBOX_STREAMS_MAX, ms};
use crate::model::Observation;
use crate::model::outbox::{OutboxLook, OutboxRow, ParkedFacts};
use crate::model::refusal::Refusal;

/// An outbox, and what was found in it last.
#[derive(Debug, Default)]
pub(super) struct Watched {
    path: PathBuf,
    stamp: Option<Stamp>,
    last: Option<OutboxLook>,
}

/// Sizes and times of the file and its log.
type Stamp = [Option<(u64, SystemTime)>; 2];

impl Watched {
    pub(super) fn new(path: PathBuf) -> Watched {
        Watched { path, stamp: None, last: None }
    }

    /// Looks; blocks on the disk.
    pub(super) fn look(mut self) -> (Watched, Observation) {
        let stamp = stamp(&self.path);
        if stamp[0].is_none() {
            (self.stamp, self.last) = (None, None);
            return (self, Observation::Outbox(None));
        }
        if self.stamp != Some(stamp) {
            match inspect(&self.path, false, OUTBOX_STREAMS_MAX) {
                Ok(inspection) => {
                    (self.stamp, self.last) = (Some(stamp).filter(is_settled), Some(look(inspection)));
                }
                Err(error) => {
                    let refusal = Refusal::local("The outbox cannot be read", &error.to_string());
                    return (self, Observation::OutboxUnreadable(refusal));
                }
            }
        }
        let last = self.last.clone();
        (self, Observation::Outbox(last))
    }
}

/// Whether a further change would have another time: a file system's clock has ticks, and what is written in the tick of a
/// look leaves no trace of its own.
fn is_settled(stamp: &Stamp) -> bool {
    stamp.iter().flatten().all(|(_, changed)| changed.elapsed().is_ok_and(|ago| ago >= ms(OUTBOX_SETTLED_MS)))
}

fn stamp(path: &Path) -> Stamp {
    let of = |path: &Path| {
        let data = std::fs::metadata(path).ok()?;
        Some((data.len(), data.modified().ok()?))
    };
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    [of(path), of(Path::new(&log))]
}

fn look(inspection: Inspection) -> OutboxLook {
    let at = |ms: i64| At(ms.saturating_mul(1_000));
    let streams = inspection.streams.into_iter().map(|view| OutboxRow {
        stream: view.stream.to_string(),
        pending: view.pending,
        confirmed: view.confirmed,
        parked: view.parked.map(|parked| ParkedFacts {
            code: parked.code,
            message: parked.message,
            since: at(parked.since_ms),
        }),
    });
    OutboxLook {
        depth: inspection.events,
        bytes: inspection.bytes,
        oldest: inspection.oldest_ms.map(at),
        streams: Arc::new(streams.collect()),
    }
}
