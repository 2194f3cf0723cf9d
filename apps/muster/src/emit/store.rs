//! Windows of events, into an outbox.
//!
//! What always holds: the events of a stream keep their order; what is counted as stored is on the disk; a full outbox is
//! waited for while something empties it, and otherwise an error.

use std::time::{Duration, Instant};

use futures::future::join_all;
use muster_contract::stream::StreamId;
use muster_publisher::{PublishError, Publisher};

use super::line::Emitted;
use crate::limits::EMIT_ROOM_POLL_MS;

/// What became of a window.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    /// How many events are on the disk.
    pub(crate) events: u64,
    /// Why not all of them are.
    pub(crate) failed: Option<PublishError>,
}

/// Stores events. Streams are stored side by side, which shares their waits for the disk. A full outbox is waited for up
/// to `patience`; zero, where nothing is sending.
pub(crate) async fn store(publisher: &Publisher, events: &[Emitted], patience: Duration) -> Stored {
    let mut streams: Vec<(&StreamId, Vec<&Emitted>)> = Vec::new();
    for event in events {
        let stream = event.topic.stream();
        // Few streams in a window, or short ones: to look through them costs less than a map.
        match streams.iter_mut().find(|(known, _)| *known == stream) {
            Some((_, events)) => events.push(event),
            None => streams.push((stream, vec![event])),
        }
    }
    let each = streams.iter().map(|(stream, events)| one(publisher, stream, events, patience));
    let mut stored = Stored::default();
    for (outcome, (_, events)) in join_all(each).await.into_iter().zip(&streams) {
        match outcome {
            Ok(()) => stored.events += events.len() as u64,
            Err(error) => stored.failed = Some(error),
        }
    }
    stored
}

async fn one(
    publisher: &Publisher,
    stream: &StreamId,
    events: &[&Emitted],
    patience: Duration,
) -> Result<(), PublishError> {
    let began = Instant::now();
    loop {
        match publisher.publish_many(stream, events.iter().map(|event| event.draft())).await {
            Err(PublishError::Full { .. }) if began.elapsed() < patience => {
                tokio::time::sleep(Duration::from_millis(EMIT_ROOM_POLL_MS)).await;
            }
            outcome => return outcome.map(drop),
        }
    }
}
