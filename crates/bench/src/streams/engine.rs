//! The yardstick: `append_encoded` of the same module, called in this process.

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

    /// Appends everything: as many callers as the publisher has batches in flight, each with a producer and, within every
    /// stream, events of its own.
    pub(super) async fn run(&self, load: &Load) -> Result<Duration, BenchError> {
        let callers: Vec<Vec<Bytes>> = (0..APPENDS_IN_FLIGHT).map(|caller| calls(load, caller)).collect();
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

/// The calls of one caller: every so many batches of each stream are its.
fn calls(load: &Load, caller: usize) -> Vec<Bytes> {
    let mut calls = Vec::new();
    for (index, stream) in load.streams.iter().enumerate() {
        let mut first = 1;
        for batch in 0..load.batches {
            if (batch + index) % APPENDS_IN_FLIGHT == caller {
                calls.push(call(load, stream, caller, first, batch));
                first += load.per_batch as u64;
            }
        }
    }
    calls
}

fn call(load: &Load, stream: &StreamId, caller: usize, first: u64, batch: usize) -> Bytes {
    let numbers = (batch * load.per_batch..(batch + 1) * load.per_batch).map(|n| n as u64);
    let event = |n| {
        let payload = payload(n, load.payload_bytes);
        let hash = PayloadHash::of(payload.as_bytes()).into();
        NewEvent { kind: super::KIND.into(), payload, hash, at: Timestamp::UNIX_EPOCH }
    };
    let events: Vec<NewEvent> = numbers.map(event).collect();
    let events = args(&events);
    args(&(stream.as_str(), 0u64, format!("{caller:032x}"), first, 0u64, events.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::streams::StreamsSize;

    #[test]
    fn the_callers_together_append_every_batch_once() {
        for streams in [1, 8] {
            let load = Load::new(&StreamsSize::quick(), streams, 0).expect("even");
            let calls: usize = (0..APPENDS_IN_FLIGHT).map(|caller| super::calls(&load, caller).len()).sum();
            assert_eq!(calls, load.batches * streams);
        }
    }
}
