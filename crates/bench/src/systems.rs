//! What is measured, and how each of them opens and closes a session.
//!
//! What always holds: a session counts as open once its first row is decoded (for the echo, once its first message is
//! back; for the engine, which has no sessions of its own, once `client_connected` has committed).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use muster_wire::http::{HttpClient, PublishOptions};
use muster_wire::{ConnectOptions, Connection, Endpoint, Identity, Protocol, args, connect};
use tokio::time::timeout;

use crate::bare::{Address, Bare};
use crate::error::BenchError;
use crate::limits::PATIENCE;
use crate::report::REFERENCE;

/// What a session follows first: one row, there from the first moment of a database on.
pub(crate) const FIRST_ROW: &str = "SELECT * FROM contract_info";

/// The reducer that is called: it checks its argument, reads a row by its primary key and writes it.
pub(crate) const REDUCER: &str = "set_name";

/// The name of the database.
const DATABASE: &str = "muster-bench";

/// One system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum System {
    /// Muster's client on Muster's host: what an application has.
    Muster,
    /// The same without confirmed reads: nothing waits for the disk.
    Unconfirmed,
    /// A bare socket on Muster's host.
    Bare,
    /// A bare socket on a bare echo.
    Echo,
    /// The engine, called in this process, confirmed where a call can be.
    #[cfg_attr(not(feature = "host"), allow(dead_code, reason = "there is no engine in this build"))]
    Engine,
}

impl System {
    /// All that this build has, in the order of the report.
    pub(crate) const ALL: &[System] = &[
        System::Muster,
        System::Unconfirmed,
        System::Bare,
        System::Echo,
        #[cfg(feature = "host")]
        System::Engine,
    ];

    /// As it stands in the report.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            System::Muster => REFERENCE,
            System::Unconfirmed => "muster, unconfirmed",
            System::Bare => "bare client on the host",
            System::Echo => "websocket echo",
            System::Engine => "engine in-process",
        }
    }
}

/// Where the systems are.
pub(crate) struct Places {
    host: Endpoint,
    bare: Address,
    echo: Address,
    #[cfg(feature = "host")]
    pub(crate) engine: std::sync::Arc<muster_host::InProcess>,
}

/// An open session.
pub(crate) enum Session {
    /// Of Muster's client.
    Muster(Connection),
    /// A socket, to the host or to the echo.
    Bare(Box<Bare>),
    /// In the engine.
    #[cfg(feature = "host")]
    Visit(Box<muster_host::Visit>),
}

/// Publishes `module` to the host at `url`.
pub(crate) async fn publish(url: &str, module: &Bytes) -> Result<(Endpoint, Identity), BenchError> {
    let failed = |error: &dyn std::fmt::Display| BenchError::Publish(error.to_string());
    let endpoint = Endpoint::new(url, DATABASE).map_err(|error| failed(&error))?;
    let stranger = HttpClient::new(endpoint.clone(), None).map_err(|error| failed(&error))?;
    let owner = stranger.create_identity().await.map_err(|error| failed(&error))?;
    let http = HttpClient::new(endpoint.clone(), Some(owner.token)).map_err(|error| failed(&error))?;
    let published = http.publish(module.clone(), &PublishOptions::default()).await.map_err(|error| failed(&error))?;
    Ok((endpoint, published.database_identity))
}

/// The bare socket's address of a database.
pub(crate) fn bare_address(endpoint: &Endpoint) -> Result<Address, BenchError> {
    let url = endpoint.websocket_url();
    let path = format!("{}?compression=None&confirmed=true", url.path());
    Ok(Address { addr: socket_addr(endpoint.base())?, path, protocol: Some(Protocol::V3) })
}

/// The bare socket's address of an echo.
pub(crate) fn echo_address(url: &str) -> Result<Address, BenchError> {
    Ok(Address { addr: socket_addr(url)?, path: "/".into(), protocol: None })
}

fn socket_addr(url: &str) -> Result<SocketAddr, BenchError> {
    let authority = url.strip_prefix("http://").unwrap_or(url);
    authority.parse().map_err(|_| BenchError::Plan(format!("{url} is no address of a server started here")))
}

impl Places {
    /// The host and the echo are at these places.
    pub(crate) fn new(
        host: Endpoint,
        echo_url: &str,
        #[cfg(feature = "host")] engine: muster_host::InProcess,
    ) -> Result<Places, BenchError> {
        Ok(Places {
            bare: bare_address(&host)?,
            echo: echo_address(echo_url)?,
            host,
            #[cfg(feature = "host")]
            engine: std::sync::Arc::new(engine),
        })
    }

    /// Opens a session, and says how long it took from before the TCP connection to the first row.
    pub(crate) async fn open(&self, system: System) -> Result<(Session, Duration), BenchError> {
        let began = Instant::now();
        let session = match timeout(PATIENCE, self.open_unlimited(system)).await {
            Ok(opened) => opened.map_err(BenchError::session(system.name()))?,
            Err(_) => return Err(BenchError::session(system.name())(format!("none in {} s", PATIENCE.as_secs()))),
        };
        Ok((session, began.elapsed()))
    }

    async fn open_unlimited(&self, system: System) -> Result<Session, String> {
        match system {
            System::Muster => self.open_muster(true).await,
            System::Unconfirmed => self.open_muster(false).await,
            System::Bare => {
                let mut socket = Bare::open(&self.bare).await?;
                socket.first_row().await?;
                Ok(Session::Bare(Box::new(socket)))
            }
            System::Echo => {
                let mut socket = Bare::open(&self.echo).await?;
                socket.echo(Bytes::from_static(FIRST_ROW.as_bytes())).await?;
                Ok(Session::Bare(Box::new(socket)))
            }
            #[cfg(feature = "host")]
            System::Engine => {
                let visit = self.engine.visit().await.map_err(|error| error.to_string())?;
                Ok(Session::Visit(Box::new(visit)))
            }
            #[cfg(not(feature = "host"))]
            System::Engine => Err("there is no engine in this build".into()),
        }
    }

    async fn open_muster(&self, confirmed: bool) -> Result<Session, String> {
        let options = ConnectOptions::new(self.host.clone()).confirmed(confirmed);
        // Who drops the other end gets no updates; none of these sessions follows what changes.
        let (connection, _) = connect(options).await.map_err(|error| error.to_string())?;
        let subscription = connection.subscribe(&[FIRST_ROW]).await.map_err(|error| error.to_string())?;
        if subscription.tables.is_empty() {
            return Err("the first row is missing".into());
        }
        Ok(Session::Muster(connection))
    }
}

impl Session {
    /// Closes it properly.
    pub(crate) async fn close(self) {
        let closing = async {
            match self {
                Session::Muster(connection) => drop(connection.close().await),
                Session::Bare(socket) => socket.close().await,
                #[cfg(feature = "host")]
                Session::Visit(visit) => visit.leave().await,
            }
        };
        // A server that does not close in time is not what is measured.
        let _ = timeout(PATIENCE, closing).await;
    }
}

/// The arguments of a call. Each differs from the one before: a row that is written as it was is no change, and an
/// engine need not store it.
pub(crate) fn call_args(number: u32) -> Bytes {
    args(&(format!("bench {:08x}", number),))
}
