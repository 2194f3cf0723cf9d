//! A client of a host, for tests: an identity and the few requests that tests make.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use muster_host::{Host, RunningHost};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;

/// How long a test waits for a state that must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A host in memory.
pub(crate) async fn host() -> RunningHost {
    Host::builder().in_memory().start().await.unwrap()
}

/// Somebody with a token, or nobody.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
    pub(crate) identity: String,
    pub(crate) token: Option<String>,
}

impl Client {
    /// A client with a new identity.
    pub(crate) async fn new(url: String) -> Self {
        let mut client = Self::nobody(url);
        let created = client.post("/v1/identity").send().await.unwrap();
        let created: Value = created.json().await.unwrap();
        client.identity = text(&created["identity"]);
        client.token = Some(text(&created["token"]));
        client
    }

    /// A client without a token.
    pub(crate) fn nobody(url: String) -> Self {
        // Installed twice is installed once: every test asks.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().timeout(PATIENCE).build().unwrap();
        Self { http, url, identity: String::new(), token: None }
    }

    /// The same client with another token.
    pub(crate) fn with_token(&self, token: impl Into<String>) -> Self {
        Self { token: Some(token.into()), ..self.clone() }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.request(Method::POST, path)
    }

    pub(crate) fn put(&self, path: &str) -> RequestBuilder {
        self.request(Method::PUT, path)
    }

    pub(crate) fn delete(&self, path: &str) -> RequestBuilder {
        self.request(Method::DELETE, path)
    }

    /// Publishes to `name` and expects it to work; returns the database's identity.
    pub(crate) async fn publish(&self, name: &str, module: Vec<u8>) -> String {
        let published = json(self.put(&format!("/v1/database/{name}")).body(module)).await;
        text(&published["Success"]["database_identity"])
    }

    /// Calls a function with JSON arguments.
    pub(crate) async fn call(&self, database: &str, function: &str, args: Value) -> (StatusCode, String) {
        answer(self.post(&format!("/v1/database/{database}/call/{function}")).json(&args)).await
    }

    /// The rows of one statement.
    pub(crate) async fn rows(&self, database: &str, statement: &str) -> Vec<Value> {
        let results = json(self.post(&format!("/v1/database/{database}/sql")).body(statement.to_owned())).await;
        results[0]["rows"].as_array().unwrap_or_else(|| panic!("no rows in {results}")).clone()
    }

    /// The names in the table `item`, sorted.
    pub(crate) async fn items(&self, database: &str) -> Vec<String> {
        let mut names: Vec<String> =
            self.rows(database, "SELECT name FROM item").await.iter().map(|row| text(&row[0])).collect();
        names.sort();
        names
    }

    /// Runs statements that may fail.
    pub(crate) async fn sql(&self, database: &str, statements: &str) -> (StatusCode, String) {
        answer(self.post(&format!("/v1/database/{database}/sql")).body(statements.to_owned())).await
    }
}

/// Sends a request that must succeed, and reads its JSON.
pub(crate) async fn json(request: RequestBuilder) -> Value {
    let (status, body) = answer(request).await;
    assert!(status.is_success(), "{status}: {body}");
    serde_json::from_str(&body).unwrap_or_else(|e| panic!("{e} in {body}"))
}

/// Sends a request and reads whatever comes. No answer ever spans lines with an error in it.
pub(crate) async fn answer(request: RequestBuilder) -> (StatusCode, String) {
    let response: Response = request.send().await.unwrap();
    let server = response.headers()["server"].to_str().unwrap().to_owned();
    assert!(server.starts_with("muster-host/") && server.contains("spacetimedb/2.14.0"), "{server}");
    let status = response.status();
    let body = response.text().await.unwrap();
    if status.is_client_error() || status.is_server_error() {
        assert!(!body.contains('\n') && !body.contains("stack backtrace"), "{status}: {body}");
    }
    (status, body)
}

/// The text of a JSON string.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no string")).to_owned()
}

/// Opcodes of WebSocket frames (RFC 6455 section 5.2).
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;

/// Opens a WebSocket and leaves it open; returns once the first message has come, so the module knows the client.
pub(crate) fn connect(url: &str, database: &str) -> TcpStream {
    let address = url.strip_prefix("http://").unwrap();
    let mut socket = TcpStream::connect(address).unwrap();
    write!(
        socket,
        "GET /v1/database/{database}/subscribe?compression=None HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: v2.bsatn.spacetimedb\r\n\r\n"
    )
    .unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(read_frame(&mut socket), Some(BINARY));
    socket
}

/// Reads one short frame and returns its opcode, or `None` at the end of the connection.
pub(crate) fn read_frame(socket: &mut TcpStream) -> Option<u8> {
    let mut head = [0; 2];
    socket.read_exact(&mut head).ok()?;
    let mut len = [0; 2];
    let len = match head[1] {
        short @ ..126 => u16::from(short),
        126 => socket.read_exact(&mut len).map(|()| u16::from_be_bytes(len)).ok()?,
        _ => panic!("no test expects a frame this long"),
    };
    socket.read_exact(&mut vec![0; len.into()]).ok()?;
    Some(head[0] & 0x0f)
}

/// How often modules logged `goodbye`, read from the disk of a host's data folder: asking the host would launch them.
pub(crate) fn goodbyes(folder: &Path) -> usize {
    let mut count = 0;
    for replica in std::fs::read_dir(folder.join("replicas")).unwrap() {
        for log in std::fs::read_dir(replica.unwrap().path().join("module_logs")).unwrap() {
            count += std::fs::read_to_string(log.unwrap().path()).unwrap().matches("goodbye").count();
        }
    }
    count
}
