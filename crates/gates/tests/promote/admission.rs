//! What suffices for a promotion, and what does not, each with its reason.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use muster_gates::evidence::{Algorithm, EvidenceDir, Signer, Trust, verify};
use muster_gates::promote::{Policy, Requirement, Why, judge};
use muster_gates::{GateReport, Observation, Sha256};

use crate::world::signer;

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().expect("a time")
}

fn policy() -> Policy {
    let requirement =
        |gate: &str| Requirement { gate: gate.into(), lanes: vec![], max_age: Duration::from_secs(3_600) };
    Policy {
        signers: vec![],
        require: vec![requirement("handshake"), requirement("replay")],
        setup: vec![],
        target_gates: vec!["handshake".into()],
        cohorts: vec![100],
        soak: Duration::from_secs(1),
        watch_gate: "slo".into(),
        sha256: Sha256::of(b"policy"),
    }
}

struct Lane {
    _place: tempfile::TempDir,
    dir: EvidenceDir,
}

impl Lane {
    fn new() -> Lane {
        let place = tempfile::tempdir().expect("a folder");
        let dir = EvidenceDir::open(place.path()).expect("opened");
        Lane { _place: place, dir }
    }

    /// A run of a gate, this many seconds ago.
    fn ran(&self, gate: &str, lane: &str, module: &[u8], ago_s: i64, seen: Observation, by: &Signer) -> &Lane {
        let at = now() - SignedDuration::from_secs(ago_s);
        let mut report = GateReport::begin(gate, lane, "http://h", "d", Sha256::of(module), at);
        report.observe(seen);
        self.dir.write(&report.finish(at), by).expect("written");
        self
    }

    fn passed(&self, gate: &str) -> &Lane {
        self.ran(gate, "staging", b"module", 60, Observation::held("all", true), &signer())
    }

    fn judged(&self) -> muster_gates::promote::Admission {
        let verdict = verify(&self.dir.files().expect("read"), &Trust::new(vec![signer().public()], now()));
        judge(&policy(), "staging", Sha256::of(b"module"), &verdict, now())
    }

    /// Gate and reason of everything that is missing.
    fn missing(&self) -> Vec<(String, &'static str)> {
        self.judged().shortcomings.iter().map(|it| (it.gate.clone(), it.why.as_str())).collect()
    }
}

#[test]
fn fresh_signed_and_passed_suffices_and_is_named_by_digest() {
    let lane = Lane::new();
    lane.passed("handshake").passed("replay");
    let judged = lane.judged();
    assert!(judged.suffices(), "{:?}", judged.shortcomings);
    let names: Vec<_> = judged.inputs.iter().map(|it| &it.file[..6]).collect();
    assert_eq!(names, ["000001", "000002"]);
}

#[test]
fn everything_that_is_missing_is_said_at_once() {
    let lane = Lane::new();
    lane.ran("handshake", "staging", b"module", 3_601, Observation::held("all", true), &signer());
    assert_eq!(lane.missing(), [("handshake".into(), "stale"), ("replay".into(), "missing")]);
}

#[test]
fn another_lane_or_another_module_does_not_count() {
    let lane = Lane::new();
    lane.passed("replay").ran("handshake", "dev", b"module", 60, Observation::held("all", true), &signer());
    assert_eq!(lane.missing(), [("handshake".into(), "missing")]);
    lane.ran("handshake", "staging", b"another", 60, Observation::held("all", true), &signer());
    assert_eq!(lane.missing(), [("handshake".into(), "other_module")]);
}

#[test]
fn the_newest_run_counts_whatever_an_older_one_said() {
    let lane = Lane::new();
    lane.passed("handshake").passed("replay");
    let slow = Observation::at_most("p95", 900.0, 100.0, "ms");
    lane.ran("handshake", "staging", b"module", 30, slow, &signer());
    assert_eq!(lane.missing(), [("handshake".into(), "failed")]);
    let judged = lane.judged().shortcomings[0].to_string();
    assert!(judged.contains("p95: 900 ms, and the limit is 100.00 ms") || judged.contains("900"), "{judged}");
    lane.ran("handshake", "staging", b"module", 20, Observation::undecided("lag", "no answer"), &signer());
    assert_eq!(lane.missing(), [("handshake".into(), "inconclusive")]);
    lane.ran("handshake", "staging", b"module", 10, Observation::held("all", true), &signer());
    assert_eq!(lane.missing(), []);
}

#[test]
fn a_stranger_s_word_is_named_as_one() {
    let lane = Lane::new();
    let stranger = Signer::from_seed(Algorithm::Es256, &[9; 32]).expect("a key");
    lane.passed("replay").ran("handshake", "staging", b"module", 60, Observation::held("all", true), &stranger);
    assert_eq!(lane.missing(), [("handshake".into(), "stranger")]);
}

#[test]
fn a_folder_with_a_gap_proves_nothing() {
    let lane = Lane::new();
    lane.passed("slo").passed("handshake").passed("replay");
    let first = lane.dir.path().join(&lane.dir.names().expect("read")[0]);
    std::fs::remove_file(first).expect("removed");
    let judged = lane.judged();
    assert!(matches!(judged.shortcomings[0].why, Why::Evidence(..)), "{:?}", judged.shortcomings);
    assert!(!judged.suffices());
}
