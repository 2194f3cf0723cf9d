//! What the fuzz target and its seeds share: a key, a time, and a folder of evidence that holds.

use jiff::Timestamp;
use muster_gates::evidence::{Act, Algorithm, Decision, EvidenceDir, File, Input, Signer, Trust};
use muster_gates::{GateReport, Observation, Quantity, Series, Sha256};

/// The verifier's time, and that of every statement.
pub const NOW: Timestamp = Timestamp::constant(1_772_366_400, 0);

/// The key that counts.
pub fn signer() -> Signer {
    Signer::from_seed(Algorithm::Ed25519, &[7; 32]).expect("a key")
}

/// Trust in that key alone.
pub fn trust() -> Trust {
    Trust::new(vec![signer().public()], NOW)
}

/// A report with one of everything.
pub fn report(sessions: u64) -> GateReport {
    let module = Sha256::of(b"the module");
    let mut report = GateReport::begin("handshake", "staging", "http://127.0.0.1:3000", "presence", module, NOW);
    report.host_version = Some("muster/0.1.0".into());
    report.configure("clients", sessions);
    report.observe(Observation::equal("sessions.during", sessions, sessions));
    report.observe(Observation::at_most("connect.p95", 12.5, 100.0, "ms").note("of all"));
    report.observe(Observation::noted("version", "2.14"));
    let mut series = Series::new("connect", Quantity::Latency, "ms");
    (0..5).for_each(|at| series.push(at * 100, 1.0 / (at + 1) as f64));
    report.series.push(series);
    report.fault("host restarted", 100, 200);
    report.finish(NOW)
}

/// A decision with one of everything.
pub fn decision() -> Decision {
    Decision {
        act: Act::WentBack,
        promotion: "p1".into(),
        from: "staging".into(),
        to: "prod".into(),
        server: "http://127.0.0.1:3000".into(),
        database: "presence-abcd".into(),
        module_sha256: Sha256::of(b"the module"),
        policy_sha256: Sha256::of(b"policy"),
        plan_sha256: Sha256::of(b"plan"),
        inputs: vec![Input { file: "000001-x.dsse.json".into(), sha256: Sha256::of(b"x") }],
        reasons: vec!["the slo gate failed".into()],
        at: NOW,
    }
}

/// Four files that hold, of a folder that is made anew at each start.
pub fn folder() -> Vec<File> {
    let place = tempfile::tempdir().expect("a folder");
    let dir = EvidenceDir::open(place.path()).expect("opened");
    (1..4).for_each(|sessions| {
        dir.write(&report(sessions), &signer()).expect("written");
    });
    dir.write_decision(&decision(), &signer()).expect("written");
    dir.files().expect("read")
}
