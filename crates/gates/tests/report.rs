//! The page and the summary, of a folder with one of everything. `MUSTER_TEST_REPORT=DIR` leaves them there to be looked at.

use jiff::{SignedDuration, Timestamp};
use muster_gates::evidence::{Act, Algorithm, Decision, EvidenceDir, Signer, Trust, verify};
use muster_gates::report::{html, summary};
use muster_gates::{GateReport, Observation, Quantity, Series, Sha256};

fn start() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().expect("a time")
}

/// A drill that cuts and restarts, and what it saw.
fn drill(dir: &EvidenceDir, signer: &Signer) {
    let module = Sha256::of(b"the module");
    let mut report =
        GateReport::begin("drills.host-restart", "staging", "https://staging.example", "presence", module, start());
    report.host_version = Some("spacetimedb 2.14.0".into());
    report.configure("slo.append_to_apply_p95_ms", 250);
    report.configure("load.events_per_s", 200);
    report.fault("host killed", 12_000, 15_500);
    report.fault("network cut", 31_000, 34_000);
    report.fault("token expired", 47_000, 47_000);
    let mut latency = Series::new("append to apply p50", Quantity::Latency, "ms");
    let mut p95 = Series::new("append to apply p95", Quantity::Latency, "ms");
    let mut lag = Series::new("subscriber 1", Quantity::Lag, "events");
    for at in (0..60_000_u64).step_by(250) {
        let wave = ((at as f64) / 900.0).sin().abs();
        let hit = [(12_000, 17_000), (31_000, 36_000)].iter().any(|(from, to)| (*from..*to).contains(&at));
        latency.push(at, 4.0 + 2.0 * wave + if hit { 60.0 } else { 0.0 });
        p95.push(at, 9.0 + 6.0 * wave + if hit { 140.0 } else { 0.0 });
        lag.push(at, if hit { (at % 5_000) as f64 / 6.0 } else { 3.0 * wave });
    }
    let mut recovery = Series::new("live again after", Quantity::Recovery, "ms");
    recovery.push(15_900, 2_310.0);
    recovery.push(34_600, 1_480.0);
    recovery.push(47_200, 220.0);
    report.series = vec![latency, p95, lag, recovery];
    report.observe(Observation::equal("host.lost", 0_u64, 0_u64));
    report.observe(Observation::at_most("append_to_apply.p95", 148.7, 250.0, "ms"));
    report.observe(Observation::at_most("reconnect.max", 2_310.0, 2_000.0, "ms").note("after the host was killed"));
    report.observe(Observation::undecided("clock.offset", "the host answers without a Date header"));
    report.observe(Observation::noted("clients", 50_u64));
    dir.write(&report.finish(start() + SignedDuration::from_secs(60)), signer).expect("written");
}

fn folder(signer: &Signer, dir: &EvidenceDir) {
    let module = Sha256::of(b"the module");
    for gate in ["provision", "handshake"] {
        let mut report = GateReport::begin(gate, "staging", "https://staging.example", "presence", module, start());
        report.observe(Observation::equal("sessions.during", 50_u64, 50_u64));
        report.observe(Observation::held("name <b>bold</b>", true).note("<script>alert(1)</script>"));
        dir.write(&report.finish(start() + SignedDuration::from_secs(2)), signer).expect("written");
    }
    drill(dir, signer);
    let decision = Decision {
        act: Act::WentBack,
        promotion: "5f0c2a".into(),
        from: "staging".into(),
        to: "prod".into(),
        server: "https://prod.example".into(),
        database: "presence-1a2b3c4d".into(),
        module_sha256: module,
        policy_sha256: Sha256::of(b"policy"),
        plan_sha256: Sha256::of(b"plan"),
        inputs: vec![],
        reasons: vec!["at 25 %: append_to_apply.p95: 912 ms, and the limit is 250 ms".into()],
        at: start(),
    };
    dir.write_decision(&decision, signer).expect("written");
}

#[test]
fn a_page_stands_alone_shows_everything_and_lets_nothing_through() {
    let place = tempfile::tempdir().expect("a folder");
    let dir = EvidenceDir::open(&place.path().join("evidence")).expect("opened");
    let signer = Signer::from_seed(Algorithm::Ed25519, &[7; 32]).expect("a key");
    folder(&signer, &dir);
    let now = start() + SignedDuration::from_secs(120);
    let mut verdict = verify(&dir.files().expect("read"), &Trust::new(vec![signer.public()], now));
    let (page, text) = (html(&verdict, now), summary(&verdict));
    if let Some(folder) = std::env::var_os("MUSTER_TEST_REPORT") {
        let folder = std::path::Path::new(&folder);
        std::fs::write(folder.join("report.html"), &page).expect("written");
        std::fs::write(folder.join("SUMMARY.md"), &text).expect("written");
    }
    // Nothing is loaded, nothing runs, nothing of others is HTML.
    for never in ["src=", "<script", "<link", "@import", "url(", "<b>bold", "<img"] {
        assert!(!page.contains(never), "{never}");
    }
    for (what, times) in [("<svg", 3), ("class=\"fault\"", 9), ("<polyline", 3), ("prefers-color-scheme:dark", 1)] {
        assert_eq!(page.matches(what).count(), times, "{what}");
    }
    for shown in ["reconnect.max", "2310 ms", "2000 ms", "the host answers without", "went back", "failed</span></h1>"]
    {
        assert!(page.contains(shown), "{shown}");
    }
    assert!(text.starts_with("# Evidence: failed\n"), "{text}");
    assert!(text.contains("| drills.host-restart | staging | failed | 2 | 1 | 1 | 60.0 s |"), "{text}");
    assert!(text.contains(&verdict.head.expect("a head").to_string()));

    verdict.findings.push(muster_gates::evidence::Finding {
        file: "000002-x".into(),
        code: muster_gates::evidence::Code::TamperedPayload,
        says: "its payload is <another>".into(),
    });
    assert!(html(&verdict, now).contains("does not hold</span></h1>"));
    assert!(summary(&verdict).starts_with("# Evidence: does not hold\n"));
}
