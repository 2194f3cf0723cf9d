//! A client as lean as can be: a TCP socket, the WebSocket library, and the message types, without the queues, timers
//! and tasks of `muster-wire`. What Muster's own client costs is the difference to this one.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use muster_wire::messages::{CallReducer, ClientMessage, ReducerOutcome, ServerMessage, Subscribe};
use muster_wire::{Protocol, QuerySetId, frame, limits};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::limits::SESSIONS_PER_SOURCE;

const KIB: usize = 1_024;

/// The sizes that the host's own sockets have, for the echo server and for clients that must not need more memory than
/// what they measure.
pub(crate) fn socket_config() -> WebSocketConfig {
    WebSocketConfig::default().read_buffer_size(8 * KIB).write_buffer_size(32 * KIB)
}

/// Where a bare socket goes.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    /// Host and port.
    pub(crate) addr: SocketAddr,
    /// Path and query.
    pub(crate) path: String,
    /// What to speak; `None` for the echo.
    pub(crate) protocol: Option<Protocol>,
}

/// A bare WebSocket.
pub(crate) struct Bare {
    socket: WebSocketStream<TcpStream>,
}

impl Bare {
    /// Connects, up to the answer to the upgrade.
    pub(crate) async fn open(address: &Address) -> Result<Bare, String> {
        let tcp = TcpSocket::new_v4().map_err(text)?;
        tcp.bind(SocketAddr::new(next_source(), 0)).map_err(text)?;
        let stream = tcp.connect(address.addr).await.map_err(text)?;
        stream.set_nodelay(true).map_err(text)?;
        let url = format!("ws://{}{}", address.addr, address.path);
        let mut request = url.into_client_request().map_err(text)?;
        if let Some(protocol) = address.protocol {
            request.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol.as_str()));
        }
        let (socket, _) = client_async_with_config(request, stream, Some(socket_config())).await.map_err(text)?;
        Ok(Bare { socket })
    }

    /// Reads the greeting, follows the one row of `contract_info`, and returns once it is here.
    pub(crate) async fn first_row(&mut self) -> Result<(), String> {
        match self.receive().await?.as_slice() {
            [ServerMessage::InitialConnection(_)] => {}
            other => return Err(format!("not greeted, but {other:?}")),
        }
        let subscribe = ClientMessage::Subscribe(Subscribe {
            request_id: 1,
            query_set_id: QuerySetId { id: 1 },
            query_strings: vec![crate::systems::FIRST_ROW.into()],
        });
        self.send(&[subscribe]).await?;
        match self.receive().await?.as_slice() {
            [ServerMessage::SubscribeApplied(applied)] if !applied.rows.tables.is_empty() => Ok(()),
            other => Err(format!("no row, but {other:?}")),
        }
    }

    /// Sends a message and waits until it comes back.
    pub(crate) async fn echo(&mut self, payload: Bytes) -> Result<(), String> {
        self.socket.send(Message::Binary(payload)).await.map_err(text)?;
        self.next_payload().await.map(|_| ())
    }

    /// Sends messages, those that fit together in one frame.
    pub(crate) async fn send(&mut self, messages: &[ClientMessage]) -> Result<(), String> {
        for payload in frame::encode(Protocol::V3, messages) {
            self.socket.feed(Message::Binary(payload)).await.map_err(text)?;
        }
        self.socket.flush().await.map_err(text)
    }

    /// Sends payloads, each in a frame of its own.
    pub(crate) async fn send_payloads(&mut self, payload: &Bytes, times: usize) -> Result<(), String> {
        for _ in 0..times {
            self.socket.feed(Message::Binary(payload.clone())).await.map_err(text)?;
        }
        self.socket.flush().await.map_err(text)
    }

    /// The messages of the next frame.
    pub(crate) async fn receive(&mut self) -> Result<Vec<ServerMessage>, String> {
        let payload = self.next_payload().await?;
        frame::decode(Protocol::V3, &payload, limits::INBOUND_BYTES_MAX).map_err(text)
    }

    /// Waits for the next frame and for those that are here already, and counts them.
    pub(crate) async fn receive_payloads(&mut self) -> Result<usize, String> {
        self.next_payload().await?;
        let mut count = 1;
        while let Some(next) = futures::FutureExt::now_or_never(self.socket.next()) {
            match next {
                Some(Ok(message)) => count += usize::from(message.is_binary()),
                Some(Err(error)) => return Err(text(error)),
                None => return Err("the server ended the connection".into()),
            }
        }
        Ok(count)
    }

    /// Stays connected, and answers pings, until the server ends the connection, which is the result.
    pub(crate) async fn stay(mut self) -> String {
        loop {
            if let Err(reason) = self.next_payload().await {
                return reason;
            }
        }
    }

    /// Closes properly.
    pub(crate) async fn close(mut self) {
        // Whoever is gone already needs no farewell.
        if self.socket.close(None).await.is_ok() {
            while let Some(Ok(_)) = self.socket.next().await {}
        }
    }

    async fn next_payload(&mut self) -> Result<Bytes, String> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Binary(payload))) => return Ok(payload),
                Some(Ok(Message::Close(close))) => return Err(format!("the server closed it: {close:?}")),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(text(error)),
                None => return Err("the server ended the connection".into()),
            }
        }
    }
}

/// How many calls these messages answer.
pub(crate) fn answered(messages: &[ServerMessage]) -> Result<usize, String> {
    let mut count = 0;
    for message in messages {
        match message {
            ServerMessage::ReducerResult(result) => match &result.result {
                ReducerOutcome::Ok(_) | ReducerOutcome::OkEmpty => count += 1,
                failed => return Err(format!("a call failed: {failed:?}")),
            },
            ServerMessage::TransactionUpdate(_) => {}
            other => return Err(format!("no answer, but {other:?}")),
        }
    }
    Ok(count)
}

/// One call.
pub(crate) fn call(request_id: u32, reducer: &str, args: Bytes) -> ClientMessage {
    ClientMessage::CallReducer(CallReducer { request_id, flags: 0, reducer: reducer.into(), args })
}

/// An address of 127.0.0.0/8 that has ports left: the next one after so many sessions. 127.0.0.1 itself is left to
/// those who do not choose.
fn next_source() -> IpAddr {
    static OPENED: AtomicU32 = AtomicU32::new(0);
    source(OPENED.fetch_add(1, Ordering::Relaxed)).into()
}

fn source(opened: u32) -> Ipv4Addr {
    let index = opened / SESSIONS_PER_SOURCE % 250;
    Ipv4Addr::new(127, 0, 0, 2 + u8::try_from(index).expect("below 250"))
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_change_before_their_ports_run_out_and_come_round_again() {
        assert_eq!(source(0), Ipv4Addr::new(127, 0, 0, 2));
        assert_eq!(source(SESSIONS_PER_SOURCE - 1), Ipv4Addr::new(127, 0, 0, 2));
        assert_eq!(source(SESSIONS_PER_SOURCE), Ipv4Addr::new(127, 0, 0, 3));
        assert_eq!(source(SESSIONS_PER_SOURCE * 249), Ipv4Addr::new(127, 0, 0, 251));
        assert_eq!(source(SESSIONS_PER_SOURCE * 250), Ipv4Addr::new(127, 0, 0, 2));
    }
}
