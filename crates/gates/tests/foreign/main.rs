//! Evidence in the hands of programs that nobody here wrote: Python's `securesystemslib`, `in-toto` and
//! `in-toto-attestation` verify every envelope, read every statement, and refuse what was changed.
//!
//! Python 3.9 or newer with pip is required: without it this test fails and says so, because a test that quietly does
//! nothing would be worth nothing.

use std::path::{Path, PathBuf};
use std::process::Command;

use jiff::Timestamp;
use muster_gates::evidence::{Act, Algorithm, Decision, EvidenceDir, Input, Signer};
use muster_gates::{GateReport, Observation, Sha256};

const REMEDY: &str = "install Python 3.9 or newer with pip, and run this again";

/// A folder with the packages, installed once for each `requirements.txt`.
fn packages(sources: &Path) -> PathBuf {
    let wanted = std::fs::read(sources.join("requirements.txt")).expect("read");
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = tmp.join(format!("in-toto-{}", Sha256::of(&wanted).short()));
    if !folder.exists() {
        // Made beside it and then renamed: two tests at once end with one whole folder.
        let making = tempfile::tempdir_in(tmp).expect("a folder");
        let pip = Command::new("python3")
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"])
            .arg(making.path())
            .arg("-r")
            .arg(sources.join("requirements.txt"))
            .output()
            .unwrap_or_else(|error| panic!("python3 cannot be run ({error}): {REMEDY}"));
        assert!(pip.status.success(), "{REMEDY}: {}", String::from_utf8_lossy(&pip.stderr));
        let _ = std::fs::rename(making.keep(), &folder);
    }
    folder
}

fn report(gate: &str, seen: Vec<Observation>) -> GateReport {
    let at: Timestamp = "2026-03-01T12:00:00.25Z".parse().expect("a time");
    let mut report = GateReport::begin(gate, "the-lane", "http://127.0.0.1:3000", "presence", Sha256::of(b"m"), at);
    report.configure("clients", 50);
    seen.into_iter().for_each(|it| report.observe(it));
    report.finish(at)
}

#[test]
fn in_toto_s_own_tools_verify_and_read_what_was_signed_with_either_algorithm() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign");
    let packages = packages(&sources);
    let place = tempfile::tempdir().expect("a folder");
    let dir = EvidenceDir::open(&place.path().join("evidence")).expect("opened");
    let keys = place.path().join("keys");
    std::fs::create_dir(&keys).expect("made");
    let [es256, ed25519] = [Algorithm::Es256, Algorithm::Ed25519].map(|algorithm| {
        let path = keys.join(algorithm.as_str());
        Signer::generate(algorithm).create(&path).expect("written");
        Signer::read(&path).expect("read")
    });
    let held = || Observation::at_most("connect.p95", 12.5, 100.0, "ms");
    let broken = Observation::broken("sessions.after", 3_u64, "one is left");
    dir.write(&report("handshake", vec![held(), Observation::noted("host", "2.14")]), &es256).expect("written");
    dir.write(&report("handshake", vec![held()]), &ed25519).expect("written");
    dir.write(&report("replay", vec![held(), broken]), &es256).expect("written");
    dir.write(&report("slo", vec![held(), Observation::undecided("lag", "no answer")]), &ed25519).expect("written");
    for (act, signer) in [(Act::Admitted, &es256), (Act::WentBack, &ed25519)] {
        let decision = Decision {
            act,
            promotion: "p1".into(),
            from: "staging".into(),
            to: "the-lane".into(),
            server: "http://127.0.0.1:3000".into(),
            database: "presence-1".into(),
            module_sha256: Sha256::of(b"m"),
            policy_sha256: Sha256::of(b"policy"),
            plan_sha256: Sha256::of(b"plan"),
            inputs: vec![Input { file: "000001-x.dsse.json".into(), sha256: Sha256::of(b"x") }],
            reasons: vec!["at 5 %: p95".into()],
            at: "2026-03-01T12:00:00Z".parse().expect("a time"),
        };
        dir.write_decision(&decision, signer).expect("written");
    }

    let mut python = Command::new("python3");
    python.arg(sources.join("verify.py")).arg(place.path());
    python.env("PYTHONPATH", packages).env("PYTHONDONTWRITEBYTECODE", "1");
    let output = python.output().unwrap_or_else(|error| panic!("python3 cannot be run ({error}): {REMEDY}"));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let test = "['urn:muster:evidence-chain:v1', 'urn:muster:gate-report:v1']";
    let decision = "['urn:muster:evidence-chain:v1', 'urn:muster:promotion:v1']";
    let expected = [
        format!("000001 test-result PASSED connect.p95 - - {test}"),
        format!("000002 test-result PASSED connect.p95 - - {test}"),
        format!("000003 test-result FAILED connect.p95 - sessions.after {test}"),
        format!("000004 test-result FAILED connect.p95 - lag {test}"),
        format!("000005 vsa PASSED ['MUSTER_GATES_PASSED'] {decision}"),
        format!("000006 vsa FAILED ['FAILED'] {decision}"),
    ];
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
}
