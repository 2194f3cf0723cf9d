//! The service as a running thing: connections, timers, and an orderly end.
//!
//! What always holds: at most [`CONNECTIONS_MAX`] connections at once, and of them so many of one address as the
//! configuration says; an `http` issuer answers this machine only; a slow head ends its connection; one process
//! serves a state directory; keys begin to sign only here.

use std::convert::Infallible;
use std::fs::{File, OpenOptions};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tower::ServiceExt as _;

use crate::error::ControlError;
use crate::http::{Peer, router};
use crate::inner::{Address, Inner};
use crate::limits::{
    CONNECTIONS_MAX, HEAD_TIMEOUT, KEY_TICK_MS, LOCK_TRY_MS, LOCK_WAIT_MS, PRUNE_EVERY_S, PRUNE_PAUSE_MS,
    SHUTDOWN_TIMEOUT,
};
use crate::metrics::Counter;
use crate::peers::{Held, Peers};
use crate::store::PRIVATE_FILE;
use crate::store::facts::{self, ServiceFacts};

/// Serves until `shutdown` ends. `began` is called once it is certain that this process serves.
pub(crate) async fn serve(
    inner: Arc<Inner>,
    listener: TcpListener,
    began: impl FnOnce(),
    shutdown: impl Future<Output = ()>,
) -> Result<(), ControlError> {
    inner.config.may_listen(listener.local_addr()?)?;
    let _lock = lock(&inner).await?;
    inner.begin_serving()?;
    began();
    let (stop, stopped) = watch::channel(false);
    let timers = tokio::spawn(timers(inner.clone(), stopped.clone()));
    let mut connections = JoinSet::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let peers = Arc::new(Peers::default());
    let app = router(inner.clone());
    let mut shutdown = pin!(shutdown);
    loop {
        // A place first: a connection that was accepted and finds none would be lost when this is begun anew.
        let next = async { (places.clone().acquire_owned().await, listener.accept().await) };
        tokio::select! {
            () = &mut shutdown => break,
            (place, accepted) = next => {
                match accepted {
                    Ok((stream, peer)) => {
                        let Ok(held) = admit(&inner, &peers, peer) else { continue };
                        let connection = connection(app.clone(), stream, peer, stopped.clone());
                        connections.spawn(async move {
                            connection.await;
                            drop((place, held));
                        });
                    }
                    Err(error) => {
                        // Out of files, mostly: others must end before it can be better.
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
    stop.send_replace(true);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(SHUTDOWN_TIMEOUT, ended).await.is_err() {
        connections.shutdown().await;
    }
    timers.abort();
    inner.set_serving(false);
    Ok(())
}

/// One connection too many of its address.
struct TooMany;

/// A connection's place among those of its address; the trusted proxy needs none, because it speaks for many.
fn admit(inner: &Inner, peers: &Arc<Peers>, peer: SocketAddr) -> Result<Option<Held>, TooMany> {
    let ip = peer.ip().to_canonical();
    if inner.config.trusted_proxy.is_some_and(|proxy| proxy.to_canonical() == ip) {
        return Ok(None);
    }
    let address = Address::new(ip);
    let held = peers.hold(address, inner.config.connections_per_address);
    if held.is_none() {
        inner.metrics.count(Counter::ConnectionsRefused, "");
        tracing::debug!(%address, "a connection is closed: its address has too many");
    }
    held.map(Some).ok_or(TooMany)
}

/// One service for a state directory: two would each think that they alone serve the key set.
async fn lock(inner: &Inner) -> Result<File, ControlError> {
    let file = lock_file(&inner.config.state_dir)?;
    // Somebody who only looks whether a service runs holds it for a moment.
    for _ in 0..LOCK_WAIT_MS / LOCK_TRY_MS {
        if file.try_lock().is_ok() {
            return Ok(file);
        }
        tokio::time::sleep(Duration::from_millis(LOCK_TRY_MS)).await;
    }
    Err(ControlError::AlreadyServing)
}

fn lock_file(state_dir: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(PRIVATE_FILE).open(state_dir.join("serving.lock"))
}

impl Inner {
    /// Notes that this process begins to serve, also for those beside it.
    fn begin_serving(&self) -> Result<(), ControlError> {
        self.set_serving(true);
        let since_s = self.config.clock.now_s();
        let service = ServiceFacts { since_s, phases: self.config.phases };
        self.store.write(|tx| Ok(facts::set_service(tx, service)?))
    }

    /// The service that runs on this state directory: in this process or another.
    pub(crate) fn running(&self) -> Result<Option<ServiceFacts>, ControlError> {
        if let Some(since_s) = self.serving_since_s() {
            return Ok(Some(ServiceFacts { since_s, phases: self.config.phases }));
        }
        if lock_file(&self.config.state_dir)?.try_lock_shared().is_ok() {
            return Ok(None);
        }
        self.store.read(|connection| Ok(facts::service(connection)?))
    }
}

async fn connection(app: axum::Router, stream: TcpStream, peer: SocketAddr, mut stopped: watch::Receiver<bool>) {
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer));
        let app = app.clone();
        async move { Ok::<_, Infallible>(app.oneshot(request).await.unwrap_or_else(|never| match never {})) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = pin!(serving);
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = until(&mut stopped) => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        // hyper's errors name what went wrong, and nothing of what was sent.
        tracing::debug!(%error, "a connection ended");
    }
}

/// Returns when the service stops, or is gone.
async fn until(stopped: &mut watch::Receiver<bool>) {
    while !*stopped.borrow_and_update() && stopped.changed().await.is_ok() {}
}

/// What is done from time to time.
async fn timers(inner: Arc<Inner>, stopped: watch::Receiver<bool>) {
    tokio::join!(keys(&inner, &stopped), pruning(&inner, &stopped));
}

/// Moves the keys on.
async fn keys(inner: &Arc<Inner>, stopped: &watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(Duration::from_millis(KEY_TICK_MS));
    while !*stopped.borrow() {
        ticks.tick().await;
        housekeeping(inner, Inner::advance_keys).await;
    }
}

/// Forgets what has expired, a little at a time: whoever mints or revokes meanwhile waits for one transaction at most.
async fn pruning(inner: &Arc<Inner>, stopped: &watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(PRUNE_EVERY_S));
    while !*stopped.borrow() {
        ticks.tick().await;
        while !*stopped.borrow() && housekeeping(inner, Inner::prune_some).await == Some(true) {
            tokio::time::sleep(Duration::from_millis(PRUNE_PAUSE_MS)).await;
        }
    }
}

/// Does a piece of work off the async threads. A failure is said, and it is tried again at the next turn.
async fn housekeeping(inner: &Arc<Inner>, work: fn(&Inner) -> Result<bool, ControlError>) -> Option<bool> {
    let it = inner.clone();
    let done = tokio::task::spawn_blocking(move || work(&it)).await.ok()?;
    done.inspect_err(|error| {
        inner.metrics.count(Counter::HousekeepingFailures, "");
        tracing::error!(%error, "housekeeping failed; it is tried again");
    })
    .ok()
}
