//! Events a second through the whole path, beside the engine's own rate: `muster bench streams`.
//!
//! What always holds: both store the same events through the same reducer of the same module, with every append
//! confirmed, and take turns within each repeat. Publisher, host and subscriber are processes of their own. The whole path
//! is timed from before the first event is given to the publisher until the last one is committed in the subscriber's
//! database: on disk in the outbox, sent, stored by the host, read back in pages and committed with its cursor; then every
//! byte is compared with what was published, outside the measured time. The engine's rate is that of `append_encoded`
//! called in this process with batches that were made, hashed and encoded before the clock ran.

pub(crate) mod actors;
#[cfg(feature = "host")]
mod engine;
pub mod roles;
mod verify;
pub(crate) mod words;

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use muster_contract::StreamId;

use crate::child::{self, Program, Server};
use crate::error::BenchError;
use crate::limits::{APPEND_EVENTS, LATENCY_EVENTS, LATENCY_PAUSE_US};
use crate::machine::Machine;
use crate::plan::Step;
use crate::report::{REFERENCE, Report, Samples};
use crate::systems::publish;
use actors::{Pair, Took};
use words::Publish;

/// The name of the document's format.
pub const SCHEMA: &str = "muster.bench.streams.v1";

/// The kind of every event.
const KIND: &str = "bench";

/// The engine in this process.
const ENGINE: &str = "engine in-process";

/// The files of publisher and subscriber, in a folder that they share.
const OUTBOX: &str = "outbox";
const STORE: &str = "store";

/// How much is measured.
#[derive(Clone, Debug)]
pub struct StreamsSize {
    /// How many times each figure is taken.
    pub repeats: usize,
    /// Events of one measurement; a multiple of [`APPEND_EVENTS`] times the largest number of streams.
    pub events: usize,
    /// Bytes of each payload.
    pub payload_bytes: usize,
    /// Numbers of streams that the events are spread over.
    pub streams: Vec<usize>,
    /// Events that are published one by one, for their latency.
    pub latency_events: u64,
}

impl StreamsSize {
    /// What is worth quoting: a minute or two.
    #[must_use]
    pub fn full() -> StreamsSize {
        StreamsSize {
            repeats: 5,
            events: 200_000,
            payload_bytes: 256,
            streams: vec![1, 8],
            latency_events: LATENCY_EVENTS,
        }
    }

    /// Enough to see that everything works, and nothing to be quoted: some seconds.
    #[must_use]
    pub fn quick() -> StreamsSize {
        StreamsSize { repeats: 1, events: 4_000, payload_bytes: 256, streams: vec![1, 8], latency_events: 50 }
    }
}

/// A measurement to be made.
#[derive(Clone, Debug)]
pub struct StreamsPlan {
    /// The program `muster`, whose `host` is started.
    pub program: PathBuf,
    /// Muster's module.
    pub module: Bytes,
    /// How much.
    pub size: StreamsSize,
}

/// One measurement: streams and the payloads for each of them.
struct Load {
    prefix: String,
    streams: Vec<StreamId>,
    /// The number of each stream's first event.
    first: u64,
    /// Events of each stream.
    each: u64,
    /// Events in each append; the last of a stream has what is left.
    #[cfg_attr(not(any(feature = "host", test)), allow(dead_code, reason = "only the engine appends by itself"))]
    per_batch: usize,
    payload_bytes: usize,
}

impl Load {
    /// Names that no earlier measurement had, so that each begins with streams that are not there.
    fn new(size: &StreamsSize, streams: usize, round: usize) -> Result<Load, BenchError> {
        Load::in_batches(size, streams, round, fitting(APPEND_EVENTS, size.payload_bytes))
    }

    /// The same with so many events in an append.
    fn in_batches(size: &StreamsSize, streams: usize, round: usize, per_batch: usize) -> Result<Load, BenchError> {
        let batches = size.events / per_batch / streams;
        if batches == 0 || batches * per_batch * streams != size.events {
            let (events, of) = (size.events, per_batch * streams);
            return Err(BenchError::Plan(format!("{events} events over {streams} streams: take a multiple of {of}")));
        }
        let prefix = format!("bench.{streams}.{round}");
        let streams = (0..streams).map(|index| words::stream(&prefix, index)).collect();
        let each = (batches * per_batch) as u64;
        Ok(Load { prefix, streams, first: 0, each, per_batch, payload_bytes: size.payload_bytes })
    }

    /// The same events as an order has, in appends as large as it says where they fit.
    #[cfg(any(feature = "host", test))]
    fn of(order: &Publish) -> Result<Load, BenchError> {
        let batch = usize::try_from(order.batch).map_err(|error| BenchError::Plan(error.to_string()))?;
        Ok(Load {
            prefix: order.prefix.clone(),
            streams: (0..order.streams).map(|index| order.stream(index)).collect(),
            first: order.first,
            each: order.each,
            per_batch: fitting(batch.max(1), order.payload_bytes),
            payload_bytes: order.payload_bytes,
        })
    }

    fn events(&self) -> u64 {
        self.each * self.streams.len() as u64
    }

    fn order(&self) -> Publish {
        Publish {
            prefix: self.prefix.clone(),
            streams: self.streams.len(),
            first: self.first,
            each: self.each,
            batch: APPEND_EVENTS as u64,
            payload_bytes: self.payload_bytes,
            pause_us: 0,
        }
    }
}

/// So many events in an append, or, where they do not fit into one, half of it, or half of that.
pub(crate) fn fitting(events: usize, payload_bytes: usize) -> usize {
    let mut fits = events;
    while fits > 1 && fits * (payload_bytes + KIND.len()) > muster_contract::limits::BATCH_BYTES_MAX {
        fits /= 2;
    }
    fits
}

/// The n-th payload: canonical JSON of so many bytes, none like another.
pub(crate) fn payload(n: u64, bytes: usize) -> String {
    let head = format!(r#"{{"n":{n},"text":""#);
    let filler = bytes.saturating_sub(head.len() + 2);
    format!("{head}{}\"}}", "x".repeat(filler))
}

/// Measures. `on_step` hears of each step before it begins.
///
/// # Errors
/// [`BenchError`]: nothing is reported of a run that did not complete.
pub async fn run(plan: &StreamsPlan, on_step: impl Fn(Step)) -> Result<Report, BenchError> {
    let size = &plan.size;
    // Before anything is started.
    for &streams in &size.streams {
        Load::new(size, streams, 0)?;
    }
    let machine = Machine::here(&child::data_parent())?;
    let host = Program(plan.program.clone()).host().await?;
    let (endpoint, _) = publish(&host.url, &plan.module).await?;
    #[cfg(feature = "host")]
    let engine = engine::Engine::start(&plan.module).await?;
    let program = Program(plan.program.clone());
    let mut samples = Samples::default();
    let of = size.repeats * (size.streams.len() * 2 + 1);
    let mut done = 0;
    let mut step = |what: String| {
        on_step(Step { done, of, what });
        done += 1;
    };
    for round in 0..size.repeats {
        for &streams in &size.streams {
            let load = Load::new(size, streams, round)?;
            let noun = if streams == 1 { "stream" } else { "streams" };
            let kind = format!("{streams} {noun}, {} bytes", size.payload_bytes);
            step(format!("{kind}, {REFERENCE}"));
            let mut pair = Pair::start(&program, &endpoint, &load.prefix, None).await?;
            let took = pair.send(&host, &load.order()).await?;
            verify::verify(pair.folder.path(), &load.prefix, streams, load.each, load.payload_bytes)?;
            note(&mut samples, &kind, &load, &took);
            step(format!("{kind}, {ENGINE}"));
            #[cfg(feature = "host")]
            {
                let before = crate::proc::cpu_time(std::process::id())?;
                let took = engine.run(engine::prepare(&load)).await?;
                let used = crate::proc::cpu_time(std::process::id())?.saturating_sub(before);
                samples.add(format!("events a second, {kind}"), ENGINE, "events/s", per_second(&load, took));
                samples.add(format!("processor time of an event, {kind}"), ENGINE, "us", each_us(used, &load));
            }
        }
        step("latency".into());
        latency(&program, &host, &endpoint, size, round, &mut samples).await?;
    }
    #[cfg(feature = "host")]
    engine.end().await;
    host.end().await;
    Ok(Report { schema: SCHEMA, machine: machine.after()?, repeats: size.repeats, rows: samples.rows() })
}

/// What one way through everything gave.
fn note(samples: &mut Samples, kind: &str, load: &Load, took: &Took) {
    let workload = format!("events a second, {kind}");
    samples.add(&workload, REFERENCE, "events/s", per_second(load, took.applied));
    samples.add(&workload, "of it: into the outbox", "events/s", per_second(load, took.kept));
    samples.add(&workload, "of it: confirmed by the host", "events/s", per_second(load, took.confirmed));
    let workload = format!("processor time of an event, {kind}");
    let all = took.cpu.publisher + took.cpu.host + took.cpu.subscriber;
    samples.add(&workload, REFERENCE, "us", each_us(all, load));
    samples.add(&workload, "of it: the publisher", "us", each_us(took.cpu.publisher, load));
    samples.add(&workload, "of it: the host", "us", each_us(took.cpu.host, load));
    samples.add(&workload, "of it: the subscriber", "us", each_us(took.cpu.subscriber, load));
}

/// Events one by one, slowly.
async fn latency(
    program: &Program,
    host: &Server,
    endpoint: &muster_wire::Endpoint,
    size: &StreamsSize,
    round: usize,
    samples: &mut Samples,
) -> Result<(), BenchError> {
    let prefix = format!("latency.{round}");
    let stream = words::stream(&prefix, 0);
    let mut pair = Pair::start(program, endpoint, &prefix, Some(stream.as_str())).await?;
    let (each, payload_bytes) = (size.latency_events, size.payload_bytes);
    let order = Publish { prefix, streams: 1, first: 0, each, batch: 1, payload_bytes, pause_us: LATENCY_PAUSE_US };
    let took = pair.send(host, &order).await?;
    let per_second = 1_000_000 / LATENCY_PAUSE_US;
    samples.add(
        format!("publish to applied, {per_second} events/s, p50"),
        REFERENCE,
        "ms",
        took.p50_ms.unwrap_or(f64::NAN),
    );
    samples.add(
        format!("publish to applied, {per_second} events/s, p99"),
        REFERENCE,
        "ms",
        took.p99_ms.unwrap_or(f64::NAN),
    );
    Ok(())
}

fn per_second(load: &Load, took: Duration) -> f64 {
    load.events() as f64 / took.as_secs_f64()
}

fn each_us(used: Duration, load: &Load) -> f64 {
    used.as_secs_f64() * 1e6 / load.events() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_have_the_size_asked_for_and_differ() {
        assert_eq!(payload(1, 256).len(), 256);
        assert_eq!(payload(123_456, 256).len(), 256);
        assert_ne!(payload(1, 64), payload(2, 64));
        assert_eq!(payload(7, 0), r#"{"n":7,"text":""}"#);
    }

    #[test]
    fn an_order_is_carried_out_in_appends_as_large_as_it_says_where_they_fit() {
        for (batch, payload_bytes, per_batch) in [(500, 256, 500), (1_000, 256, 1_000), (1_000, 4_096, 250)] {
            let prefix = "p".into();
            let order = Publish { prefix, streams: 2, first: 0, each: 3_000, batch, payload_bytes, pause_us: 0 };
            let load = Load::of(&order).expect("numbers");
            assert_eq!((load.per_batch, load.each, load.events()), (per_batch, 3_000, 6_000));
        }
        assert_eq!(fitting(500, 10_000_000), 1, "one event is an append at least");
    }

    #[test]
    fn events_that_do_not_come_out_even_are_refused() {
        let size = StreamsSize { events: 999, ..StreamsSize::quick() };
        assert!(matches!(Load::new(&size, 1, 0), Err(BenchError::Plan(_))));
        for size in [StreamsSize::quick(), StreamsSize::full()] {
            for &streams in &size.streams {
                assert_eq!(Load::new(&size, streams, 0).expect("even").events(), size.events as u64);
            }
        }
    }
}
