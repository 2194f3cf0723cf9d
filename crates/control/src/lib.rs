//! The token service: an OAuth 2.0 issuer whose tokens any SpacetimeDB host can verify by discovery.
//!
//! [`Control::open`] takes a [`Config`] and gives the administrator's calls (clients, keys, sessions, audit);
//! [`Control::serve`] answers HTTP until it is told to stop. Both may run at once in different processes over one state
//! directory: the command line changes what the service serves.
//!
//! What always holds:
//!
//! * A token is never good for more than its client's registration, and an exchanged one never for more, or longer, than
//!   the one it was exchanged for ([`grant`], `issue.rs`).
//! * No host meets a key id that it does not know, as long as it fetches the key set as SpacetimeDB does ([`schedule`]).
//! * No secret is stored in clear, logged, or repeated in an answer ([`secret`]).
//! * Every change of clients and keys, and every revocation by a person, stands in an append-only audit log.

mod admin;
mod claims;
mod clock;
pub mod cohort;
pub mod compat;
mod config;
mod error;
pub mod grant;
mod http;
mod inner;
mod issue;
mod keys;
pub mod limits;
mod metrics;
mod outbox;
mod password;
mod peers;
pub mod rate;
mod refresh;
pub mod schedule;
pub mod secret;
mod serve;
mod store;

use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpListener;

pub use admin::{AddedClient, Credential, NewClient, Rotation};
pub use claims::{ACCESS_TOKEN_TYPE, AccessClaims, Actor};
pub use clock::Clock;
pub use cohort::Share;
pub use config::{Config, ConfigError, Rates};
pub use error::ControlError;
pub use grant::{Grant, Scope};
pub use issue::OWN_SUBJECT;
pub use keys::KeyError;
pub use outbox::{RevocationSink, deliver_revocations};
pub use secret::Secret;
pub use store::StoreError;
pub use store::audit::{AuditEntry, Head};
pub use store::clients::{Client, Permission};
pub use store::cohorts::Cohort;
pub use store::keys::{PublicKey, SigningKeyInfo};
pub use store::revocations::{Revocation, RevokedKind};
pub use store::sessions::Session;

use inner::Inner;

/// The token service over one state directory. Clones share it.
#[derive(Clone)]
pub struct Control {
    inner: Arc<Inner>,
}

impl Control {
    /// Opens the state directory, or makes it: mode 0700, a SQLite database and key files of mode 0600. Where there is no
    /// signing key yet, a first one and its successor are made. Takes some tens of milliseconds.
    ///
    /// # Errors
    /// A configuration that cannot be used, a directory or file that cannot be used or that others can read, a damaged
    /// database.
    pub fn open(config: Config) -> Result<Control, ControlError> {
        Ok(Control { inner: Arc::new(Inner::open(config)?) })
    }

    /// Opens the state directory of a service for those who manage it beside it: as it is, without a configuration.
    ///
    /// # Errors
    /// [`ControlError::NoState`] where no service was ever set up; a directory or file that cannot be used or that others
    /// can read, a damaged database.
    pub fn manage(state_dir: &Path) -> Result<Control, ControlError> {
        Ok(Control { inner: Arc::new(Inner::manage(state_dir, Clock::System)?) })
    }

    /// Answers HTTP/1.1 on `listener` until `shutdown` ends, then gives open requests [`limits::SHUTDOWN_TIMEOUT`]. TLS is
    /// for a proxy in front, unless hosts and clients are on this machine.
    ///
    /// # Errors
    /// [`ControlError::AlreadyServing`] where another process serves this state directory; an `http` issuer on a listener
    /// that is open to other machines; a disk that fails.
    pub async fn serve(&self, listener: TcpListener, shutdown: impl Future<Output = ()>) -> Result<(), ControlError> {
        self.serve_and_say(listener, || {}, shutdown).await
    }

    /// The same, and calls `began` once it is certain that this process serves: before that, another one may turn out to
    /// serve this state directory.
    ///
    /// # Errors
    /// As [`Control::serve`].
    pub async fn serve_and_say(
        &self,
        listener: TcpListener,
        began: impl FnOnce(),
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ControlError> {
        serve::serve(self.inner.clone(), listener, began, shutdown).await
    }

    /// The configuration it was opened with.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").field("issuer", &self.inner.config.issuer).finish_non_exhaustive()
    }
}
