//! The whole path: publisher, outbox, host, subscriber, its database.

use std::time::{Duration, Instant};

use muster_contract::{StreamId, StreamPattern};
use muster_publisher::{ConnectConfig, Draft, OutboxConfig, Publisher};
use muster_sync::{EventLog, StartAt, Subscriber};
use muster_wire::Endpoint;

use super::{Load, payload};
use crate::child;
use crate::error::BenchError;
use crate::limits::{APPEND_EVENTS, STREAMS_LOOK, STREAMS_PATIENCE};

const SYSTEM: &str = "muster";

/// How long each part took, all from the same moment on.
pub(super) struct Took {
    /// Until the last event was on disk in the outbox.
    pub(super) kept: Duration,
    /// Until the host had confirmed the last.
    pub(super) confirmed: Duration,
    /// Until the last was committed in the subscriber's database.
    pub(super) applied: Duration,
}

pub(super) async fn run(endpoint: &Endpoint, load: &Load) -> Result<Took, BenchError> {
    let failed = BenchError::session(SYSTEM);
    let text = |error: &dyn std::fmt::Display| failed(error.to_string());
    let folder = child::data_folder()?;
    let outbox = folder.path().join("outbox");
    let publisher = Publisher::open(OutboxConfig::new(outbox)).map_err(|error| text(&error))?;
    publisher.connect(ConnectConfig::new(endpoint.clone()));
    let subscriber = subscribe(endpoint, &folder.path().join("store"), load).await.map_err(&failed)?;
    let payloads: Vec<String> = (0..load.each()).map(|n| payload(n, load.payload_bytes)).collect();

    let began = Instant::now();
    let streams = load.streams.iter().map(|stream| keep(&publisher, stream, &payloads));
    futures::future::try_join_all(streams).await.map_err(|error| text(&error))?;
    let kept = began.elapsed();
    let confirming = async {
        publisher.flush(STREAMS_PATIENCE).await.map_err(|error| error.to_string())?;
        Ok(began.elapsed())
    };
    let applying = async {
        applied(&subscriber, load).await?;
        Ok(began.elapsed())
    };
    let (confirmed, applied) = tokio::try_join!(confirming, applying).map_err(BenchError::session(SYSTEM))?;
    subscriber.shutdown().await;
    publisher.close().await;
    Ok(Took { kept, confirmed, applied })
}

async fn subscribe(endpoint: &Endpoint, store: &std::path::Path, load: &Load) -> Result<Subscriber, String> {
    let mut builder = Subscriber::builder(endpoint.clone(), store);
    for stream in &load.streams {
        builder = builder.follow(StreamPattern::Exact(stream.clone()), StartAt::Start);
    }
    builder.apply(EventLog).await.map_err(|error| error.to_string())
}

async fn keep(
    publisher: &Publisher,
    stream: &StreamId,
    payloads: &[String],
) -> Result<(), muster_publisher::PublishError> {
    for batch in payloads.chunks(APPEND_EVENTS) {
        publisher.publish_many(stream, batch.iter().map(|payload| Draft::new("bench", payload))).await?;
    }
    Ok(())
}

/// Waits until every stream is applied to its end.
async fn applied(subscriber: &Subscriber, load: &Load) -> Result<(), String> {
    let began = Instant::now();
    loop {
        let statuses = subscriber.streams();
        let at = |stream: &&StreamId| {
            let status = statuses.iter().find(|status| status.stream == **stream);
            status.and_then(|status| status.cursor).is_some_and(|cursor| cursor.seq.get() >= load.each())
        };
        let missing = load.streams.iter().filter(|stream| !at(stream)).count();
        if missing == 0 {
            return Ok(());
        }
        if began.elapsed() > STREAMS_PATIENCE {
            let status = subscriber.status().borrow().clone();
            return Err(format!("{missing} streams were not applied in time: {status:?}"));
        }
        tokio::time::sleep(STREAMS_LOOK).await;
    }
}
