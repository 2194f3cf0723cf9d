//! The bytes of every message, frozen: what a peer sees must never change by itself.

use spacetimedb_lib::{ConnectionId, Identity, TimeDuration, Timestamp};
use spacetimedb_sats::{Deserialize, Serialize, bsatn};

use super::*;

/// Encodes to exactly these bytes, and back.
fn frozen<T>(message: &T, hex: &str)
where
    T: Serialize + for<'de> Deserialize<'de> + PartialEq + std::fmt::Debug,
{
    let bytes = bsatn::to_vec(message).expect("encodes");
    assert_eq!(hex::encode(&bytes), hex.replace(' ', ""), "{message:?}");
    assert_eq!(&bsatn::from_slice::<T>(&bytes).expect("decodes"), message);
}

const SET: QuerySetId = QuerySetId { id: 7 };

fn fixed(data: &'static [u8]) -> RowList {
    RowList { size_hint: RowSizeHint::FixedSize(2), rows_data: Bytes::from_static(data) }
}

fn at_offsets() -> RowList {
    RowList { size_hint: RowSizeHint::RowOffsets(vec![0, 1]), rows_data: Bytes::from_static(&[0xaa, 0xbb, 0xcc]) }
}

fn some_rows() -> QueryRows {
    QueryRows { tables: vec![SingleTableRows { table: "t".into(), rows: fixed(&[1, 2, 3, 4]) }] }
}

const SOME_ROWS: &str = "01000000 01000000 74 00 0200 04000000 01020304";

fn some_update() -> TransactionUpdate {
    let persistent =
        TableUpdateRows::PersistentTable(PersistentTableRows { inserts: fixed(&[1, 2]), deletes: at_offsets() });
    let events = TableUpdateRows::EventTable(EventTableRows { events: fixed(&[3, 4]) });
    let tables = vec![TableUpdate { table_name: "t".into(), rows: vec![persistent, events] }];
    TransactionUpdate { query_sets: vec![QuerySetUpdate { query_set_id: SET, tables }] }
}

const SOME_UPDATE: &str = "01000000 07000000 01000000 01000000 74 02000000 \
     00 00 0200 02000000 0102 01 02000000 0000000000000000 0100000000000000 03000000 aabbcc \
     01 00 0200 02000000 0304";

#[test]
fn what_a_client_says_is_frozen() {
    let query_strings = vec!["a".to_string(), "bc".into()];
    frozen(
        &ClientMessage::Subscribe(Subscribe { request_id: 1, query_set_id: SET, query_strings: query_strings.clone() }),
        "00 01000000 07000000 02000000 01000000 61 02000000 6263",
    );
    frozen(
        &ClientMessage::Unsubscribe(Unsubscribe {
            request_id: 2,
            query_set_id: SET,
            flags: UnsubscribeFlags::SendDroppedRows,
        }),
        "01 02000000 07000000 01",
    );
    frozen(
        &ClientMessage::OneOffQuery(OneOffQuery { request_id: 3, query_string: "a".into() }),
        "02 03000000 01000000 61",
    );
    frozen(
        &ClientMessage::CallReducer(CallReducer {
            request_id: 4,
            flags: 0,
            reducer: "r".into(),
            args: Bytes::from_static(&[9]),
        }),
        "03 04000000 00 01000000 72 01000000 09",
    );
    frozen(
        &ClientMessage::CallProcedure(CallProcedure {
            request_id: 5,
            flags: 0,
            procedure: "p".into(),
            args: Bytes::new(),
        }),
        "04 05000000 00 01000000 70 00000000",
    );
    frozen(
        &ClientMessage::SubscribeBatch(SubscribeBatch {
            request_id: 6,
            sets: vec![SubscribeSet { query_set_id: SET, query_strings: vec!["a".into()] }],
        }),
        "05 06000000 01000000 07000000 01000000 01000000 61",
    );
}

#[test]
fn what_a_host_says_is_frozen() {
    frozen(
        &ServerMessage::InitialConnection(InitialConnection {
            identity: Identity::from_byte_array([0x11; 32]),
            connection_id: ConnectionId::from_le_byte_array([0x22; 16]),
            token: "t".into(),
        }),
        &format!("00 {} {} 01000000 74", "11".repeat(32), "22".repeat(16)),
    );
    frozen(
        &ServerMessage::SubscribeApplied(SubscribeApplied { request_id: 1, query_set_id: SET, rows: some_rows() }),
        &format!("01 01000000 07000000 {SOME_ROWS}"),
    );
    frozen(
        &ServerMessage::UnsubscribeApplied(UnsubscribeApplied {
            request_id: 2,
            query_set_id: SET,
            rows: Some(some_rows()),
        }),
        &format!("02 02000000 07000000 00 {SOME_ROWS}"),
    );
    frozen(
        &ServerMessage::UnsubscribeApplied(UnsubscribeApplied { request_id: 2, query_set_id: SET, rows: None }),
        "02 02000000 07000000 01",
    );
    frozen(
        &ServerMessage::SubscriptionError(SubscriptionError { request_id: None, query_set_id: SET, error: "e".into() }),
        "03 01 07000000 01000000 65",
    );
    frozen(&ServerMessage::TransactionUpdate(some_update()), &format!("04 {SOME_UPDATE}"));
    frozen(
        &ServerMessage::OneOffQueryResult(OneOffQueryResult { request_id: 3, result: Ok(some_rows()) }),
        &format!("05 03000000 00 {SOME_ROWS}"),
    );
    frozen(
        &ServerMessage::OneOffQueryResult(OneOffQueryResult { request_id: 3, result: Err("e".into()) }),
        "05 03000000 01 01000000 65",
    );
}

#[test]
fn what_a_host_says_of_calls_is_frozen() {
    let reducer = |result| {
        let timestamp = Timestamp::from_micros_since_unix_epoch(1);
        ServerMessage::ReducerResult(ReducerResult { request_id: 4, timestamp, result })
    };
    let ok = ReducerOk { ret_value: Bytes::from_static(&[9]), transaction_update: some_update() };
    frozen(&reducer(ReducerOutcome::Ok(ok)), &format!("06 04000000 0100000000000000 00 01000000 09 {SOME_UPDATE}"));
    frozen(&reducer(ReducerOutcome::OkEmpty), "06 04000000 0100000000000000 01");
    frozen(&reducer(ReducerOutcome::Err(Bytes::from_static(&[9]))), "06 04000000 0100000000000000 02 01000000 09");
    frozen(&reducer(ReducerOutcome::InternalError("e".into())), "06 04000000 0100000000000000 03 01000000 65");

    let procedure = |status| {
        ServerMessage::ProcedureResult(ProcedureResult {
            status,
            timestamp: Timestamp::from_micros_since_unix_epoch(1),
            total_host_execution_duration: TimeDuration::from_micros(2),
            request_id: 5,
        })
    };
    frozen(
        &procedure(ProcedureStatus::Returned(Bytes::from_static(&[9]))),
        "07 00 01000000 09 0100000000000000 0200000000000000 05000000",
    );
    frozen(
        &procedure(ProcedureStatus::InternalError("e".into())),
        "07 01 01000000 65 0100000000000000 0200000000000000 05000000",
    );
    frozen(
        &ServerMessage::SubscribeBatchApplied(SubscribeBatchApplied {
            request_id: 6,
            results: vec![
                SubscribeSetResult { query_set_id: SET, outcome: SubscribeSetOutcome::Applied(some_rows()) },
                SubscribeSetResult { query_set_id: SET, outcome: SubscribeSetOutcome::Error("e".into()) },
            ],
        }),
        &format!("08 06000000 02000000 07000000 00 {SOME_ROWS} 07000000 01 01000000 65"),
    );
}

#[test]
fn a_greeting_does_not_show_its_token() {
    let greeting =
        InitialConnection { identity: Identity::ZERO, connection_id: ConnectionId::ZERO, token: "s3cret".into() };
    assert!(!format!("{:?}", ServerMessage::InitialConnection(greeting)).contains("s3cret"));
}
