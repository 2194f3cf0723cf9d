//! WebSocket sessions, seen from the other end of the socket: a real host, the project's module, official messages.
//!
//! How `muster-wire` gets along with them is in `wire.rs`; here a plain socket also does what no good client would.

mod client;

use std::time::Duration;

use self::client::{Client, Server, V2, V3, set_name, soon, subscribe, succeeded};
use futures::{SinkExt, StreamExt};
use muster_host::{Host, WebSocketLimits};
use spacetimedb_client_api_messages::websocket::v2::{ServerMessage, TableUpdateRows};
use spacetimedb_lib::ConnectionId;
use tokio_tungstenite::tungstenite::{Error, Message};

#[tokio::test(flavor = "multi_thread")]
async fn a_client_hears_who_it_is_and_chooses_its_connection_id() {
    let server = Server::in_memory().await;
    for protocol in [V2, V3] {
        let (_, first, id) = server.connect(protocol, "connection_id=0000000000000000000000000000002a").await;
        assert_eq!(id, ConnectionId::from_u128(0x2a));
        let (mut other, second, random) = server.connect(protocol, "").await;
        assert_ne!(first, second, "without a token, everybody is somebody new");
        assert_ne!(random, id);
        other.sees(id, false).await;
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_sees_what_another_writes() {
    let server = Server::in_memory().await;
    for protocol in [V2, V3] {
        let (mut reader, ..) = server.connect(protocol, "").await;
        reader.send(&[subscribe("SELECT * FROM person")]).await;
        assert!(matches!(reader.next().await, ServerMessage::SubscribeApplied(_)));

        let (mut writer, identity, _) = server.connect(protocol, "").await;
        writer.send(&[set_name(7, "Ada")]).await;
        match writer.next().await {
            ServerMessage::ReducerResult(answer) => {
                assert_eq!(answer.request_id, 7);
                assert!(succeeded(&answer.result), "{answer:?}");
            }
            other => panic!("expected the reducer's result, got {other:?}"),
        }
        match reader.next().await {
            ServerMessage::TransactionUpdate(update) => match &update.query_sets[0].tables[0].rows[0] {
                TableUpdateRows::PersistentTable(changes) => {
                    let row = (&changes.inserts).into_iter().next().unwrap();
                    assert_eq!(row[..32], identity.to_byte_array());
                    // Behind the name, `seen_by`.
                    assert_eq!(&row[36..39], b"Ada");
                }
                other => panic!("expected stored rows, got {other:?}"),
            },
            other => panic!("expected the transaction, got {other:?}"),
        }
        assert!(
            writer.query("SELECT * FROM person").await.iter().any(|row| row.starts_with(&identity.to_byte_array()))
        );
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_call_and_a_wrong_query_are_answers_and_the_session_goes_on() {
    let server = Server::in_memory().await;
    let (mut client, ..) = server.connect(V2, "").await;
    client.send(&[set_name(1, "   ")]).await;
    match client.next().await {
        ServerMessage::ReducerResult(answer) => assert!(!succeeded(&answer.result)),
        other => panic!("expected the reducer's result, got {other:?}"),
    }
    client.send(&[subscribe("SELECT * FROM nothing")]).await;
    assert!(matches!(client.next().await, ServerMessage::SubscriptionError(_)));
    assert_eq!(client.connections().await.len(), 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_answers_are_compressed_as_asked() {
    let server = Server::in_memory().await;
    // The owner reads system tables, and one of them is large enough.
    for (compression, tag) in [("None", 0), ("Brotli", 1), ("Gzip", 2)] {
        for protocol in [V2, V3] {
            let query = format!("compression={compression}&token={}", server.owner_token);
            let (mut owner, ..) = server.connect(protocol, &query).await;
            assert!(owner.query("SELECT * FROM st_column").await.len() > 20);
            assert_eq!(owner.tags, [0, tag], "{compression}: the small first message is never compressed");
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_v3_many_messages_travel_in_one_payload_both_ways() {
    let server = Server::in_memory().await;
    let (mut client, ..) = server.connect(V3, "confirmed=false").await;
    let calls: Vec<_> = (0..500).map(|n| set_name(n, "Grace")).collect();
    client.send(&calls).await;
    for n in 0..500 {
        match client.next().await {
            ServerMessage::ReducerResult(answer) => assert_eq!(answer.request_id, n, "in order"),
            other => panic!("expected the reducer's result, got {other:?}"),
        }
    }
    assert!(client.largest_payload > 1, "500 answers came one by one");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_sent_just_before_a_close_are_carried_out() {
    let server = Server::in_memory().await;
    let (mut client, identity, connection) = server.connect(V2, "").await;
    for n in 0..200 {
        client.send(&[set_name(n, &format!("name {n}"))]).await;
    }
    client.socket.close(None).await.unwrap();
    let (mut observer, ..) = server.connect(V2, "").await;
    observer.sees(connection, false).await;
    let people = observer.query("SELECT * FROM person").await;
    let person = people.iter().find(|row| row.starts_with(&identity.to_byte_array())).expect("it was stored");
    // Behind the name stands who sees the row: everybody.
    assert_eq!(&person[36..], b"name 199\0");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_host_does_not_speak_is_refused_before_the_upgrade() {
    let server = Server::in_memory().await;
    let reserved = format!("connection_id={:032x}", 0);
    for (protocol, query) in [(Some("v9.bsatn.spacetimedb"), ""), (None, ""), (Some(V2), reserved.as_str())] {
        match server.try_connect(protocol, query).await {
            Err(Error::Http(response)) => assert_eq!(response.status(), 400),
            other => panic!("{protocol:?} {query}: {:?}", other.map(|_| "connected")),
        }
    }
    server.stop().await;
}

/// System tables joined until the answer has some megabytes. For the owner only.
const LONG_QUERY: &str = "SELECT a.* FROM st_column a JOIN st_column b ON a.col_pos = b.col_pos \
                          JOIN st_column c ON b.table_id = c.table_id JOIN st_column d ON c.col_pos = d.col_pos";

/// The code and the reason of a Close frame.
async fn close_of(client: &mut Client) -> (u16, String) {
    let frame = client.closed().await.expect("a Close frame");
    (frame.code.into(), frame.reason.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_closes_the_session_with_a_reason_and_leaves_no_row() {
    let server = Server::in_memory().await;
    let (mut observer, ..) = server.connect(V2, "").await;
    let nonsense =
        [Message::Binary(vec![0xff; 64].into()), Message::Text("hello".into()), Message::Binary(Vec::new().into())];
    for protocol in [V2, V3] {
        for message in nonsense.clone() {
            let (mut client, _, connection) = server.connect(protocol, "").await;
            client.socket.send(message).await.unwrap();
            let (code, reason) = close_of(&mut client).await;
            assert_eq!(code, 1011);
            assert!(!reason.is_empty());
            observer.sees(connection, false).await;
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_above_the_limit_closes_the_session() {
    let limits =
        WebSocketLimits { incoming_message_bytes: 10_000, incoming_queue_bytes: 20_000, ..WebSocketLimits::DEFAULT };
    let server = Server::start(Host::builder().websocket_limits(limits)).await;
    let (mut client, ..) = server.connect(V2, "").await;
    client.socket.send(Message::Binary(vec![0; 10_001].into())).await.unwrap();
    assert_eq!(close_of(&mut client).await.0, 1009);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_waiting_requests_close_the_session() {
    let limits = WebSocketLimits { incoming_queue_messages: 2, ..WebSocketLimits::DEFAULT };
    let server = Server::start(Host::builder().websocket_limits(limits)).await;
    let (mut client, _, connection) = server.connect(V2, "").await;
    for n in 0..5_000 {
        let message = spacetimedb_lib::bsatn::to_vec(&set_name(n, "Emmy")).unwrap();
        if client.socket.feed(Message::Binary(message.into())).await.is_err() {
            break;
        }
    }
    let _ = client.socket.flush().await;
    assert_eq!(close_of(&mut client).await, (1013, "too many requests".to_owned()));
    let (mut observer, ..) = server.connect(V2, "").await;
    observer.sees(connection, false).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_the_module_refuses_hears_why_and_leaves_the_other_alone() {
    let server = Server::in_memory().await;
    let query = format!("connection_id={:032x}&token={}", 5, server.owner_token);
    let (mut first, _, connection) = server.connect(V3, &query).await;
    let mut second = server.try_connect(Some(V3), &query).await.unwrap();
    let (code, reason) = close_of(&mut second).await;
    assert_eq!(code, 1008);
    assert!(reason.contains("connection id"), "{reason}");
    // The first one is still there, and still counted.
    assert_eq!(first.connections().await, [connection]);
    server.stop().await;
}

fn impatient() -> WebSocketLimits {
    WebSocketLimits {
        ping_interval: Duration::from_millis(100),
        idle_timeout: Duration::from_millis(400),
        ..WebSocketLimits::DEFAULT
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_answers_pings_stays_and_one_that_does_not_goes() {
    let server = Server::start(Host::builder().websocket_limits(impatient())).await;
    // Nobody reads this socket, so nobody answers its pings.
    let (_mute, _, mute) = server.connect(V2, "").await;
    let (mut lively, _, connection) = server.connect(V2, "").await;
    let mut pings = 0;
    let listen = async {
        while pings < 10 {
            // tungstenite answers pings while one reads.
            match lively.socket.next().await {
                Some(Ok(Message::Ping(_))) => pings += 1,
                Some(Ok(_)) => {}
                other => panic!("the session ended after {pings} pings: {other:?}"),
            }
        }
    };
    soon("ten pings", listen).await;
    lively.sees(mute, false).await;
    assert_eq!(lively.connections().await, [connection]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_connection_leaves_no_row() {
    let server = Server::in_memory().await;
    let (mut observer, ..) = server.connect(V3, "").await;
    let (client, _, connection) = server.connect(V3, "").await;
    observer.sees(connection, true).await;
    // Dropped without a Close frame.
    drop(client);
    observer.sees(connection, false).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_a_host_that_stops_hears_it_and_is_gone_after_the_restart() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(Host::builder().data_dir(folder.path())).await;
    let (mut reading, ..) = server.connect(V3, "").await;
    let (_mute, ..) = server.connect(V3, "").await;
    let Server { host, owner_token } = server;
    let stopping = tokio::spawn(host.shutdown());
    assert_eq!(close_of(&mut reading).await, (1001, "the host is shutting down".to_owned()));
    soon("the host's end", stopping).await.unwrap();

    let host = Host::builder().data_dir(folder.path()).start().await.unwrap();
    let server = Server { host, owner_token };
    let (mut client, _, connection) = server.connect(V3, "").await;
    assert_eq!(client.connections().await, [connection]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_a_deleted_database_hear_it() {
    let server = Server::in_memory().await;
    let (mut client, ..) = server.connect(V3, "").await;
    server.http("DELETE", "/v1/database/test", Vec::new()).await;
    assert_eq!(close_of(&mut client).await, (1001, "module exited".to_owned()));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_of_the_module_keeps_its_clients() {
    let server = Server::in_memory().await;
    let (mut reader, _, connection) = server.connect(V3, "").await;
    reader.send(&[subscribe("SELECT * FROM person")]).await;
    assert!(matches!(reader.next().await, ServerMessage::SubscribeApplied(_)));
    server.http("PUT", "/v1/database/test", client::updated_module()).await;

    let (mut writer, ..) = server.connect(V3, "").await;
    writer.send(&[set_name(1, "Hedy")]).await;
    assert!(matches!(reader.next().await, ServerMessage::TransactionUpdate(_)));
    writer.sees(connection, true).await;
    // It came with the old module and leaves with the new one.
    drop(reader);
    writer.sees(connection, false).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_comes_back_takes_over_its_session_id() {
    let server = Server::in_memory().await;
    let query = format!("session_id={:032x}&token={}", 9, server.owner_token);
    let (_old, _, old) = server.connect(V3, &query).await;
    let mut early = server.try_connect(Some(V3), &query).await.unwrap();
    assert_eq!(close_of(&mut early).await.0, 4000);
    let (mut observer, ..) = server.connect(V3, "").await;
    observer.sees(old, false).await;
    let (_, _, new) = server.connect(V3, &query).await;
    assert_ne!(new, old);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_message_reaches_a_slow_reader_because_pings_pass_between_its_frames() {
    let limits = WebSocketLimits {
        ping_interval: Duration::from_millis(500),
        idle_timeout: Duration::from_secs(4),
        ..WebSocketLimits::DEFAULT
    };
    let server = Server::start(Host::builder().websocket_limits(limits)).await;
    let slow_line = client::slow_line(server.host.local_addr(), 1_000_000).await;
    let query = format!("compression=None&token={}", server.owner_token);
    let mut owner = server.try_connect_at(slow_line, Some(V2), &query).await.unwrap();
    let started = std::time::Instant::now();
    assert!(!owner.query(LONG_QUERY).await.is_empty());
    assert!(started.elapsed() > 2 * limits.idle_timeout, "the line was not slow enough to tell");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_let_go_long_before_it_is_idle() {
    let limits = WebSocketLimits { write_stall_timeout: Duration::from_millis(300), ..WebSocketLimits::DEFAULT };
    let server = Server::start(Host::builder().websocket_limits(limits)).await;
    let (mut observer, ..) = server.connect(V2, "").await;
    let stuck_line = client::slow_line(server.host.local_addr(), 50_000).await;
    let query = format!("compression=None&connection_id={:032x}&token={}", 3, server.owner_token);
    let mut owner = server.try_connect_at(stuck_line, Some(V2), &query).await.unwrap();
    owner.ask(LONG_QUERY).await;
    observer.sees(ConnectionId::from_u128(3), true).await;
    observer.sees(ConnectionId::from_u128(3), false).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_version_still_speaks_json() {
    let server = Server::in_memory().await;
    let mut client = server.try_connect(Some("v1.json.spacetimedb"), "").await.unwrap();
    assert!(client.next_text().await.starts_with(r#"{"IdentityToken":"#));
    for (reducer, outcome) in [("set_name", "Committed"), ("no_such_reducer", "Failed")] {
        let call = serde_json::json!({
            "CallReducer": { "reducer": reducer, "args": "[\"Ada\"]", "request_id": 1, "flags": 0 }
        });
        client.socket.send(Message::Text(call.to_string().into())).await.unwrap();
        let answer = client.next_text().await;
        assert!(answer.starts_with(r#"{"TransactionUpdate":"#) && answer.contains(outcome), "{answer}");
    }
    server.stop().await;
}
