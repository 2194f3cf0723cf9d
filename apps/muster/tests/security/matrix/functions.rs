//! The module's reducers and procedures, with arguments that are good, so that nothing but a grant can be missing.

use muster_contract::page::{Answer, AnswerValue, Page, ProducerState, Snapshot, StreamList};
use muster_wire::sats::{Serialize, bsatn};
use muster_wire::{ConnectionId, Identity, Timestamp};
use serde_json::{Value, json};
use spacetimedb_lib::ScheduleAt;

use super::doors::Needs;
use super::knock::{Ask, Found, refusal};
use crate::doors::{encoded, hex};
use crate::issuer::AUDIENCE;
use crate::lane::{event, hash_of};

/// One of them.
pub(super) struct Function {
    pub(super) name: &'static str,
    pub(super) needs: Needs,
    /// As a WebSocket takes them (BSATN), and as HTTP does (SATS-JSON).
    pub(super) arguments: fn(&Ask) -> (Vec<u8>, Value),
    /// What a procedure's answer means; reducers have none.
    pub(super) answer: Option<fn(&[u8]) -> Found>,
}

const fn reducer(name: &'static str, needs: Needs, arguments: fn(&Ask) -> (Vec<u8>, Value)) -> Function {
    Function { name, needs, arguments, answer: None }
}

const fn procedure(
    name: &'static str,
    needs: Needs,
    arguments: fn(&Ask) -> (Vec<u8>, Value),
    answer: fn(&[u8]) -> Found,
) -> Function {
    Function { name, needs, arguments, answer: Some(answer) }
}

/// All of them.
pub(super) static FUNCTIONS: [Function; 19] = [
    reducer("set_name", Needs::Grant, |_| both(&("Eve",), json!(["Eve"]))),
    reducer("follow", Needs::Read, |ask| both(&(7u32, &ask.stream), json!([7, ask.stream]))),
    // Of one's own session, which has nothing to follow without a grant.
    reducer("unfollow", Needs::Admission, |_| both(&(8u32,), json!([8]))),
    reducer("ack_checkpoint", Needs::Read, |ask| {
        both(&(&ask.stream, ask.epoch, 1u64, "eve"), json!([ask.stream, ask.epoch, 1, "eve"]))
    }),
    // Over HTTP with a hash that is wrong: numbers of 256 bits are long to write. Grants are asked before.
    reducer("append_events", Needs::Write, |ask| {
        let events = json!([{"kind": "test", "payload": "{}", "hash": "0x0", "at": {"__timestamp_micros_since_unix_epoch__": 0}}]);
        both(
            &(&ask.stream, 0u64, &ask.producer, 1u64, 0u64, vec![event(1)]),
            json!([ask.stream, 0, ask.producer, 1, 0, events]),
        )
    }),
    // A byte string is hexadecimal in JSON.
    reducer("append_encoded", Needs::Write, |ask| {
        let events = encoded(1);
        let json = json!([ask.stream, 0, ask.producer, 1, 0, hex(&events)]);
        both(&(&ask.stream, 0u64, &ask.producer, 1u64, 0u64, events), json)
    }),
    reducer("put_snapshot", Needs::Snapshot, |ask| {
        both(
            &(&ask.stream, ask.epoch, ask.head, "{}", hash_of("{}"), &ask.producer),
            json!([ask.stream, ask.epoch, ask.head, "{}", "0x0", ask.producer]),
        )
    }),
    procedure(
        "read_page",
        Needs::Read,
        |ask| both(&(&ask.stream, 0u64, 0u64, 0u64, 10u32, 1_000u32), json!([ask.stream, 0, 0, 0, 10, 1000])),
        answered::<Page>,
    ),
    procedure(
        "list_streams",
        Needs::Read,
        |ask| both(&(&ask.stream, 0u64), json!([ask.stream, 0])),
        answered::<StreamList>,
    ),
    procedure(
        "read_snapshot",
        Needs::Read,
        |ask| both(&(&ask.stream, 0u64), json!([ask.stream, 0])),
        answered::<Option<Snapshot>>,
    ),
    procedure(
        "producer_state",
        Needs::Write,
        |ask| both(&(&ask.producer, vec![ask.stream.clone()]), json!([ask.producer, [ask.stream]])),
        answered::<Vec<ProducerState>>,
    ),
    reducer("configure_auth", Needs::Owner, |ask| {
        both(
            &(&ask.issuer, AUDIENCE, false, true, None::<Identity>),
            json!([ask.issuer, AUDIENCE, false, true, {"none": []}]),
        )
    }),
    reducer("revoke_grants", Needs::Owner, |_| both(&("token", "nobody", 1i64), json!(["token", "nobody", 1]))),
    reducer("configure_lane", Needs::Owner, |_| both(&(0u64, 0u64, 0u64, true, 60u64), json!([0, 0, 0, true, 60]))),
    reducer("delete_stream", Needs::Owner, |_| both(&("no.such",), json!(["no.such"]))),
    reducer("renew_epochs", Needs::Owner, |_| both(&(), json!([]))),
    reducer("expire_grant", Needs::Owner, |_| {
        let nobody = ConnectionId::from_u128(1);
        both(&((1u64 << 40, never(), nobody),), json!([[1u64 << 40, never_json(), {"__connection_id__": 1}]]))
    }),
    reducer("refresh_presence_summary", Needs::Owner, |_| {
        both(&((1u64 << 40, never()),), json!([[1u64 << 40, never_json()]]))
    }),
    reducer("sweep_retention", Needs::Owner, |_| {
        both(&((1u64 << 40, never(), 0u64),), json!([[1u64 << 40, never_json(), 0]]))
    }),
];

fn both<T: Serialize>(arguments: &T, json: Value) -> (Vec<u8>, Value) {
    (bsatn::to_vec(arguments).expect("plain values"), json)
}

fn never() -> ScheduleAt {
    ScheduleAt::Time(Timestamp::UNIX_EPOCH)
}

fn never_json() -> Value {
    json!({"Time": {"__timestamp_micros_since_unix_epoch__": 0}})
}

fn answered<T: AnswerValue + std::fmt::Debug>(bytes: &[u8]) -> Found {
    match Answer::<T>::from_bytes(bytes) {
        Ok(Answer::Refused(line)) => refusal(&line),
        other => Found::Open(format!("{other:?}")),
    }
}
