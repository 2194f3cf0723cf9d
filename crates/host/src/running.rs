//! A host that runs, and how it ends.
//!
//! Ending has an order: nothing new is accepted; sessions are closed and requests finish, so that every
//! `client_disconnected` runs; what still goes on at the deadline is cut off; each database stops and flushes; the data
//! folder is let go. After that, another host can take the folder and finds everything that was acknowledged.

#[cfg(feature = "in-process")]
pub(crate) mod in_process;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::data_dir::DataDir;
use crate::serve::Stop;
use crate::state::HostState;

/// What a running host is made of.
pub(crate) struct Parts {
    pub(crate) local_addr: SocketAddr,
    pub(crate) state: Arc<HostState>,
    pub(crate) stop: Stop,
    pub(crate) accepting: JoinHandle<()>,
    pub(crate) data_dir: DataDir,
}

/// A running host. Shut it down with [`RunningHost::shutdown`].
///
/// Dropping it instead stops it as well, but nobody waits: on a tokio runtime the shutdown goes on in the background
/// as long as the runtime lives, else the host just ends, as if killed. Neither loses what was acknowledged.
#[must_use = "a host that is dropped stops"]
pub struct RunningHost {
    /// `None` once shut down.
    parts: Option<Parts>,
}

impl RunningHost {
    pub(crate) fn new(parts: Parts) -> Self {
        Self { parts: Some(parts) }
    }

    /// Where the host listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.parts().local_addr
    }

    /// `http://`, or `https://` for a host with TLS, and the address, without a slash at the end. An address that stands
    /// for all (`0.0.0.0`, `::`) is replaced by the loopback address.
    #[must_use]
    pub fn url(&self) -> String {
        let mut addr = self.local_addr();
        if addr.ip().is_unspecified() {
            addr.set_ip(match addr {
                SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            });
        }
        format!("{}://{addr}", self.parts().state.scheme)
    }

    /// The folder that holds the data, absolute; a temporary one for a host in memory.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        self.parts().data_dir.root()
    }

    /// The public half of the signing key, as PEM: what the host's own tokens verify with.
    #[must_use]
    pub fn public_key_pem(&self) -> String {
        String::from_utf8_lossy(&self.parts().state.auth.keys().public_pem).into_owned()
    }

    /// Ends the host and returns when it has ended: sessions closed, requests answered, databases flushed, folder free.
    ///
    /// Takes at most [`HostLimits::drain_deadline`](crate::HostLimits::drain_deadline) for clients plus the engine's time to flush.
    pub async fn shutdown(mut self) {
        if let Some(parts) = self.parts.take() {
            parts.shutdown().await;
        }
    }

    fn parts(&self) -> &Parts {
        self.parts.as_ref().expect("only `shutdown` and `drop` take the parts, and both end the value")
    }
}

impl Parts {
    async fn shutdown(self) {
        self.stop.gently.cancel();
        let tracker = &self.state.tracker;
        tracker.close();
        if tokio::time::timeout(self.state.limits.drain_deadline, tracker.wait()).await.is_err() {
            tracing::warn!(left = tracker.len(), "clients did not leave in time; cutting them off");
        }
        self.stop.now.cancel();
        self.accepting.abort();
        self.state.engine.stop().await;
        tracing::info!(data_dir = %self.data_dir.root().display(), "host has ended");
    }
}

impl Drop for RunningHost {
    fn drop(&mut self) {
        let Some(parts) = self.parts.take() else {
            return;
        };
        parts.stop.gently.cancel();
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(parts.shutdown())),
            Err(_) => parts.stop.now.cancel(),
        }
    }
}

impl std::fmt::Debug for RunningHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunningHost")
            .field("local_addr", &self.parts.as_ref().map(|parts| parts.local_addr))
            .field("data_dir", &self.parts.as_ref().map(|parts| parts.data_dir.root()))
            .finish()
    }
}
