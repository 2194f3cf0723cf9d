//! One WebSocket of the table: what is said in each protocol, and what is heard.

use std::io::Read;

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use spacetimedb_client_api_messages::websocket::common::QuerySetId;
use spacetimedb_client_api_messages::websocket::{v1, v2};
use spacetimedb_lib::bsatn;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::World;
use crate::support::soon;

/// The protocols of SpacetimeDB.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    V1Json,
    V1,
    V2,
    V3,
}

impl Protocol {
    pub(super) const ALL: [Self; 4] = [Self::V1Json, Self::V1, Self::V2, Self::V3];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::V1Json => "v1.json.spacetimedb",
            Self::V1 => "v1.bsatn.spacetimedb",
            Self::V2 => "v2.bsatn.spacetimedb",
            Self::V3 => "v3.bsatn.spacetimedb",
        }
    }

    pub(super) fn is_v1(self) -> bool {
        matches!(self, Self::V1Json | Self::V1)
    }
}

/// What a client says.
pub(super) enum Say {
    Subscribe(&'static str),
    Unsubscribe,
    /// A reducer, its arguments in JSON and in BSATN.
    Call(&'static str, String, Vec<u8>),
    /// A procedure, its arguments in JSON and in BSATN.
    Procedure(&'static str, String, Vec<u8>),
    Query(&'static str),
    /// Three bytes, or words, that are no message.
    Garbage,
}

/// What a client hears: the name of a message, and what is in it.
pub(super) struct Heard {
    pub(super) name: String,
    pub(super) text: String,
}

type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// An open WebSocket.
pub(super) struct Socket {
    protocol: Protocol,
    inner: Stream,
    /// The compression tag of the last payload.
    pub(super) tag: u8,
}

/// Opens a WebSocket to `features`, or says with which status and body that is refused.
pub(super) async fn open(world: &World, protocol: Protocol, query: &str) -> Result<Socket, (u16, String)> {
    open_as(world, protocol, query, None).await
}

/// The same, with a token in the `Authorization` header.
pub(super) async fn open_as(
    world: &World,
    protocol: Protocol,
    query: &str,
    token: Option<&str>,
) -> Result<Socket, (u16, String)> {
    let (inner, chosen) = dial_as(world, "features", Some(protocol.name()), query, token).await?;
    assert_eq!(chosen.as_deref(), Some(protocol.name()));
    Ok(Socket { protocol, inner, tag: 0 })
}

/// A WebSocket and the protocol that the host chose, or the status and body of the refusal.
pub(super) async fn dial(
    world: &World,
    database: &str,
    protocols: Option<&str>,
    query: &str,
) -> Result<(Stream, Option<String>), (u16, String)> {
    dial_as(world, database, protocols, query, None).await
}

async fn dial_as(
    world: &World,
    database: &str,
    protocols: Option<&str>,
    query: &str,
    token: Option<&str>,
) -> Result<(Stream, Option<String>), (u16, String)> {
    let url = format!("ws://{}/v1/database/{database}/subscribe?{query}", world.host.local_addr());
    let mut request = url.into_client_request().unwrap();
    if let Some(protocols) = protocols {
        request.headers_mut().insert("sec-websocket-protocol", protocols.parse().unwrap());
    }
    if let Some(token) = token {
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    match soon("a WebSocket", connect_async(request)).await {
        Ok((socket, response)) => {
            let chosen = response.headers().get("sec-websocket-protocol");
            Ok((socket, chosen.map(|it| it.to_str().unwrap().to_owned())))
        }
        Err(Error::Http(response)) => {
            let body = response.body().as_deref().unwrap_or_default();
            Err((response.status().as_u16(), String::from_utf8_lossy(body).into_owned()))
        }
        Err(e) => panic!("{e}"),
    }
}

impl Socket {
    pub(super) async fn say(&mut self, say: Say) {
        let message = match self.protocol {
            Protocol::V1Json => Message::text(in_json(say)),
            Protocol::V1 => Message::binary(in_v1(say)),
            Protocol::V2 | Protocol::V3 => Message::binary(in_v2(say)),
        };
        self.inner.send(message).await.unwrap();
    }

    /// The next message.
    pub(super) async fn hear(&mut self) -> Heard {
        loop {
            match soon("a message", self.inner.next()).await {
                Some(Ok(Message::Text(text))) => return heard_json(&text),
                Some(Ok(Message::Binary(bytes))) => {
                    self.tag = bytes[0];
                    let plain = plain(&bytes);
                    return if self.protocol.is_v1() { heard_v1(&plain) } else { heard_v2(&plain) };
                }
                Some(Ok(Message::Close(frame))) => {
                    let (code, reason) = frame.map_or((0, String::new()), |it| (it.code.into(), it.reason.to_string()));
                    return Heard { name: format!("Close {code}"), text: reason };
                }
                Some(Ok(_)) => {}
                other => return Heard { name: "the end".into(), text: format!("{other:?}") },
            }
        }
    }
}

fn plain(payload: &[u8]) -> Vec<u8> {
    let (tag, body) = payload.split_first().expect("a tag");
    let mut plain = Vec::new();
    match tag {
        0 => plain.extend_from_slice(body),
        1 => drop(brotli::Decompressor::new(body, 4096).read_to_end(&mut plain).unwrap()),
        2 => drop(flate2::read::GzDecoder::new(body).read_to_end(&mut plain).unwrap()),
        other => panic!("compression {other}"),
    }
    plain
}

fn in_json(say: Say) -> String {
    let message = match say {
        Say::Subscribe(query) => {
            json!({"SubscribeMulti": {"query_strings": [query], "request_id": 1, "query_id": {"id": 1}}})
        }
        Say::Unsubscribe => json!({"UnsubscribeMulti": {"request_id": 2, "query_id": {"id": 1}}}),
        Say::Call(reducer, args, _) => {
            json!({"CallReducer": {"reducer": reducer, "args": args, "request_id": 3, "flags": 0}})
        }
        Say::Procedure(procedure, args, _) => {
            json!({"CallProcedure": {"procedure": procedure, "args": args, "request_id": 4, "flags": 0}})
        }
        Say::Query(query) => json!({"OneOffQuery": {"message_id": "05", "query_string": query}}),
        Say::Garbage => return "no message".into(),
    };
    message.to_string()
}

fn in_v1(say: Say) -> Vec<u8> {
    use v1::ClientMessage as M;
    let query_id = QuerySetId::new(1);
    let message: v1::ClientMessage<bytes::Bytes> = match say {
        Say::Subscribe(query) => {
            M::SubscribeMulti(v1::SubscribeMulti { query_strings: [query.into()].into(), request_id: 1, query_id })
        }
        Say::Unsubscribe => M::UnsubscribeMulti(v1::UnsubscribeMulti { request_id: 2, query_id }),
        Say::Call(reducer, _, args) => M::CallReducer(v1::CallReducer {
            reducer: reducer.into(),
            args: args.into(),
            request_id: 3,
            flags: Default::default(),
        }),
        Say::Procedure(procedure, _, args) => M::CallProcedure(v1::CallProcedure {
            procedure: procedure.into(),
            args: args.into(),
            request_id: 4,
            flags: Default::default(),
        }),
        Say::Query(query) => M::OneOffQuery(v1::OneOffQuery { message_id: [5].into(), query_string: query.into() }),
        Say::Garbage => return vec![0xff; 3],
    };
    bsatn::to_vec(&message).unwrap()
}

fn in_v2(say: Say) -> Vec<u8> {
    use v2::ClientMessage as M;
    let query_set_id = QuerySetId::new(1);
    let message = match say {
        Say::Subscribe(query) => {
            M::Subscribe(v2::Subscribe { request_id: 1, query_set_id, query_strings: [query.into()].into() })
        }
        Say::Unsubscribe => M::Unsubscribe(v2::Unsubscribe { request_id: 2, query_set_id, flags: Default::default() }),
        Say::Call(reducer, _, args) => M::CallReducer(v2::CallReducer {
            request_id: 3,
            flags: Default::default(),
            reducer: reducer.into(),
            args: args.into(),
        }),
        Say::Procedure(procedure, _, args) => M::CallProcedure(v2::CallProcedure {
            request_id: 4,
            flags: Default::default(),
            procedure: procedure.into(),
            args: args.into(),
        }),
        Say::Query(query) => M::OneOffQuery(v2::OneOffQuery { request_id: 5, query_string: query.into() }),
        Say::Garbage => return vec![0xff; 3],
    };
    bsatn::to_vec(&message).unwrap()
}

fn heard_json(text: &str) -> Heard {
    let message: Value = serde_json::from_str(text).unwrap();
    let name = message.as_object().and_then(|it| it.keys().next()).expect("one variant").clone();
    Heard { name, text: text.to_owned() }
}

fn heard_v1(bytes: &[u8]) -> Heard {
    use v1::ServerMessage as M;
    let message: v1::ServerMessage<v1::BsatnFormat> = bsatn::from_slice(bytes).unwrap();
    let (name, text) = match message {
        M::InitialSubscription(_) => ("InitialSubscription", String::new()),
        M::TransactionUpdate(it) => ("TransactionUpdate", format!("{:?}", it.status)),
        M::TransactionUpdateLight(it) => ("TransactionUpdateLight", format!("{:?}", it.update)),
        M::IdentityToken(it) => ("IdentityToken", format!("{it:?}")),
        M::OneOffQueryResponse(it) => ("OneOffQueryResponse", format!("{it:?}")),
        M::SubscribeApplied(_) => ("SubscribeApplied", String::new()),
        M::UnsubscribeApplied(_) => ("UnsubscribeApplied", String::new()),
        M::SubscriptionError(it) => ("SubscriptionError", it.error.into()),
        M::SubscribeMultiApplied(it) => ("SubscribeMultiApplied", format!("{:?}", it.update)),
        M::UnsubscribeMultiApplied(it) => ("UnsubscribeMultiApplied", format!("{:?}", it.update)),
        M::ProcedureResult(it) => ("ProcedureResult", format!("{:?}", it.status)),
    };
    Heard { name: name.into(), text }
}

fn heard_v2(bytes: &[u8]) -> Heard {
    let message: v2::ServerMessage = bsatn::from_slice(bytes).unwrap();
    let text = format!("{message:?}");
    let name = text.split('(').next().unwrap_or_default().to_owned();
    Heard { name, text }
}
