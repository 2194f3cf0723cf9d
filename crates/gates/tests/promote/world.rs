//! A world of files in place of hosts and a token service: what was done to it can be counted, also by another process.
//!
//! What always holds: every change is a line of `deeds`, written at once; a process may be told to kill itself (SIGKILL)
//! at any point before or after a deed.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use muster_gates::evidence::{Act, Algorithm, Decision, EvidenceDir, Signer};
use muster_gates::promote::{Plan, Step, StepError, Steps, Watched};
use muster_gates::{GateResult, Sha256};

pub(crate) fn signer() -> Signer {
    Signer::from_seed(Algorithm::Ed25519, &[7; 32]).expect("a key")
}

/// What shall go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    None,
    /// The second gate is inconclusive.
    Gate,
    /// The watch of this share does not hold.
    Watch(u8),
    /// Publishing fails for good.
    Publish,
    /// The first attempts of this many steps fail, and the next goes well.
    Passing,
}

pub(crate) struct World {
    pub(crate) folder: PathBuf,
    pub(crate) trouble: Trouble,
    /// At which point this process kills itself, counted from 1; never where 0.
    pub(crate) killed_at: u32,
    pub(crate) point: u32,
    pub(crate) attempts: u32,
}

impl World {
    pub(crate) fn new(folder: &Path, trouble: Trouble, killed_at: u32) -> World {
        World { folder: folder.into(), trouble, killed_at, point: 0, attempts: 0 }
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.folder.join("journal")
    }

    pub(crate) fn evidence(&self) -> EvidenceDir {
        EvidenceDir::open(&self.folder.join("evidence")).expect("opened")
    }

    pub(crate) fn deeds(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.join("deeds")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// A point where the machine may stop.
    fn point(&mut self) {
        self.point += 1;
        if self.point == self.killed_at {
            let me = std::process::id().to_string();
            let _ = std::process::Command::new("kill").args(["-KILL", &me]).status();
            unreachable!("it was killed");
        }
    }

    fn deed(&mut self, deed: &str) {
        self.point();
        let file = OpenOptions::new().create(true).append(true).open(self.folder.join("deeds"));
        writeln!(file.expect("opened"), "{deed}").expect("written");
        self.point();
    }

    fn state(&self, what: &str) -> Option<String> {
        fs::read_to_string(self.folder.join(what)).ok()
    }

    fn set(&mut self, what: &str, to: &str) {
        self.deed(&format!("{what} {to}"));
        fs::write(self.folder.join(what), to).expect("written");
        self.point();
    }

    fn stumble(&mut self) -> Result<(), StepError> {
        self.attempts += 1;
        match self.trouble {
            Trouble::Passing if self.attempts % 2 == 1 => {
                Err(StepError { why: "the network was away".into(), is_passing: true })
            }
            _ => Ok(()),
        }
    }
}

impl Steps for World {
    async fn record(&mut self, plan: &Plan, act: Act, reasons: &[String]) -> Result<(), StepError> {
        self.stumble()?;
        self.point();
        let dir = self.evidence();
        let decision = Decision::of(plan, act, reasons.to_vec(), jiff::Timestamp::UNIX_EPOCH);
        dir.write_decision_once(&decision, &signer()).expect("written");
        self.point();
        Ok(())
    }

    async fn publish(&mut self, plan: &Plan) -> Result<(), StepError> {
        self.stumble()?;
        if self.trouble == Trouble::Publish {
            return Err(StepError { why: "the host refuses the module".into(), is_passing: false });
        }
        let wanted = plan.module_sha256.to_string();
        if self.state("published").as_ref() != Some(&wanted) {
            self.set("published", &wanted);
        }
        Ok(())
    }

    async fn gate(&mut self, _: &Plan, name: &str) -> Result<(GateResult, Vec<String>), StepError> {
        self.stumble()?;
        self.deed(&format!("gate {name}"));
        Ok(match (self.trouble, name) {
            (Trouble::Gate, "handshake") => (GateResult::Inconclusive, vec!["nobody came".into()]),
            _ => (GateResult::Passed, vec![]),
        })
    }

    async fn widen(&mut self, _: &Plan, percent: u8) -> Result<(), StepError> {
        self.stumble()?;
        if self.state("share").as_deref() != Some(&percent.to_string()) {
            self.set("share", &percent.to_string());
        }
        Ok(())
    }

    async fn watch(&mut self, _: &Plan, percent: u8) -> Result<Watched, StepError> {
        self.deed(&format!("watch {percent}"));
        let held = self.trouble != Trouble::Watch(percent);
        Ok(Watched { held, reasons: if held { vec![] } else { vec!["append to apply: 9 s".into()] } })
    }

    async fn narrow(&mut self, _: &Plan) -> Result<(), StepError> {
        if self.state("share").is_some_and(|it| it != "0") {
            self.set("share", "0");
        }
        Ok(())
    }

    async fn pause(&mut self, _: Duration) {}

    fn tell(&mut self, _: &Plan, _: &Step) {
        self.point();
    }
}

pub(crate) fn plan() -> Plan {
    Plan {
        id: "0011".into(),
        from: "staging".into(),
        to: "prod".into(),
        server: "http://127.0.0.1:3000".into(),
        database: "presence".into(),
        candidate: "presence-1".into(),
        module_sha256: Sha256::of(b"module"),
        policy_sha256: Sha256::of(b"policy"),
        inputs: vec![],
        setup: vec![],
        gates: vec!["provision".into(), "handshake".into()],
        cohorts: vec![5, 50, 100],
        soak_s: 1,
        watch_gate: "slo".into(),
    }
}
