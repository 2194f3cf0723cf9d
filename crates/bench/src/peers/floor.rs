//! The yardsticks: the engine alone, in its own process and called there (the ceiling); a bare WebSocket echo and one
//! `fdatasync` (the floor).
//!
//! What always holds: the ceiling's events are encoded and hashed before its clock runs; it is the better of the sizes of an
//! append that Muster's own path has, each measured with an engine of its own.

use std::path::Path;
use std::time::Instant;

use super::engine::Engine;
use super::results::Samples;
use super::run::rate;
use super::words::{Load, payload};
use crate::bare::Bare;
use crate::child::Program;
use crate::error::BenchError;
use crate::limits::{APPEND_EVENTS, CEILING_EVENTS};
use crate::stats::{ms, percentile};
use crate::streams::fitting;
use crate::syncing;
use crate::systems::echo_address;

/// The engine in its own process.
pub(crate) const ENGINE: &str = "engine in-process";

/// What repeats the floor.
const COMMAND: &str = "muster bench peers floor";

/// Round trips that are timed.
const ROUND_TRIPS: usize = 2_000;

/// What the ceiling is, as it stands in the results.
pub(crate) const ENGINE_IS: &str =
    "ceiling, synced: commit log; the better of the sizes of an append that the settings name";

/// Events a second that the engine appends, called directly, each append confirmed: at the size of an append that is best.
pub(crate) async fn ceiling(muster: &Path, module: &Path, load: &Load) -> Result<f64, BenchError> {
    let mut best = 0f64;
    for batch in sizes(load) {
        best = best.max(appended(muster, module, load, batch).await?);
    }
    Ok(best)
}

/// Sizes of an append that fit, and that each stream has enough events for.
pub(crate) fn sizes(load: &Load) -> Vec<u64> {
    let mut sizes = Vec::new();
    for events in CEILING_EVENTS {
        let fits = fitting(events, load.bytes) as u64;
        if !sizes.contains(&fits) && (sizes.is_empty() || fits <= load.each) {
            sizes.push(fits);
        }
    }
    sizes
}

async fn appended(muster: &Path, module: &Path, load: &Load, batch: u64) -> Result<f64, BenchError> {
    let mut engine = Engine::start(muster, module).await?;
    // Whole appends in every stream.
    let load = Load { first: 0, each: (load.each / batch).max(1) * batch, batch, ..load.clone() };
    engine.prepare(&load).await?;
    let took = engine.go().await?;
    engine.end().await?;
    Ok(rate(load.events(), took.began_us, took.done_us))
}

/// One `fdatasync`, and what a WebSocket costs at all.
pub(crate) async fn measure(muster: &Path, samples: &mut Samples) -> Result<(), BenchError> {
    let mut add = |workload: &str, system, unit, value| samples.add(workload, COMMAND, (system, "-"), unit, value);
    let syncs = syncing::sync_ms()?;
    add("one fdatasync of 4 KiB, p50", "this file system", "ms", percentile(&syncs, 50.0));
    add("one fdatasync of 4 KiB, p99", "this file system", "ms", percentile(&syncs, 99.0));
    let echo = Program(muster.to_owned()).echo().await?;
    let failed = BenchError::session("websocket echo");
    let mut socket = Bare::open(&echo_address(&echo.url)?).await.map_err(&failed)?;
    let message = bytes::Bytes::from(payload(0, 256));
    let mut times = Vec::with_capacity(ROUND_TRIPS);
    for _ in 0..ROUND_TRIPS {
        let began = Instant::now();
        socket.echo(message.clone()).await.map_err(&failed)?;
        times.push(ms(began.elapsed()));
    }
    add("websocket echo of 256 bytes, round trip, p50", "websocket echo", "ms", percentile(&times, 50.0));
    add("websocket echo of 256 bytes, round trip, p99", "websocket echo", "ms", percentile(&times, 99.0));
    let rounds = 200;
    let began = Instant::now();
    for _ in 0..rounds {
        socket.send_payloads(&message, APPEND_EVENTS).await.map_err(&failed)?;
        let mut back = 0;
        while back < APPEND_EVENTS {
            back += socket.receive_payloads().await.map_err(&failed)?;
        }
    }
    let rate = (rounds * APPEND_EVENTS) as f64 / began.elapsed().as_secs_f64();
    add("websocket echo of 256 bytes, 500 at a time", "websocket echo", "messages/s", rate);
    echo.end().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_is_measured_at_each_size_of_an_append_that_fits_and_that_there_are_events_for() {
        let sizes =
            |each, bytes| sizes(&Load { prefix: "p".into(), streams: 1, first: 1, each, batch: 500, bytes, rate: 0 });
        assert_eq!(sizes(200_000, 256), [500, 1_000]);
        assert_eq!(sizes(1_000, 64), [500, 1_000]);
        assert_eq!(sizes(999, 64), [500]);
        assert_eq!(sizes(10, 64), [500], "one append at least, of so few it is too large");
        assert_eq!(sizes(40_000, 4_096), [250], "a call has a mebibyte at the most");
    }
}
