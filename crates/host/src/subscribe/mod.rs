//! The WebSocket sessions of the host: `GET /v1/database/{name}/subscribe`.
//!
//! | file | question it answers |
//! | --- | --- |
//! | `handshake.rs` | is this a WebSocket, and in which protocol? |
//! | `mod.rs` (here) | may this client connect, and what does it hear first? |
//! | `presence.rs` | when does a client's row disappear? (how: [`crate::departure`]) |
//! | `session.rs` | what runs while a client is connected? |
//! | `liveness.rs` | when is a client pinged, closed, given up? |
//! | `inbound.rs`, `outbound.rs`, `encode.rs` | how do messages travel? |
//! | `close.rs`, `limits.rs` | with which codes, under which limits? |
//!
//! Always true: a client that the module refused hears why and leaves no row; a client that the module accepted has a
//! [`Presence`](presence::Presence) from that moment on.
//!
//! **For the router.** [`Handshake`] is an axum extractor and stands where `axum::extract::ws::WebSocketUpgrade` would
//! (see `handshake.rs` for why it is not that). Find the database and authenticate first, then call [`upgrade`], which
//! answers at once. On shutdown: cancel `shutdown`, close `tracker` and wait for it, and only then exit the modules, so
//! that every `client_disconnected` has run. [`WebSocketLimits`] are to be validated when the host is built.

mod close;
mod encode;
mod handshake;
mod inbound;
mod limits;
mod liveness;
mod outbound;
mod presence;
mod session;

use std::sync::Arc;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use futures::{SinkExt, StreamExt};
use http::StatusCode;
use serde::Deserialize;
use spacetimedb::client::{
    ClientActorId, ClientActorIndex, ClientConfig, ClientConnection, OutboundMessage, SessionId, WsVersion,
};
use spacetimedb::host::module_host::ClientConnectedError;
use spacetimedb::host::{HostController, ModuleHost};
use spacetimedb::worker_metrics::{ClientRejectCause, record_client_rejection};
use spacetimedb_auth::identity::ConnectionAuthCtx;
use spacetimedb_client_api_messages::websocket::common::Compression;
use spacetimedb_client_api_messages::websocket::{v1, v2};
use spacetimedb_lib::connection_id::ConnectionIdForUrl;
use spacetimedb_lib::identity::AuthCtx;
use spacetimedb_lib::{ConnectionId, Identity};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::close::CloseReason;
use self::handshake::{Socket, Upgrade};
use self::presence::Presence;
use crate::connection::random_connection_id;
use crate::departure::Departure;

pub(crate) use self::handshake::Handshake;
pub use self::limits::{WebSocketLimits, WebSocketLimitsError};

/// Confirmed reads where the client does not choose: SpacetimeDB's default from `v2` on.
const CONFIRMED_READS_DEFAULT: bool = true;

/// What a session needs from the rest of the host.
pub(crate) struct SessionStart {
    /// The engine.
    pub(crate) host: HostController,
    /// The database's module, followed across updates.
    pub(crate) module_rx: watch::Receiver<ModuleHost>,
    /// The database's replica.
    pub(crate) replica_id: u64,
    /// One for the whole host: names connections and knows which connection holds which `session_id`.
    pub(crate) clients: Arc<ClientActorIndex>,
    /// What the module sees of the token.
    pub(crate) auth: ConnectionAuthCtx,
    /// What the client may do in SQL.
    pub(crate) sql_auth: AuthCtx,
    /// The client.
    pub(crate) identity: Identity,
    /// Sent back to the client in the first message.
    pub(crate) token: String,
    /// Cancelled when the host stops.
    pub(crate) shutdown: CancellationToken,
    /// Every session and every `client_disconnected` runs on it.
    pub(crate) tracker: TaskTracker,
}

/// The query parameters, as SpacetimeDB 2.14 names them (`token` belongs to authentication).
#[derive(Debug, Deserialize)]
pub(crate) struct SubscribeQuery {
    /// 32 hexadecimal digits. Random where absent; all zeros is reserved and refused.
    connection_id: Option<ConnectionIdForUrl>,
    /// `None`, `Gzip` or `Brotli` (the default) for what is large enough.
    #[serde(default)]
    compression: Compression,
    /// `v1` only: leave out who called what in transaction updates.
    #[serde(default)]
    light: bool,
    /// Whether to hear only of what is durable. Default: yes from `v2` on.
    confirmed: Option<bool>,
    /// 32 hexadecimal digits, chosen by the client: while a connection of its identity holds it, another is closed with 4000.
    session_id: Option<ConnectionIdForUrl>,
}

/// Answers the request and, if it is in order, starts the session. 400 without a subprotocol that the host speaks, or
/// with the reserved connection id.
pub(crate) fn upgrade(
    start: SessionStart,
    query: &SubscribeQuery,
    handshake: Handshake,
    limits: &WebSocketLimits,
) -> Response {
    let connection_id = query.connection_id.map_or_else(random_connection_id, ConnectionId::from);
    if connection_id == ConnectionId::ZERO {
        return (StatusCode::BAD_REQUEST, "Invalid connection ID: the all-zeros ConnectionId is reserved.")
            .into_response();
    }
    let Some(subprotocol) = handshake.subprotocol() else {
        record_client_rejection(database(&start.module_rx), ClientRejectCause::InvalidProtocol);
        return (StatusCode::BAD_REQUEST, "no valid protocol selected").into_response();
    };
    let (response, upgrade) = handshake.accept(subprotocol);
    let config = ClientConfig {
        protocol: subprotocol.format,
        version: subprotocol.version,
        compression: query.compression,
        tx_update_full: !query.light,
        confirmed_reads: query.confirmed.unwrap_or(match subprotocol.version {
            WsVersion::V1 => false,
            WsVersion::V2 | WsVersion::V3 => CONFIRMED_READS_DEFAULT,
        }),
    };
    let client = ClientActorId { identity: start.identity, connection_id, name: start.clients.next_client_name() };
    let session_id = query.session_id.map(|id| SessionId::from_u128(ConnectionId::from(id).to_u128()));
    let admission = Admission { start, client, config, session_id, limits: *limits };
    admission.start.tracker.clone().spawn(admission.run(upgrade));
    response
}

/// A client at the door.
struct Admission {
    start: SessionStart,
    client: ClientActorId,
    config: ClientConfig,
    session_id: Option<SessionId>,
    limits: WebSocketLimits,
}

impl Admission {
    async fn run(mut self, upgrade: Upgrade) {
        let database = database(&self.start.module_rx);
        let Some(socket) = upgrade.socket(self.limits.incoming_message_bytes).await else {
            record_client_rejection(database, ClientRejectCause::WebsocketUpgradeError);
            return;
        };
        let sessions = self.start.clients.sessions();
        let reserved = self.session_id.map(|id| sessions.try_reserve(database, self.client, id)).transpose();
        let Ok(reservation) = reserved else {
            return self.refuse(socket, CloseReason::SessionBusy).await;
        };
        let connected = ClientConnection::call_client_connected_maybe_reject(
            &mut self.start.module_rx,
            self.client,
            self.start.auth.clone(),
        );
        let connected = match connected.await {
            Ok(connected) => connected,
            Err(error) => {
                tracing::info!(client = %self.client, "refused: {error:#}");
                let (cause, reason) = refusal(error, self.client.connection_id);
                record_client_rejection(database, cause);
                return self.refuse(socket, reason).await;
            }
        };
        // Nothing may wait between this and the line above: the module knows the client from here on.
        let Self { start, client, config, limits, .. } = self;
        let departure =
            Departure { client, replica_id: start.replica_id, module_rx: start.module_rx.clone(), host: start.host };
        let presence = Presence::of(departure, reservation, start.tracker.clone());
        let first = first_message(config.version, client, start.token);
        let shutdown = start.shutdown;
        // The engine runs the session on a task of its own, to abort it when the client does not read.
        let actor = move |connection: ClientConnection, receiver| {
            if let Some(reservation) = presence.reservation() {
                reservation.establish(&connection.sender());
            }
            // Before the socket is read, so that it is the first message whatever the client asks for.
            if let Err(error) = connection.send_message(None, first) {
                tracing::debug!(%client, "the first message was not sent: {error}");
            }
            async move {
                let _presence = presence;
                let recorder = connection.disconnect_recorder();
                let ending = session::run(connection, receiver, socket, limits, shutdown).await;
                tracing::debug!(%client, "session ended: {ending:?}");
                if let Some(recorder) = recorder {
                    recorder.record(ending.cause());
                }
            }
        };
        ClientConnection::spawn(
            client,
            start.auth,
            start.sql_auth,
            config,
            start.replica_id,
            start.module_rx,
            actor,
            connected,
        )
        .await;
    }

    async fn refuse(self, socket: Socket, reason: CloseReason) {
        close_socket(socket, &reason, self.limits.close_handshake_timeout).await;
    }
}

fn refusal(error: ClientConnectedError, connection_id: ConnectionId) -> (ClientRejectCause, CloseReason) {
    match error {
        ClientConnectedError::Rejected(message) => {
            (ClientRejectCause::ClientConnectedRejected, CloseReason::Rejected(message.into()))
        }
        ClientConnectedError::OutOfEnergy => {
            (ClientRejectCause::OutOfEnergy, CloseReason::CannotConnect("out of energy".into()))
        }
        // The engine's words for a row of `st_client` that is there already.
        error if format!("{error:#}").contains("`st_client`") => {
            let in_use = CloseReason::ConnectionIdInUse(connection_id.to_hex().to_string());
            (ClientRejectCause::ClientConnectedError, in_use)
        }
        error @ (ClientConnectedError::DBError(_) | ClientConnectedError::ReducerCall(_)) => {
            (ClientRejectCause::ClientConnectedError, CloseReason::CannotConnect(format!("{error:#}")))
        }
    }
}

/// Says why, and waits a moment for the client's answer, so that the reason is not lost in a reset connection.
async fn close_socket(mut socket: Socket, reason: &CloseReason, limit: Duration) {
    let goodbye = async {
        socket.send(Message::Close(Some(reason.frame()))).await?;
        while socket.next().await.transpose()?.is_some() {}
        Ok::<_, tokio_tungstenite::tungstenite::Error>(())
    };
    match tokio::time::timeout(limit, goodbye).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!("a refused client was gone already: {error}"),
        Err(_) => tracing::debug!("a refused client did not answer the Close frame"),
    }
}

/// What every client hears first: who it is, and the token to come back with.
fn first_message(version: WsVersion, client: ClientActorId, token: String) -> OutboundMessage {
    let ClientActorId { identity, connection_id, .. } = client;
    let token = token.into();
    match version {
        WsVersion::V1 => OutboundMessage::V1(v1::IdentityToken { identity, token, connection_id }.into()),
        WsVersion::V2 | WsVersion::V3 => {
            OutboundMessage::V2(v2::ServerMessage::InitialConnection(v2::InitialConnection {
                identity,
                connection_id,
                token,
            }))
        }
    }
}

fn database(module_rx: &watch::Receiver<ModuleHost>) -> Identity {
    module_rx.borrow().info().database_identity
}

#[cfg(test)]
mod tests {
    use axum::extract::Query;

    use super::*;

    fn query(text: &str) -> Result<SubscribeQuery, String> {
        let uri: http::Uri = format!("/?{text}").parse().unwrap();
        Query::try_from_uri(&uri).map(|Query(query)| query).map_err(|error| error.to_string())
    }

    #[test]
    fn query_parameters_have_spacetimedbs_names_and_defaults() {
        let plain = query("token=abc").unwrap();
        assert_eq!(plain.compression, Compression::Brotli);
        assert!(plain.connection_id.is_none() && !plain.light && plain.confirmed.is_none());
        let full = query(
            "connection_id=000102030405060708090a0b0c0d0e0f&compression=Gzip&light=true&confirmed=false\
             &session_id=00000000000000000000000000000007",
        )
        .unwrap();
        assert_eq!(full.compression, Compression::Gzip);
        assert_eq!(full.confirmed, Some(false));
        assert!(full.light);
        assert_eq!(full.session_id.map(|id| ConnectionId::from(id).to_u128()), Some(7));
        assert!(query("compression=Zip").is_err());
    }
}
