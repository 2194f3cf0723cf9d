//! Every peer is driven the whole way, by the program itself: publisher, server, subscriber, and what arrived is compared
//! byte for byte. Needs redis-server, nats-server and PostgreSQL, which `make bench` installs; runs with the feature
//! `peers`.

use std::process::{Command, Stdio};

use serde_json::Value;

#[test]
fn every_peer_carries_the_events_and_every_workload_has_a_row_of_each() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_muster-bench-peers"));
    program.args(["throughput", "latency", "fanout", "backlog", "--quick", "--json", "--module", "/dev/null"]);
    for system in ["redis", "nats", "postgres"] {
        program.args(["--system", system]);
    }
    let output = program.stderr(Stdio::inherit()).output().expect("it starts");
    assert!(output.status.success(), "{}", output.status);
    let results: Value = serde_json::from_slice(&output.stdout).expect("one document");
    assert_eq!(results["schema"], "muster.bench.peers.v1");
    let rows = results["rows"].as_array().expect("rows");
    let of = |workload: &str, system: &str| {
        let is_it = |row: &&Value| row["workload"] == workload && row["system"] == system;
        rows.iter().find(is_it).unwrap_or_else(|| panic!("no {workload} of {system}"))
    };
    let workloads = [
        "throughput, 256 bytes, 1 stream",
        "throughput, 256 bytes, 64 streams",
        "latency at 100 events/s, p99.9",
        "fan-out to 4, events applied in all",
        "replay of 6000 events",
        "catch-up, 3000 events of an hour away",
        "cold start on a million events, until the first new event is applied",
    ];
    for workload in workloads {
        for system in ["redis streams", "nats jetstream", "postgresql"] {
            let row = of(workload, system);
            assert!(row["median"].as_f64().is_some_and(|median| median > 0.0), "{row}");
            assert!(row["ratio_to_best_peer"].is_number(), "{row}");
        }
    }
    // Without an outbox less is promised: the figure stands there, and nothing is compared with it.
    of("throughput, 256 bytes, 1 stream", "redis streams, no outbox");
}
