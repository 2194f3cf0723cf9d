//! What suffices for a promotion, and what does not, each with its reason.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use muster_gates::evidence::{Algorithm, Code, Envelope, EvidenceDir, Signer, Trust, verify};
use muster_gates::promote::{Place, Places, Policy, Requirement, Why, judge};
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
        self.ran_at("http://h", gate, lane, module, at, seen, by)
    }

    #[expect(clippy::too_many_arguments, reason = "each is one fact of a run")]
    fn ran_at(
        &self,
        server: &str,
        gate: &str,
        lane: &str,
        module: &[u8],
        at: Timestamp,
        seen: Observation,
        by: &Signer,
    ) -> &Lane {
        let mut report = GateReport::begin(gate, lane, server, "d", Sha256::of(module), at);
        report.configure("database", "presence");
        report.observe(seen);
        self.dir.write(&report.finish(at), by).expect("written");
        self
    }

    fn passed(&self, gate: &str) -> &Lane {
        self.ran(gate, "staging", b"module", 60, Observation::held("all", true), &signer())
    }

    fn judged(&self) -> muster_gates::promote::Admission {
        self.judged_at(&Places::new())
    }

    fn judged_at(&self, places: &Places) -> muster_gates::promote::Admission {
        let verdict = verify(&self.dir.files().expect("read"), &Trust::new(vec![signer().public()], now()));
        judge(&policy(), "staging", places, Sha256::of(b"module"), &verdict, now())
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

#[test]
fn what_ran_elsewhere_proves_nothing_whatever_lane_it_names() {
    let lane = Lane::new();
    lane.passed("handshake").passed("replay");
    let at = |server: &str, database: &str| {
        Places::from([("staging".to_owned(), Place { server: server.into(), database: database.into() })])
    };
    assert!(lane.judged_at(&at("http://h", "presence")).suffices());
    assert!(lane.judged_at(&at("http://h", "d")).suffices(), "by the identity");
    for (server, database) in [("http://other", "presence"), ("http://h", "other")] {
        let judged = lane.judged_at(&at(server, database));
        let codes: Vec<_> = judged.shortcomings.iter().map(|it| it.why.as_str()).collect();
        assert_eq!(codes, ["elsewhere"; 2]);
        assert!(judged.shortcomings[0].to_string().contains("the evidence is of presence on http://h"));
    }
    // A laptop's run of the same name outweighs nothing.
    let broken = Observation::broken("lost", 1_u64, "gone");
    lane.ran_at("http://127.0.0.1:3000", "replay", "staging", b"module", now(), broken, &signer());
    assert!(lane.judged_at(&at("http://h", "presence")).suffices());
}

#[test]
fn a_failure_that_was_written_later_outweighs_whatever_its_clock_said() {
    let lane = Lane::new();
    lane.passed("handshake").passed("replay");
    lane.ran("replay", "staging", b"module", 90, Observation::broken("lost", 1_u64, "gone"), &signer());
    assert_eq!(lane.missing(), [("replay".into(), "failed")]);
    lane.passed("replay");
    assert_eq!(lane.missing(), []);
}

#[test]
fn a_failure_before_a_stranger_s_word_cannot_be_taken_out_unseen() {
    let stranger = Signer::from_seed(Algorithm::Es256, &[9; 32]).expect("a key");
    let lane = Lane::new();
    let held = || Observation::held("all", true);
    lane.passed("replay").passed("handshake");
    lane.ran("handshake", "staging", b"module", 30, Observation::broken("lost", 1_u64, "gone"), &signer());
    lane.ran("security", "staging", b"module", 20, held(), &stranger);
    lane.ran("contract", "staging", b"module", 15, held(), &stranger);
    lane.ran("slo", "staging", b"module", 10, held(), &signer());
    assert_eq!(lane.missing(), [("handshake".into(), "failed")]);

    let third = lane.dir.path().join(&lane.dir.names().expect("read")[2]);
    let is_seen = || {
        let judged = lane.judged();
        judged.shortcomings.iter().any(|it| matches!(it.why, Why::Evidence(Code::Truncated, _)))
    };
    std::fs::write(&third, Envelope::seal(b"{}".to_vec(), &stranger).to_json()).expect("written");
    assert!(is_seen(), "replaced: {:?}", lane.judged());
    std::fs::remove_file(&third).expect("removed");
    assert!(is_seen(), "removed: {:?}", lane.judged());
}
