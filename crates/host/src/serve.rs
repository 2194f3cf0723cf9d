//! Accepting connections and serving HTTP/1.1 on them.
//!
//! At most [`CONNECTIONS_MAX`] are served at once. On shutdown nothing new is accepted, idle connections close, and
//! those with a request under way finish it; whoever is still there when `cut` is cancelled is cut off.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Body;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use crate::limits::{ACCEPT_RETRY_PAUSE, CONNECTIONS_MAX, HEADER_READ_TIMEOUT, LAST_REQUEST_GRACE};

/// When connections end.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    /// No new connections and requests; those under way go on.
    pub(crate) gently: CancellationToken,
    /// Not even those.
    pub(crate) now: CancellationToken,
}

/// Serves `router` on `listener` until `stop`; the connections themselves run on `tracker`.
pub(crate) async fn serve(listener: TcpListener, router: Router, stop: Stop, tracker: TaskTracker) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.gently.cancelled() => return,
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Ok((stream, place)) => {
                tracker.spawn(serve_connection(stream, router.clone(), stop.clone(), place));
            }
            Err(error) => {
                // Too many open files, or the like: trying again at once would only spin.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_RETRY_PAUSE).await;
            }
        }
    }
}

async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> std::io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

async fn serve_connection(stream: TcpStream, router: Router, stop: Stop, _place: OwnedSemaphorePermit) {
    // Answers are written whole: waiting to fill packets only delays them.
    let _ = stream.set_nodelay(true);
    let requests = Requests::default();
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service_fn(|request| requests.clone().answer(router.clone(), request)))
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.gently.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection.as_mut() => ended,
                // hyper closes a connection between requests at once, but waits for one that has sent half a head.
                () = requests.stay_away() => return,
                () = stop.now.cancelled() => return,
            }
        }
    };
    if let Err(error) = ended {
        // Clients that hang up, speak no HTTP or are too slow: their business.
        tracing::debug!(%error, "connection ended early");
    }
}

/// Counts the requests of one connection.
#[derive(Clone, Default)]
struct Requests {
    started: Arc<AtomicU64>,
    finished: Arc<AtomicU64>,
}

impl Requests {
    /// Has `router` answer `request`; it counts as finished once the body of the answer is gone.
    async fn answer(self, mut router: Router, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        self.started.fetch_add(1, Ordering::Relaxed);
        let finish = Finish(self.finished);
        let response = router.call(request).await?;
        Ok(response.map(|body| {
            Body::new(body.map_frame(move |frame| {
                let _until_the_body_is_gone = &finish;
                frame
            }))
        }))
    }

    /// Returns if no request is under way and, for a moment, none begins; else never.
    async fn stay_away(&self) {
        let started = self.started.load(Ordering::Relaxed);
        if self.finished.load(Ordering::Relaxed) == started {
            tokio::time::sleep(LAST_REQUEST_GRACE).await;
            if self.started.load(Ordering::Relaxed) == started {
                return;
            }
        }
        std::future::pending().await
    }
}

struct Finish(Arc<AtomicU64>);

impl Drop for Finish {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
