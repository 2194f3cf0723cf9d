//! Making a connection: the HTTP upgrade, the host's greeting, the contract.
//!
//! What always holds: [`connect`] returns within its timeout, and either with a connection whose host has greeted and
//! whose module fits, or with an error that names the cause. The upgrade is an ordinary HTTP/1.1 request (RFC 6455,
//! section 4), made by the HTTP library, so that both ways to a host share one TLS configuration and one reading of
//! errors, and a refusal's body can be quoted.

use std::time::Duration;

use base64::Engine;
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use muster_contract::rows::{ContractInfo, Row};
use reqwest::{Response, StatusCode, Upgraded, header};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};

use crate::connection::{self, Connection, Incoming, Shared};
use crate::driver::{self, Socket};
use crate::endpoint::Endpoint;
use crate::error::{ConnectError, NetworkError, is_no_route, quote};
use crate::frame::Messages;
use crate::http::{HttpClient, HttpError};
use crate::messages::{InitialConnection, ServerMessage};
use crate::network::{classify, directed};
use crate::options::{ConnectOptions, Protocol};
use crate::session::Session;
use crate::tls;
use crate::token::Token;

/// Connects to a database: returns once the host has greeted, and, with [`ConnectOptions::expectations`], once the
/// module is known to fit. The connection is served by a task of its own on the current tokio runtime.
///
/// # Errors
/// [`ConnectError`].
///
/// # Panics
/// Outside a tokio runtime.
pub async fn connect(options: ConnectOptions) -> Result<(Connection, Incoming), ConnectError> {
    let limit = options.timeouts.connect;
    let authority = options.endpoint.authority();
    match tokio::time::timeout(limit, connect_unlimited(options)).await {
        Ok(result) => result,
        Err(_) => Err(NetworkError::Timeout { authority, limit }.into()),
    }
}

async fn connect_unlimited(options: ConnectOptions) -> Result<(Connection, Incoming), ConnectError> {
    let (mut socket, protocol) = upgrade(&options).await?;
    let greeting = greet(&options, &mut socket, protocol).await?;
    let token = Token::new(&greeting.token)
        .map_err(|error| broken_protocol(&options.endpoint, format!("it issued an unusable token ({error})")))?;
    let shared = Shared::new(greeting.identity, greeting.connection_id, token, protocol, options.timeouts.call);
    let (connection, incoming, ends) = connection::channels(shared, &options.queues);
    let parts = driver::Parts {
        socket,
        protocol,
        compression: options.compression,
        session: Session::new(options.timeouts, &options.queues),
        ends,
        message_bytes_max: options.queues.message_bytes,
        update_bytes_max: options.queues.update_bytes,
        slow_consumer: options.timeouts.slow_consumer,
    };
    tokio::spawn(driver::run(parts));
    if let Some(expectations) = &options.expectations {
        match check_contract(&options, expectations, &connection).await {
            Ok(contract) => connection.set_contract(contract),
            Err(error) => {
                connection.close().await;
                return Err(error);
            }
        }
    }
    Ok((connection, incoming))
}

/// Makes the upgrade request and reads its answer.
async fn upgrade(options: &ConnectOptions) -> Result<(Socket, Protocol), ConnectError> {
    let endpoint = &options.endpoint;
    let key = base64::engine::general_purpose::STANDARD.encode(rand::random::<[u8; 16]>());
    let offered = options.protocols.iter().map(|protocol| protocol.as_str()).collect::<Vec<_>>().join(", ");
    let mut url = endpoint.websocket_url();
    url.query_pairs_mut()
        .append_pair("compression", options.compression.as_str())
        .append_pair("confirmed", if options.confirmed { "true" } else { "false" });
    let mut request = http1_client(endpoint)?
        .get(url)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_KEY, &key)
        .header(header::SEC_WEBSOCKET_PROTOCOL, &offered);
    if let Some(token) = &options.token {
        request = request.bearer_auth(token.expose());
    }
    let response = request.send().await.map_err(|error| network(options, &error))?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(refused(options, &offered, response).await);
    }
    let protocol = agreed(options, &response, &key, &offered)?;
    let upgraded: Upgraded = response.upgrade().await.map_err(|error| network(options, &error))?;
    let config = WebSocketConfig::default()
        .max_message_size(Some(options.queues.message_bytes))
        .max_frame_size(Some(options.queues.message_bytes));
    Ok((WebSocketStream::from_raw_socket(upgraded, Role::Client, Some(config)).await, protocol))
}

/// A client for one request: an upgraded connection is never shared.
fn http1_client(endpoint: &Endpoint) -> Result<reqwest::Client, ConnectError> {
    directed(reqwest::Client::builder(), endpoint)
        .tls_backend_preconfigured(tls::client_config(true))
        .http1_only()
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("muster/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| ConnectError::Local(quote(&error.to_string())))
}

/// Which protocol a host agreed to, if its answer is a WebSocket's (RFC 6455, section 4.1).
fn agreed(options: &ConnectOptions, response: &Response, key: &str, offered: &str) -> Result<Protocol, ConnectError> {
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    if header(header::SEC_WEBSOCKET_ACCEPT) != Some(derive_accept_key(key.as_bytes()).as_str()) {
        return Err(broken_protocol(&options.endpoint, "its answer to the WebSocket request is not valid".into()));
    }
    header(header::SEC_WEBSOCKET_PROTOCOL)
        .and_then(Protocol::from_name)
        .filter(|protocol| options.protocols.contains(protocol))
        .ok_or_else(|| ConnectError::NoCommonProtocol {
            authority: options.endpoint.authority(),
            offered: offered.into(),
            said: String::new(),
        })
}

/// What an answer other than a switch of protocols means.
async fn refused(options: &ConnectOptions, offered: &str, response: Response) -> ConnectError {
    let status = response.status().as_u16();
    let said = quote(&body_start(response).await);
    let authority = options.endpoint.authority();
    let database = || options.endpoint.database().to_string();
    match status {
        400 if said.contains("protocol") => ConnectError::NoCommonProtocol { authority, offered: offered.into(), said },
        401 => ConnectError::Unauthorized { authority, said },
        403 => ConnectError::Forbidden { authority, database: database(), said },
        404 if is_no_route(&said) => ConnectError::NoSuchPath { authority, path: endpoint_path(options), said },
        404 => ConnectError::NoSuchDatabase { authority, database: database(), said },
        status => ConnectError::UnexpectedStatus { authority, status, said },
    }
}

/// The path of the upgrade request.
fn endpoint_path(options: &ConnectOptions) -> String {
    options.endpoint.websocket_url().path().into()
}

/// As much of a refusal's body as is worth quoting.
async fn body_start(mut response: Response) -> String {
    let mut start = Vec::new();
    while start.len() < crate::limits::QUOTE_BYTES_MAX {
        match response.chunk().await {
            Ok(Some(chunk)) => start.extend_from_slice(&chunk),
            Ok(None) | Err(_) => break,
        }
    }
    String::from_utf8_lossy(&start).into_owned()
}

/// Waits for the host's first message.
async fn greet(
    options: &ConnectOptions,
    socket: &mut Socket,
    protocol: Protocol,
) -> Result<InitialConnection, ConnectError> {
    let violation = |detail: &str| Err(broken_protocol(&options.endpoint, detail.into()));
    loop {
        match socket.next().await {
            Some(Ok(Message::Binary(payload))) => return greeting(options, protocol, &payload),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
            Some(Ok(Message::Text(_))) => return violation("it sent text where only binary is agreed"),
            Some(Err(SocketError::Capacity(_))) => return violation("its greeting is too large"),
            Some(Ok(Message::Close(Some(close)))) if !close.reason.is_empty() => {
                let said = quote(&close.reason);
                // The answer to the close frame is ready; it may be lost, but not keep the caller waiting.
                let _ = tokio::time::timeout(Duration::from_secs(1), socket.flush()).await;
                return Err(closed_at_the_door(options, close.code, said));
            }
            Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(closed_in_silence(options).await),
        }
    }
}

/// The host closed before it greeted, and said why: with the code for a policy, that is the module's refusal.
fn closed_at_the_door(options: &ConnectOptions, code: CloseCode, said: String) -> ConnectError {
    match code {
        CloseCode::Policy => ConnectError::Rejected { database: options.endpoint.database().into(), said },
        code => {
            not_greeted(options, format!("the host closed it with code {}, before it greeted: {said}", u16::from(code)))
        }
    }
}

/// The host closed before it greeted, without a word. SpacetimeDB's own hosts do that when the module refuses, but say
/// why to a request over HTTP.
async fn closed_in_silence(options: &ConnectOptions) -> ConnectError {
    let said = match HttpClient::new(options.endpoint.clone(), options.token.clone()) {
        Ok(client) => client.refusal().await,
        Err(_) => None,
    };
    match said {
        Some(said) => ConnectError::Rejected { database: options.endpoint.database().into(), said },
        None => not_greeted(options, "the host closed it before it greeted".into()),
    }
}

fn not_greeted(options: &ConnectOptions, reason: String) -> ConnectError {
    NetworkError::Broken { authority: options.endpoint.authority(), reason }.into()
}

fn greeting(options: &ConnectOptions, protocol: Protocol, payload: &Bytes) -> Result<InitialConnection, ConnectError> {
    let broken = |detail| Err(broken_protocol(&options.endpoint, detail));
    let messages = Messages::of(protocol, options.compression, payload, options.queues.message_bytes);
    let mut messages = match messages {
        Ok(messages) => messages,
        Err(error) => return broken(error.to_string()),
    };
    match messages.next() {
        // A host has nothing else to say before a client has asked for something. What more it says is not even decoded.
        Some(Ok(_)) if !messages.is_done() => broken("it said more than a greeting".into()),
        Some(Ok(ServerMessage::InitialConnection(greeting))) => Ok(greeting),
        Some(Err(error)) => broken(error.to_string()),
        Some(Ok(_)) | None => broken("its first message is no greeting".into()),
    }
}

/// Holds the module to what this client expects: first the shapes, without which its contract cannot even be read.
async fn check_contract(
    options: &ConnectOptions,
    expectations: &muster_contract::Client,
    connection: &Connection,
) -> Result<ContractInfo, ConnectError> {
    let schema_error = |error: HttpError| match error {
        HttpError::Network(error) => ConnectError::Network(error),
        error => ConnectError::Schema(Box::new(error)),
    };
    let client = HttpClient::new(options.endpoint.clone(), options.token.clone()).map_err(schema_error)?;
    let schema = client.schema().await.map_err(schema_error)?;
    expectations.check_tables(&schema.observed_tables())?;
    let table = ContractInfo::TABLE;
    let answer = connection
        .one_off_query(&format!("SELECT * FROM {table}"))
        .await
        .map_err(|error| ConnectError::ContractRow(error.to_string()))?;
    let mut rows = answer.rows::<ContractInfo>(table).map_err(|error| ConnectError::ContractRow(error.to_string()))?;
    match (rows.pop(), rows.is_empty()) {
        (Some(row), true) => {
            expectations.check_contract(&row)?;
            Ok(row)
        }
        _ => Err(ConnectError::ContractRow(format!("table `{table}` does not have exactly one row"))),
    }
}

fn network(options: &ConnectOptions, error: &reqwest::Error) -> ConnectError {
    let limit: Duration = options.timeouts.connect;
    classify(error, &options.endpoint.authority(), limit).into()
}

fn broken_protocol(endpoint: &Endpoint, detail: String) -> ConnectError {
    ConnectError::Protocol { authority: endpoint.authority(), detail }
}

#[cfg(test)]
mod tests;
