//! `muster gate` on real hosts: what is said beforehand, what is found, what is left behind (nothing), and how it ends.
//!
//! What always holds: nothing here takes the gate's word for what it removed: the lane is asked. Faulty modules are
//! `scripts/gate`'s, which `make gate` runs.
#![cfg(all(feature = "host", feature = "control"))]

#[path = "../support/mod.rs"]
mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;
use support::{Host, MUSTER, PATIENCE, Run, Sandbox, checkout, muster_module, sandbox_at};

const DATABASE: &str = "presence";

/// Little of everything, so that a test takes seconds.
const LITTLE: &str = "replay_events = 200\nslo_s = 1\nburst_batches = 1\nfault_ms = 200\nhandshake_clients = 2";

/// A host with the module, and whoever owns the database.
struct Lane {
    sandbox: Sandbox,
    host: Host,
}

impl Lane {
    fn new() -> Lane {
        let hosts = Sandbox::new();
        let host = Host::in_memory(&hosts);
        let sandbox = sandbox_at(&host, DATABASE);
        host.publish(&sandbox, DATABASE, &muster_module());
        let lane = Lane { sandbox, host };
        lane.allow("");
        lane
    }

    /// Writes the lane's section of gates.toml.
    fn allow(&self, more: &str) {
        self.sandbox.file("gates.toml", format!("[lanes.test]\n{more}\n[lanes.test.load]\n{LITTLE}\n"));
    }

    fn gate(&self, args: &[&str]) -> Run {
        self.sandbox.run(&[&["gate", "--as-lane", "test"], args].concat())
    }

    fn wait_for_streams(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.streams().is_empty() {
            assert!(Instant::now() < deadline, "it never wrote");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The lane's streams, whoever made them.
    fn streams(&self) -> Vec<Value> {
        let list = self.sandbox.run(&["streams", "-q", "--json"]).json();
        list["streams"].as_array().expect("a list").clone()
    }
}

/// The observations of the one report in a run's JSON, with this standing.
fn seen(run: &Run, standing: &str) -> Vec<String> {
    let document: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("no document: {run:?}"));
    assert_eq!(document["schema"], "muster.gate.v1");
    let observations = document["reports"][0]["observations"].as_array().expect("observations");
    let wanted = observations.iter().filter(|it| it["standing"] == standing);
    wanted.map(|it| format!("{}: {}", it["name"].as_str().expect("a name"), it["note"])).collect()
}

#[test]
fn a_plan_says_what_would_be_done_and_does_nothing() {
    let lane = Lane::new();
    let plan = lane.gate(&["all", "--plan"]).done();
    for gate in ["provision", "handshake", "contract", "replay", "security", "drills", "slo"] {
        assert!(plan.lines().any(|line| line.starts_with(gate)), "{gate}: {plan}");
    }
    assert!(!plan.contains("DISRUPTIVE"), "the lane allows nothing: {plan}");
    assert_eq!(lane.streams(), [Value::Null; 0]);

    lane.allow("may = [\"kill\"]\nrestart = [\"false\"]");
    let plan = lane.gate(&["drills.host-restart", "--plan"]).done();
    assert!(plan.contains("[DISRUPTIVE] KILLS THE HOST: runs `false`"), "{plan}");
}

#[test]
fn a_lane_that_holds_passes_and_nothing_is_left_on_it() {
    let lane = Lane::new();
    let module = muster_module();
    let gates = ["provision", "handshake", "contract", "replay", "drills.partition", "slo"];
    let run = lane.gate(&[&gates[..], &["--module", &module, "--json"]].concat());
    assert_eq!(run.code, Some(0), "{}\n{}", run.stdout, run.stderr);
    let document: Value = serde_json::from_str(&run.stdout).expect("one document");
    assert_eq!(document["result"], "passed");
    let reports = document["reports"].as_array().expect("reports");
    assert_eq!(reports.iter().map(|it| it["gate"].as_str().expect("a name")).collect::<Vec<_>>(), gates);
    let latencies = &reports[5]["series"];
    assert!(latencies.as_array().is_some_and(|it| !it.is_empty()), "no values over time: {latencies}");
    assert_eq!(lane.streams(), [Value::Null; 0]);
}

#[test]
fn a_signal_ends_a_run_and_what_it_made_is_removed() {
    let lane = Lane::new();
    lane.sandbox.file("gates.toml", "[lanes.test.load]\nslo_s = 600\n");
    lane.sandbox.run(&["evidence", "keygen", "operator.pem"]).done();
    let evidence = ["--evidence-dir", "evidence", "--evidence-key", "operator.pem"];
    let mut running = lane.sandbox.start(&[&["gate", "handshake", "slo", "--as-lane", "test"], &evidence[..]].concat());
    lane.wait_for_streams();
    running.signal("INT");
    assert_eq!(running.code(), Some(130));
    assert_eq!(lane.streams(), [Value::Null; 0]);
    // What was found before is evidence, whoever ended the run, and for whatever reason.
    let list = lane.sandbox.run(&["evidence", "list", "evidence", "--key", "operator.pem.pub", "--json"]).json();
    let gates: Vec<_> = list["statements"].as_array().expect("a list").iter().map(|it| it["gate"].clone()).collect();
    assert_eq!(gates, ["handshake"]);
}

#[test]
fn a_module_that_is_exchanged_meanwhile_makes_a_gate_inconclusive() {
    let lane = Lane::new();
    let mut other = std::fs::read(muster_module()).expect("the module's file");
    other.extend([0, 2, 1, b'x']);
    let other = lane.sandbox.file("other.wasm", other);
    // What runs in the middle of this drill is a command of the lane's: here one that publishes, and kills nothing.
    let publish = format!("'{MUSTER}' publish -q --server {} --database {DATABASE} --module '{other}'", lane.host.url);
    let settings = format!("may = [\"kill\"]\nrestart = [\"sh\", \"-c\", \"{publish}\"]");
    lane.sandbox.file("gates.toml", format!("[lanes.test]\n{settings}\n[lanes.test.load]\npatience_s = 5\n{LITTLE}\n"));
    let run = lane.gate(&["drills.host-restart", "--json"]);
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(seen(&run, "undecided").iter().any(|it| it.starts_with("module.stays: ")), "{run:?}");
}

#[test]
fn the_database_of_a_run_that_was_killed_long_ago_is_deleted_by_the_next() {
    let lane = Lane::new();
    let (old, young) = ("1-0000000a", format!("{:x}-0000000b", Timestamp::now().as_second()));
    for run in [old, young.as_str()] {
        lane.host.publish(&lane.sandbox, &format!("muster-gate-{run}"), &muster_module());
        let (stream, producer) = (format!("\"muster.gate.{run}.scratch\""), format!("\"{:032x}\"", 7));
        // SHA-256 of `{}`, as a number.
        let hash = "0x44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        let event = format!(r#"[{{"kind":"k","payload":"{{}}","hash":"{hash}","at":[0]}}]"#);
        lane.sandbox.run(&["call", "-q", "append_events", &stream, "0", &producer, "1", "0", &event]).done();
    }
    let document = lane.gate(&["handshake", "--json"]).json();
    assert_eq!(document["left"], Value::Array(vec![]), "{document}");
    let has = |run: &str| {
        let database = format!("muster-gate-{run}");
        lane.sandbox.run(&["describe", "-q", "--server", &lane.host.url, "--database", &database]).code == Some(0)
    };
    assert!(!has(old), "the database of a killed run stays");
    assert!(has(&young), "a run that may still be at work has lost its database");
    assert_eq!(lane.streams().len(), 1, "{:?}", lane.streams());
}

#[test]
fn another_module_than_the_one_that_is_named_is_refused_by_provision() {
    let lane = Lane::new();
    let mut other = std::fs::read(muster_module()).expect("the module's file");
    // A section that WebAssembly ignores: the same module under another hash.
    other.extend([0, 2, 1, b'x']);
    let other = lane.sandbox.file("other.wasm", other);
    let run = lane.gate(&["provision", "--module", &other, "--json"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    let broken = seen(&run, "broken");
    assert!(
        broken.len() == 1 && broken[0].starts_with("module: ") && broken[0].contains("another module"),
        "{broken:?}"
    );
}

#[test]
fn an_open_lane_is_inconclusive_and_fails_where_it_must_be_closed() {
    let lane = Lane::new();
    let run = lane.gate(&["security", "--json"]);
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.stderr.contains("inconclusive: security"), "{}", run.stderr);
    assert!(seen(&run, "undecided")[0].starts_with("lane.closed: "), "{run:?}");
    assert_eq!(seen(&run, "broken"), [""; 0]);

    lane.allow("auth = \"required\"");
    let run = lane.gate(&["security", "--json"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(seen(&run, "broken")[0].starts_with("lane.closed: "), "{run:?}");
    assert_eq!(lane.streams(), [Value::Null; 0]);
}

#[test]
fn a_drill_that_the_lane_does_not_allow_is_inconclusive_and_harms_nothing() {
    let lane = Lane::new();
    lane.allow("restart = [\"touch\", \"killed\"]");
    for (drill, word) in [("host-restart", "kill"), ("hot-swap", "scratch"), ("retention-overtakes", "scratch")] {
        let run = lane.gate(&[&format!("drills.{drill}"), "--json"]);
        assert_eq!(run.code, Some(2), "{run:?}");
        let undecided = seen(&run, "undecided");
        assert!(undecided[0].contains(&format!("add \\\"{word}\\\" to `may`")), "{undecided:?}");
    }
    assert!(!lane.sandbox.path("killed").exists(), "the command ran");
}

#[test]
fn a_command_that_kills_nothing_is_no_restart() {
    let lane = Lane::new();
    lane.sandbox.file(
        "gates.toml",
        format!("[lanes.test]\nmay = [\"kill\"]\nrestart = [\"true\"]\n[lanes.test.load]\npatience_s = 5\n{LITTLE}\n"),
    );
    let run = lane.gate(&["drills.host-restart", "--json"]);
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(seen(&run, "undecided").iter().any(|it| it.contains("the host was never away")), "{run:?}");
}

#[test]
fn whoever_is_not_the_owner_writes_nothing() {
    let lane = Lane::new();
    let module = muster_module();
    let run = lane.gate(&["replay", "slo", "drills.partition", "--anonymous", "--module", &module]);
    assert_eq!(run.code, Some(2), "{run:?}");
    assert_eq!(run.stdout.matches("is not the owner's").count(), 3, "{}", run.stdout);
    assert_eq!(lane.streams(), [Value::Null; 0]);
}

#[test]
fn what_is_misspelt_is_an_error_that_names_it() {
    let lane = Lane::new();
    assert!(lane.gate(&["replays"]).error(2).contains("`replays` is no gate"));
    lane.allow("mai = []");
    assert!(lane.gate(&["provision"]).error(2).contains("`mai`"));
    let unsigned = lane.gate(&["provision", "--evidence-dir", "evidence"]).error(2);
    assert!(unsigned.contains("--evidence-key"), "{unsigned}");
    assert!(!lane.host.url.is_empty());
}

#[test]
fn what_operators_install_is_what_the_programs_accept() {
    let output = Command::new(checkout().join("scripts/check-ops"))
        .env("MUSTER", MUSTER)
        .env("MUSTER_MODULE_WASM", muster_module())
        .output()
        .expect("the script runs");
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{}", said.concat());
}

/// The same as `make gate`, which runs the script without this test, for whoever wants it among the others:
/// `cargo test -p muster --test gates -- --ignored`.
#[test]
#[ignore = "several minutes: `make gate` runs the script itself"]
fn the_ladder_holds_and_every_planted_fault_is_refused() {
    let status = Command::new(checkout().join("scripts/gate"))
        .env("MUSTER", MUSTER)
        .env("MUSTER_MODULE_WASM", muster_module())
        .status()
        .expect("the script runs");
    assert!(status.success(), "{status}");
}
