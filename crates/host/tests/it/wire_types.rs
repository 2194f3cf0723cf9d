//! The message types of `muster-wire` against the official ones: what one writes, the other reads, byte for byte.
//!
//! The official types are under the Business Source License and so not in a client's dependency tree; only here do both
//! meet. Every variant of every message is here, and the types must have
//! the same shape, so that a message which only one of them knows is noticed.

use bytes::Bytes;
use muster_wire::messages as ours;
use spacetimedb_client_api_messages::websocket::common as official_common;
use spacetimedb_client_api_messages::websocket::v2 as official;
use spacetimedb_client_api_messages::websocket::v3 as official_v3;
use spacetimedb_lib::{ConnectionId, Identity, TimeDuration, Timestamp};
use spacetimedb_sats::{AlgebraicType, Deserialize, Serialize, SpacetimeType, bsatn};

/// The same bytes from both, and each reads what the other wrote.
fn same<O, M>(official: &O, ours: &M)
where
    O: Serialize + for<'de> Deserialize<'de>,
    M: Serialize + for<'de> Deserialize<'de> + PartialEq + std::fmt::Debug,
{
    let bytes = bsatn::to_vec(official).unwrap();
    assert_eq!(bytes, bsatn::to_vec(ours).unwrap(), "{ours:?}");
    assert_eq!(&bsatn::from_slice::<M>(&bytes).unwrap(), ours);
    let read_by_official: O = bsatn::from_slice(&bsatn::to_vec(ours).unwrap()).unwrap();
    assert_eq!(bsatn::to_vec(&read_by_official).unwrap(), bytes);
}

/// The whole shape of a type, names and all.
fn shape<T: SpacetimeType>() -> AlgebraicType {
    struct InPlace;
    impl spacetimedb_sats::typespace::TypespaceBuilder for InPlace {
        fn add(
            &mut self,
            _: std::any::TypeId,
            _: Option<&'static str>,
            make_ty: impl FnOnce(&mut Self) -> AlgebraicType,
        ) -> AlgebraicType {
            make_ty(self)
        }
    }
    T::make_type(&mut InPlace)
}

const ID: u32 = 7;

fn set() -> official_common::QuerySetId {
    official_common::QuerySetId::new(ID)
}

const OUR_SET: ours::QuerySetId = ours::QuerySetId { id: ID };

fn strings() -> Box<[Box<str>]> {
    ["SELECT * FROM a".into(), "é".into()].into()
}

fn our_strings() -> Vec<String> {
    vec!["SELECT * FROM a".into(), "é".into()]
}

/// A list of each kind: rows of one size, and rows of many.
fn lists() -> [(official::BsatnRowList, ours::RowList); 2] {
    let data = Bytes::from_static(&[1, 2, 3, 4]);
    let fixed = official::BsatnRowList::new(official_common::RowSizeHint::FixedSize(2), data.clone());
    let offsets = official_common::RowSizeHint::RowOffsets([0u64, 3].into());
    let many = official::BsatnRowList::new(offsets, data.clone());
    let our = |size_hint| ours::RowList { size_hint, rows_data: data.clone() };
    [(fixed, our(ours::RowSizeHint::FixedSize(2))), (many, our(ours::RowSizeHint::RowOffsets(vec![0, 3])))]
}

fn rows() -> (official::QueryRows, ours::QueryRows) {
    let (official, ours): (Vec<_>, Vec<_>) = lists()
        .into_iter()
        .map(|(official, ours)| {
            let official = official::SingleTableRows { table: "t".into(), rows: official };
            (official, ours::SingleTableRows { table: "t".into(), rows: ours })
        })
        .unzip();
    (official::QueryRows { tables: official.into() }, ours::QueryRows { tables: ours })
}

fn update() -> (official::TransactionUpdate, ours::TransactionUpdate) {
    let [(fixed, our_fixed), (many, our_many)] = lists();
    let official_rows = [
        official::TableUpdateRows::PersistentTable(official::PersistentTableRows {
            inserts: fixed.clone(),
            deletes: many,
        }),
        official::TableUpdateRows::EventTable(official::EventTableRows { events: fixed }),
    ];
    let our_rows = vec![
        ours::TableUpdateRows::PersistentTable(ours::PersistentTableRows {
            inserts: our_fixed.clone(),
            deletes: our_many,
        }),
        ours::TableUpdateRows::EventTable(ours::EventTableRows { events: our_fixed }),
    ];
    let tables = [official::TableUpdate { table_name: "t".into(), rows: official_rows.into() }];
    let our_tables = vec![ours::TableUpdate { table_name: "t".into(), rows: our_rows }];
    (
        official::TransactionUpdate {
            query_sets: [official::QuerySetUpdate { query_set_id: set(), tables: tables.into() }].into(),
        },
        ours::TransactionUpdate {
            query_sets: vec![ours::QuerySetUpdate { query_set_id: OUR_SET, tables: our_tables }],
        },
    )
}

#[test]
fn the_subprotocols_have_the_same_names() {
    assert_eq!(ours::V2_PROTOCOL, official::BIN_PROTOCOL);
    assert_eq!(ours::V3_PROTOCOL, official_v3::BIN_PROTOCOL);
}

#[test]
fn both_know_the_same_messages() {
    assert_eq!(shape::<ours::ClientMessage>(), shape::<official::ClientMessage>());
    assert_eq!(shape::<ours::ServerMessage>(), shape::<official::ServerMessage>());
}

#[test]
fn what_a_client_says_is_what_the_official_client_says() {
    use official::ClientMessage as Official;
    use ours::ClientMessage as Ours;
    let (request_id, args) = (ID, Bytes::from_static(&[1, 2]));
    same(
        &Official::Subscribe(official::Subscribe { request_id, query_set_id: set(), query_strings: strings() }),
        &Ours::Subscribe(ours::Subscribe { request_id, query_set_id: OUR_SET, query_strings: our_strings() }),
    );
    for (flags, our_flags) in [
        (official::UnsubscribeFlags::Default, ours::UnsubscribeFlags::Default),
        (official::UnsubscribeFlags::SendDroppedRows, ours::UnsubscribeFlags::SendDroppedRows),
    ] {
        same(
            &Official::Unsubscribe(official::Unsubscribe { request_id, query_set_id: set(), flags }),
            &Ours::Unsubscribe(ours::Unsubscribe { request_id, query_set_id: OUR_SET, flags: our_flags }),
        );
    }
    same(
        &Official::OneOffQuery(official::OneOffQuery { request_id, query_string: "q".into() }),
        &Ours::OneOffQuery(ours::OneOffQuery { request_id, query_string: "q".into() }),
    );
    same(
        &Official::CallReducer(official::CallReducer {
            request_id,
            flags: official::CallReducerFlags::Default,
            reducer: "r".into(),
            args: args.clone(),
        }),
        &Ours::CallReducer(ours::CallReducer { request_id, flags: 0, reducer: "r".into(), args: args.clone() }),
    );
    same(
        &Official::CallProcedure(official::CallProcedure {
            request_id,
            flags: official::CallProcedureFlags::Default,
            procedure: "p".into(),
            args: args.clone(),
        }),
        &Ours::CallProcedure(ours::CallProcedure { request_id, flags: 0, procedure: "p".into(), args }),
    );
    let sets = [official::SubscribeSet { query_set_id: set(), query_strings: strings() }].into();
    let our_sets = vec![ours::SubscribeSet { query_set_id: OUR_SET, query_strings: our_strings() }];
    same(
        &Official::SubscribeBatch(official::SubscribeBatch { request_id, sets }),
        &Ours::SubscribeBatch(ours::SubscribeBatch { request_id, sets: our_sets }),
    );
}

#[test]
fn what_a_host_says_of_subscriptions_is_read_as_it_is_meant() {
    use official::ServerMessage as Official;
    use ours::ServerMessage as Ours;
    let request_id = ID;
    let (identity, connection_id) = (Identity::from_byte_array([3; 32]), ConnectionId::from_u128(5));
    same(
        &Official::InitialConnection(official::InitialConnection { identity, connection_id, token: "t".into() }),
        &Ours::InitialConnection(ours::InitialConnection { identity, connection_id, token: "t".into() }),
    );
    same(
        &Official::SubscribeApplied(official::SubscribeApplied { request_id, query_set_id: set(), rows: rows().0 }),
        &Ours::SubscribeApplied(ours::SubscribeApplied { request_id, query_set_id: OUR_SET, rows: rows().1 }),
    );
    for (dropped, our_dropped) in [(None, None), (Some(rows().0), Some(rows().1))] {
        same(
            &Official::UnsubscribeApplied(official::UnsubscribeApplied {
                request_id,
                query_set_id: set(),
                rows: dropped,
            }),
            &Ours::UnsubscribeApplied(ours::UnsubscribeApplied {
                request_id,
                query_set_id: OUR_SET,
                rows: our_dropped,
            }),
        );
    }
    for request_id in [None, Some(ID)] {
        same(
            &Official::SubscriptionError(official::SubscriptionError {
                request_id,
                query_set_id: set(),
                error: "e".into(),
            }),
            &Ours::SubscriptionError(ours::SubscriptionError { request_id, query_set_id: OUR_SET, error: "e".into() }),
        );
    }
    same(&Official::TransactionUpdate(update().0), &Ours::TransactionUpdate(update().1));
    let outcomes = [
        (official::SubscribeSetOutcome::Applied(rows().0), ours::SubscribeSetOutcome::Applied(rows().1)),
        (official::SubscribeSetOutcome::Error("e".into()), ours::SubscribeSetOutcome::Error("e".into())),
    ];
    for (outcome, our_outcome) in outcomes {
        let results = [official::SubscribeSetResult { query_set_id: set(), outcome }].into();
        let our_results = vec![ours::SubscribeSetResult { query_set_id: OUR_SET, outcome: our_outcome }];
        same(
            &Official::SubscribeBatchApplied(official::SubscribeBatchApplied { request_id, results }),
            &Ours::SubscribeBatchApplied(ours::SubscribeBatchApplied { request_id, results: our_results }),
        );
    }
}

#[test]
fn what_a_host_says_of_calls_and_queries_is_read_as_it_is_meant() {
    use official::ServerMessage as Official;
    use ours::ServerMessage as Ours;
    let (request_id, timestamp) = (ID, Timestamp::from_micros_since_unix_epoch(9));
    for (result, our_result) in [(Ok(rows().0), Ok(rows().1)), (Err("e".into()), Err("e".to_string()))] {
        same(
            &Official::OneOffQueryResult(official::OneOffQueryResult { request_id, result }),
            &Ours::OneOffQueryResult(ours::OneOffQueryResult { request_id, result: our_result }),
        );
    }
    let value = Bytes::from_static(&[4]);
    let ok = official::ReducerOk { ret_value: value.clone(), transaction_update: update().0 };
    let our_ok = ours::ReducerOk { ret_value: value.clone(), transaction_update: update().1 };
    let outcomes = [
        (official::ReducerOutcome::Ok(ok), ours::ReducerOutcome::Ok(our_ok)),
        (official::ReducerOutcome::OkEmpty, ours::ReducerOutcome::OkEmpty),
        (official::ReducerOutcome::Err(value.clone()), ours::ReducerOutcome::Err(value.clone())),
        (official::ReducerOutcome::InternalError("e".into()), ours::ReducerOutcome::InternalError("e".into())),
    ];
    for (result, our_result) in outcomes {
        same(
            &Official::ReducerResult(official::ReducerResult { request_id, timestamp, result }),
            &Ours::ReducerResult(ours::ReducerResult { request_id, timestamp, result: our_result }),
        );
    }
    let statuses = [
        (official::ProcedureStatus::Returned(value.clone()), ours::ProcedureStatus::Returned(value)),
        (official::ProcedureStatus::InternalError("e".into()), ours::ProcedureStatus::InternalError("e".into())),
    ];
    for (status, our_status) in statuses {
        let total_host_execution_duration = TimeDuration::from_micros(8);
        same(
            &Official::ProcedureResult(official::ProcedureResult {
                status,
                timestamp,
                total_host_execution_duration,
                request_id,
            }),
            &Ours::ProcedureResult(ours::ProcedureResult {
                status: our_status,
                timestamp,
                total_host_execution_duration,
                request_id,
            }),
        );
    }
}
