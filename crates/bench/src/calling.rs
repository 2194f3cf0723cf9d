//! Calls a second, over one socket and over many.
//!
//! What always holds: [`CALLS_IN_FLIGHT`] calls wait for their answers all the time, spread evenly over the sockets; only
//! what is answered inside the window counts; an answer that is not a success ends the measurement with an error.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use muster_wire::{Connection, Protocol, frame};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::bare::{self, Bare};
use crate::error::BenchError;
use crate::limits::{CALLS_IN_FLIGHT, PATIENCE, WARM_UP};
use crate::systems::{Places, REDUCER, Session, System, call_args};

/// What the workers share.
#[derive(Default)]
struct Shared {
    answered: AtomicU64,
    stop: AtomicBool,
    next: AtomicU32,
}

impl Shared {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    fn args(&self) -> Bytes {
        call_args(self.next.fetch_add(1, Ordering::Relaxed))
    }

    fn count(&self, answered: usize) {
        self.answered.fetch_add(answered as u64, Ordering::Relaxed);
    }
}

/// What a window saw.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// Calls answered in it.
    pub(crate) calls: u64,
    /// How long it was.
    pub(crate) took: Duration,
}

/// Calls through `sockets` sessions of a system. `at_window` is called when the window opens and when it closes.
pub(crate) async fn call(
    places: &Arc<Places>,
    system: System,
    sockets: usize,
    window: Duration,
    mut at_window: impl FnMut() -> Result<(), BenchError>,
) -> Result<Window, BenchError> {
    let shared = Arc::new(Shared::default());
    let mut workers = JoinSet::new();
    let each = CALLS_IN_FLIGHT / sockets;
    for _ in 0..sockets {
        start(&mut workers, places, system, each, &shared).await?;
    }
    let failed = BenchError::session(system.name());
    watch(&mut workers, WARM_UP).await.map_err(&failed)?;
    at_window()?;
    let (began, before) = (Instant::now(), shared.answered.load(Ordering::Relaxed));
    watch(&mut workers, window).await.map_err(&failed)?;
    let (took, after) = (began.elapsed(), shared.answered.load(Ordering::Relaxed));
    at_window()?;
    shared.stop.store(true, Ordering::Relaxed);
    match timeout(PATIENCE, workers.join_all()).await {
        Ok(ends) => ends.into_iter().collect::<Result<(), String>>().map_err(&failed)?,
        Err(_) => return Err(failed("calls were not answered".into())),
    }
    Ok(Window { calls: after - before, took })
}

/// Lets the workers work for `time`. None may end meanwhile.
async fn watch(workers: &mut JoinSet<Result<(), String>>, time: Duration) -> Result<(), String> {
    tokio::select! {
        () = sleep(time) => Ok(()),
        Some(ended) = workers.join_next() => Err(match ended {
            Ok(Err(reason)) => reason,
            Ok(Ok(())) => "a worker stopped unasked".into(),
            Err(error) => error.to_string(),
        }),
    }
}

async fn start(
    workers: &mut JoinSet<Result<(), String>>,
    places: &Arc<Places>,
    system: System,
    in_flight: usize,
    shared: &Arc<Shared>,
) -> Result<(), BenchError> {
    #[cfg(feature = "host")]
    if system == System::Engine {
        for _ in 0..in_flight {
            workers.spawn(engine_calls(places.engine.clone(), shared.clone()));
        }
        return Ok(());
    }
    match places.open(system).await?.0 {
        Session::Muster(connection) => {
            for _ in 0..in_flight {
                workers.spawn(muster_calls(connection.clone(), shared.clone()));
            }
        }
        Session::Bare(socket) if system == System::Echo => {
            workers.spawn(echoes(*socket, in_flight, shared.clone()));
        }
        Session::Bare(socket) => {
            workers.spawn(bare_calls(*socket, in_flight, shared.clone()));
        }
        #[cfg(feature = "host")]
        Session::Visit(visit) => visit.leave().await,
    }
    Ok(())
}

#[cfg(feature = "host")]
async fn engine_calls(engine: Arc<muster_host::InProcess>, shared: Arc<Shared>) -> Result<(), String> {
    while shared.goes_on() {
        engine.call(REDUCER, shared.args(), true).await.map_err(|error| error.to_string())?;
        shared.count(1);
    }
    Ok(())
}

/// One caller of an application, which waits for its answer before it calls again; many share a connection.
async fn muster_calls(connection: Connection, shared: Arc<Shared>) -> Result<(), String> {
    while shared.goes_on() {
        let reply = connection.call_reducer(REDUCER, shared.args()).await.map_err(|error| error.to_string())?;
        if let Some(message) = reply.outcome.message() {
            return Err(message);
        }
        shared.count(1);
    }
    Ok(())
}

/// As many new calls as answers came, in one frame.
async fn bare_calls(mut socket: Bare, in_flight: usize, shared: Arc<Shared>) -> Result<(), String> {
    let mut waiting = 0;
    let mut number = 0u32;
    loop {
        if shared.goes_on() {
            let more: Vec<_> = (waiting..in_flight)
                .map(|_| {
                    number = number.wrapping_add(1);
                    bare::call(number, REDUCER, shared.args())
                })
                .collect();
            waiting = in_flight;
            socket.send(&more).await?;
        } else if waiting == 0 {
            socket.close().await;
            return Ok(());
        }
        let answered = bare::answered(&socket.receive().await?)?;
        waiting -= answered;
        shared.count(answered);
    }
}

/// Messages as long as a call, each in a frame of its own.
async fn echoes(mut socket: Bare, in_flight: usize, shared: Arc<Shared>) -> Result<(), String> {
    let call = bare::call(0, REDUCER, shared.args());
    let payload = frame::encode(Protocol::V3, &[call]).swap_remove(0);
    let mut waiting = 0;
    loop {
        if shared.goes_on() {
            socket.send_payloads(&payload, in_flight - waiting).await?;
            waiting = in_flight;
        } else if waiting == 0 {
            socket.close().await;
            return Ok(());
        }
        let answered = socket.receive_payloads().await?;
        waiting -= answered;
        shared.count(answered);
    }
}
