//! Clients that ask and do not listen.

use std::time::{Duration, Instant};

use muster_wire::args;
use spacetimedb_client_api_messages::websocket::common::QuerySetId;
use spacetimedb_client_api_messages::websocket::v2::{ClientMessage, Subscribe};
use spacetimedb_sats::bsatn;
use tokio::io::AsyncWriteExt;

use crate::attack::{BINARY, FIN, PROTOCOLS, frame, read_frame, websocket};
use crate::process::{HostProcess, IMPATIENCE, Temper, soon, until};
use crate::witness::Witness;

const MIB: u64 = 1 << 20;

/// How many subscribers fall silent.
const DEAF: usize = 10;

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
    // What waits for one of them at the worst: all that was pumped, once for each.
    assert!(peak < DEAF as u64 * pumped + 200 * MIB);
    drop(deaf);
    until("its memory back", || host.resident_bytes() < memory + peak / 2 + 100 * MIB).await;
    witness.testify().await;
}
