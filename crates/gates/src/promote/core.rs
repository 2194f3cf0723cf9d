//! A promotion as a state machine: what is next, given what has happened. No clock, no disk, no network.
//!
//! What always holds: the state is a function of the facts alone, so reading the journal again gives it again; a share
//! grows only after the gates passed and every smaller share was watched and held; once it goes back, the only steps left
//! are to send nobody to the candidate and to say so; [`Core::on`] refuses a fact that cannot come now.

use serde::{Deserialize, Serialize};

use crate::evidence::{Act, Input};
use crate::promote::policy::Call;
use crate::report::{GateResult, Sha256};

/// What is to be done, settled when a promotion begins: a policy that is changed later changes nothing about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Its id: random, hexadecimal.
    pub id: String,
    /// The lane whose evidence counts.
    pub from: String,
    /// The lane that the module is for.
    pub to: String,
    /// The target's base URL.
    pub server: String,
    /// The lane's own database.
    pub database: String,
    /// The database that gets the module.
    pub candidate: String,
    /// The module.
    pub module_sha256: Sha256,
    /// The policy.
    pub policy_sha256: Sha256,
    /// The evidence that admitted it.
    pub inputs: Vec<Input>,
    /// The gates that are run on the candidate, in order.
    pub gates: Vec<String>,
    /// What is called on the candidate after it was published.
    #[serde(default)]
    pub setup: Vec<Call>,
    /// The shares that get the candidate, in percent, in order.
    pub cohorts: Vec<u8>,
    /// How long each share is watched, in seconds.
    pub soak_s: u64,
    /// The gate that is run while a share is watched.
    pub watch_gate: String,
}

impl Plan {
    /// The digest of all of it, as JSON.
    ///
    /// # Panics
    /// Never: a plan can be written as JSON.
    pub fn digest(&self) -> Sha256 {
        Sha256::of(&serde_json::to_vec(self).expect("a plan can be written as JSON"))
    }
}

/// What has happened: a line of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "snake_case")]
pub enum Fact {
    /// A promotion began.
    Begun {
        /// What it is to do.
        plan: Box<Plan>,
    },
    /// A decision is in the evidence folder.
    Recorded {
        /// Which.
        act: Act,
    },
    /// The candidate runs the module's very bytes.
    Published,
    /// A gate was run on the candidate.
    Gate {
        /// Which.
        name: String,
        /// What came of it.
        result: GateResult,
        /// Why it did not pass.
        reasons: Vec<String>,
    },
    /// A share of the clients gets the candidate.
    Widened {
        /// How large.
        percent: u8,
    },
    /// A share was watched for its whole time, or until it did not hold.
    Watched {
        /// How large.
        percent: u8,
        /// Whether it held.
        held: bool,
        /// Why it did not.
        reasons: Vec<String>,
    },
    /// A step could not be taken.
    Failed {
        /// Why.
        reasons: Vec<String>,
    },
    /// It must not go on: the evidence does not suffice any more, or a person said so.
    Withdrawn {
        /// Why.
        reasons: Vec<String>,
    },
    /// Nobody gets the candidate.
    Narrowed,
}

/// What is next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Leave this decision as evidence.
    Record(Act),
    /// See that the candidate runs the module's bytes.
    Publish,
    /// Run this gate on the candidate.
    Gate(String),
    /// Give the candidate to this share.
    Widen(u8),
    /// Watch this share.
    Watch(u8),
    /// Give the candidate to nobody.
    Narrow,
    /// Nothing: it is over.
    Done(End),
}

/// How a promotion ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Everybody gets the candidate, and every watch held.
    Completed,
    /// Nobody gets the candidate.
    WentBack,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Admitting,
    Publishing,
    Gating(usize),
    Widening(usize),
    Watching(usize),
    Completing,
    Narrowing,
    Returning,
    Over(End),
}

/// A fact that cannot come now: the journal is not of this program, or was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fact:?} cannot come when the next step is {next:?}")]
pub struct Illegal {
    /// The fact.
    pub fact: Box<Fact>,
    /// What was next.
    pub next: Step,
}

/// A promotion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Core {
    plan: Plan,
    stage: Stage,
    reasons: Vec<String>,
}

impl Core {
    /// One that has just begun.
    pub fn new(plan: Plan) -> Core {
        Core { plan, stage: Stage::Admitting, reasons: Vec::new() }
    }

    /// What it is to do.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Why it goes back, or went; empty where it does not.
    pub fn reasons(&self) -> &[String] {
        &self.reasons
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over(_))
    }

    /// Whether it has begun to go back.
    pub fn goes_back(&self) -> bool {
        matches!(self.stage, Stage::Narrowing | Stage::Returning | Stage::Over(End::WentBack))
    }

    /// Whether the evidence has admitted it, and that has been written down.
    pub fn is_admitted(&self) -> bool {
        self.stage != Stage::Admitting
    }

    /// The gates that have passed on the candidate, as far as it does not go back.
    pub fn passed(&self) -> &[String] {
        match self.stage {
            Stage::Gating(at) => &self.plan.gates[..at],
            Stage::Widening(_) | Stage::Watching(_) | Stage::Completing | Stage::Over(End::Completed) => {
                &self.plan.gates
            }
            _ => &[],
        }
    }

    /// What is next.
    pub fn next(&self) -> Step {
        match self.stage {
            Stage::Admitting => Step::Record(Act::Admitted),
            Stage::Publishing => Step::Publish,
            Stage::Gating(at) => Step::Gate(self.plan.gates[at].clone()),
            Stage::Widening(at) => Step::Widen(self.plan.cohorts[at]),
            Stage::Watching(at) => Step::Watch(self.plan.cohorts[at]),
            Stage::Completing => Step::Record(Act::Completed),
            Stage::Narrowing => Step::Narrow,
            Stage::Returning => Step::Record(Act::WentBack),
            Stage::Over(end) => Step::Done(end),
        }
    }

    /// What happened.
    ///
    /// # Errors
    /// If it cannot have happened now; nothing is changed then.
    pub fn on(&mut self, fact: &Fact) -> Result<(), Illegal> {
        let stage = match (self.stage, fact) {
            (Stage::Admitting, Fact::Recorded { act: Act::Admitted }) => Stage::Publishing,
            (Stage::Publishing, Fact::Published) => self.gating(0),
            (Stage::Gating(at), Fact::Gate { name, result, reasons }) if *name == self.plan.gates[at] => match result {
                GateResult::Passed => self.gating(at + 1),
                not => self.back(format!("gate {name}: {not}"), reasons),
            },
            (Stage::Widening(at), Fact::Widened { percent }) if *percent == self.plan.cohorts[at] => {
                Stage::Watching(at)
            }
            (Stage::Watching(at), Fact::Watched { percent, held, reasons }) if *percent == self.plan.cohorts[at] => {
                match held {
                    true => self.widening(at + 1),
                    false => self.back(format!("at {percent} %"), reasons),
                }
            }
            (Stage::Completing, Fact::Recorded { act: Act::Completed }) => Stage::Over(End::Completed),
            (Stage::Narrowing, Fact::Narrowed) => Stage::Returning,
            (Stage::Returning, Fact::Recorded { act: Act::WentBack }) => Stage::Over(End::WentBack),
            (stage, Fact::Failed { reasons }) if stage.may_fail() => self.back("could not go on".into(), reasons),
            (stage, Fact::Withdrawn { reasons }) if stage.may_be_withdrawn() => self.back("withdrawn".into(), reasons),
            _ => return Err(Illegal { fact: Box::new(fact.clone()), next: self.next() }),
        };
        self.stage = stage;
        Ok(())
    }

    fn gating(&self, at: usize) -> Stage {
        if at < self.plan.gates.len() { Stage::Gating(at) } else { self.widening(0) }
    }

    fn widening(&self, at: usize) -> Stage {
        if at < self.plan.cohorts.len() { Stage::Widening(at) } else { Stage::Completing }
    }

    fn back(&mut self, what: String, reasons: &[String]) -> Stage {
        self.reasons = match reasons {
            [] => vec![what],
            reasons => reasons.iter().map(|reason| format!("{what}: {reason}")).collect(),
        };
        Stage::Narrowing
    }
}

impl Stage {
    /// Whether a step of this stage may fail, so that there is nothing but to go back. A decision that cannot be written
    /// down is tried again by whoever runs the promotion again: it changes nothing about the lane.
    const fn may_fail(self) -> bool {
        matches!(self, Stage::Publishing | Stage::Gating(_) | Stage::Widening(_) | Stage::Watching(_))
    }

    const fn may_be_withdrawn(self) -> bool {
        self.may_fail() || matches!(self, Stage::Admitting | Stage::Completing)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plan(gates: usize, cohorts: &[u8]) -> Plan {
        Plan {
            id: "p".into(),
            from: "staging".into(),
            to: "prod".into(),
            server: "http://h".into(),
            database: "d".into(),
            candidate: "d-1".into(),
            module_sha256: Sha256::of(b"m"),
            policy_sha256: Sha256::of(b"p"),
            inputs: vec![],
            setup: vec![],
            gates: (0..gates).map(|it| format!("g{it}")).collect(),
            cohorts: cohorts.to_vec(),
            soak_s: 1,
            watch_gate: "slo".into(),
        }
    }

    /// What may come of a step, by a number: mostly what is hoped for.
    fn outcome(step: &Step, luck: u8) -> Option<Fact> {
        let why = || vec!["why".to_owned()];
        Some(match (step, luck) {
            (Step::Done(_), _) => return None,
            (Step::Publish | Step::Gate(_) | Step::Widen(_) | Step::Watch(_), 0..=9) => Fact::Failed { reasons: why() },
            (Step::Publish | Step::Gate(_) | Step::Widen(_) | Step::Watch(_), 10..=19) => {
                Fact::Withdrawn { reasons: why() }
            }
            (Step::Gate(name), 20..=29) => {
                Fact::Gate { name: name.clone(), result: GateResult::Inconclusive, reasons: why() }
            }
            (Step::Watch(percent), 20..=29) => Fact::Watched { percent: *percent, held: false, reasons: why() },
            (Step::Record(act), _) => Fact::Recorded { act: *act },
            (Step::Publish, _) => Fact::Published,
            (Step::Gate(name), _) => Fact::Gate { name: name.clone(), result: GateResult::Passed, reasons: vec![] },
            (Step::Widen(percent), _) => Fact::Widened { percent: *percent },
            (Step::Watch(percent), _) => Fact::Watched { percent: *percent, held: true, reasons: vec![] },
            (Step::Narrow, _) => Fact::Narrowed,
        })
    }

    fn cohorts() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![Just(vec![]), Just(vec![100]), Just(vec![5, 10, 25, 50, 100])]
    }

    proptest! {
        #[test]
        fn whatever_comes_it_ends_and_goes_only_where_it_may(
            gates in 0_usize..4, cohorts in cohorts(), luck in prop::collection::vec(any::<u8>(), 40),
        ) {
            let plan = plan(gates, &cohorts);
            let mut core = Core::new(plan.clone());
            let (mut facts, mut share) = (Vec::new(), 0_u8);
            let mut luck = luck.into_iter();
            while let Some(fact) = outcome(&core.next(), luck.next().expect("it ends within forty steps")) {
                core.on(&fact).expect("what follows from the next step may come");
                match &fact {
                    Fact::Widened { percent } => {
                        let passed = |it: &Fact| matches!(it, Fact::Gate { result: GateResult::Passed, .. });
                        prop_assert_eq!(facts.iter().filter(|it| passed(it)).count(), gates);
                        prop_assert!(*percent > share && !facts.contains(&Fact::Narrowed));
                        let held = Fact::Watched { percent: share, held: true, reasons: vec![] };
                        prop_assert!(share == 0 || facts.last() == Some(&held));
                        share = *percent;
                    }
                    Fact::Narrowed => share = 0,
                    _ => {}
                }
                facts.push(fact);
            }
            let count = |fact: &Fact| facts.iter().filter(|it| *it == fact).count();
            prop_assert!(count(&Fact::Published) <= 1);
            prop_assert_eq!(count(&Fact::Recorded { act: Act::Admitted }), 1);
            match core.next() {
                Step::Done(End::Completed) => {
                    prop_assert_eq!(share, cohorts.last().copied().unwrap_or(0));
                    prop_assert!(core.reasons().is_empty() && count(&Fact::Published) == 1);
                }
                Step::Done(End::WentBack) => prop_assert!(share == 0 && !core.reasons().is_empty()),
                next => prop_assert!(false, "{next:?}"),
            }
            // The facts alone give every state again.
            let mut again = Core::new(plan);
            for fact in &facts {
                again.on(fact).expect("it came before");
            }
            prop_assert_eq!(again, core);
        }

        #[test]
        fn what_cannot_come_now_changes_nothing(steps in 0_usize..14, wrong in 0_usize..8) {
            let mut core = Core::new(plan(2, &[50, 100]));
            for _ in 0..steps {
                let Some(fact) = outcome(&core.next(), 255) else { break };
                core.on(&fact).expect("it may come");
            }
            let facts = [
                Fact::Published, Fact::Narrowed, Fact::Widened { percent: 50 }, Fact::Widened { percent: 7 },
                Fact::Recorded { act: Act::Completed }, Fact::Recorded { act: Act::WentBack },
                Fact::Watched { percent: 100, held: true, reasons: vec![] },
                Fact::Gate { name: "g1".into(), result: GateResult::Passed, reasons: vec![] },
            ];
            let fact = &facts[wrong];
            let expected = outcome(&core.next(), 255);
            let before = core.clone();
            prop_assert_eq!(core.on(fact).is_ok(), expected.as_ref() == Some(fact));
            prop_assert!(expected.as_ref() == Some(fact) || core == before);
        }
    }
}
