//! Retention deletes what a reader has not read yet: it is told before the first row, and starts again from the snapshot.

use std::time::Instant;

use muster_contract::page::wire_hash;
use muster_contract::resume::StaleReason;
use muster_contract::{PayloadHash, StreamId};

use super::scene::Place;
use super::scratch;
use crate::gates::limits::RETAINED_EVENTS;
use crate::gates::recorder::Recorder;
use crate::gates::session::new_producer;
use crate::gates::site::{Stage, words};
use crate::gates::traffic::{Traffic, Way, until};

const NAME: &str = "retention_overtakes";
/// What the reader has when it stops, and what there is when it comes back.
const READ: u64 = 100;
const WRITTEN: u64 = 400;
const SNAPSHOT: u64 = 380;
const SUMMARY: &str = r#"{"summary":true}"#;

/// Runs.
pub(super) async fn run(stage: &Stage, recorder: &Recorder) {
    let (place, _) = match scratch::make(stage).await {
        Ok(made) => made,
        Err(why) => return recorder.undecided(NAME, why),
    };
    if let Err(why) = overtake(stage, &place, recorder).await {
        recorder.undecided(NAME, why);
    }
    if let Err(why) = scratch::remove(&place).await {
        recorder.undecided(&format!("{NAME}.removed"), why);
    }
}

async fn overtake(stage: &Stage, place: &Place, recorder: &Recorder) -> Result<(), String> {
    let endpoint = place.endpoint.clone();
    let patience = stage.settings().patience();
    let way = Way { publisher: endpoint.clone(), subscriber: endpoint, token: stage.site.token.clone(), patience };
    let stream = stage.stream(NAME);
    let mut traffic = Traffic::start(way, stream.clone()).await?;
    traffic.send(READ).await?;
    traffic.settle().await?;
    traffic.pause().await;
    traffic.send(WRITTEN - READ).await?;
    traffic.flush().await?;
    let began = Instant::now();
    let floor = prune(stage, place, &stream).await?;
    recorder.fault("retention past a stopped reader", began);
    recorder.must(&format!("{NAME}.floor"), floor > READ + 1, floor, "retention never went past the reader");

    traffic.resume().await?;
    let caught_up = traffic.reaches(WRITTEN).await;
    recorder.must(&format!("{NAME}.caught_up"), caught_up.is_ok(), WRITTEN, caught_up.err().unwrap_or_default());
    let resets = traffic.times.resets();
    let wanted = [StaleReason::RetentionFloorBreach.as_str().to_owned()];
    let why = "the reader was not told, once and with the reason, that what it had not read is gone";
    recorder.must(&format!("{NAME}.told"), resets == wanted, resets.join(", "), why);
    let reader = traffic.reader()?;
    let snapshot = reader.snapshot(&stream).map_err(|error| words(&error))?;
    let is_snapshot = snapshot.as_ref().is_some_and(|(seq, payload)| (*seq, payload.as_str()) == (SNAPSHOT, SUMMARY));
    recorder.must(&format!("{NAME}.snapshot"), is_snapshot, is_snapshot, "it did not start again from the snapshot");
    let events = reader.events(&stream, 0, usize::MAX).map_err(|error| words(&error))?;
    let numbers: Vec<u64> = events.iter().map(|event| event.seq).collect();
    let is_rest = numbers == (SNAPSHOT + 1..=WRITTEN).collect::<Vec<_>>()
        && events.iter().all(|event| traffic.was_sent(event.number, &event.payload));
    let why = "behind the snapshot the reader does not hold exactly the events that follow it";
    recorder.must(&format!("{NAME}.rest"), is_rest, numbers.len(), why);
    drop(reader);
    traffic.stop().await;
    Ok(())
}

/// Puts a snapshot, sets a limit, and waits until retention has done its work; returns the new floor.
async fn prune(stage: &Stage, place: &Place, stream: &StreamId) -> Result<u64, String> {
    let session = scratch::session(stage, place).await?;
    let info = async || session.streams(stream.as_str()).await.ok().and_then(|list| list.into_iter().next());
    let epoch = info().await.ok_or("the stream is not there")?.epoch;
    let hash = wire_hash(PayloadHash::of(SUMMARY.as_bytes()).as_bytes());
    let snapshot = (stream.as_str(), epoch, SNAPSHOT, SUMMARY, hash, new_producer());
    session.call("put_snapshot", &snapshot).await.map_err(|error| words(&error))?;
    let limits = (0u64, RETAINED_EVENTS, 0u64, true, 1u64);
    session.call("configure_lane", &limits).await.map_err(|error| words(&error))?;
    let wanted = WRITTEN - RETAINED_EVENTS + 1;
    until(stage.settings().patience(), async || info().await.is_some_and(|info| info.floor >= wanted)).await;
    let floor = info().await.map_or(0, |info| info.floor);
    session.close().await;
    Ok(floor)
}
