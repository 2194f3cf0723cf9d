//! `muster bench connect`, `streams` and `growth` with `--quick`, end to end: that every figure is taken and makes sense.
//! Never how large it is, because machines of CI are slow and shared.
#![cfg(all(feature = "host", target_os = "linux"))]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use support::{Sandbox, finish_within, muster_module};

/// Systems by workload, as the document has them.
fn systems(document: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let mut systems: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in document["rows"].as_array().expect("rows") {
        let text = |name: &str| row[name].as_str().expect("a text").to_owned();
        assert!(systems.entry(text("workload")).or_default().insert(text("system")), "twice: {row}");
    }
    systems
}

#[test]
fn a_quick_run_takes_every_figure_and_each_makes_sense() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command(&["bench", "connect", "--quick", "--json", "--module", &muster_module()]);
    let document = finish_within(command.spawn().expect("starts"), Duration::from_secs(600)).json();

    assert_eq!(document["schema"], "muster.bench.connect.v1");
    assert_eq!(document["repeats"], 1);
    assert!(document["machine"]["cores"].as_u64().expect("a number") > 0);
    for row in document["rows"].as_array().expect("rows") {
        let median = row["median"].as_f64().unwrap_or_else(|| panic!("not measured: {row}"));
        // Processor time is counted in hundredths of a second, and so little is done here that it may be none.
        let may_be_zero = ["us", "KiB"].contains(&row["unit"].as_str().expect("a unit"));
        assert!(median > 0.0 || (may_be_zero && median == 0.0), "{row}");
        assert_eq!(row["spread"], 0.0, "one repeat has no spread: {row}");
        if row["system"] == "muster" && median > 0.0 {
            assert_eq!(row["ratio"], 1.0, "{row}");
        }
    }

    let systems = systems(&document);
    let all = ["bare client on the host", "engine in-process", "muster", "muster, unconfirmed", "websocket echo"];
    for workload in [
        "TCP connect to first row, p50",
        "TCP connect to first row, p99",
        "connections a second, 64 at a time",
        "calls a second, 1 socket",
        "calls a second, 64 sockets",
    ] {
        let measured: Vec<&str> = systems[workload].iter().map(String::as_str).collect();
        assert_eq!(measured, all, "{workload}");
    }
    let idle: Vec<&str> = systems["memory of an idle session, 32 sessions"].iter().map(String::as_str).collect();
    assert_eq!(idle, ["muster", "websocket echo"]);
}

#[test]
fn a_quick_run_of_streams_takes_the_whole_path_and_the_engine_and_each_makes_sense() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command(&["bench", "streams", "--quick", "--json", "--module", &muster_module()]);
    let document = finish_within(command.spawn().expect("starts"), Duration::from_secs(300)).json();

    assert_eq!(document["schema"], "muster.bench.streams.v1");
    for row in document["rows"].as_array().expect("rows") {
        // Processor time is counted in hundredths of a second, and so little is done here that it may be none.
        let may_be_zero = row["unit"] == "us";
        let median = row["median"].as_f64().expect("measured");
        assert!(median > 0.0 || (may_be_zero && median == 0.0), "{row}");
    }
    let systems = systems(&document);
    let rates = ["engine in-process", "muster", "of it: confirmed by the host", "of it: into the outbox"];
    let costs = ["engine in-process", "muster", "of it: the host", "of it: the publisher", "of it: the subscriber"];
    for kind in ["1 stream, 256 bytes", "8 streams, 256 bytes"] {
        let measured =
            |workload| systems[&format!("{workload}, {kind}")].iter().map(String::as_str).collect::<Vec<_>>();
        assert_eq!(measured("events a second"), rates, "{kind}");
        assert_eq!(measured("processor time of an event"), costs, "{kind}");
    }
    assert!(systems.contains_key("publish to applied, 200 events/s, p99"));
}

#[test]
fn a_quick_run_of_growth_has_a_cost_at_each_length_and_number_of_streams() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command(&["bench", "growth", "--quick", "--json", "--module", &muster_module()]);
    let document = finish_within(command.spawn().expect("starts"), Duration::from_secs(300)).json();

    assert_eq!(document["schema"], "muster.bench.growth.v1");
    for (curve, points) in [("lengths", [1_000, 2_000]), ("streams", [1, 10])] {
        let costs = document[curve].as_array().expect("a curve");
        let at: Vec<u64> = costs.iter().map(|cost| cost["at"].as_u64().expect("a number")).collect();
        assert_eq!(at, points);
        assert!(costs.iter().all(|cost| cost["wall_us"].as_f64().expect("measured") > 0.0), "{costs:?}");
    }
    assert_eq!(document["backlog"]["events"], 2_000);
    assert!(document["backlog"]["peak_kib"].as_u64().expect("measured") > 0);
}

#[test]
fn events_that_do_not_come_out_even_are_refused() {
    let sandbox = Sandbox::new();
    let run = sandbox.run(&["bench", "streams", "--quick", "--events", "999", "--module", &muster_module()]);
    assert!(run.error(2).contains("take a multiple of 500"));
}

#[cfg(feature = "control")]
#[test]
fn a_quick_run_of_tokens_mints_and_reads_with_and_without_enforcement() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command(&["bench", "tokens", "--quick", "--json", "--module", &muster_module()]);
    let document = finish_within(command.spawn().expect("starts"), Duration::from_secs(300)).json();

    assert_eq!(document["schema"], "muster.bench.tokens.v1");
    for row in document["rows"].as_array().expect("rows") {
        // Processor time is counted in hundredths of a second, and so little is done here that it may be none.
        let may_be_zero = row["workload"].as_str().expect("a text").contains("processor time");
        let median = row["median"].as_f64().expect("measured");
        assert!(median > 0.0 || (may_be_zero && median == 0.0), "{row}");
    }
    let systems = systems(&document);
    let both = BTreeSet::from(["muster".to_owned(), "muster, enforced".to_owned()]);
    for kind in ["1 subscriber", "10 subscribers"] {
        assert_eq!(systems[&format!("time of an event read, {kind}")], both, "{kind}");
        assert_eq!(systems[&format!("the host's processor time of it, {kind}")], both, "{kind}");
    }
    assert!(systems.contains_key("tokens a second, 16 at a time"));
}
