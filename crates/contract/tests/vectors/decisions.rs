//! Who may go on from a cursor, and which of a producer's events are stored.

use muster_contract::producer::{Run, admit, check_expected};
use muster_contract::resume::{StreamBounds, decide};
use muster_contract::{Code, Position, Seq};
use serde_json::{Value, json};

pub(crate) fn resumes() -> Vec<Value> {
    let has = |epoch: u64, seq: u64| json!({ "epoch": epoch, "seq": seq });
    let holds = |floor: u64, head: u64, snapshot: Option<u64>| json!({ "epoch": 7, "floor": floor, "head": head, "snapshot": snapshot });
    let case =
        |has: Value, holds: Value, budget: Option<u64>| json!({ "has": has, "holds": holds, "replay_budget": budget });
    let none = || Value::Null;
    vec![
        case(none(), none(), None),
        case(has(7, 3), none(), None),
        case(none(), holds(1, 0, None), None),
        case(none(), holds(1, 100, Some(90)), None),
        case(none(), holds(1, 100, Some(90)), Some(100)),
        case(none(), holds(1, 100, Some(90)), Some(99)),
        case(none(), holds(1, 100, None), Some(5)),
        case(none(), holds(50, 100, Some(90)), None),
        case(none(), holds(50, 100, None), None),
        case(none(), holds(101, 100, Some(100)), None),
        case(has(7, 0), holds(1, 0, None), None),
        case(has(7, 0), holds(1, 20, None), None),
        case(has(7, 8), holds(10, 20, None), None),
        case(has(7, 9), holds(10, 20, None), None),
        case(has(7, 20), holds(10, 20, None), None),
        case(has(7, 21), holds(10, 20, None), None),
        case(has(7, 21), holds(10, 20, Some(15)), None),
        case(has(7, 8), holds(10, 20, Some(15)), None),
        case(has(7, 8), holds(10, 20, Some(9)), None),
        case(has(7, 7), holds(10, 20, Some(8)), None),
        case(has(7, 8), holds(10, 20, Some(21)), None),
        case(has(7, 20), holds(21, 20, None), None),
        case(has(7, 19), holds(21, 20, None), None),
        case(has(8, 15), holds(10, 20, None), None),
        case(has(8, 99), holds(10, 20, Some(20)), None),
        case(has(8, 0), holds(10, 20, None), None),
        case(has(7, 50), holds(1, 100, Some(90)), Some(50)),
        case(has(7, 49), holds(1, 100, Some(90)), Some(50)),
        case(has(7, 49), holds(1, 100, Some(49)), Some(50)),
        case(has(7, 49), holds(1, 100, None), Some(50)),
        case(has(7, 100), holds(1, 100, Some(90)), Some(0)),
    ]
}

pub(crate) fn resume_answer(given: &Value) -> Value {
    let field = |name: &str| given[name].clone();
    let has: Option<Position> = serde_json::from_value(field("has")).expect("a position");
    let holds: Option<StreamBounds> = serde_json::from_value(field("holds")).expect("sound bounds");
    json!(decide(has, holds.as_ref(), given["replay_budget"].as_u64()))
}

pub(crate) fn runs() -> Vec<Value> {
    let run = |last: u64, first: u64, count: u32| json!({ "last_accepted": last, "first": first, "count": count });
    let place = |expected: Option<u64>, head: u64, skip: u32| json!({ "expected_next_seq": expected, "head": head, "skip": skip });
    vec![
        run(0, 1, 1),
        run(0, 1, 1000),
        run(0, 2, 1),
        run(0, 0, 1),
        run(0, 1, 0),
        run(5, 6, 3),
        run(5, 5, 1),
        run(5, 1, 5),
        run(5, 1, 6),
        run(5, 4, 3),
        run(5, 7, 1),
        run(60, 101, 10),
        run(9_007_199_254_740_991, 9_007_199_254_740_991, 2),
        place(None, 9, 0),
        place(Some(10), 9, 0),
        place(Some(9), 9, 0),
        place(Some(11), 9, 0),
        place(Some(1), 0, 0),
        place(Some(10), 11, 2),
        place(Some(10), 11, 0),
    ]
}

pub(crate) fn run_answer(given: &Value) -> Value {
    let number = |field: &str| given[field].as_u64();
    let small = |field: &str| u32::try_from(number(field).expect(field)).expect(field);
    if let Some(last_accepted) = number("last_accepted") {
        return match Run::new(number("first").expect("first"), small("count")) {
            Some(run) => json!(admit(last_accepted, run)),
            None => json!({ "error": Code::InvalidBatch }),
        };
    }
    let head = Seq::new(number("head").expect("head"));
    match check_expected(number("expected_next_seq").map(Seq::new), head, small("skip")) {
        Ok(()) => json!("append"),
        Err(conflict) => json!({ "error": Code::SequenceConflict, "expected": conflict.next }),
    }
}
