//! Connecting over real sockets to hosts that say too much.

use spacetimedb_lib::{ConnectionId, Identity};
use spacetimedb_sats::bsatn;
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response as Answer};

use super::*;
use crate::limits::FRAME_MESSAGES_MAX;
use crate::messages::{OneOffQueryResult, TransactionUpdate, V3_PROTOCOL};

/// The number of a connection's first request.
const FIRST_REQUEST: u32 = 1;

fn greeting_message() -> ServerMessage {
    ServerMessage::InitialConnection(InitialConnection {
        identity: Identity::ZERO,
        connection_id: ConnectionId::from_u128(1),
        token: "abc.def.ghi".into(),
    })
}

fn bytes_of(message: &ServerMessage) -> Vec<u8> {
    bsatn::to_vec(message).expect("encodes")
}

/// A host that says `first` when a client comes and `then` when it asks; the options to go there.
async fn host_that_says(first: Vec<u8>, then: Vec<u8>) -> ConnectOptions {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a client");
        #[allow(clippy::result_large_err, reason = "the library's type")]
        let agree = |_: &Request, mut answer: Answer| {
            answer.headers_mut().insert("sec-websocket-protocol", V3_PROTOCOL.parse().expect("a value"));
            Ok(answer)
        };
        let mut socket = tokio_tungstenite::accept_hdr_async(stream, agree).await.expect("a WebSocket");
        socket.send(Message::Binary(first.into())).await.expect("sent");
        let mut then = Some(then);
        // Until the client is gone.
        while let Some(Ok(message)) = socket.next().await {
            if let (true, Some(then)) = (message.is_binary(), then.take()) {
                socket.send(Message::Binary(then.into())).await.expect("sent");
            }
        }
    });
    ConnectOptions::new(Endpoint::new(&url, "db").expect("an endpoint"))
}

#[tokio::test]
async fn what_a_host_says_behind_its_greeting_is_not_even_decoded() {
    let said = [vec![0], bytes_of(&greeting_message()), vec![0xff; 8]].concat();
    let error = connect(host_that_says(said, Vec::new()).await).await.expect_err("too much");
    assert!(error.to_string().contains("it said more than a greeting"), "{error}");
}

#[tokio::test]
async fn a_greeting_in_a_compression_that_nobody_asked_for_is_refused() {
    let error = connect(host_that_says(vec![1, 0, 0], Vec::new()).await).await.expect_err("compressed");
    assert!(error.to_string().contains("brotli frame, which this client did not ask for"), "{error}");
}

#[tokio::test]
async fn the_answer_at_the_end_of_the_largest_frame_arrives() {
    let empty = bytes_of(&ServerMessage::TransactionUpdate(TransactionUpdate::default()));
    let answer = |request_id| {
        let result = Err("no such table".into());
        bytes_of(&ServerMessage::OneOffQueryResult(OneOffQueryResult { request_id, result }))
    };
    // The first request's number, as this connection gives it.
    let frame = [vec![0], empty.repeat(FRAME_MESSAGES_MAX - 1), answer(FIRST_REQUEST)].concat();
    let greeting = [vec![0], bytes_of(&greeting_message())].concat();
    let (connection, _incoming) = connect(host_that_says(greeting, frame).await).await.expect("greeted");
    let answered = connection.one_off_query("SELECT * FROM t").await.expect_err("refused");
    assert_eq!(answered.to_string(), "the host refused: no such table");
}
