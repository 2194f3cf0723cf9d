//! The yardstick: `append_encoded` of the same module, called in this process.

use std::ops::Range;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use muster_contract::StreamId;
use muster_contract::hash::PayloadHash;
use muster_contract::page::NewEvent;
use muster_wire::{Timestamp, args};

use super::{Load, payload};
use crate::child;
use crate::error::BenchError;
use crate::limits::APPENDS_IN_FLIGHT;
use crate::systems::publish;

/// A host in this process, with its data on disk as the other's, and its database to be called directly.
pub(super) struct Engine {
    host: muster_host::RunningHost,
    database: muster_host::InProcess,
    _data: tempfile::TempDir,
}

impl Engine {
    pub(super) async fn start(module: &Bytes) -> Result<Engine, BenchError> {
        let failed = |error: &dyn std::fmt::Display| BenchError::Engine(error.to_string());
        let data = child::data_folder()?;
        let host = muster_host::Host::builder().data_dir(data.path()).start().await.map_err(|error| failed(&error))?;
        let (_, database) = publish(&host.url(), module).await?;
        let database = host.in_process(database).await.map_err(|error| failed(&error))?;
        Ok(Engine { host, database, _data: data })
    }

    pub(super) async fn end(self) {
        self.host.shutdown().await;
    }

    /// Appends everything; how long that took.
    pub(super) async fn run(&self, Prepared(callers): Prepared) -> Result<Duration, BenchError> {
        let began = Instant::now();
        let mut working: FuturesUnordered<_> = callers.into_iter().map(|calls| self.call_all(calls)).collect();
        while let Some(worked) = working.next().await {
            worked.map_err(|error| BenchError::Engine(error.to_string()))?;
        }
        Ok(began.elapsed())
    }

    async fn call_all(&self, calls: Vec<Bytes>) -> Result<(), muster_host::InProcessError> {
        for call in calls {
            self.database.call("append_encoded", call, true).await?;
        }
        Ok(())
    }
}

/// The calls of each caller, hashed and encoded: as many callers as the publisher has batches in flight, each with a producer
/// and, within every stream, events of its own.
pub(super) struct Prepared(Vec<Vec<Bytes>>);

/// Makes them, outside the measured time.
pub(super) fn prepare(load: &Load) -> Prepared {
    Prepared((0..APPENDS_IN_FLIGHT).map(|caller| calls(load, caller)).collect())
}

/// The calls of one caller: every so many batches of each stream are its.
fn calls(load: &Load, caller: usize) -> Vec<Bytes> {
    let mut calls = Vec::new();
    for (index, stream) in load.streams.iter().enumerate() {
        let mut numbered = 1;
        let until = load.first + load.each;
        for (batch, first) in (load.first..until).step_by(load.per_batch).enumerate() {
            if (batch + index) % APPENDS_IN_FLIGHT == caller {
                let events = first..until.min(first + load.per_batch as u64);
                let count = events.end - events.start;
                calls.push(call(load, stream, caller, numbered, events));
                numbered += count;
            }
        }
    }
    calls
}

/// An append of these events, which the caller's producer numbers from `numbered` on. A load that goes on behind another one
/// has producers of its own, so that nothing of it is taken for a repeat.
fn call(load: &Load, stream: &StreamId, caller: usize, numbered: u64, events: Range<u64>) -> Bytes {
    let event = |n| {
        let payload = payload(n, load.payload_bytes);
        let hash = PayloadHash::of(payload.as_bytes()).into();
        NewEvent { kind: super::KIND.into(), payload, hash, at: Timestamp::UNIX_EPOCH }
    };
    let events: Vec<NewEvent> = events.map(event).collect();
    let events = args(&events);
    let producer = format!("{:016x}{caller:016x}", load.first);
    args(&(stream.as_str(), 0u64, producer, numbered, 0u64, events.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::streams::StreamsSize;
    use crate::streams::words::Publish;

    #[test]
    fn the_callers_together_append_every_batch_once() {
        for streams in [1, 8] {
            let load = Load::new(&StreamsSize::quick(), streams, 0).expect("even");
            let Prepared(callers) = prepare(&load);
            let calls: usize = callers.iter().map(Vec::len).sum();
            assert_eq!((callers.len(), calls), (APPENDS_IN_FLIGHT, load.events() as usize / load.per_batch));
        }
    }

    #[test]
    fn the_last_append_of_a_stream_has_what_is_left() {
        let prefix = "p".to_owned();
        let order = Publish { prefix, streams: 2, first: 1, each: 1_125, batch: 500, payload_bytes: 64, pause_us: 0 };
        let Prepared(callers) = prepare(&Load::of(&order).expect("numbers"));
        let mut lengths: Vec<usize> = callers.concat().iter().map(Bytes::len).collect();
        lengths.sort_unstable();
        let of = |count: u64| {
            let order = Publish { each: count, batch: count, streams: 1, ..order.clone() };
            prepare(&Load::of(&order).expect("numbers")).0.concat()[0].len()
        };
        assert_eq!(lengths, [of(125), of(125), of(500), of(500), of(500), of(500)]);
    }

    #[test]
    fn a_load_behind_another_one_is_of_other_producers() {
        let order =
            Publish { prefix: "p".into(), streams: 1, first: 0, each: 1, batch: 1, payload_bytes: 64, pause_us: 0 };
        let load = |first| Load { first, ..Load::of(&order).expect("numbers") };
        let all = |first| prepare(&load(first)).0.concat();
        let producer = |first: u64| args(&format!("{first:016x}{:016x}", 0));
        let names = |calls: Vec<Bytes>, first| {
            calls.iter().all(|call| call.windows(producer(first).len()).any(|part| part == producer(first)))
        };
        assert!(names(all(0), 0) && names(all(1), 1) && !names(all(1), 0));
    }
}
