//! `muster promote` against real hosts and a real token service's state: what is refused, what goes over, what goes back, and
//! what comes of one that is killed.
#![cfg(all(feature = "host", feature = "control"))]

#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use support::{Host, Run, Sandbox, finish, muster_module};

/// Two lanes, each a database of one host, a token service's state, a key, and a policy.
struct Lanes {
    sandbox: Sandbox,
    module: String,
    _host: Host,
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
        Lanes { sandbox, module, _host: host, _turn: turn }
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
    assert_eq!(lanes.shares(), ["5.0", "50.0", "100.0"]);
    assert_eq!(lanes.decisions(), ["admitted", "completed"]);
    // The next one would take clients away from where they are.
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
