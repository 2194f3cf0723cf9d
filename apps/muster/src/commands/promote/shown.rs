//! What a person and a script see of a promotion.
//!
//! What always holds: everything that is missing is said at once, one line each.

use muster_gates::promote::{Admission, Core, End, Plan, Shortcoming};
use serde::Serialize;

use crate::outcome::one_line;

/// What `--json` prints.
#[derive(Serialize)]
pub(super) struct Document<'a> {
    schema: &'static str,
    /// `completed`, `went_back`, `refused`, `would_begin`.
    result: &'static str,
    promotion: &'a str,
    from: &'a str,
    to: &'a str,
    server: &'a str,
    database: &'a str,
    candidate: &'a str,
    module_sha256: String,
    policy_sha256: String,
    /// The evidence that it rests on.
    evidence: Vec<String>,
    /// What is missing.
    missing: Vec<Missing>,
    gates: &'a [String],
    cohorts: &'a [u8],
    soak_s: u64,
    /// Why it went back.
    reasons: &'a [String],
}

#[derive(Serialize)]
struct Missing {
    gate: String,
    lane: String,
    file: Option<String>,
    why: &'static str,
    says: String,
}

impl Missing {
    fn of(it: &Shortcoming) -> Missing {
        let says = one_line(&it.to_string());
        Missing { gate: it.gate.clone(), lane: it.lane.clone(), file: it.file.clone(), why: it.why.as_str(), says }
    }
}

impl<'a> Document<'a> {
    pub(super) fn plan(result: &'static str, plan: &'a Plan, admission: &Admission) -> Document<'a> {
        Document {
            schema: "muster.promote.v1",
            result,
            promotion: &plan.id,
            from: &plan.from,
            to: &plan.to,
            server: &plan.server,
            database: &plan.database,
            candidate: &plan.candidate,
            module_sha256: plan.module_sha256.to_string(),
            policy_sha256: plan.policy_sha256.to_string(),
            evidence: admission.inputs.iter().map(|it| it.file.clone()).collect(),
            missing: admission.shortcomings.iter().map(Missing::of).collect(),
            gates: &plan.gates,
            cohorts: &plan.cohorts,
            soak_s: plan.soak_s,
            reasons: &[],
        }
    }

    pub(super) fn over(result: &'static str, core: &'a Core) -> Document<'a> {
        let none = Admission { inputs: core.plan().inputs.clone(), shortcomings: Vec::new() };
        Document { reasons: core.reasons(), ..Document::plan(result, core.plan(), &none) }
    }
}

/// A refusal: everything that is missing.
pub(super) fn missing(plan: &Plan, admission: &Admission) -> String {
    let mut lines = vec![format!("refused: {} to {}, module sha256 {}", plan.from, plan.to, plan.module_sha256)];
    lines.extend(admission.shortcomings.iter().map(|it| format!("  {}", one_line(&it.to_string()))));
    lines.join("\n")
}

/// What would be done.
pub(super) fn plan(plan: &Plan, admission: &Admission, under_way: Option<&Core>) -> String {
    let mut lines = vec![format!("{} to {}, module sha256 {}", plan.from, plan.to, plan.module_sha256)];
    if let Some(core) = under_way {
        lines.push(format!("  goes on with promotion {}; its next step is {:?}", core.plan().id, core.next()));
    }
    lines.extend(admission.inputs.iter().map(|it| format!("  rests on {}", it.file)));
    let (candidate, server) = (&plan.candidate, &plan.server);
    lines.push(format!("  publishes these bytes to {candidate} on {server}"));
    lines.extend(plan.setup.iter().map(|it| format!("  calls {} on {candidate}", it.call)));
    lines.extend(plan.gates.iter().map(|it| format!("  runs {it} on {candidate}")));
    let (database, watch, soak_s) = (&plan.database, &plan.watch_gate, plan.soak_s);
    let share = |it: &u8| {
        format!("  sends {it} % of the clients of {database} to {candidate}, and runs {watch} for {soak_s} s")
    };
    lines.extend(plan.cohorts.iter().map(share));
    lines.push("  sends everybody back when one of these fails".into());
    lines.join("\n")
}

/// How it ended.
pub(super) fn over(core: &Core, end: End) -> String {
    let plan = core.plan();
    let mut lines = match end {
        End::Completed => {
            let whom = match plan.cohorts.last() {
                Some(percent) => format!("{percent} % of the clients of {} get it", plan.database),
                None => format!("point the clients of {} to it", plan.database),
            };
            vec![format!("completed: {} runs module sha256 {}; {whom}", plan.candidate, plan.module_sha256)]
        }
        End::WentBack => {
            vec![format!("went back: everybody gets {}; {} stays for a look", plan.database, plan.candidate)]
        }
    };
    lines.extend(core.reasons().iter().map(|it| format!("  {}", one_line(it))));
    lines.join("\n")
}
