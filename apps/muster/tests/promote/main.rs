//! `muster promote` against real hosts and a real token service's state: what is refused, what goes over, what goes back, and
//! what comes of one that is killed.
#![cfg(all(feature = "host", feature = "control"))]

#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use muster_gates::promote::{Fact, Journal, Plan};
use muster_gates::{GateResult, Sha256, evidence::Act};
use support::{Host, PATIENCE, Run, Sandbox, finish, muster_module};

/// Two lanes, each a database of one host, a token service's state, a key, and a policy.
struct Lanes {
    sandbox: Sandbox,
    module: String,
    host: Host,
    _turn: MutexGuard<'static, ()>,
}

/// One at a time: each compiles the module twice, and all at once would keep each other from it.
static TURN: Mutex<()> = Mutex::new(());

const GATES: &str = "\
[lanes.staging.load]
handshake_clients = 2
[lanes.prod.load]
handshake_clients = 2
";

fn policy(target: &str) -> String {
    format!(
        "signers = [\"operator.pem.pub\"]\n[[require]]\ngate = \"handshake\"\nmax_age = \"1h\"\n[target]\n{target}\n"
    )
}

/// Quick: one gate, which also watches.
const QUICK: &str = "gates = [\"handshake\"]\nwatch = \"handshake\"\ncohorts = [5, 50, 100]\nsoak = \"1s\"";

/// Publishes, also on a machine that is so busy that the host says to try again.
fn publish(sandbox: &Sandbox, host: &Host, database: &str, module: &str) {
    let args = ["publish", "-q", "--server", host.url.as_str(), "--database", database, "--module", module];
    for _ in 0..4 {
        let run = sandbox.run(&args);
        if run.code == Some(0) {
            return;
        }
        assert!(run.stderr.contains("too busy"), "{run:?}");
    }
    panic!("this machine stays too busy to publish a module");
}

impl Lanes {
    fn new() -> Lanes {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let sandbox = Sandbox::new();
        let host = Host::in_memory(&sandbox);
        let module = muster_module();
        let mut variables = String::new();
        for (name, database) in [("STAGING", "presence-staging"), ("PROD", "presence")] {
            publish(&sandbox, &host, database, &module);
            for (key, value) in [
                ("HTTP_BASE_URL", host.url.as_str()),
                ("DATABASE", database),
                ("TOKEN_ISSUER", "localhost"),
                ("TOKEN_AUDIENCE", "muster"),
            ] {
                variables.push_str(&format!("OA_SPACETIME_{name}_{key}={value}\n"));
            }
        }
        sandbox.file("lanes.envvars", variables);
        sandbox.file("gates.toml", GATES);
        sandbox.file("promotion.toml", policy(QUICK));
        sandbox.run(&["evidence", "keygen", "operator.pem"]).done();
        let issuer = ["--issuer", "http://127.0.0.1:1", "--audience", "muster", "--database", "presence"];
        sandbox.run(&[&["control", "init", "--state-dir", "control"], &issuer[..]].concat()).done();
        fs::create_dir(sandbox.path("evidence")).expect("made");
        Lanes { sandbox, module, host, _turn: turn }
    }

    /// Runs the handshake gate on staging.
    fn accept(&self) {
        let evidence = ["--evidence-dir", "evidence", "--evidence-key", "operator.pem"];
        let lane = ["--lane", "staging", "--env-file", "lanes.envvars"];
        self.sandbox.run(&[&["gate", "handshake"], &lane[..], &evidence[..]].concat()).done();
    }

    fn args<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        self.args_of(&self.module, more)
    }

    fn args_of<'a>(&'a self, module: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let mut args = vec!["promote", "--from", "staging", "--to", "prod", "--env-file", "lanes.envvars"];
        args.extend(["--module", module, "--evidence-dir", "evidence", "--evidence-key", "operator.pem"]);
        args.extend(["--control-state-dir", "control"]);
        args.extend(more);
        args
    }

    fn promote(&self, more: &[&str]) -> Run {
        let args = self.args(more);
        finish(self.sandbox.command(&args).spawn().expect("the program starts"))
    }

    /// The same with another word for one of the usual ones.
    fn promote_with(&self, word: &str, other: &str) -> Run {
        let args = self.args(&[]).into_iter().map(|it| if it == word { other } else { it }).collect::<Vec<_>>();
        self.sandbox.run(&args)
    }

    fn journal(&self) -> std::path::PathBuf {
        self.sandbox.path("evidence/promotion-prod.journal")
    }

    /// Starts a promotion and kills it as soon as its journal says this.
    fn killed_at(&self, more: &[&str], fact: &str) {
        let mut child = self.sandbox.command(&self.args(more)).spawn().expect("the program starts");
        let deadline = Instant::now() + PATIENCE;
        while !fs::read_to_string(self.journal()).is_ok_and(|text| text.contains(fact)) {
            assert!(Instant::now() < deadline, "it never came to {fact}");
            std::thread::sleep(Duration::from_millis(2));
        }
        child.kill().expect("killed");
        child.wait().expect("ended");
    }

    /// Whether there is a database of this name.
    fn has(&self, database: &str) -> bool {
        let run = self.sandbox.run(&["describe", "-q", "--server", &self.host.url, "--database", database]);
        assert!(run.code == Some(0) || run.stderr.contains("404"), "{run:?}");
        run.code == Some(0)
    }

    /// The candidate, unless another is named.
    fn candidate(&self) -> String {
        format!("presence-{}", self.sha256().short())
    }

    fn sha256(&self) -> Sha256 {
        Sha256::of(&fs::read(&self.module).expect("read"))
    }

    /// The shares that were set and cleared, from the token service's own audit log.
    fn shares(&self) -> Vec<String> {
        let log = self.sandbox.run(&["control", "audit", "--state-dir", "control", "--json"]).done();
        let json: serde_json::Value = serde_json::from_str(&log).expect("JSON");
        let entries = json["entries"].as_array().unwrap_or_else(|| panic!("{log}"));
        let share = |it: &serde_json::Value| match it["action"].as_str()? {
            "cohort.set" => {
                let detail: serde_json::Value = serde_json::from_str(it["detail"].as_str()?).expect("JSON");
                Some(detail["cohort"]["percent"].to_string())
            }
            "cohort.clear" => Some("clear".to_owned()),
            _ => None,
        };
        entries.iter().filter_map(share).collect()
    }

    /// What is decided, in order; and that the folder holds.
    fn decisions(&self) -> Vec<String> {
        let key = ["--key", "operator.pem.pub", "--json"];
        self.sandbox.run(&[&["evidence", "verify", "evidence"], &key[..]].concat()).json();
        let list = self.sandbox.run(&[&["evidence", "list", "evidence"], &key[..]].concat()).json();
        let list = list["statements"].as_array().expect("a list").clone();
        let decisions = list.iter().filter(|it| it["kind"] == "promotion");
        decisions.map(|it| it["result"].as_str().expect("text").to_owned()).collect()
    }
}

#[test]
fn without_evidence_it_is_refused_with_all_that_is_missing_and_nothing_is_done() {
    let lanes = Lanes::new();
    let run = lanes.promote(&[]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stdout.contains("handshake on staging: missing: no evidence of this module"), "{run:?}");
    assert_eq!((lanes.shares(), lanes.decisions()), (vec![], vec!["refused".to_owned()]));

    // There is some, of another module.
    lanes.accept();
    let bytes = [&fs::read(&lanes.module).expect("read")[..], &[0, 2, 1, b'x']].concat();
    let other = lanes.sandbox.file("other.wasm", bytes);
    let args = lanes.args_of(&other, &["--plan"]);
    let run = finish(lanes.sandbox.command(&args).spawn().expect("the program starts"));
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stdout.contains("handshake on staging: missing: the evidence is of another module"), "{run:?}");
    // There is some that names the lane and is of another database, and some that does not count at all.
    let evidence = ["--evidence-dir", "other", "--evidence-key", "operator.pem", "--as-lane", "staging"];
    let there = ["gate", "handshake", "--server", lanes.host.url.as_str(), "--database", "presence"];
    lanes.sandbox.run(&[&there[..], &evidence[..]].concat()).done();
    let run = lanes.promote_with("evidence", "other");
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stdout.contains("the evidence is of presence on http://127.0.0.1"), "{run:?}");
    lanes.sandbox.run(&["evidence", "keygen", "stranger.pem"]).done();
    let line = lanes.promote_with("operator.pem", "stranger.pem").error(2);
    assert!(line.contains("none of the signers"), "{line}");
    // A service that hands out another database would send nobody.
    let issuer = ["--issuer", "http://127.0.0.1:1", "--audience", "muster", "--database", "elsewhere"];
    lanes.sandbox.run(&[&["control", "init", "--state-dir", "control-of-another"], &issuer[..]].concat()).done();
    let line = lanes.promote_with("control", "control-of-another").error(2);
    assert!(line.contains("hands out `elsewhere`, and not `presence`"), "{line}");
    let line = lanes.promote_with("staging", "prod").error(2);
    assert!(line.contains("promoted to itself"), "{line}");
    // Somebody who owns nothing would publish what nobody owns.
    let line = lanes.promote(&["--anonymous"]).error(2);
    assert!(line.contains("would belong to nobody"), "{line}");
}

#[test]
fn with_evidence_it_goes_over_share_by_share_and_says_so_in_evidence_that_holds() {
    let lanes = Lanes::new();
    lanes.accept();
    let plan = lanes.promote(&["--plan"]).done();
    assert!(plan.contains("sends 5 % of the clients of presence to presence-"), "{plan}");
    assert_eq!(lanes.shares(), [""; 0], "a plan does nothing");
    let said = lanes.promote(&["--json"]).json();
    assert_eq!((&said["schema"], &said["result"]), (&"muster.promote.v1".into(), &"completed".into()));
    let shares = lanes.shares();
    assert_eq!(shares, ["5.0", "50.0", "100.0"]);
    assert_eq!(lanes.decisions(), ["admitted", "completed"]);
    // What is done is not done again: the first share would take clients away from where they are.
    let said = lanes.promote(&["--json", "-q"]).json();
    assert_eq!(said["result"], "completed");
    assert_eq!((lanes.shares(), lanes.decisions()), (shares.clone(), vec!["admitted".into(), "completed".into()]));
    // So would the next one, and one of this module once somebody has changed the share by hand.
    let set = ["control", "cohort", "set", "-q", "--state-dir", "control", "--candidate", &lanes.candidate()];
    lanes.sandbox.run(&[&set[..], &["--percent", "60"]].concat()).done();
    assert!(lanes.promote(&[]).error(1).contains("60 % of the clients of presence get presence-"));
    assert!(lanes.promote(&["--plan"]).error(1).contains("60 % of the clients of presence get presence-"));
    lanes.sandbox.run(&[&set[..], &["--percent", "100"]].concat()).done();
    let run = lanes.promote(&["--candidate", "presence-next"]);
    assert!(run.error(1).contains("100 % of the clients of presence get presence-"));
}

#[test]
fn when_a_watch_fails_everybody_is_sent_back_and_that_is_evidence_too() {
    let lanes = Lanes::new();
    lanes.accept();
    // Nothing is that quick.
    let slow =
        "[lanes.prod.slo]\nappend_to_apply_p95_ms = 0.001\n[lanes.prod.load]\nslo_s = 1\nhandshake_clients = 2\n";
    lanes.sandbox.file("gates.toml", slow);
    lanes.sandbox.file("promotion.toml", policy(&QUICK.replace("watch = \"handshake\"", "watch = \"slo\"")));
    let run = lanes.promote(&[]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stdout.contains("went back") && run.stdout.contains("at 5 %: slo: "), "{run:?}");
    assert_eq!(lanes.shares(), ["5.0", "clear"]);
    assert_eq!(lanes.decisions(), ["admitted", "went_back"]);
}

#[test]
fn killed_again_and_again_it_comes_to_its_end_and_no_share_is_set_twice() {
    let lanes = Lanes::new();
    lanes.accept();
    let mut kills = 0;
    let mut life = Duration::from_millis(150);
    let run = loop {
        let args = lanes.args(&["--json"]);
        let mut child = lanes.sandbox.command(&args).spawn().expect("the program starts");
        let until = std::time::Instant::now() + life;
        while child.try_wait().expect("asked").is_none() && std::time::Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        if child.try_wait().expect("asked").is_some() || kills >= 25 {
            break finish(child);
        }
        child.kill().expect("killed");
        child.wait().expect("ended");
        kills += 1;
        // Each lives a little longer, so that all of its steps are met.
        life += Duration::from_millis(230);
    };
    let said = run.json();
    assert_eq!(said["result"], "completed");
    assert!(kills > 3, "only {kills} kills");
    assert_eq!(lanes.shares(), ["5.0", "50.0", "100.0"]);
    assert_eq!(lanes.decisions(), ["admitted", "completed"]);
}

#[test]
fn gone_on_with_it_is_the_promotion_that_was_begun_and_no_other() {
    let lanes = Lanes::new();
    lanes.accept();
    lanes.killed_at(&["--candidate", "presence-next"], "admitted");
    let run = lanes.promote(&["--candidate", "presence-third"]);
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.stderr.contains("is not over, and this is another one"), "{run:?}");
    let args: Vec<_> =
        lanes.args(&[]).into_iter().filter(|it| !["--control-state-dir", "control"].contains(it)).collect();
    let run = lanes.sandbox.run(&args);
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.stderr.contains("add --control-state-dir"), "{run:?}");
    // Nothing of that has ended it.
    assert_eq!(lanes.promote(&["--json"]).json()["candidate"], "presence-next");
    assert!(lanes.has("presence-next") && !lanes.has(&lanes.candidate()) && !lanes.has("presence-third"));
    assert_eq!((lanes.shares().len(), lanes.decisions()), (3, vec!["admitted".into(), "completed".into()]));
}

#[test]
fn a_journal_that_says_what_nobody_signed_sends_nobody() {
    let lanes = Lanes::new();
    lanes.accept();
    let plan = Plan {
        id: "0011".into(),
        from: "staging".into(),
        to: "prod".into(),
        server: lanes.host.url.trim_end_matches('/').into(),
        database: "presence".into(),
        candidate: "mine".into(),
        module_sha256: lanes.sha256(),
        policy_sha256: Sha256::of(b"policy"),
        inputs: vec![],
        setup: vec![],
        gates: vec!["handshake".into()],
        cohorts: vec![100],
        soak_s: 0,
        watch_gate: "handshake".into(),
    };
    let mut journal = Journal::open(&lanes.journal()).expect("opened");
    journal.begin(plan).expect("begun");
    journal.append(&Fact::Recorded { act: Act::Admitted }).expect("written");
    journal.append(&Fact::Published).expect("written");
    let passed = Fact::Gate { name: "handshake".into(), result: GateResult::Passed, reasons: vec![] };
    journal.append(&passed).expect("written");
    drop(journal);
    let run = lanes.promote(&[]);
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.stderr.contains("which no signer of the policy has admitted"), "{run:?}");
    assert_eq!((lanes.shares(), lanes.decisions()), (vec![], vec![]));
    assert_eq!(lanes.promote(&["--go-back"]).code, Some(1));
    assert_eq!((lanes.shares(), lanes.decisions()), (vec![], vec!["went_back".to_owned()]));
}

/// The journal says that a gate has passed, and the evidence of that is gone: it goes back.
#[test]
fn what_the_journal_says_has_passed_must_be_in_the_evidence() {
    let lanes = Lanes::new();
    lanes.accept();
    lanes.killed_at(&[], "\"fact\":\"gate\"");
    let proof = fs::read_dir(lanes.sandbox.path("evidence")).expect("read").map(|it| it.expect("an entry").path());
    let proof = proof.filter(|it| it.to_string_lossy().contains("-prod-handshake-")).min().expect("it is there");
    fs::remove_file(proof).expect("removed");
    let run = lanes.promote(&[]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stdout.contains("withdrawn: handshake on prod: missing"), "{run:?}");
    assert_ne!(lanes.shares().last().map(String::as_str), Some("100.0"));
}
