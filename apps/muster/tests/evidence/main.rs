//! `muster evidence` as people and scripts use it: keys, lists, and every way in which a folder may not hold.

#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use jiff::Timestamp;
use muster_gates::evidence::{EvidenceDir, Signer};
use muster_gates::{GateReport, Observation, Sha256};
use support::Sandbox;

/// A folder with three statements, signed with a key that the program made.
struct Place {
    sandbox: Sandbox,
    names: Vec<String>,
}

fn place() -> Place {
    place_of(Timestamp::now())
}

/// The same with statements of another time.
fn place_of(now: Timestamp) -> Place {
    let sandbox = Sandbox::new();
    sandbox.run(&["evidence", "keygen", "operator.pem"]).done();
    let dir = EvidenceDir::open(&sandbox.path("evidence")).expect("opened");
    let signer = Signer::read(&sandbox.path("operator.pem")).expect("a key");
    for gate in ["provision", "handshake", "slo"] {
        let mut report = GateReport::begin(gate, "staging", "http://h", "presence", Sha256::of(b"module"), now);
        report.observe(Observation::at_most("connect.p95", 12.5, 100.0, "ms").note("of fifty"));
        dir.write(&report.finish(now), &signer).expect("written");
    }
    let names = dir.names().expect("read");
    Place { sandbox, names }
}

impl Place {
    /// Exit code, and the codes that `verify` finds.
    #[track_caller]
    fn found(&self, more: &[&str]) -> (Option<i32>, Vec<String>) {
        let args = ["evidence", "verify", "evidence", "--key", "operator.pem.pub", "--json"];
        let run = self.sandbox.run(&[&args, more].concat());
        let json: serde_json::Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{run:?}"));
        assert_eq!(json["schema"], "muster.evidence.verify.v1");
        let findings = json["findings"].as_array().expect("a list");
        let codes = findings.iter().map(|it| it["code"].as_str().expect("a code").to_owned()).collect();
        (run.code, codes)
    }

    fn file(&self, at: usize) -> std::path::PathBuf {
        self.sandbox.path("evidence").join(&self.names[at])
    }
}

fn change(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).expect("read");
    assert!(text.contains(from), "{text}");
    fs::write(file, text.replacen(from, to, 1)).expect("written");
}

#[test]
fn a_key_is_its_owner_s_alone_and_never_replaced() {
    let sandbox = Sandbox::new();
    let said = sandbox.run(&["evidence", "keygen", "k.pem", "--algorithm", "es256", "--json"]).json();
    assert_eq!((&said["algorithm"], &said["public"]), (&"es256".into(), &"k.pem.pub".into()));
    assert_eq!(fs::metadata(sandbox.path("k.pem")).expect("there").permissions().mode() & 0o777, 0o600);
    let pem = fs::read_to_string(sandbox.path("k.pem")).expect("read");
    assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----"));
    let again = sandbox.run(&["evidence", "keygen", "k.pem"]).error(2);
    assert!(again.contains("k.pem"), "{again}");
    assert_eq!(fs::read_to_string(sandbox.path("k.pem")).expect("read"), pem);
}

#[test]
fn what_holds_is_listed_shown_and_reported() {
    let place = place();
    assert_eq!(place.found(&[]), (Some(0), vec![]));
    let trust = ["--key", "operator.pem.pub"];
    let list = place.sandbox.run(&[&["evidence", "list", "evidence"], &trust[..]].concat()).done();
    assert_eq!(list.lines().count(), 4, "{list}");
    assert!(list.contains("handshake") && list.contains("passed"), "{list}");
    let one = format!("evidence/{}", place.names[1]);
    let shown = place.sandbox.run(&[&["evidence", "show", &one], &trust[..]].concat()).done();
    assert!(shown.contains("gate       handshake: passed"), "{shown}");
    assert!(shown.contains("held       connect.p95 = 12.50 ms (limit 100 ms): of fifty"), "{shown}");
    let statement = place.sandbox.run(&[&["evidence", "show", &one, "--json"], &trust[..]].concat()).json();
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    place.sandbox.run(&[&["evidence", "report", "evidence"], &trust[..]].concat()).done();
    assert!(fs::read_to_string(place.sandbox.path("report.html")).expect("there").contains("Evidence"));
    assert!(fs::read_to_string(place.sandbox.path("SUMMARY.md")).expect("there").contains("# Evidence: passed"));
}

#[test]
fn every_kind_of_tampering_has_a_reason_of_its_own_and_exit_code_1() {
    let bad = |codes: &[&str]| (Some(1), codes.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>());
    let it = place();
    change(&it.file(1), "\"payload\":\"ey", "\"payload\":\"eX");
    assert_eq!(it.found(&[]), bad(&["tampered_payload"]));

    let it = place();
    change(&it.file(1), "\"sig\":\"", "\"sig\":\"AA");
    assert_eq!(it.found(&[]), bad(&["tampered_signature"]));

    let it = place();
    change(&it.file(2), "application/vnd.in-toto+json", "application/json");
    assert_eq!(it.found(&[]), bad(&["wrong_payload_type"]));

    let it = place();
    let text = fs::read(it.file(2)).expect("read");
    fs::write(it.file(2), &text[..text.len() / 2]).expect("written");
    assert_eq!(it.found(&[]), bad(&["truncated"]));

    let it = place();
    fs::remove_file(it.file(1)).expect("removed");
    assert_eq!(it.found(&[]), bad(&["truncated"]));

    let it = place();
    let (one, two) = (fs::read(it.file(1)).expect("read"), fs::read(it.file(2)).expect("read"));
    fs::write(it.file(1), two).expect("written");
    fs::write(it.file(2), one).expect("written");
    assert_eq!(it.found(&[]), bad(&["reordered", "reordered"]));

    let it = place();
    fs::copy(it.file(1), it.sandbox.path("evidence/000004-again.dsse.json")).expect("copied");
    assert_eq!(it.found(&[]), bad(&["replayed"]));

    let it = place_of(Timestamp::now() - jiff::SignedDuration::from_mins(30));
    assert_eq!(it.found(&["--max-age", "29m"]), bad(&["expired", "expired", "expired"]));
    assert_eq!(it.found(&["--max-age", "1h"]), (Some(0), vec![]));

    let it = place();
    it.sandbox.run(&["evidence", "keygen", "stranger.pem"]).done();
    let (mine, theirs) = (it.sandbox.path("operator.pem.pub"), it.sandbox.path("stranger.pem.pub"));
    fs::rename(theirs, mine).expect("renamed");
    assert_eq!(it.found(&[]), bad(&["foreign_signer"; 3]));
}

#[test]
fn a_missing_end_is_seen_with_the_head_of_an_earlier_look() {
    let place = place();
    let args = ["evidence", "verify", "evidence", "--key", "operator.pem.pub", "--json"];
    let head = place.sandbox.run(&args).json()["head"].as_str().expect("a head").to_owned();
    fs::remove_file(place.file(2)).expect("removed");
    assert_eq!(place.found(&[]), (Some(0), vec![]), "nobody can see it without");
    assert_eq!(place.found(&["--head", &head]), (Some(1), vec!["truncated".into()]));
}

#[test]
fn nothing_is_said_of_what_no_given_key_vouches_for() {
    let place = place();
    place.sandbox.run(&["evidence", "keygen", "stranger.pem"]).done();
    let run = place.sandbox.run(&["evidence", "list", "evidence", "--key", "stranger.pem.pub"]);
    assert_eq!(run.code, Some(1));
    assert_eq!(run.stdout.lines().count(), 1, "the head alone: {}", run.stdout);
    assert_eq!(run.stderr.matches("foreign_signer").count(), 3, "{}", run.stderr);
    let one = format!("evidence/{}", place.names[0]);
    let run = place.sandbox.run(&["evidence", "show", &one, "--key", "stranger.pem.pub"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""));
}

#[test]
fn what_cannot_be_looked_at_is_one_line() {
    let place = place();
    let key = ["--key", "operator.pem.pub"];
    fs::create_dir(place.sandbox.path("empty")).expect("made");
    let line = place.sandbox.run(&[&["evidence", "verify", "empty"], &key[..]].concat()).error(1);
    assert!(line.contains("holds no signed evidence"), "{line}");
    place.sandbox.run(&[&["evidence", "verify", "nowhere"], &key[..]].concat()).error(2);
    let line = place.sandbox.run(&["evidence", "verify", "evidence", "--key", "operator.pem"]).error(2);
    assert!(line.contains("is no public key"), "{line}");
    place.sandbox.run(&["evidence", "verify", "evidence"]).error(2);
    let one = format!("evidence/{}", place.names[0]);
    let head = ["--head", &"0".repeat(64)];
    let line = place.sandbox.run(&[&["evidence", "verify", &one], &key[..], &head[..]].concat()).error(2);
    assert!(line.contains("--head is about a folder"), "{line}");
}
