//! The yardsticks: the engine alone, in its own process and called there (the ceiling); a bare WebSocket echo and one
//! `fdatasync` (the floor).
//!
//! What always holds: the ceiling's events are encoded and hashed before its clock runs.

use std::path::Path;
use std::time::Instant;

use tokio::process::Command;

use super::results::Samples;
use super::words::{Load, payload};
use crate::bare::Bare;
use crate::child::Program;
use crate::error::BenchError;
use crate::limits::APPEND_EVENTS;
use crate::stats::{ms, percentile};
use crate::streams::actors::Actor;
use crate::streams::words::Publish;
use crate::syncing;
use crate::systems::echo_address;

/// The engine in its own process.
pub(crate) const ENGINE: &str = "engine in-process";

/// What repeats the floor.
const COMMAND: &str = "muster bench peers floor";

/// Round trips that are timed.
const ROUND_TRIPS: usize = 2_000;

/// Events a second that the engine appends, called directly, each append confirmed.
pub(crate) async fn ceiling(muster: &Path, load: &Load) -> Result<f64, BenchError> {
    let mut command = Command::new(muster);
    command.args(["--quiet", "bench", "engine"]);
    if let Some(module) = std::env::var_os("MUSTER_MODULE_WASM") {
        command.arg("--module").arg(module);
    }
    let mut engine = Actor::spawn(command, "muster bench engine".into()).await?;
    // Whole batches of the engine's own size in every stream.
    let each = (load.each / APPEND_EVENTS as u64).max(1) * APPEND_EVENTS as u64;
    let order = Publish {
        prefix: load.prefix.clone(),
        streams: load.streams,
        first: 0,
        each,
        batch: APPEND_EVENTS as u64,
        payload_bytes: load.bytes,
        pause_us: 0,
    };
    let took_us: u64 = engine.ask(&order).await?;
    Ok(order.events() as f64 * 1e6 / took_us.max(1) as f64)
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
