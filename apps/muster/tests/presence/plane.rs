//! A host in this process with Muster's module published, and sessions to it.

use std::time::Duration;

use futures::StreamExt;
use muster_contract::Client;
use muster_contract::rows::Row;
use muster_host::{Host, RunningHost};
use muster_wire::http::{HttpClient, PublishOptions};
use muster_wire::{ConnectOptions, Connection, Endpoint, Incoming, Token, connect};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// How long any state may take to come about before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
const DATABASE: &str = "plane";

pub(crate) struct Plane {
    host: RunningHost,
    owner: Token,
}

impl Plane {
    pub(crate) async fn start() -> Plane {
        let host = Host::builder().in_memory().start().await.expect("the host starts");
        let endpoint = Endpoint::new(&host.url(), DATABASE).expect("an endpoint");
        let stranger = HttpClient::new(endpoint.clone(), None).expect("a client");
        let owner = stranger.create_identity().await.expect("an identity").token;
        let http = HttpClient::new(endpoint, Some(owner.clone())).expect("a client");
        let module = std::fs::read(crate::support::muster_module()).expect("the module's file");
        http.publish(module, &PublishOptions::default()).await.expect("published");
        Plane { host, owner }
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::new(&self.host.url(), DATABASE).expect("an endpoint")
    }

    /// Somebody new for every request.
    pub(crate) fn http(&self) -> HttpClient {
        HttpClient::new(self.endpoint(), None).expect("a client")
    }

    /// The database's owner.
    pub(crate) fn owner(&self) -> HttpClient {
        HttpClient::new(self.endpoint(), Some(self.owner.clone())).expect("a client")
    }

    /// A new anonymous session that has checked the contract.
    pub(crate) async fn join(&self) -> Session {
        let options = ConnectOptions::new(self.endpoint()).expect(Client::of_this_build());
        let (connection, incoming) = connect(options).await.expect("connected");
        Session { connection, incoming }
    }

    /// A socket without a client's care around it.
    pub(crate) async fn raw_websocket(&self, query: &str) -> Result<RawSocket, tungstenite::Error> {
        let url = format!("{}/v1/database/{DATABASE}/subscribe?{query}", self.host.url().replace("http", "ws"));
        let mut request = url.into_client_request()?;
        let protocol = "v2.bsatn.spacetimedb".parse().expect("a header value");
        request.headers_mut().insert("Sec-WebSocket-Protocol", protocol);
        Ok(tokio_tungstenite::connect_async(request).await?.0)
    }
}

pub(crate) type RawSocket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Whether the host ends this socket without ever greeting it.
pub(crate) async fn ends(mut socket: RawSocket) -> bool {
    let end = async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Binary(_))) => return false,
                Some(Ok(Message::Close(_)) | Err(_)) | None => return true,
                Some(Ok(_)) => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, end).await.expect("an answer in time")
}

/// A client.
pub(crate) struct Session {
    pub(crate) connection: Connection,
    pub(crate) incoming: Incoming,
}

impl Session {
    /// The rows of one query, now.
    pub(crate) async fn ask<R: Row>(&self, sql: &str) -> Vec<R> {
        self.connection.one_off_query(sql).await.expect("an answer").rows(R::TABLE).expect("rows of the shape")
    }

    /// The rows of one query once they are as wanted.
    pub(crate) async fn until<R: Row>(&self, sql: &str, wanted: impl Fn(&[R]) -> bool) -> Vec<R> {
        let mut pause = Duration::from_millis(2);
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let rows = self.ask(sql).await;
            if wanted(&rows) {
                return rows;
            }
            assert!(tokio::time::Instant::now() < deadline, "`{sql}` never came to it: {} rows", rows.len());
            // Between two looks of a deadline-bound wait; nothing depends on its length.
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }
}
