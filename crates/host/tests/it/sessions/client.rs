//! A host with the project's module on it, and a client that speaks its WebSocket with the official message types over
//! a plain socket. Every wait has a deadline.

use std::collections::VecDeque;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use muster_host::{Host, HostBuilder, RunningHost};
use spacetimedb_client_api_messages::websocket::common::QuerySetId;
use spacetimedb_client_api_messages::websocket::v2::{
    CallReducer, ClientMessage, OneOffQuery, QueryRows, ReducerOutcome, ServerMessage, Subscribe,
};
use spacetimedb_lib::{ConnectionId, Identity, bsatn};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

pub(crate) const V2: &str = "v2.bsatn.spacetimedb";
pub(crate) const V3: &str = "v3.bsatn.spacetimedb";

/// No state in these tests takes longer to come about, however busy the machine.
const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}

/// The module, built once: `MUSTER_MODULE_WASM`, or what `scripts/build-module` makes.
fn module() -> &'static [u8] {
    static MODULE: OnceLock<Vec<u8>> = OnceLock::new();
    MODULE.get_or_init(|| {
        let path = std::env::var_os("MUSTER_MODULE_WASM").map_or_else(built_module, PathBuf::from);
        std::fs::read(path).unwrap()
    })
}

/// The same module with an empty custom section at its end: another hash, the same behaviour.
pub(crate) fn updated_module() -> Vec<u8> {
    [module(), &[0, 2, 1, b'x']].concat()
}

fn built_module() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/build-module");
    let output = std::process::Command::new(script).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

/// A running host with the database `test`.
pub(crate) struct Server {
    pub(crate) host: RunningHost,
    pub(crate) owner_token: String,
}

impl Server {
    pub(crate) async fn start(builder: HostBuilder) -> Self {
        let host = builder.start().await.unwrap();
        let server = Self { owner_token: String::new(), host };
        let response = server.http("POST", "/v1/identity", Vec::new()).await;
        let owner: serde_json::Value = serde_json::from_str(&response).unwrap();
        let server = Self { owner_token: owner["token"].as_str().unwrap().to_owned(), ..server };
        server.http("PUT", "/v1/database/test", module().to_vec()).await;
        server
    }

    /// Ends the host, so that nothing of it is still running when the test's runtime goes.
    pub(crate) async fn stop(self) {
        soon("the host's end", self.host.shutdown()).await;
    }

    pub(crate) async fn in_memory() -> Self {
        Self::start(Host::builder().in_memory()).await
    }

    /// The body of an answer that must be a success.
    pub(crate) async fn http(&self, method: &str, path: &str, body: Vec<u8>) -> String {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut request = reqwest::Client::new()
            .request(method.parse().unwrap(), format!("{}{path}", self.host.url()))
            .header("content-type", "application/wasm")
            .body(body);
        if !self.owner_token.is_empty() {
            request = request.bearer_auth(&self.owner_token);
        }
        let response = soon("an answer over HTTP", request.send()).await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        assert!(status.is_success(), "{method} {path}: {status} {text}");
        text
    }

    /// Tries to connect.
    pub(crate) async fn try_connect(&self, protocol: Option<&str>, query: &str) -> Result<Client, Error> {
        self.try_connect_at(self.host.local_addr(), protocol, query).await
    }

    /// Tries to connect by way of `addr`.
    pub(crate) async fn try_connect_at(
        &self,
        addr: SocketAddr,
        protocol: Option<&str>,
        query: &str,
    ) -> Result<Client, Error> {
        let url = format!("ws://{addr}/v1/database/test/subscribe?{query}");
        let mut request = url.into_client_request().unwrap();
        if let Some(protocol) = protocol {
            request.headers_mut().insert("sec-websocket-protocol", protocol.parse().unwrap());
        }
        let (socket, response) = soon("a WebSocket", connect_async(request)).await?;
        assert_eq!(response.headers().get("sec-websocket-protocol").map(|value| value.to_str().unwrap()), protocol);
        Ok(Client { socket, ready: VecDeque::new(), tags: Vec::new(), largest_payload: 0 })
    }

    /// Connects, and reads who the host says the client is.
    pub(crate) async fn connect(&self, protocol: &str, query: &str) -> (Client, Identity, ConnectionId) {
        let mut client = self.try_connect(Some(protocol), query).await.unwrap();
        match client.next().await {
            ServerMessage::InitialConnection(first) => {
                assert!(!first.token.is_empty());
                (client, first.identity, first.connection_id)
            }
            other => panic!("the first message is {other:?}"),
        }
    }
}

/// A line to `host` for one connection, on which what the host sends passes at `bytes_per_second`.
pub(crate) async fn slow_line(host: SocketAddr, bytes_per_second: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (near, _) = listener.accept().await.unwrap();
        let far = TcpSocket::new_v4().unwrap();
        // Small windows and segments as on a real line; between them, the kernel would hold back megabytes.
        far.set_recv_buffer_size(32 * 1024).unwrap();
        socket2::SockRef::from(&far).set_tcp_mss(1400).unwrap();
        let (mut far_in, mut far_out) = far.connect(host).await.unwrap().into_split();
        let (mut near_in, mut near_out) = near.into_split();
        let up = async { tokio::io::copy(&mut near_in, &mut far_out).await.map(drop) };
        let down = async {
            let mut buffer = vec![0; bytes_per_second / 100];
            loop {
                let read = far_in.read(&mut buffer).await?;
                if read == 0 {
                    return Ok::<(), std::io::Error>(());
                }
                near_out.write_all(&buffer[..read]).await?;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let _ = tokio::try_join!(up, down);
    });
    addr
}

/// A connected client.
pub(crate) struct Client {
    pub(crate) socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    ready: VecDeque<ServerMessage>,
    /// The compression tag of each payload so far.
    pub(crate) tags: Vec<u8>,
    /// The most messages that one payload carried.
    pub(crate) largest_payload: usize,
}

impl Client {
    /// Sends messages in one WebSocket message; more than one only on `v3`.
    pub(crate) async fn send(&mut self, messages: &[ClientMessage]) {
        let payload: Vec<u8> = messages.iter().flat_map(|message| bsatn::to_vec(message).unwrap()).collect();
        self.socket.send(Message::Binary(payload.into())).await.unwrap();
    }

    /// The next message of the host.
    pub(crate) async fn next(&mut self) -> ServerMessage {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return message;
            }
            match soon("a message", self.socket.next()).await {
                Some(Ok(Message::Binary(payload))) => self.decode(&payload),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("expected a message, got {other:?}"),
            }
        }
    }

    /// Reads on until the host closes, and says with what.
    pub(crate) async fn closed(&mut self) -> Option<CloseFrame> {
        let end = async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Close(frame))) => return frame,
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return None,
                }
            }
        };
        soon("the end", end).await
    }

    fn decode(&mut self, payload: &Bytes) {
        let (tag, body) = payload.split_first().unwrap();
        let mut plain = Vec::new();
        match tag {
            0 => plain.extend_from_slice(body),
            1 => drop(brotli::Decompressor::new(body, 4096).read_to_end(&mut plain).unwrap()),
            2 => drop(flate2::read::GzDecoder::new(body).read_to_end(&mut plain).unwrap()),
            other => panic!("compression {other}"),
        }
        let mut rest = plain.as_slice();
        let before = self.ready.len();
        while !rest.is_empty() {
            self.ready.push_back(bsatn::from_reader(&mut rest).unwrap());
        }
        self.tags.push(*tag);
        self.largest_payload = self.largest_payload.max(self.ready.len() - before);
    }

    /// The next message of the host, in JSON.
    pub(crate) async fn next_text(&mut self) -> String {
        match soon("a text message", self.socket.next()).await {
            Some(Ok(Message::Text(text))) => text.to_string(),
            other => panic!("expected text, got {other:?}"),
        }
    }

    /// Asks for the rows of `sql`.
    pub(crate) async fn ask(&mut self, sql: &str) {
        self.send(&[ClientMessage::OneOffQuery(OneOffQuery { request_id: 77, query_string: sql.into() })]).await;
    }

    /// The rows that `sql` gives now.
    pub(crate) async fn query(&mut self, sql: &str) -> Vec<Bytes> {
        self.ask(sql).await;
        loop {
            if let ServerMessage::OneOffQueryResult(answer) = self.next().await {
                assert_eq!(answer.request_id, 77);
                return rows(&answer.result.unwrap());
            }
        }
    }

    /// Waits until `connection` is in the module's table of connections, or is not.
    pub(crate) async fn sees(&mut self, connection: ConnectionId, present: bool) {
        let wait = async {
            // The connection id is the first column.
            while self.connections().await.contains(&connection) != present {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        soon(if present { "a row" } else { "no row" }, wait).await;
    }

    /// Everybody in the module's table of connections.
    pub(crate) async fn connections(&mut self) -> Vec<ConnectionId> {
        let rows = self.query("SELECT * FROM active_connection").await;
        rows.iter().map(|row| ConnectionId::from_le_byte_array(row[..16].try_into().unwrap())).collect()
    }
}

/// The rows of a query over one table.
fn rows(answer: &QueryRows) -> Vec<Bytes> {
    answer.tables.iter().flat_map(|table| &table.rows).collect()
}

pub(crate) fn subscribe(sql: &str) -> ClientMessage {
    ClientMessage::Subscribe(Subscribe {
        request_id: 1,
        query_set_id: QuerySetId::new(1),
        query_strings: [sql.into()].into(),
    })
}

pub(crate) fn set_name(request_id: u32, name: &str) -> ClientMessage {
    ClientMessage::CallReducer(CallReducer {
        request_id,
        flags: Default::default(),
        reducer: "set_name".into(),
        args: bsatn::to_vec(&(name.to_owned(),)).unwrap().into(),
    })
}

/// Whether a reducer's answer is a success.
pub(crate) fn succeeded(outcome: &ReducerOutcome) -> bool {
    matches!(outcome, ReducerOutcome::Ok(_) | ReducerOutcome::OkEmpty)
}
