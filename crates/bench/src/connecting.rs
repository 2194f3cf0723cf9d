//! Opening sessions: how many a second, and how long until the first row.
//!
//! What always holds: sessions stay open until all are, and are closed outside the measured time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};

use crate::error::BenchError;
use crate::limits::CONNECTING_AT_ONCE;
use crate::stats::ms;
use crate::systems::{Places, Session, System};

/// What opening sessions gave.
pub(crate) struct Opened {
    /// From the first attempt to the last first row.
    pub(crate) took: Duration,
    /// For each session, milliseconds from before its TCP connection to its first row.
    pub(crate) first_row_ms: Vec<f64>,
    sessions: Vec<Session>,
}

impl Opened {
    /// Sessions a second.
    pub(crate) fn per_second(&self) -> f64 {
        self.sessions.len() as f64 / self.took.as_secs_f64()
    }

    /// Closes them all.
    pub(crate) async fn close(self) {
        stream::iter(self.sessions).for_each_concurrent(CONNECTING_AT_ONCE, Session::close).await;
    }
}

/// Opens `count` sessions, `at_once` at one time.
pub(crate) async fn open(
    places: &Arc<Places>,
    system: System,
    count: usize,
    at_once: usize,
) -> Result<Opened, BenchError> {
    let began = Instant::now();
    // Each on a task of its own, so that clients use every core, as clients elsewhere would.
    let opening = stream::iter(0..count).map(|_| {
        let places = places.clone();
        let task = tokio::spawn(async move { places.open(system).await });
        async move { task.await.unwrap_or_else(|error| Err(BenchError::session(system.name())(error.to_string()))) }
    });
    let opened: Vec<(Session, Duration)> = opening.buffer_unordered(at_once).try_collect().await?;
    let took = began.elapsed();
    let (sessions, durations): (Vec<_>, Vec<_>) = opened.into_iter().unzip();
    Ok(Opened { took, first_row_ms: durations.into_iter().map(ms).collect(), sessions })
}
