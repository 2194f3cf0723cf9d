//! Requests that are small and make a lot of work: nested deeply, or many in one.

use std::time::Duration;

use spacetimedb_client_api_messages::websocket::common::QuerySetId;
use spacetimedb_client_api_messages::websocket::v2::{CallReducer, ClientMessage, OneOffQuery, Subscribe};
use spacetimedb_sats::bsatn;
use tokio::io::AsyncWriteExt;

use crate::attack::{BINARY, Ending, FIN, PROTOCOLS, TEXT, ending, frame, read_frame, websocket};
use crate::process::{HostProcess, PATIENCE, Temper, soon};
use crate::witness::{DELAY_MAX, Witness};

const MIB: u64 = 1 << 20;
const V3: &str = PROTOCOLS[0];
const V2: &str = PROTOCOLS[1];
const V1_JSON: &str = PROTOCOLS[3];

/// An answer over HTTP: the status and the first bytes of the body.
async fn post(host: &HostProcess, path: &str, body: String) -> (u16, String) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().timeout(PATIENCE).build().unwrap();
    let request = client.post(format!("{}/v1/database/test/{path}", host.url));
    let answer = request.header("content-type", "application/json").body(body).send().await.unwrap();
    let status = answer.status().as_u16();
    let text: String = answer.text().await.unwrap().chars().take(200).collect();
    (status, text)
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_nested_without_end_and_lists_without_end_are_refused() {
    let mut host = HostProcess::with_module(Temper::Default).await;
    let memory = host.resident_bytes();
    let witness = Witness::of(&host).await;
    let deep = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let objects = format!("[{}1{}]", "{\"a\":".repeat(500_000), "}".repeat(500_000));
    let long = format!("[{}0]", "0,".repeat(5_000_000));
    for arguments in [deep(1_000), deep(5_000_000), objects, long, "[".repeat(10_000_000)] {
        let (status, said) = post(&host, "call/add", arguments.clone()).await;
        assert_eq!(status, 400, "{said}");
        let call = serde_json::json!({
            "CallReducer": { "reducer": "add", "args": arguments, "request_id": 1, "flags": 0 }
        });
        let mut socket = websocket(host.address(), V1_JSON).await;
        socket.write_all(&frame(FIN | TEXT, call.to_string().as_bytes())).await.unwrap();
        // The greeting, and then that the call failed; the arguments are not repeated to everybody.
        for expected in ["IdentityToken", "Failed"] {
            let (_, said) = soon("an answer", read_frame(&mut socket)).await.expect("an answer");
            let said = String::from_utf8_lossy(&said);
            assert!(said.contains(expected), "{}", said.chars().take(300).collect::<String>());
        }
    }
    for message in [deep(1_000_000), format!("{{\"CallReducer\":{}", deep(1_000_000)), "{\"a\":".repeat(1_000_000)] {
        let mut socket = websocket(host.address(), V1_JSON).await;
        socket.write_all(&frame(FIN | TEXT, message.as_bytes())).await.unwrap();
        assert_eq!(ending(&mut socket).await, Ending::Close(1011));
    }
    assert!(host.is_alive());
    println!("peak {} MiB", host.resident_bytes_peak().saturating_sub(memory) / MIB);
    assert!(host.resident_bytes_peak() < memory + 400 * MIB, "{} MiB", host.resident_bytes_peak() / MIB);
    witness.testify().await;
}

/// Statements of all the size that a request may have, or of all the depth.
fn monstrous_queries() -> Vec<String> {
    let mut queries = vec![
        format!("SELECT * FROM item WHERE {}text = 'a'{}", "(".repeat(400_000), ")".repeat(400_000)),
        format!("SELECT * FROM item WHERE {}", "(".repeat(900_000)),
        format!("SELECT * FROM item WHERE {} text = 'a'", "NOT ".repeat(200_000)),
        format!("SELECT {} FROM item", "-".repeat(900_000)),
        format!("SELECT * FROM item WHERE text = '{}'", "a".repeat(1_000_000)),
        format!("SELECT * FROM {}", "item JOIN ".repeat(90_000)),
    ];
    for operator in ["AND", "OR"] {
        for count in [500, 5_000, 40_000] {
            let conditions = format!("text = 'a' {operator} ").repeat(count);
            queries.push(format!("SELECT * FROM item WHERE {conditions} text = 'b'"));
        }
    }
    queries.retain(|query| query.len() < 1 << 20);
    queries
}

#[tokio::test(flavor = "multi_thread")]
async fn monstrous_queries_are_answered_and_bring_nobody_down() {
    let mut host = HostProcess::with_module(Temper::Default).await;
    let memory = host.resident_bytes();
    let witness = Witness::of(&host).await;
    for query in monstrous_queries() {
        let about: String = query.chars().take(60).collect();
        let begun = std::time::Instant::now();
        let (status, said) = post(&host, "sql", query.clone()).await;
        assert!(host.is_alive(), "{about}");
        assert!([200, 400].contains(&status), "{about}: {status} {said}");
        println!("{} bytes, {about} …: {status} after {:?}", query.len(), begun.elapsed());
        for message in [
            ClientMessage::OneOffQuery(OneOffQuery { request_id: 1, query_string: query.clone().into() }),
            ClientMessage::Subscribe(Subscribe {
                request_id: 1,
                query_set_id: QuerySetId::new(1),
                query_strings: [query.clone().into()].into(),
            }),
        ] {
            let mut socket = websocket(host.address(), V2).await;
            socket.write_all(&frame(FIN | BINARY, &bsatn::to_vec(&message).unwrap())).await.unwrap();
            for answer in ["the greeting", "the answer"] {
                soon(answer, read_frame(&mut socket)).await.unwrap_or_else(|| panic!("{about}: no {answer}"));
            }
        }
    }
    assert!(host.is_alive());
    assert!(host.resident_bytes_peak() < memory + 400 * MIB, "{} MiB", host.resident_bytes_peak() / MIB);
    witness.testify().await;
}

fn call(request_id: u32) -> Vec<u8> {
    // Nobody listens to the news, so that only the calls themselves are in the way.
    let args = bsatn::to_vec(&("n",)).unwrap().into();
    bsatn::to_vec(&ClientMessage::CallReducer(CallReducer {
        request_id,
        flags: Default::default(),
        reducer: "tell".into(),
        args,
    }))
    .unwrap()
}

/// Far more than the 16,384 that a session may have waiting.
const PIPELINED: u32 = 200_000;

#[tokio::test(flavor = "multi_thread")]
async fn whoever_pipelines_without_end_is_cut_off_and_the_others_are_served() {
    let host = HostProcess::with_module(Temper::Default).await;
    let memory = host.resident_bytes();
    let witness = Witness::of(&host).await;
    // A message each.
    let mut socket = websocket(host.address(), V2).await;
    let frames: Vec<u8> = (0..PIPELINED).flat_map(|id| frame(FIN | BINARY, &call(id))).collect();
    let (mut input, mut output) = socket.split();
    let sending = async { while output.write_all(&frames).await.is_ok() {} };
    let heard = async {
        use tokio::io::AsyncReadExt;
        let mut all = Vec::new();
        // Reads, so that it is not the answers that stand still.
        while input.read_buf(&mut all).await.is_ok_and(|bytes| bytes > 0) {}
        all
    };
    let ((), all) = soon("the pipeliner's end", async { tokio::join!(sending, heard) }).await;
    assert!(String::from_utf8_lossy(&all[all.len().saturating_sub(200)..]).contains("too many requests"));
    println!("peak {} MiB", host.resident_bytes_peak().saturating_sub(memory) / MIB);
    assert!(host.resident_bytes_peak() < memory + 300 * MIB, "{} MiB", host.resident_bytes_peak() / MIB);
    witness.testify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_packed_into_one_message_do_not_crowd_out_the_others() {
    let host = HostProcess::with_module(Temper::Default).await;
    let memory = host.resident_bytes();
    let witness = Witness::of(&host).await;
    let mut socket = websocket(host.address(), V3).await;
    let payload: Vec<u8> = (0..PIPELINED).flat_map(call).collect();
    println!("{} calls in a message of {} KiB", PIPELINED, payload.len() >> 10);
    socket.write_all(&frame(FIN | BINARY, &payload)).await.unwrap();
    let mut heard = 0;
    let answers = async {
        while heard < payload.len() {
            let Some((_, payload)) = read_frame(&mut socket).await else { break };
            heard += payload.len();
        }
    };
    // Answered whole or cut off: what matters is what the others see meanwhile.
    let _ = tokio::time::timeout(Duration::from_secs(8), answers).await;
    println!("heard {heard} bytes; peak {} MiB", host.resident_bytes_peak().saturating_sub(memory) / MIB);
    assert!(host.resident_bytes_peak() < memory + 300 * MIB, "{} MiB", host.resident_bytes_peak() / MIB);
    witness.testify_within(DELAY_MAX).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_queries_in_one_subscription_are_answered_or_refused() {
    let host = HostProcess::with_module(Temper::Default).await;
    let memory = host.resident_bytes();
    let witness = Witness::of(&host).await;
    for query in ["", "SELECT * FROM item"] {
        let message = ClientMessage::Subscribe(Subscribe {
            request_id: 1,
            query_set_id: QuerySetId::new(1),
            query_strings: vec![query.into(); 100_000].into(),
        });
        let mut socket = websocket(host.address(), V3).await;
        socket.write_all(&frame(FIN | BINARY, &bsatn::to_vec(&message).unwrap())).await.unwrap();
        for answer in ["the greeting", "the answer"] {
            soon(answer, read_frame(&mut socket)).await.unwrap_or_else(|| panic!("no {answer}"));
        }
    }
    println!("peak {} MiB", host.resident_bytes_peak().saturating_sub(memory) / MIB);
    assert!(host.resident_bytes_peak() < memory + 400 * MIB, "{} MiB", host.resident_bytes_peak() / MIB);
    witness.testify_within(Duration::from_secs(20)).await;
}
