//! In-toto Statement v1 with the two predicates that Muster writes: a gate's result (test-result v0.1) and a promotion's
//! decision (SLSA verification summary v1); `in-toto/attestation`, `spec/v1`, `spec/predicates`, and slsa.dev.
//!
//! What always holds: what the predicates' own fields say follows from Muster's fields beside them, and reading refuses a
//! statement where it does not. Muster's fields have names of their own (URNs), as the specification asks of extensions,
//! so a reader that does not know them can leave them out.
//!
//! test-result knows PASSED, WARNED and FAILED. WARNED means "passed, with warnings", so an inconclusive gate is written
//! as FAILED, with what could not be found out among `failedTests`: who knows only the specification must not promote
//! by it. That it was inconclusive stands in Muster's own field.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::decision::Decision;
use super::json::unambiguous;
use crate::observation::Standing;
use crate::report::{GateReport, GateResult, Sha256};

/// The type of every statement.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// The predicate of a gate's result.
pub const PREDICATE_TEST_RESULT: &str = "https://in-toto.io/attestation/test-result/v0.1";
/// The predicate of a promotion's decision.
pub const PREDICATE_VSA: &str = "https://slsa.dev/verification_summary/v1";
/// The field of both predicates that places a statement in its folder's chain: a [`Link`].
pub const CHAIN_FIELD: &str = "urn:muster:evidence-chain:v1";
/// The field of a test result with everything that the gate saw: a [`GateReport`].
const REPORT_FIELD: &str = "urn:muster:gate-report:v1";
/// The field of a verification summary with what was decided and done: a [`Decision`].
const DECISION_FIELD: &str = "urn:muster:promotion:v1";

/// The statement before this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Previous {
    /// The digest of its whole file.
    pub envelope: Sha256,
    /// The digest of its payload: by it a changed payload is told from a changed envelope.
    pub payload: Sha256,
}

/// A statement's place in its folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Which folder: 16 random bytes, hexadecimal, of its first statement.
    pub chain: String,
    /// From 1, without holes.
    pub sequence: u64,
    /// The statement before it; nothing for the first.
    pub previous: Option<Previous>,
}

/// What a statement says.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// What a gate saw.
    Gate(Box<GateReport>),
    /// What a promotion decided or did.
    Decision(Box<Decision>),
}

impl Body {
    /// The module that it is about.
    pub fn module_sha256(&self) -> Sha256 {
        match self {
            Body::Gate(report) => report.module_sha256,
            Body::Decision(decision) => decision.module_sha256,
        }
    }

    /// When what it says was over.
    pub fn at(&self) -> jiff::Timestamp {
        match self {
            Body::Gate(report) => report.finished_at,
            Body::Decision(decision) => decision.at,
        }
    }
}

/// A statement, as it is signed.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// Its place.
    pub link: Link,
    /// What it says.
    pub body: Body,
}

/// Why a payload is no statement of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum StatementFault {
    /// Its predicate is none that we know.
    UnknownPredicate(String),
    /// It is no statement, or fields are missing or of another kind.
    Malformed(String),
    /// Its fields contradict each other.
    Contradiction(String),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    #[serde(rename = "_type")]
    statement_type: String,
    subject: Vec<WireSubject>,
    predicate_type: String,
    predicate: Map<String, Value>,
}

#[derive(Serialize, Deserialize)]
struct WireSubject {
    #[serde(default)]
    name: String,
    digest: BTreeMap<String, String>,
}

impl Statement {
    /// The payload's bytes.
    pub fn to_json(&self) -> Vec<u8> {
        let (predicate_type, mut predicate) = match &self.body {
            Body::Gate(report) => (PREDICATE_TEST_RESULT, test_result(report)),
            Body::Decision(decision) => (PREDICATE_VSA, decision.to_predicate()),
        };
        match &self.body {
            Body::Gate(report) => predicate.insert(REPORT_FIELD.into(), to_value(report)),
            Body::Decision(decision) => predicate.insert(DECISION_FIELD.into(), to_value(decision)),
        };
        predicate.insert(CHAIN_FIELD.into(), to_value(&self.link));
        let digest = [("sha256".to_owned(), self.body.module_sha256().to_string())].into();
        let wire = Wire {
            statement_type: STATEMENT_TYPE.into(),
            subject: vec![WireSubject { name: "module.wasm".into(), digest }],
            predicate_type: predicate_type.into(),
            predicate,
        };
        serde_json::to_vec(&wire).expect("a statement can be written as JSON")
    }

    /// Reads a payload. It must have been verified before.
    pub(super) fn parse(payload: &[u8]) -> Result<Statement, StatementFault> {
        unambiguous(payload).map_err(StatementFault::Malformed)?;
        let wire: Wire = serde_json::from_slice(payload).map_err(|it| StatementFault::Malformed(it.to_string()))?;
        if wire.statement_type != STATEMENT_TYPE {
            return Err(StatementFault::Malformed(format!("its _type is {:?}", wire.statement_type)));
        }
        let mut predicate = wire.predicate;
        let link = take(&mut predicate, CHAIN_FIELD);
        let (body, expected) = match wire.predicate_type.as_str() {
            PREDICATE_TEST_RESULT => {
                let report: GateReport = take(&mut predicate, REPORT_FIELD)?;
                if report.result != report.verdict() {
                    let (said, follows) = (report.result, report.verdict());
                    let what = format!("it says {said}, and {follows} follows from its observations");
                    return Err(StatementFault::Contradiction(what));
                }
                if report.started_at > report.finished_at {
                    return Err(StatementFault::Contradiction("it ended before it began".into()));
                }
                let expected = test_result(&report);
                (Body::Gate(Box::new(report)), expected)
            }
            PREDICATE_VSA => {
                let decision: Decision = take(&mut predicate, DECISION_FIELD)?;
                let expected = decision.to_predicate();
                (Body::Decision(Box::new(decision)), expected)
            }
            other => return Err(StatementFault::UnknownPredicate(other.to_owned())),
        };
        for (field, value) in &expected {
            if predicate.get(field) != Some(value) {
                let what = format!("its {field} does not follow from what it reports");
                return Err(StatementFault::Contradiction(what));
            }
        }
        let module = body.module_sha256().to_string();
        if wire.subject.len() != 1 || wire.subject[0].digest.get("sha256") != Some(&module) {
            return Err(StatementFault::Contradiction("its subject is not the module that it reports on".into()));
        }
        Ok(Statement { link: link?, body })
    }
}

/// Muster's own field out of a predicate.
fn take<T: for<'de> Deserialize<'de>>(predicate: &mut Map<String, Value>, field: &str) -> Result<T, StatementFault> {
    let value = predicate.remove(field).ok_or_else(|| StatementFault::Malformed(format!("it has no {field}")))?;
    serde_json::from_value(value).map_err(|error| StatementFault::Malformed(format!("{field}: {error}")))
}

fn to_value(it: &impl Serialize) -> Value {
    serde_json::to_value(it).expect("reports and decisions can be written as JSON")
}

/// The fields of test-result v0.1.
fn test_result(report: &GateReport) -> Map<String, Value> {
    let names = |standings: &[Standing]| -> Vec<Value> {
        let those = report.observations.iter().filter(|it| standings.contains(&it.standing));
        those.map(|it| it.name.as_str().into()).collect()
    };
    let result = match report.result {
        GateResult::Passed => "PASSED",
        GateResult::Inconclusive | GateResult::Failed => "FAILED",
    };
    let host = report.host_version.iter().map(|it| ("version", it.as_str()));
    let configuration = vec![
        descriptor("gate", [("name", report.gate.as_str())]),
        descriptor("lane", [("database", &*report.database), ("name", &*report.lane), ("server", &*report.server)]),
        descriptor("host", host),
        descriptor("settings", report.configuration.iter().map(|(key, value)| (key.as_str(), value.as_str()))),
    ];
    let fields = json!({
        "result": result,
        "configuration": configuration,
        "passedTests": names(&[Standing::Held]),
        "warnedTests": [],
        "failedTests": names(&[Standing::Broken, Standing::Undecided]),
    });
    match fields {
        Value::Object(fields) => fields,
        _ => unreachable!("it is written as an object above"),
    }
}

/// A ResourceDescriptor (`spec/v1/resource_descriptor.md`) that carries its content: JSON with its names sorted, so that
/// every build writes the same bytes, and their digest.
fn descriptor<'a>(name: &str, content: impl IntoIterator<Item = (&'a str, &'a str)>) -> Value {
    use base64::Engine as _;
    let content: BTreeMap<&str, &str> = content.into_iter().collect();
    let bytes = serde_json::to_vec(&content).expect("texts can be written as JSON");
    json!({
        "name": name,
        "mediaType": "application/json",
        "digest": { "sha256": Sha256::of(&bytes) },
        "content": base64::prelude::BASE64_STANDARD.encode(&bytes),
        "annotations": content,
    })
}
