//! The service as a running thing: connections, timers, and an orderly end.
//!
//! What always holds: at most [`CONNECTIONS_MAX`] connections at once; a slow head ends its connection; one process
//! serves a state directory; keys begin to sign only here.

use std::convert::Infallible;
use std::fs::File;
use std::future::Future;
use std::net::SocketAddr;
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
use crate::inner::Inner;
use crate::limits::{CONNECTIONS_MAX, HEAD_TIMEOUT, KEY_TICK_MS, PRUNE_EVERY_S, SHUTDOWN_TIMEOUT};
use crate::store::sessions;

/// Serves until `shutdown` ends.
pub(crate) async fn serve(
    inner: Arc<Inner>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ControlError> {
    let _lock = lock(&inner)?;
    inner.set_serving(true);
    let (stop, stopped) = watch::channel(false);
    let timers = tokio::spawn(timers(inner.clone(), stopped.clone()));
    let mut connections = JoinSet::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
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
                        let connection = connection(app.clone(), stream, peer, stopped.clone());
                        connections.spawn(async move {
                            connection.await;
                            drop(place);
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

/// One service for a state directory: two would each think that they alone serve the key set.
fn lock(inner: &Inner) -> Result<File, ControlError> {
    let file = File::create(inner.config.state_dir.join("serving.lock"))?;
    file.try_lock().map_err(|_| ControlError::AlreadyServing)?;
    Ok(file)
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

/// What is done from time to time. A failure is said and tried again.
async fn timers(inner: Arc<Inner>, stopped: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(Duration::from_millis(KEY_TICK_MS));
    let mut since_prune_s = 0;
    while !*stopped.borrow() {
        ticks.tick().await;
        since_prune_s += KEY_TICK_MS / 1_000;
        let prune = since_prune_s >= PRUNE_EVERY_S;
        let work = inner.clone();
        let done = tokio::task::spawn_blocking(move || work.housekeeping(prune)).await;
        if prune {
            since_prune_s = 0;
        }
        if let Ok(Err(error)) = done {
            tracing::error!(%error, "housekeeping failed; it is tried again");
        }
    }
}

impl Inner {
    fn housekeeping(&self, prune: bool) -> Result<(), ControlError> {
        self.advance_keys()?;
        if prune {
            let now_s = self.config.clock.now_s();
            self.store.write(|tx| sessions::prune(tx, now_s))?;
        }
        Ok(())
    }
}
