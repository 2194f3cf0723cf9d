//! Error codes, and how a refusal travels.

use muster_contract::refusal::Details;
use muster_contract::{Code, Refusal};
use serde_json::{Value, json};

use crate::string;

pub(crate) fn refusals() -> Vec<Value> {
    let all =
        Details { expected: Some(5), epoch: Some(7), event: Some(0), max: Some(1_000), retry_after_ms: Some(250) };
    let written = [
        Refusal::new(Code::Unauthorized, "the token has expired"),
        Refusal::new(Code::ProducerHole, "event 7 came before event 5").expecting(5),
        Refusal::new(Code::EpochChanged, "the stream has begun anew").with_epoch(7),
        Refusal::new(Code::InvalidKind, "the event has no kind").at_event(3),
        Refusal::new(Code::Internal, "\"quotes\"\nand lines {\"code\":1}"),
        Refusal { details: all, ..Refusal::new(Code::RateLimited, "") },
    ]
    .map(|refusal| refusal.to_wire());
    let foreign = [
        r#"{"details":{"bucket":"x","expected":9},"trace":1,"message":"m","code":"sequence_conflict"}"#,
        r#"{"code":"code_of_tomorrow","message":"m"}"#,
        r#"{"code":"internal"}"#,
        "unauthorized: the token has expired",
        "no such reducer",
        "null",
        "",
    ];
    written.into_iter().chain(foreign.map(String::from)).map(|wire| json!({ "wire": wire })).collect()
}

pub(crate) fn refusal_answer(given: &Value) -> Value {
    match Refusal::from_wire(string(given, "wire").expect("a wire form")) {
        Some(refusal) => {
            json!({ "code": refusal.code, "message": refusal.message, "details": refusal.details })
        }
        None => Value::Null,
    }
}

pub(crate) fn codes() -> Vec<Value> {
    Code::ALL.map(|code| json!({ "code": code })).to_vec()
}

pub(crate) fn code_answer(given: &Value) -> Value {
    let code: Code = string(given, "code").expect("a code").parse().expect("a code of this build");
    json!({ "is_retryable": code.is_retryable(), "had_no_effect": code.had_no_effect() })
}
