//! What an event costs as one stream gets longer and as there are more streams, and what backlogs cost in memory:
//! `muster bench growth`.
//!
//! What always holds: all goes the whole way, from an outbox to a subscriber's database, each process by itself; at every
//! length the same number of events is measured, after the stream was filled up to it.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use muster_wire::Endpoint;
use serde::Serialize;

use crate::child::{self, Program, Server};
use crate::error::BenchError;
use crate::limits::{APPEND_EVENTS, GROWTH_BATCH, GROWTH_PROBE};
use crate::machine::Machine;
use crate::plan::Step;
use crate::report::figure;
use crate::streams::actors::{Actor, Pair, Took};
use crate::streams::words::Publish;
use crate::systems::publish;

/// The name of the document's format.
pub const SCHEMA: &str = "muster.bench.growth.v1";

/// How much is measured.
#[derive(Clone, Debug)]
pub struct GrowthSize {
    /// Lengths of one stream, rising; each a multiple of the batch.
    pub lengths: Vec<u64>,
    /// Numbers of streams.
    pub streams: Vec<usize>,
    /// Events for each number of streams, spread over them.
    pub spread: u64,
    /// Bytes of each payload.
    pub payload_bytes: usize,
}

impl GrowthSize {
    /// What is worth quoting: some minutes.
    #[must_use]
    pub fn full() -> GrowthSize {
        GrowthSize {
            lengths: vec![10_000, 30_000, 100_000, 300_000, 1_000_000],
            streams: vec![1, 10, 100, 1_000, 10_000],
            spread: 100_000,
            payload_bytes: 256,
        }
    }

    /// A tenth of it.
    #[must_use]
    pub fn reduced() -> GrowthSize {
        let GrowthSize { lengths, streams, spread, payload_bytes } = GrowthSize::full();
        let lengths = lengths.into_iter().filter(|length| *length <= 100_000).collect();
        let streams = streams.into_iter().filter(|streams| *streams <= 1_000).collect();
        GrowthSize { lengths, streams, spread: spread / 10, payload_bytes }
    }

    /// Enough to see that everything works, and nothing to be quoted: some seconds.
    #[must_use]
    pub fn quick() -> GrowthSize {
        GrowthSize { lengths: vec![1_000, 2_000], streams: vec![1, 10], spread: 1_000, payload_bytes: 256 }
    }
}

/// A measurement to be made.
#[derive(Clone, Debug)]
pub struct GrowthPlan {
    /// The program `muster`, whose `host` is started.
    pub program: PathBuf,
    /// Muster's module.
    pub module: Bytes,
    /// How much.
    pub size: GrowthSize,
}

/// The cost of events at one length of a stream, or one number of streams.
#[derive(Clone, Debug, Serialize)]
pub struct Cost {
    /// The length, in events, or the number of streams.
    pub at: u64,
    /// Events that were measured there.
    pub events: u64,
    /// How many were applied in a second.
    pub events_per_second: f64,
    /// From the first one's publishing to the last one's commit, divided by their number, in microseconds.
    pub wall_us: f64,
    /// Processor time for each, of the publisher, the host and the subscriber, in microseconds.
    pub cpu_us: [f64; 3],
    /// Resident memory of the publisher, the host and the subscriber after it, in KiB.
    pub resident_kib: [u64; 3],
}

/// What a subscriber does that finds a whole stream before it.
#[derive(Clone, Debug, Serialize)]
pub struct Backlog {
    /// Events of 256 bytes that it has never seen.
    pub events: u64,
    /// How many it applied in a second.
    pub events_per_second: f64,
    /// The most memory that it ever had, in KiB.
    pub peak_kib: u64,
}

/// A whole run.
#[derive(Clone, Debug, Serialize)]
pub struct GrowthReport {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// Where it was measured.
    pub machine: Machine,
    /// As one stream gets longer.
    pub lengths: Vec<Cost>,
    /// As there are more streams.
    pub streams: Vec<Cost>,
    /// The longest stream, from its first event on.
    pub backlog: Backlog,
    /// Resident memory of the host for each million events of the longest stream, in KiB.
    pub host_kib_per_million: f64,
    /// Bytes of the host's data folder for each event of the longest stream.
    pub host_disk_bytes_per_event: f64,
}

/// Measures. `on_step` hears of each step before it begins.
///
/// # Errors
/// [`BenchError`]: nothing is reported of a run that did not complete.
pub async fn run(plan: &GrowthPlan, on_step: impl Fn(Step)) -> Result<GrowthReport, BenchError> {
    let machine = Machine::here(&child::data_parent())?;
    let (size, program) = (&plan.size, Program(plan.program.clone()));
    let of = size.lengths.len() + size.streams.len() + 1;
    let mut done = 0;
    let mut step = |what: String| {
        on_step(Step { done, of, what });
        done += 1;
    };
    let host = program.host().await?;
    let (endpoint, _) = publish(&host.url, &plan.module).await?;
    let empty_kib = host.resident_kib()?;
    let empty_bytes = host.disk_bytes()?;
    let mut lengths = Vec::new();
    let mut stored = 0;
    {
        let mut pair = Pair::start(&program, &endpoint, "long", None).await?;
        for &length in &size.lengths {
            step(format!("a stream of {length} events"));
            stored = grow(&mut pair, &host, size, stored, length - GROWTH_PROBE.min(length / 2)).await?.0;
            let (all, cost) = grow(&mut pair, &host, size, stored, length).await?;
            stored = all;
            lengths.extend(cost.map(|cost| Cost { at: length, ..cost }));
        }
    }
    let grown_kib = host.resident_kib()?.saturating_sub(empty_kib);
    let grown_bytes = host.disk_bytes()?.saturating_sub(empty_bytes);
    step(format!("a backlog of {stored} events"));
    let backlog = backlog(&program, &endpoint, stored).await?;
    host.end().await;

    let mut streams = Vec::new();
    for &count in &size.streams {
        step(format!("{count} streams"));
        streams.push(many(&program, &plan.module, size, count).await?);
    }
    let millions = stored as f64 / 1e6;
    Ok(GrowthReport {
        schema: SCHEMA,
        machine: machine.after()?,
        lengths,
        streams,
        backlog,
        host_kib_per_million: grown_kib as f64 / millions,
        host_disk_bytes_per_event: grown_bytes as f64 / stored as f64,
    })
}

/// Lets a stream grow; says how long it is then, and what the new events cost.
async fn grow(
    pair: &mut Pair,
    host: &Server,
    size: &GrowthSize,
    from: u64,
    to: u64,
) -> Result<(u64, Option<Cost>), BenchError> {
    if to <= from {
        return Ok((from, None));
    }
    let order = Publish {
        prefix: "long".into(),
        streams: 1,
        first: from,
        each: to - from,
        batch: APPEND_EVENTS as u64,
        payload_bytes: size.payload_bytes,
        pause_us: 0,
    };
    let took = pair.send(host, &order).await?;
    Ok((to, Some(cost(pair, host, order.events(), &took)?)))
}

/// The cost of events in so many streams that are there already, in batches that are the same however many there are.
async fn many(program: &Program, module: &Bytes, size: &GrowthSize, count: usize) -> Result<Cost, BenchError> {
    let host = program.host().await?;
    let (endpoint, _) = publish(&host.url, module).await?;
    let mut pair = Pair::start(program, &endpoint, "many", None).await?;
    let order = |first, each| Publish {
        prefix: "many".into(),
        streams: count,
        first,
        each,
        batch: GROWTH_BATCH,
        payload_bytes: size.payload_bytes,
        pause_us: 0,
    };
    // Their births are not measured.
    pair.send(&host, &order(0, GROWTH_BATCH)).await?;
    let each = (size.spread / count as u64).max(GROWTH_BATCH);
    let order = order(GROWTH_BATCH, each);
    let took = pair.send(&host, &order).await?;
    let cost = cost(&pair, &host, order.events(), &took)?;
    drop(pair);
    host.end().await;
    Ok(Cost { at: count as u64, ..cost })
}

fn cost(pair: &Pair, host: &Server, events: u64, took: &Took) -> Result<Cost, BenchError> {
    let each_us = |time: Duration| time.as_secs_f64() * 1e6 / events as f64;
    let cpu = [took.cpu.publisher, took.cpu.host, took.cpu.subscriber];
    Ok(Cost {
        at: 0,
        events,
        events_per_second: events as f64 / took.applied.as_secs_f64(),
        wall_us: each_us(took.applied),
        cpu_us: cpu.map(each_us),
        resident_kib: [pair.publisher.resident_kib()?, host.resident_kib()?, pair.subscriber.resident_kib()?],
    })
}

async fn backlog(program: &Program, endpoint: &Endpoint, events: u64) -> Result<Backlog, BenchError> {
    let folder = child::data_folder()?;
    let began = std::time::Instant::now();
    let mut subscriber = Actor::subscriber(program, endpoint, folder.path(), "long.*", None).await?;
    subscriber.applied(events).await?;
    let took = began.elapsed();
    let events_per_second = events as f64 / took.as_secs_f64();
    Ok(Backlog { events, events_per_second, peak_kib: subscriber.peak_kib()? })
}

/// The curves as cells, the first row their heads.
#[must_use]
pub fn table(what: &str, costs: &[Cost]) -> Vec<Vec<String>> {
    let head = [
        what,
        "events/s",
        "us/event",
        "publisher us",
        "host us",
        "subscriber us",
        "publisher MiB",
        "host MiB",
        "subscriber MiB",
    ];
    let cells = |cost: &Cost| {
        let [publisher, host, subscriber] = cost.cpu_us.map(figure);
        let [publisher_mib, host_mib, subscriber_mib] = cost.resident_kib.map(|kib| figure(kib as f64 / 1_024.0));
        let (rate, wall) = (figure(cost.events_per_second), figure(cost.wall_us));
        let first = [cost.at.to_string(), rate, wall, publisher, host, subscriber];
        first.into_iter().chain([publisher_mib, host_mib, subscriber_mib]).collect()
    };
    std::iter::once(head.map(String::from).to_vec()).chain(costs.iter().map(cells)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_rise_and_can_be_published_in_whole_batches() {
        for size in [GrowthSize::full(), GrowthSize::reduced(), GrowthSize::quick()] {
            assert!(size.lengths.is_sorted() && size.streams.is_sorted());
            assert!(!size.lengths.is_empty() && !size.streams.is_empty());
        }
    }

    #[test]
    fn the_table_has_a_row_for_each_point_and_all_have_the_same_cells() {
        let cost = Cost {
            at: 10_000,
            events: 5_000,
            events_per_second: 50_000.0,
            wall_us: 20.0,
            cpu_us: [1.0, 2.0, 3.0],
            resident_kib: [1_024, 2_048, 4_096],
        };
        let table = table("length", &[cost]);
        assert_eq!(table[1], ["10000", "50,000", "20.0", "1.00", "2.00", "3.00", "1.00", "2.00", "4.00"]);
        assert_eq!(table[0].len(), table[1].len());
    }
}
