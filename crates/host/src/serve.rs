//! Accepting connections and serving HTTP/1.1 on them.
//!
//! Always true: at most [`HostLimits::connections`] connections are served at once, each counted from its acceptance
//! until its last byte, also as a WebSocket: its place is part of the stream ([`Placed`]) and goes with it. Whoever
//! comes on top hears 503. On shutdown nothing new is accepted, idle connections close, and those with a request under
//! way finish it, until the client has taken the answer; whoever is still there when `now` is cancelled is cut off.
//!
//! | file | question it answers |
//! | --- | --- |
//! | `serve.rs` (here) | who is let in, and when does a connection end? |
//! | `placed.rs` | does the client take what it is sent? |

mod placed;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use http::{Request, Response, StatusCode, Version, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use self::placed::{Flow, Place, Placed};
use crate::limits::{
    ACCEPT_COMPLAINT_PAUSE, ACCEPT_RETRY_PAUSE, HostLimits, LAST_REQUEST_GRACE, REFUSAL_TIMEOUT, REFUSALS_AT_ONCE,
};
use crate::metrics::{Counted, HostMetrics};

/// What a connection above the limit is told, whatever it asked for.
const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 48\r\nRetry-After: 1\r\nConnection: close\r\n\r\nthis host has as many connections as it may hold";

/// When connections end.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    /// No new connections and requests; those under way go on.
    pub(crate) gently: CancellationToken,
    /// Not even those.
    pub(crate) now: CancellationToken,
}

/// What serves connections.
#[derive(Clone)]
pub(crate) struct Server {
    router: Router,
    tls: Option<TlsAcceptor>,
    limits: HostLimits,
    metrics: HostMetrics,
    stop: Stop,
    /// The connections run on it.
    tracker: TaskTracker,
    places: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
}

impl Server {
    /// A server of `router`, behind `tls` if that is given, under `limits`, until `stop`; its connections run on `tracker`.
    pub(crate) fn new(
        router: Router,
        tls: Option<TlsAcceptor>,
        limits: HostLimits,
        metrics: HostMetrics,
        stop: Stop,
        tracker: TaskTracker,
    ) -> Self {
        let places = Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS)));
        Self {
            router,
            tls,
            limits,
            metrics,
            stop,
            tracker,
            places,
            refusals: Arc::new(Semaphore::new(REFUSALS_AT_ONCE)),
        }
    }

    /// Serves whoever connects to `listener`.
    pub(crate) async fn accept_all(self, listener: TcpListener) {
        let mut complained: Option<Instant> = None;
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.stop.gently.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => self.admit(stream),
                Err(error) => {
                    // Too many open files, or the like: trying again at once would only spin.
                    if complained.is_none_or(|last| last.elapsed() >= ACCEPT_COMPLAINT_PAUSE) {
                        tracing::warn!(%error, "cannot accept connections; said again after a minute if it goes on");
                        complained = Some(Instant::now());
                    }
                    tokio::time::sleep(ACCEPT_RETRY_PAUSE).await;
                }
            }
        }
    }

    fn admit(&self, stream: TcpStream) {
        if let Ok(place) = self.places.clone().try_acquire_owned() {
            let place = Place { _permit: place, _taken: Counted::in_gauge(&self.metrics.connections) };
            // Answers are written whole: waiting to fill packets only delays them.
            let _ = stream.set_nodelay(true);
            let stream = Placed::new(stream, place, self.limits.write_timeout);
            self.tracker.spawn(self.clone().serve_placed(stream));
            return;
        }
        self.metrics.connections_refused.inc();
        // On a TLS connection there is nothing to be said before a handshake, which is what there is no place for.
        if self.tls.is_none()
            && let Ok(turn) = self.refusals.clone().try_acquire_owned()
        {
            tracing::warn!(limit = self.limits.connections, "refused a connection: all places are taken");
            self.tracker.spawn(async move {
                // Who does not take it in time goes without.
                let _ = tokio::time::timeout(REFUSAL_TIMEOUT, refuse(stream)).await;
                drop(turn);
            });
        }
    }

    async fn serve_placed(self, stream: Placed) {
        let flow = stream.flow();
        match self.tls.clone() {
            None => self.serve(stream, flow).await,
            Some(tls) => match self.in_time(tls.accept(stream)).await {
                Some(Ok(stream)) => self.serve(stream, flow).await,
                Some(Err(error)) => tracing::debug!(%error, "no TLS came about"),
                None => tracing::debug!("a TLS handshake took too long, or the host stops"),
            },
        }
    }

    /// What `handshake` comes to, if it does in time and before the host stops.
    async fn in_time<T>(&self, handshake: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = tokio::time::timeout(self.limits.header_timeout, handshake) => done.ok(),
            () = self.stop.gently.cancelled() => None,
        }
    }

    /// Serves `stream`, of whose writes `flow` knows.
    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, flow: Arc<Flow>) {
        let requests = Requests { flow, ..Requests::default() };
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.header_timeout)
            .max_header_size(self.limits.header_bytes)
            .serve_connection(
                TokioIo::new(stream),
                service_fn(|request| requests.clone().answer(self.router.clone(), request)),
            )
            .with_upgrades();
        let mut connection = std::pin::pin!(connection);
        let mut stopping = false;
        let ended = loop {
            tokio::select! {
                ended = connection.as_mut() => break ended,
                () = self.stop.gently.cancelled(), if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
                // hyper closes a connection between requests at once, but waits for one that has sent half a head.
                () = requests.stay_away(), if stopping => return,
                () = self.stop.now.cancelled(), if stopping => return,
            }
        };
        if let Err(error) = ended {
            // Clients that hang up, speak no HTTP or are too slow: their business.
            tracing::debug!(%error, "connection ended early");
        }
    }
}

/// Says that there is no place, and waits for the client to hang up: a connection that is closed while bytes of it are
/// unread is reset, and the answer lost.
async fn refuse(mut stream: TcpStream) -> std::io::Result<()> {
    stream.write_all(REFUSAL).await?;
    stream.shutdown().await?;
    let mut unread = [0; 1024];
    while stream.read(&mut unread).await? > 0 {}
    Ok(())
}

/// Counts the requests of one connection.
#[derive(Clone, Default)]
struct Requests {
    started: Arc<AtomicU64>,
    finished: Arc<AtomicU64>,
    flow: Arc<Flow>,
}

impl Requests {
    /// Has `router` answer `request`; it counts as finished once the last of the answer is handed over.
    async fn answer(self, mut router: Router, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        self.started.fetch_add(1, Ordering::Relaxed);
        let finish = Finish(self.finished);
        if !names_its_host(&request) {
            let told = "a request of HTTP/1.1 has one Host header (RFC 9112 section 3.2)";
            let mut refusal = Response::new(Body::from(told));
            *refusal.status_mut() = StatusCode::BAD_REQUEST;
            return Ok(refusal);
        }
        let response = router.call(request).await?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            self.flow.becomes_a_session();
        }
        Ok(response.map(|body| {
            Body::new(body.map_frame(move |frame| {
                let _until_the_body_is_gone = &finish;
                frame
            }))
        }))
    }

    /// Returns once, for a moment, no request is under way or begins, and nothing of an answer is or waits to be written.
    async fn stay_away(&self) {
        loop {
            let before = self.moves();
            tokio::time::sleep(LAST_REQUEST_GRACE).await;
            let (started, finished, written) = self.moves();
            if (started, finished, written) == before && started == finished && !self.flow.is_waiting() {
                return;
            }
        }
    }

    /// What differs after anything has happened on the connection: requests begun and finished, bytes written.
    fn moves(&self) -> (u64, u64, u64) {
        (self.started.load(Ordering::Relaxed), self.finished.load(Ordering::Relaxed), self.flow.written())
    }
}

fn names_its_host(request: &Request<Incoming>) -> bool {
    request.version() < Version::HTTP_11 || request.headers().get_all(header::HOST).iter().count() == 1
}

struct Finish(Arc<AtomicU64>);

impl Drop for Finish {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
