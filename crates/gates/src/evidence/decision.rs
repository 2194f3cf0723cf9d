//! What a promotion decided or did, as a SLSA verification summary (`slsa.dev/verification_summary/v1`).
//!
//! What always holds: a decision names the policy and every statement that it rests on by digest; `verificationResult` is
//! PASSED only for what lets a module go on.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::promote::Plan;
use crate::report::Sha256;

/// What was decided or done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// The evidence suffices: the promotion begins.
    Admitted,
    /// The evidence does not suffice: nothing was done.
    Refused,
    /// Every cohort is on the module, and every watch held.
    Completed,
    /// A step failed: every client is sent back.
    WentBack,
}

impl Act {
    /// As it is written and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Act::Admitted => "admitted",
            Act::Refused => "refused",
            Act::Completed => "completed",
            Act::WentBack => "went_back",
        }
    }

    const fn lets_go_on(self) -> bool {
        matches!(self, Act::Admitted | Act::Completed)
    }
}

/// A statement that a decision rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The file's name in its evidence folder.
    pub file: String,
    /// The digest of the file.
    pub sha256: Sha256,
}

/// What was decided, about which module, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// What was decided or done.
    pub act: Act,
    /// The promotion, the same for all of its decisions.
    pub promotion: String,
    /// The lane whose evidence counts.
    pub from: String,
    /// The lane that the module is for.
    pub to: String,
    /// The target's base URL.
    pub server: String,
    /// The target's database for this module.
    pub database: String,
    /// SHA-256 of the module's WebAssembly: the subject.
    pub module_sha256: Sha256,
    /// SHA-256 of `promotion.toml`.
    pub policy_sha256: Sha256,
    /// The digest of the whole plan ([`Plan::digest`]): what a promotion that is gone on with is held to.
    pub plan_sha256: Sha256,
    /// Every statement that it rests on.
    pub inputs: Vec<Input>,
    /// Why, one line each: what is missing, which step failed.
    pub reasons: Vec<String>,
    /// When.
    pub at: Timestamp,
}

impl Decision {
    /// A decision about a promotion of this plan.
    pub fn of(plan: &Plan, act: Act, reasons: Vec<String>, at: Timestamp) -> Decision {
        Decision {
            act,
            promotion: plan.id.clone(),
            from: plan.from.clone(),
            to: plan.to.clone(),
            server: plan.server.clone(),
            database: plan.candidate.clone(),
            module_sha256: plan.module_sha256,
            policy_sha256: plan.policy_sha256,
            plan_sha256: plan.digest(),
            inputs: plan.inputs.clone(),
            reasons,
            at,
        }
    }

    /// The fields of the verification summary's predicate.
    pub(super) fn to_predicate(&self) -> Map<String, Value> {
        let input = |it: &Input| json!({ "uri": format!("file:{}", it.file), "digest": { "sha256": it.sha256 } });
        let (result, level) = match self.act.lets_go_on() {
            true => ("PASSED", "MUSTER_GATES_PASSED"),
            false => ("FAILED", "FAILED"),
        };
        let fields = json!({
            // Which build of the verifier it was says nothing about the decision; who decided says the signature.
            "verifier": { "id": "urn:muster:promote:v1" },
            "timeVerified": self.at,
            "resourceUri": format!("{}/v1/database/{}", self.server.trim_end_matches('/'), self.database),
            "policy": {
                "uri": format!("urn:muster:promotion-policy:{}", self.policy_sha256),
                "digest": { "sha256": self.policy_sha256 },
            },
            "inputAttestations": self.inputs.iter().map(input).collect::<Vec<_>>(),
            "verificationResult": result,
            "verifiedLevels": [level],
            "slsaVersion": "1.0",
        });
        match fields {
            Value::Object(fields) => fields,
            _ => unreachable!("it is written as an object above"),
        }
    }
}
