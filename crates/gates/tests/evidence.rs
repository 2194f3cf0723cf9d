//! Evidence as its enemies meet it: every kind of tampering is refused, each with its own reason, and nothing at all can
//! be changed in a folder unseen.

use std::time::Duration;

use jiff::Timestamp;
use muster_gates::evidence::{
    Act, Algorithm, Body, Code, Decision, Envelope, EvidenceDir, File, Input, Signer, Trust, Verdict, verify,
    verify_one,
};
use muster_gates::{GateReport, GateResult, Observation, Quantity, Series, Sha256};
use proptest::prelude::*;

const NOW: &str = "2026-03-01T12:00:00Z";

fn now() -> Timestamp {
    NOW.parse().expect("a time")
}

fn report(gate: &str, sessions: u64) -> GateReport {
    let module = Sha256::of(b"the module");
    let mut report = GateReport::begin(gate, "staging", "http://127.0.0.1:3000", "presence", module, now());
    report.host_version = Some("muster/0.1.0".into());
    report.configure("clients", sessions);
    report.observe(Observation::equal("sessions.during", sessions, sessions));
    report.observe(Observation::at_most("connect.p95", 12.5, 100.0, "ms"));
    let mut series = Series::new("connect", Quantity::Latency, "ms");
    (0..5).for_each(|at| series.push(at * 100, 1.0 / (at + 1) as f64));
    report.series.push(series);
    report.fault("host restarted", 100, 200);
    report.finish(now())
}

/// A folder of four statements, and the key that signed them.
struct Folder {
    _place: tempfile::TempDir,
    dir: EvidenceDir,
    signer: Signer,
}

impl Folder {
    fn new(algorithm: Algorithm) -> Folder {
        let place = tempfile::tempdir().expect("a folder");
        let dir = EvidenceDir::open(&place.path().join("evidence")).expect("opened");
        let signer = Signer::from_seed(algorithm, &[7; 32]).expect("a key");
        for (sessions, gate) in (1..).zip(["provision", "handshake", "replay"]) {
            dir.write(&report(gate, sessions), &signer).expect("written");
        }
        dir.write_decision(&decision(Act::Admitted), &signer).expect("written");
        Folder { _place: place, dir, signer }
    }

    fn files(&self) -> Vec<File> {
        self.dir.files().expect("read")
    }

    fn trust(&self) -> Trust {
        Trust::new(vec![self.signer.public()], now())
    }

    fn verify(&self, files: &[File]) -> Verdict {
        verify(files, &self.trust())
    }
}

fn decision(act: Act) -> Decision {
    Decision {
        act,
        promotion: "p1".into(),
        from: "staging".into(),
        to: "prod".into(),
        server: "http://127.0.0.1:3000".into(),
        database: "presence-abcd".into(),
        module_sha256: Sha256::of(b"the module"),
        policy_sha256: Sha256::of(b"policy"),
        plan_sha256: Sha256::of(b"plan"),
        inputs: vec![Input { file: "000001-x.dsse.json".into(), sha256: Sha256::of(b"x") }],
        reasons: vec![],
        at: now(),
    }
}

/// What was found, by the first digits of the file's name.
fn found(verdict: &Verdict) -> Vec<(&str, Code)> {
    verdict.findings.iter().map(|it| (it.file.get(..6).unwrap_or(""), it.code)).collect()
}

/// The file with another payload under the old signature.
fn with_payload(file: &File, change: impl Fn(&str) -> String) -> File {
    use base64::Engine as _;
    let mut json: serde_json::Value = serde_json::from_slice(&file.bytes).expect("JSON");
    let payload = json["payload"].as_str().expect("text");
    let payload = base64::prelude::BASE64_STANDARD.decode(payload).expect("base64");
    let payload = change(std::str::from_utf8(&payload).expect("text"));
    json["payload"] = base64::prelude::BASE64_STANDARD.encode(payload).into();
    File { name: file.name.clone(), bytes: serde_json::to_vec(&json).expect("JSON") }
}

/// The file with another value in its envelope.
fn with_field(file: &File, pointer: &str, value: serde_json::Value) -> File {
    let mut json: serde_json::Value = serde_json::from_slice(&file.bytes).expect("JSON");
    *json.pointer_mut(pointer).expect("there") = value;
    File { name: file.name.clone(), bytes: serde_json::to_vec(&json).expect("JSON") }
}

#[test]
fn what_was_written_holds_and_comes_back_whole() {
    for algorithm in [Algorithm::Es256, Algorithm::Ed25519] {
        let folder = Folder::new(algorithm);
        let verdict = folder.verify(&folder.files());
        assert_eq!(found(&verdict), []);
        assert_eq!(verdict.entries.len(), 4);
        assert_eq!(verdict.entries[1].statement.body, Body::Gate(Box::new(report("handshake", 2))));
        assert_eq!(verdict.entries[3].statement.body, Body::Decision(Box::new(decision(Act::Admitted))));
        let trust = Trust { head: verdict.head, max_age: Some(Duration::from_secs(1)), ..folder.trust() };
        assert!(verify(&folder.files(), &trust).holds());
    }
}

#[test]
fn a_payload_that_was_changed_is_told_from_a_signature_that_was() {
    let folder = Folder::new(Algorithm::Es256);
    for (index, number) in [(1, "000002"), (3, "000004")] {
        let mut files = folder.files();
        files[index] = with_payload(&files[index], |it| it.replacen("127.0.0.1", "127.0.0.2", 1));
        assert_eq!(found(&folder.verify(&files)), [(number, Code::TamperedPayload)]);

        let mut files = folder.files();
        let other: serde_json::Value = serde_json::from_slice(&files[0].bytes).expect("JSON");
        files[index] = with_field(&files[index], "/signatures/0/sig", other["signatures"][0]["sig"].clone());
        assert_eq!(found(&folder.verify(&files)), [(number, Code::TamperedSignature)]);
        files[index] = with_field(&files[index], "/signatures/0/sig", "AAAA".into());
        assert_eq!(found(&folder.verify(&files)), [(number, Code::TamperedSignature)]);
    }
}

#[test]
fn an_envelope_that_was_written_anew_around_a_good_payload_is_seen_also_at_the_end() {
    let folder = Folder::new(Algorithm::Ed25519);
    for (index, number) in [(1, "000002"), (3, "000004")] {
        for change in [" ", "keyid"] {
            let mut files = folder.files();
            match change {
                "keyid" => files[index] = with_field(&files[index], "/signatures/0/keyid", "mine".into()),
                _ => files[index].bytes.push(b' '),
            }
            assert_eq!(found(&folder.verify(&files)), [(number, Code::TamperedSignature)], "{change}");
        }
    }
}

#[test]
fn what_is_in_another_order_is_refused() {
    let folder = Folder::new(Algorithm::Ed25519);
    let mut files = folder.files();
    let (two, three) = (files[1].bytes.clone(), files[2].bytes.clone());
    (files[1].bytes, files[2].bytes) = (three, two);
    let codes: Vec<_> = found(&folder.verify(&files)).into_iter().map(|it| it.1).collect();
    assert_eq!(codes, [Code::Reordered; 3]);
}

#[test]
fn what_is_there_twice_or_is_from_another_folder_is_refused() {
    let folder = Folder::new(Algorithm::Ed25519);
    let mut files = folder.files();
    files.push(File { name: "000005-again.dsse.json".into(), bytes: files[1].bytes.clone() });
    assert_eq!(found(&folder.verify(&files)), [("000005", Code::Replayed)]);

    let other = Folder::new(Algorithm::Ed25519);
    let mut files = folder.files();
    let theirs = other.files().swap_remove(1);
    files.push(File { name: "000005-theirs.dsse.json".into(), ..theirs });
    assert_eq!(found(&folder.verify(&files)), [("000005", Code::Replayed)]);
}

#[test]
fn what_is_missing_is_seen_at_the_beginning_in_the_middle_and_with_a_head_at_the_end() {
    let folder = Folder::new(Algorithm::Ed25519);
    let mut files = folder.files();
    files.remove(0);
    assert_eq!(found(&folder.verify(&files)), [("000002", Code::Truncated)]);
    let mut files = folder.files();
    files.remove(1);
    assert_eq!(found(&folder.verify(&files)), [("000003", Code::Truncated)]);

    let head = folder.verify(&folder.files()).head;
    let mut files = folder.files();
    files.pop();
    assert!(folder.verify(&files).holds(), "nobody can see this without a head");
    let trust = Trust { head, ..folder.trust() };
    assert_eq!(found(&verify(&files, &trust)), [("000003", Code::Truncated)]);
    assert_eq!(found(&verify(&[], &trust)), [("", Code::Truncated)]);
    // A head that was left behind by new evidence is still in the chain.
    folder.dir.write(&report("slo", 9), &folder.signer).expect("written");
    assert!(verify(&folder.files(), &trust).holds());
}

#[test]
fn a_file_that_was_cut_off_is_refused() {
    let folder = Folder::new(Algorithm::Ed25519);
    let mut files = folder.files();
    let half = files[3].bytes.len() / 2;
    files[3].bytes.truncate(half);
    assert_eq!(found(&folder.verify(&files)), [("000004", Code::Truncated)]);
    files[3].bytes = b"[]".to_vec();
    assert_eq!(found(&folder.verify(&files)), [("000004", Code::Malformed)]);
}

#[test]
fn what_is_too_old_or_from_the_future_is_refused() {
    let folder = Folder::new(Algorithm::Ed25519);
    let later = |s: i64| now() + jiff::SignedDuration::from_secs(s);
    let trust = Trust { now: later(3_601), max_age: Some(Duration::from_secs(3_600)), ..folder.trust() };
    assert_eq!(found(&verify(&folder.files(), &trust)).len(), 4);
    assert!(verify(&folder.files(), &trust).findings.iter().all(|it| it.code == Code::Expired));
    let trust = Trust { now: later(-61), ..folder.trust() };
    assert!(verify(&folder.files(), &trust).findings.iter().all(|it| it.code == Code::FromTheFuture));
    assert!(!verify(&folder.files(), &trust).holds());
}

#[test]
fn a_stranger_is_named_as_one_whatever_key_it_claims_and_the_chain_goes_on_through_it() {
    let folder = Folder::new(Algorithm::Ed25519);
    let stranger = Signer::from_seed(Algorithm::Ed25519, &[8; 32]).expect("a key");
    folder.dir.write(&report("slo", 5), &stranger).expect("written");
    assert_eq!(found(&folder.verify(&folder.files())), [("000005", Code::ForeignSigner)]);
    folder.dir.write(&report("security", 6), &folder.signer).expect("written");
    assert_eq!(found(&folder.verify(&folder.files())), [("000005", Code::ForeignSigner)]);
    let both = Trust { keys: vec![folder.signer.public(), stranger.public()], ..folder.trust() };
    assert!(verify(&folder.files(), &both).holds());
    assert!(verify(&folder.files(), &Trust { keys: vec![], ..folder.trust() }).entries.is_empty());
}

#[test]
fn a_payload_of_another_type_is_refused_signed_or_not() {
    let folder = Folder::new(Algorithm::Es256);
    let mut files = folder.files();
    files[3] = with_field(&files[3], "/payloadType", "application/json".into());
    assert_eq!(found(&folder.verify(&files)), [("000004", Code::WrongPayloadType)]);
    let signed = Envelope::seal_as("text/plain", b"hello".to_vec(), &folder.signer);
    files[3].bytes = signed.to_json();
    assert_eq!(found(&folder.verify(&files)), [("000004", Code::WrongPayloadType)]);
}

#[test]
fn what_is_signed_and_is_no_statement_of_ours_is_refused() {
    let folder = Folder::new(Algorithm::Ed25519);
    let seal = |text: &str| Envelope::seal(text.as_bytes().to_vec(), &folder.signer).to_json();
    let one = |text: &str| verify_one(&File { name: "x".into(), bytes: seal(text) }, &folder.trust());
    let codes = |text: &str| one(text).findings.iter().map(|it| it.code).collect::<Vec<_>>();
    let head = r#"{"_type":"https://in-toto.io/Statement/v1","subject":[],"predicateType":"#;
    assert_eq!(codes(&format!(r#"{head}"https://example.com/x","predicate":{{}}}}"#)), [Code::UnknownPredicate]);
    let ours = r#""https://in-toto.io/attestation/test-result/v0.1""#;
    assert_eq!(codes(&format!(r#"{head}{ours},"predicate":{{"result":"PASSED"}}}}"#)), [Code::BadStatement]);
    assert_eq!(codes("not JSON"), [Code::BadStatement]);
    assert_eq!(codes(r#"{"_type":"https://in-toto.io/Statement/v0.1"}"#), [Code::BadStatement]);
}

/// An operator whose key is good may still not claim what does not follow.
#[test]
fn a_signed_statement_that_contradicts_itself_is_refused() {
    let folder = Folder::new(Algorithm::Ed25519);
    let file = folder.files().swap_remove(1);
    let changes: [(&str, &str); 5] = [
        // In the specification's field and in Muster's own alike: the observations alone say otherwise.
        (r#""result":"passed""#, r#""result":"failed""#),
        (r#""result":"PASSED""#, r#""result":"WARNED""#),
        (r#""standing":"held""#, r#""standing":"broken""#),
        (r#""failedTests":[]"#, r#""failedTests":["x"]"#),
        (r#""clients":"2""#, r#""clients":"3""#),
    ];
    for (from, to) in changes {
        let changed = with_payload(&file, |payload| {
            assert!(payload.contains(from), "{from} in {payload}");
            let payload = payload.replace(from, to);
            if from.contains("passed") {
                payload.replace(r#""result":"PASSED""#, r#""result":"FAILED""#)
            } else {
                payload
            }
        });
        let json: serde_json::Value = serde_json::from_slice(&changed.bytes).expect("JSON");
        use base64::Engine as _;
        let payload = base64::prelude::BASE64_STANDARD.decode(json["payload"].as_str().expect("text")).expect("base64");
        let bytes = Envelope::seal(payload, &folder.signer).to_json();
        let verdict = verify_one(&File { name: file.name.clone(), bytes }, &folder.trust());
        let codes: Vec<_> = verdict.findings.iter().map(|it| it.code).collect();
        // The settings stand twice: in the report and in the configuration; changing both changes only their digest.
        assert_eq!(codes, [Code::Contradiction], "{from} -> {to}");
        assert!(verdict.entries.is_empty());
    }
}

#[test]
fn inconclusive_is_failed_for_who_knows_only_the_specification() {
    let folder = Folder::new(Algorithm::Ed25519);
    let mut report = report("slo", 1);
    report.observe(Observation::undecided("lag", "the host did not say"));
    let report = report.finish(now());
    assert_eq!(report.result, GateResult::Inconclusive);
    let written = folder.dir.write(&report, &folder.signer).expect("written");
    let bytes = std::fs::read(written.path).expect("read");
    use base64::Engine as _;
    let json: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
    let payload = base64::prelude::BASE64_STANDARD.decode(json["payload"].as_str().expect("text")).expect("base64");
    let statement: serde_json::Value = serde_json::from_slice(&payload).expect("JSON");
    assert_eq!(statement["predicate"]["result"], "FAILED");
    assert_eq!(statement["predicate"]["failedTests"], serde_json::json!(["lag"]));
    assert_eq!(statement["predicate"]["warnedTests"], serde_json::json!([]));
    assert!(folder.verify(&folder.files()).holds());
}

/// A writer that was killed after it had linked its file, and before it had let go of the other name: the next one must
/// not write into that.
#[test]
fn what_a_killed_writer_left_unfinished_is_not_written_to() {
    let folder = Folder::new(Algorithm::Ed25519);
    let last = folder.dir.path().join(&folder.dir.names().expect("read")[3]);
    let left = folder.dir.path().join(format!(".{}.unfinished", std::process::id()));
    std::fs::hard_link(&last, &left).expect("linked");
    let before = std::fs::read(&last).expect("read");
    folder.dir.write(&report("slo", 9), &folder.signer).expect("written");
    assert_eq!(std::fs::read(&last).expect("read"), before);
    assert!(folder.verify(&folder.files()).holds());
    assert!(!left.exists(), "what was left is taken away");
}

/// Anybody can make another ECDSA signature of one, (r, n - s), which holds as well.
#[test]
fn the_other_form_of_a_signature_is_refused_also_at_the_end() {
    use base64::Engine as _;
    let folder = Folder::new(Algorithm::Es256);
    for index in [1, 3] {
        let mut files = folder.files();
        let json: serde_json::Value = serde_json::from_slice(&files[index].bytes).expect("JSON");
        let engine = base64::prelude::BASE64_STANDARD;
        let signature = engine.decode(json["signatures"][0]["sig"].as_str().expect("text")).expect("base64");
        let signature = p256::ecdsa::Signature::from_der(&signature).expect("DER");
        let (r, s) = signature.split_scalars();
        let other = p256::ecdsa::Signature::from_scalars(r, -*s).expect("a signature");
        let other = engine.encode(other.to_der().as_bytes());
        let text = String::from_utf8(files[index].bytes.clone()).expect("text");
        let text = text.replace(json["signatures"][0]["sig"].as_str().expect("text"), &other);
        files[index].bytes = text.into_bytes();
        let verdict = folder.verify(&files);
        assert!(verdict.faults_of(&files[index].name).next().is_some(), "{:?}", verdict.findings);
    }
}

#[test]
fn what_has_a_name_twice_is_refused_though_it_is_signed() {
    use base64::Engine as _;
    let folder = Folder::new(Algorithm::Ed25519);
    let file = folder.files().swap_remove(1);
    let changed =
        with_payload(&file, |it| it.replacen(r#""result":"PASSED""#, r#""result":"FAILED","result":"PASSED""#, 1));
    let json: serde_json::Value = serde_json::from_slice(&changed.bytes).expect("JSON");
    let payload = base64::prelude::BASE64_STANDARD.decode(json["payload"].as_str().expect("text")).expect("base64");
    let bytes = Envelope::seal(payload, &folder.signer).to_json();
    let verdict = verify_one(&File { name: file.name, bytes }, &folder.trust());
    assert_eq!(verdict.findings.iter().map(|it| it.code).collect::<Vec<_>>(), [Code::BadStatement], "{verdict:?}");
}

#[test]
fn writers_at_once_make_one_chain() {
    let folder = Folder::new(Algorithm::Ed25519);
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let folder = &folder;
            scope.spawn(move || {
                for sessions in 0..5 {
                    folder.dir.write(&report("slo", 100 * writer + sessions), &folder.signer).expect("written");
                }
            });
        }
    });
    let verdict = folder.verify(&folder.files());
    assert_eq!((found(&verdict), verdict.entries.len()), (vec![], 24));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn no_byte_of_a_folder_can_be_changed_unseen(index in 0_usize..4, at in any::<prop::sample::Index>(), with in 1_u8..) {
        thread_local!(static FOLDER: Folder = Folder::new(Algorithm::Ed25519));
        FOLDER.with(|folder| {
            let mut files = folder.files();
            let at = at.index(files[index].bytes.len());
            files[index].bytes[at] ^= with;
            let verdict = folder.verify(&files);
            assert!(!verdict.holds(), "byte {at} of {index}");
            assert!(verdict.faults_of(&files[index].name).next().is_some(), "it is that file that is found: {:?}", verdict.findings);
        });
    }

    #[test]
    fn anything_at_all_gets_a_verdict(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let trust = Trust::new(vec![], now());
        let file = File { name: "000001-x.dsse.json".into(), bytes };
        prop_assert!(!verify(std::slice::from_ref(&file), &trust).holds());
        prop_assert!(!verify_one(&file, &trust).holds());
    }
}
