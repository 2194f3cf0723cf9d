//! A connection's stream: it holds the connection's place, counts what the client takes, and ends when it takes nothing.
//!
//! Always true: a write that waits for the client fails with [`io::ErrorKind::TimedOut`] once nothing was taken for
//! [`HostLimits::write_timeout`](crate::HostLimits::write_timeout); what was to be written is then let go. Not so on a
//! WebSocket, whose session has a limit of its own.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Sleep;

use crate::metrics::Counted;

/// A connection together with its place among those that are served.
pub(super) struct Placed {
    // Field order: who sees the connection closed finds its place free.
    _place: Place,
    stream: TcpStream,
    flow: Arc<Flow>,
    write_timeout: Duration,
    /// Runs while a write waits.
    patience: Option<Pin<Box<Sleep>>>,
}

/// A place, counted among the taken ones for as long as it is.
pub(super) struct Place {
    pub(super) _permit: OwnedSemaphorePermit,
    pub(super) _taken: Counted,
}

/// What is known of a connection's writes by whoever does not have the stream.
#[derive(Debug, Default)]
pub(super) struct Flow {
    written: AtomicU64,
    waiting: AtomicBool,
    session: AtomicBool,
}

impl Flow {
    /// How many bytes the system has taken so far.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Whether a write waits for the client to take something.
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Relaxed)
    }

    /// From now on the connection is a WebSocket.
    pub(super) fn becomes_a_session(&self) {
        self.session.store(true, Ordering::Relaxed);
    }
}

impl Placed {
    /// `stream` at `place`, whose client may take nothing of what it is to hear for `write_timeout`.
    pub(super) fn new(stream: TcpStream, place: Place, write_timeout: Duration) -> Self {
        Self { _place: place, stream, flow: Arc::default(), write_timeout, patience: None }
    }

    /// What becomes known of the writes.
    pub(super) fn flow(&self) -> Arc<Flow> {
        self.flow.clone()
    }

    /// Takes note of how a write went, and fails one that has waited for too long.
    fn noted(&mut self, context: &mut Context<'_>, wrote: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.flow.waiting.store(wrote.is_pending(), Ordering::Relaxed);
        if let Poll::Ready(wrote) = wrote {
            self.patience = None;
            let bytes = wrote.as_ref().map_or(0, |bytes| *bytes as u64);
            self.flow.written.fetch_add(bytes, Ordering::Relaxed);
            return Poll::Ready(wrote);
        }
        if self.flow.session.load(Ordering::Relaxed) {
            self.patience = None;
            return Poll::Pending;
        }
        let write_timeout = self.write_timeout;
        let patience = self.patience.get_or_insert_with(|| Box::pin(tokio::time::sleep(write_timeout)));
        ready!(patience.as_mut().poll(context));
        self.flow.waiting.store(false, Ordering::Relaxed);
        // What the system still holds for the client goes as well; if this fails, it goes later.
        let _ = self.stream.set_zero_linger();
        let cause = format!("the client took nothing of its answer for {} s", write_timeout.as_secs_f64());
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, cause)))
    }
}

impl AsyncRead for Placed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Placed {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.noted(context, wrote)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.noted(context, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
