//! From wishes to a running host, step by step.
//!
//! Starting either succeeds whole or undoes itself: the data folder is locked first and the port opened before the
//! first database is launched, and both are let go on any error.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::StreamExt;
use spacetimedb::client::ClientActorIndex;
use spacetimedb::db::Storage;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::Authenticator;
use crate::call_budget::CallBudget;
use crate::control::Control;
use crate::data_dir::DataDir;
use crate::engine::Engine;
use crate::error::StartError;
use crate::keys;
use crate::limits::{HostLimits, LAUNCHES_AT_ONCE};
use crate::metrics::HostMetrics;
use crate::open_files;
use crate::programs::Programs;
use crate::publishing;
use crate::routes;
use crate::running::{Parts, RunningHost};
use crate::serve::{Server, Stop};
use crate::state::{AppState, HostState};
use crate::subscribe::WebSocketLimits;
use crate::tls::TlsFiles;
use crate::turns::Turns;

/// A host that is not running yet. [`Host::builder`] makes the builder.
#[derive(Debug)]
pub struct Host;

impl Host {
    /// A builder for a host in memory, on a free port of the loopback address, trusting its own tokens only.
    pub fn builder() -> HostBuilder {
        HostBuilder {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            data: Data::InMemory,
            signing_key: None,
            new_keys: false,
            tls: None,
            trusted_issuers: Vec::new(),
            limits: HostLimits::DEFAULT,
            websocket_limits: WebSocketLimits::DEFAULT,
        }
    }
}

#[derive(Debug, Clone)]
enum Data {
    InMemory,
    Folder(PathBuf),
}

/// What a host is to be. See [`Host::builder`].
#[derive(Debug, Clone)]
#[must_use = "a host runs once `start` was called"]
pub struct HostBuilder {
    listen: SocketAddr,
    data: Data,
    signing_key: Option<PathBuf>,
    new_keys: bool,
    tls: Option<TlsFiles>,
    trusted_issuers: Vec<String>,
    limits: HostLimits,
    websocket_limits: WebSocketLimits,
}

impl HostBuilder {
    /// Listens on `addr`; port 0 picks a free one, which [`RunningHost::local_addr`] tells. Default: `127.0.0.1:0`.
    pub fn listen(mut self, addr: SocketAddr) -> Self {
        self.listen = addr;
        self
    }

    /// Keeps databases in memory, and what must be a file in a temporary folder that goes with the host. The default.
    pub fn in_memory(mut self) -> Self {
        self.data = Data::InMemory;
        self
    }

    /// Keeps everything in the folder `path`, made if missing, used by one host at a time. Databases that it holds are
    /// launched by [`Self::start`].
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.data = Data::Folder(path.into());
        self
    }

    /// Signs tokens with the P-256 private key in the PEM file `path` (PKCS#8), made there if missing. Default:
    /// `keys/id_ecdsa` in the data folder.
    pub fn signing_key(mut self, path: impl Into<PathBuf>) -> Self {
        self.signing_key = Some(path.into());
        self
    }

    /// Whether a signing key that is missing is made anew although the data folder holds databases. All tokens that the host
    /// issued before are refused from then on, for ever: who owned a database by such a token owns it no longer in effect.
    /// Default: false, and [`Self::start`] refuses with [`StartError::KeysMissing`].
    pub fn new_keys(mut self, allowed: bool) -> Self {
        self.new_keys = allowed;
        self
    }

    /// Speaks TLS (`https`, `wss`) and nothing else, with the certificates in the PEM file `certificates` (the host's
    /// own first, then those between it and its authority) and the private key in the PEM file `key`. Both are read by
    /// [`Self::start`]. Default: no TLS.
    pub fn tls(mut self, certificates: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.tls = Some(TlsFiles { certificates: certificates.into(), key: key.into() });
        self
    }

    /// Also accepts tokens of `issuer`, an `http` or `https` URL, exactly as their `iss` claim has it. Its keys are
    /// fetched by OpenID discovery. May be called several times. Default: none, so that no token makes the host fetch
    /// anything; the official server instead fetches from whatever issuer a token names.
    pub fn trusted_issuer(mut self, issuer: impl Into<String>) -> Self {
        self.trusted_issuers.push(issuer.into());
        self
    }

    /// Holds connections and requests to `limits`. Default: [`HostLimits::DEFAULT`].
    pub fn limits(mut self, limits: HostLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Holds WebSocket sessions to `limits`. Default: SpacetimeDB's own.
    pub fn websocket_limits(mut self, limits: WebSocketLimits) -> Self {
        self.websocket_limits = limits;
        self
    }

    /// Starts the host on the current tokio runtime and returns once it serves and has launched what it holds.
    ///
    /// A database that does not launch stops nobody: it is logged, its data stays, requests for it are answered with
    /// its failure, and the rest works.
    ///
    /// # Errors
    ///
    /// See [`StartError`]; each says what to do.
    pub async fn start(self) -> Result<RunningHost, StartError> {
        self.limits.validate()?;
        self.websocket_limits.validate()?;
        if let Some(issuer) = self.trusted_issuers.iter().find(|issuer| !is_issuer(issuer)) {
            return Err(StartError::TrustedIssuer { issuer: issuer.clone() });
        }
        open_files::warn_if_short(self.limits.connections);
        let tls = self.tls.as_ref().map(TlsFiles::load).transpose()?;
        let (data_dir, storage, control) = self.open_data()?;
        let key_path = self.signing_key.clone().unwrap_or_else(|| data_dir.signing_key());
        if !self.new_keys {
            keys::require(&key_path, || control.databases().map(|databases| databases.len()))?;
        }
        let keys = keys::load_or_create(&key_path)?;
        let listener = listen(self.listen).await?;
        let local_addr = listener.local_addr().map_err(|e| StartError::listen(self.listen, e))?;

        let programs = Programs::new(data_dir.programs());
        let budget = CallBudget::new(self.limits.call_time);
        let engine = Engine::new(data_dir.engine(), storage, control.clone(), programs.clone(), budget);
        engine.set_port(local_addr.port(), &keys).map_err(|e| StartError::Engine(format!("{e:#}")))?;
        let stop = Stop { gently: CancellationToken::new(), now: CancellationToken::new() };
        let tracker = TaskTracker::new();
        let metrics = HostMetrics::new().map_err(|e| StartError::Engine(e.to_string()))?;
        let state = Arc::new(HostState {
            control,
            programs,
            engine,
            auth: Authenticator::new(keys, self.trusted_issuers),
            publishing: Turns::default(),
            clients: Arc::new(ClientActorIndex::new()),
            metrics: metrics.clone(),
            scheme: if tls.is_some() { "https" } else { "http" },
            limits: self.limits,
            websocket_limits: self.websocket_limits,
            shutdown: stop.gently.clone(),
            tracker: tracker.clone(),
        });
        launch_all(&state).await;

        let router = routes::router(AppState::new(state.clone()));
        let server = Server::new(router, tls, self.limits, metrics, stop.clone(), tracker);
        let accepting = tokio::spawn(server.accept_all(listener));
        tracing::info!(%local_addr, data_dir = %data_dir.root().display(), "host is ready");
        Ok(RunningHost::new(Parts { local_addr, state, stop, accepting, data_dir }))
    }

    fn open_data(&self) -> Result<(DataDir, Storage, Control), StartError> {
        match &self.data {
            Data::InMemory => Ok((DataDir::temporary()?, Storage::Memory, Control::in_memory()?)),
            Data::Folder(path) => open_folder(path),
        }
    }
}

fn open_folder(path: &Path) -> Result<(DataDir, Storage, Control), StartError> {
    let data_dir = DataDir::open(path)?;
    data_dir.create_control()?;
    let control = Control::open(&data_dir.control())?;
    if let Some(newest) = data_dir.newest_replica()
        && control.skip_replicas(newest).map_err(|e| StartError::Engine(e.to_string()))?
    {
        tracing::warn!(newest, "`replicas` holds folders that control.sqlite does not know; they are left as they are");
    }
    Ok((data_dir, Storage::Disk, control))
}

/// Whether keys can be asked for there: an `http` or `https` URL without query and fragment (OpenID Connect Discovery 1.0,
/// section 4.1).
fn is_issuer(text: &str) -> bool {
    let is_url = |uri: http::Uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
    };
    !text.contains(['?', '#']) && text.parse().is_ok_and(is_url)
}

async fn listen(addr: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(addr).await.map_err(|e| StartError::listen(addr, e))
}

/// Launches every database, a few at a time. The engine then runs `client_disconnected` for every session that a crash
/// left behind, before anybody can ask.
async fn launch_all(state: &Arc<HostState>) {
    publishing::finish_interrupted(state).await;
    let records = match state.control.databases() {
        Ok(records) => records,
        Err(error) => {
            tracing::error!(%error, "cannot list databases; they are launched when asked for");
            return;
        }
    };
    futures::stream::iter(records)
        .for_each_concurrent(LAUNCHES_AT_ONCE, async |record| {
            // Logged where it failed; the host goes on without it.
            let _ = state.engine.module(&record).await;
        })
        .await;
}
