//! Clients that ask and do not listen.

use std::time::{Duration, Instant};

use muster_wire::args;
use spacetimedb_client_api_messages::websocket::common::QuerySetId;
use spacetimedb_client_api_messages::websocket::v2::{ClientMessage, Subscribe};
use spacetimedb_sats::bsatn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::attack::{BINARY, FIN, PROTOCOLS, frame, open, read_frame, websocket};
use crate::process::{HostProcess, IMPATIENCE, Temper, soon, until};
use crate::witness::Witness;

const MIB: u64 = 1 << 20;

/// How many subscribers fall silent.
const DEAF: usize = 10;

/// How many ask over HTTP.
const ASKERS: usize = 4;

/// How large the answer is that each of them asks for: more than the system takes for a client that does not read.
const ANSWER_BYTES: u64 = 32 * MIB;

/// How large a row is that is pumped at them.
const ROW_BYTES: usize = 100_000;

#[tokio::test(flavor = "multi_thread")]
async fn subscribers_that_never_read_are_let_go_and_what_waited_for_them_is_freed() {
    let host = HostProcess::with_module(Temper::Impatient).await;
    let files = host.open_files();
    let mut deaf = Vec::new();
    for index in 0..DEAF {
        // From v2 on: v1 knows no event tables.
        let mut socket = websocket(host.address(), PROTOCOLS[index % 2]).await;
        let subscribe = ClientMessage::Subscribe(Subscribe {
            request_id: 1,
            query_set_id: QuerySetId::new(1),
            query_strings: ["SELECT * FROM news".into()].into(),
        });
        socket.write_all(&frame(FIN | BINARY, &bsatn::to_vec(&subscribe).unwrap())).await.unwrap();
        for answer in ["the greeting", "the answer"] {
            soon(answer, read_frame(&mut socket)).await.expect(answer);
        }
        deaf.push(socket);
    }
    let memory = host.resident_bytes();
    let witness = Witness::of(&host).await;
    let (pump, _) = host.connect().await;
    let news = args(&("n".repeat(ROW_BYTES),));
    let (begun, mut pumped) = (Instant::now(), 0);
    while host.open_files() > files + 4 {
        let reply = pump.call_reducer("tell", news.clone()).await.unwrap();
        assert!(reply.outcome.is_ok(), "{reply:?}");
        pumped += ROW_BYTES as u64;
        assert!(begun.elapsed() < Duration::from_secs(30), "still connected after {} MiB", pumped / MIB);
    }
    let peak = host.resident_bytes_peak().saturating_sub(memory);
    println!("gone after {:?} and {} MiB each; peak {} MiB", begun.elapsed(), pumped / MIB, peak / MIB);
    assert!(begun.elapsed() >= IMPATIENCE / 2, "they were given their time");
    // They share what waits for them: all that was pumped, once, and not once for each.
    assert!(peak < 2 * pumped + 64 * MIB, "{} MiB", peak / MIB);
    drop(deaf);
    until("its memory back", || host.resident_bytes() < memory + peak / 2 + 100 * MIB).await;
    witness.testify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn askers_that_never_read_their_answers_are_cut_off_and_the_answers_are_freed() {
    const ROWS: u64 = 4;
    const STATEMENTS: u64 = 16;
    let host = HostProcess::with_module(Temper::Impatient).await;
    let (filler, _) = host.connect().await;
    for row in 0..ROWS {
        let text = format!("{row}{}", "a".repeat((ANSWER_BYTES / ROWS / STATEMENTS) as usize));
        assert!(filler.call_reducer("add", args(&(text,))).await.unwrap().outcome.is_ok());
    }
    let (files, memory) = (host.open_files(), host.resident_bytes());
    let witness = Witness::of(&host).await;
    let statements = "SELECT * FROM item;".repeat(STATEMENTS as usize);
    let request = format!(
        "POST /v1/database/test/sql HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{statements}",
        statements.len()
    );
    let begun = Instant::now();
    let mut askers = Vec::new();
    // One after the other: four such queries at once keep the others waiting for longer than this is about.
    for _ in 0..ASKERS {
        let mut socket = open(host.address()).await;
        socket.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(soon("the answer begins", socket.read_u8()).await.unwrap(), b'H');
        askers.push(socket);
    }
    let peak = host.resident_bytes_peak().saturating_sub(memory);
    assert!(peak > ANSWER_BYTES, "the answers are as large as they are meant to be: {} MiB", peak / MIB);
    until("all are cut off", || host.open_files() <= files + 4).await;
    println!("gone after {:?}; peak {} MiB", begun.elapsed(), peak / MIB);
    assert!(begun.elapsed() >= IMPATIENCE, "they were given their time");
    until("its memory back", || host.resident_bytes() < memory + peak / 2 + 64 * MIB).await;
    drop(askers);
    witness.testify().await;
}
