//! Every peer is driven the whole way, by the program itself: publisher, server, subscriber, and what arrived is compared
//! byte for byte. Needs redis-server, nats-server and PostgreSQL, which `make bench` installs; runs with the feature
//! `peers`.

use std::process::{Command, Stdio};

use serde_json::Value;

/// The bound with the engine beside both ends: needs the program `muster` and its module as well.
#[test]
#[ignore = "needs MUSTER_BENCH_PROGRAM (the program muster, built at the same commit) and MUSTER_MODULE_WASM"]
fn both_ends_and_the_engine_at_the_same_time_are_a_bound_of_throughput_alone() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_muster-bench-peers"));
    program.args(["throughput", "latency", "fanout", "backlog", "--quick", "--json"]);
    for system in ["muster", "postgres", "alone", "alone-engine"] {
        program.args(["--system", system]);
    }
    let output = program.stderr(Stdio::inherit()).output().expect("it starts");
    assert!(output.status.success(), "{}", output.status);
    let results: Value = serde_json::from_slice(&output.stdout).expect("one document");
    let rows = results["rows"].as_array().expect("rows");
    let bound: Vec<&Value> = rows.iter().filter(|row| row["system"] == "both ends and the engine").collect();
    for (streams, noun) in [(1, "stream"), (64, "streams")] {
        for (begins, may_be_nothing) in [
            ("throughput,", false),
            ("of it, on the publisher's disk,", false),
            ("of it, confirmed by the server,", false),
            ("processor time of an event,", false),
            // Of so few events a process may use less than one tick of processor time.
            ("of it, the server,", true),
            ("of it, the publisher,", true),
            ("of it, the subscriber,", true),
        ] {
            let workload = format!("{begins} 256 bytes, {streams} {noun}");
            let row = bound.iter().find(|row| row["workload"] == workload.as_str());
            let row = row.unwrap_or_else(|| panic!("no {workload}"));
            assert!(may_be_nothing || row["median"].as_f64().is_some_and(|median| median > 0.0), "{row}");
            assert!(row["durability"].as_str().is_some_and(|text| text.starts_with("bound: ")), "{row}");
            let peer = rows.iter().find(|row| row["workload"] == workload.as_str() && row["system"] == "postgresql");
            let best = peer.is_some_and(|row| row["ratio_to_best_peer"] == 1.0);
            assert!(may_be_nothing || best, "the one peer sets the ratios: {peer:?}");
            assert_eq!(
                row["command"],
                format!("muster bench peers throughput --bytes 256 --streams {streams} --quick")
            );
        }
    }
    assert_eq!(bound.len(), 14, "only where many are sent: {bound:?}");
}

#[test]
fn every_peer_carries_the_events_and_every_workload_has_a_row_of_each() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_muster-bench-peers"));
    program.args(["throughput", "latency", "fanout", "backlog", "--quick", "--json", "--module", "/dev/null"]);
    for system in ["redis", "redis-xread", "nats", "postgres", "postgres-copy", "alone"] {
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
        "catch-up, 3000 events of an hour away, time until applied",
        "cold start on a million events, until the first new event is applied",
    ];
    for workload in workloads {
        for system in ["redis streams", "redis streams, xread", "nats jetstream", "postgresql"] {
            let row = of(workload, system);
            assert!(row["median"].as_f64().is_some_and(|median| median > 0.0), "{row}");
            assert!(row["ratio_to_best_peer"].is_number(), "{row}");
        }
    }
    // What bounds all of them is measured in the same run, says that it is a bound, and is nobody's best peer.
    let bounds = [
        ("throughput, 256 bytes, 1 stream", "both ends alone"),
        ("throughput, 256 bytes, 64 streams", "both ends alone"),
        ("processor time of an event, 256 bytes, 1 stream", "both ends alone"),
        ("fan-out to 4, events applied in all", "both ends alone"),
        ("replay of 6000 events", "both ends alone"),
        ("latency at 100 events/s, p50", "three syncs alone"),
        ("latency at 100 events/s, p99", "three syncs alone"),
        ("latency at 100 events/s, p99.9", "three syncs alone"),
    ];
    for (workload, system) in bounds {
        let row = of(workload, system);
        assert!(row["median"].as_f64().is_some_and(|median| median > 0.0), "{row}");
        assert!(row["durability"].as_str().is_some_and(|text| text.starts_with("bound: ")), "{row}");
        let peers = rows.iter().filter(|other| other["workload"] == workload);
        let best: Vec<&str> =
            peers.filter(|row| row["ratio_to_best_peer"] == 1.0).filter_map(|row| row["system"].as_str()).collect();
        assert!(
            best.iter().any(|system| system.starts_with("redis") || system.starts_with("postgresql")),
            "{workload}: {best:?}"
        );
    }
    assert!(
        !rows.iter().any(
            |row| row["system"] == "both ends alone" && row["workload"] == "of it, the server, 256 bytes, 1 stream"
        )
    );
    // Of so few events a process may use less than one tick of processor time.
    of("of it, the publisher, 256 bytes, 1 stream", "both ends alone");
    of("of it, the subscriber, 256 bytes, 1 stream", "both ends alone");
    of("fdatasyncs of this disk, four one after the other, p99", "this file system");
    // What is measured only if named stands there with the name, and everything with the options that there were.
    let copy = of("throughput, 256 bytes, 64 streams", "postgresql, copy");
    let command = "muster bench peers throughput --bytes 256 --streams 64";
    assert_eq!(copy["command"], format!("{command} --system postgres-copy --quick"));
    assert_eq!(of("throughput, 256 bytes, 64 streams", "postgresql")["command"], format!("{command} --quick"));
    assert!(!rows.iter().any(|row| row["system"] == "postgresql, copy" && row["workload"] == "replay of 6000 events"));
    // Without an outbox less is promised: the figure stands there, and nothing is compared with it.
    of("throughput, 256 bytes, 1 stream", "redis streams, no outbox");
}
