//! Writes the seeds of every target: real messages of every kind.   cargo run --bin seeds -- crates/host/fuzz/corpus
//!
//! File names say what they are; `cargo fuzz cmin` replaces them by hashes, so this writes them again before a run.

use std::io::Write;
use std::path::Path;

use muster_wire::messages as m;
use muster_wire::{ConnectionId, Identity, Protocol, QuerySetId, TimeDuration, Timestamp, frame};
use spacetimedb_sats::bsatn;

fn main() -> std::io::Result<()> {
    let corpus = std::env::args().nth(1).expect("the corpus's folder is the argument");
    let corpus = Path::new(&corpus);
    client_messages(&corpus.join("client_message"))?;
    arguments(&corpus.join("arguments"))?;
    server_frames(&corpus.join("server_frame"))
}

fn write(folder: &Path, name: &str, first: u8, payload: &[u8]) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join(name), [&[first], payload].concat())
}

fn client_messages(folder: &Path) -> std::io::Result<()> {
    let (request_id, query_set_id) = (7, QuerySetId { id: 1 });
    let queries = || vec!["SELECT * FROM person".to_owned(), "SELECT * FROM item WHERE id = 1".to_owned()];
    let args = muster_wire::args(&("Ada", 7u64, vec![1u8, 2, 3]));
    let messages = [
        m::ClientMessage::Subscribe(m::Subscribe { request_id, query_set_id, query_strings: queries() }),
        m::ClientMessage::Unsubscribe(m::Unsubscribe { request_id, query_set_id, flags: m::UnsubscribeFlags::Default }),
        m::ClientMessage::OneOffQuery(m::OneOffQuery { request_id, query_string: queries().remove(1) }),
        m::ClientMessage::CallReducer(m::CallReducer {
            request_id,
            flags: 0,
            reducer: "add".into(),
            args: args.clone(),
        }),
        m::ClientMessage::CallProcedure(m::CallProcedure { request_id, flags: 0, procedure: "muse".into(), args }),
    ];
    for (index, message) in messages.iter().enumerate() {
        for payload in frame::encode(Protocol::V2, std::slice::from_ref(message)) {
            write(folder, &format!("v2-{index}"), 2, &payload)?;
            // `v1` in BSATN is close enough for the fuzzer to find its way.
            write(folder, &format!("v1-{index}"), 0, &payload)?;
        }
    }
    for payload in frame::encode(Protocol::V3, &messages) {
        write(folder, "v3-all", 3, &payload)?;
    }
    for (name, json) in [
        ("call", r#"{"CallReducer":{"reducer":"add","args":"[\"Ada\",7]","request_id":1,"flags":0}}"#),
        ("subscribe", r#"{"Subscribe":{"query_strings":["SELECT * FROM person"],"request_id":1}}"#),
        ("single", r#"{"SubscribeSingle":{"query":"SELECT * FROM a","request_id":1,"query_id":{"id":1}}}"#),
        ("multi", r#"{"SubscribeMulti":{"query_strings":["SELECT * FROM a"],"request_id":1,"query_id":{"id":1}}}"#),
        ("unsubscribe", r#"{"Unsubscribe":{"request_id":1,"query_id":{"id":1}}}"#),
        ("query", r#"{"OneOffQuery":{"message_id":"0102","query_string":"SELECT * FROM a"}}"#),
        ("procedure", r#"{"CallProcedure":{"procedure":"muse","args":"[]","request_id":1,"flags":0}}"#),
    ] {
        write(folder, &format!("v1-json-{name}"), 1, json.as_bytes())?;
    }
    Ok(())
}

fn arguments(folder: &Path) -> std::io::Result<()> {
    let json = r#"[true,-1,18446744073709551615,"7","Ada","0102ff",{"Some":{"x":1.5,"y":-2}},{"some":"-5"},[[{"None":[]},{"Text":"t"}],[]],["0x00"],{"__timestamp_micros_since_unix_epoch__":7}]"#;
    write(folder, "json", 1, json.as_bytes())?;
    write(folder, "json-map", 1, br#"{"flag":false,"small":1,"text":"x","option":{"none":[]}}"#)?;
    let first = (true, -1i8, 7u64, [3u64; 4], "Ada", vec![1u8, 2, 3]);
    let mut bytes = bsatn::to_vec(&first.0).expect("plain data");
    bytes.extend(bsatn::to_vec(&first.1).expect("plain data"));
    bytes.extend(bsatn::to_vec(&first.2).expect("plain data"));
    bytes.extend(first.3.into_iter().flat_map(u64::to_le_bytes));
    bytes.extend(bsatn::to_vec(first.4).expect("plain data"));
    bytes.extend(bsatn::to_vec(&first.5).expect("plain data"));
    // choice: a point; option: none; lists: one of one text; who; when.
    bytes.push(1);
    bytes.extend(1.5f64.to_le_bytes());
    bytes.extend(2.5f32.to_le_bytes());
    bytes.push(1);
    bytes.extend([1, 0, 0, 0, 1, 0, 0, 0, 2, 1, 0, 0, 0, b't']);
    bytes.extend([9; 32]);
    bytes.extend([1, 0, 0, 0, 0, 0, 0, 0]);
    write(folder, "bsatn", 0, &bytes)
}

fn server_frames(folder: &Path) -> std::io::Result<()> {
    let query_set_id = QuerySetId { id: 1 };
    let rows = m::RowList {
        size_hint: m::RowSizeHint::RowOffsets(vec![0, 11]),
        rows_data: [bsatn::to_vec(&(1u32, "Ada")), bsatn::to_vec(&(2u32, "Grace"))]
            .map(|row| row.expect("plain data"))
            .concat()
            .into(),
    };
    let fixed = m::RowList { size_hint: m::RowSizeHint::FixedSize(32), rows_data: vec![7; 64].into() };
    let found = m::QueryRows {
        tables: [&rows, &fixed].map(|rows| m::SingleTableRows { table: "person".into(), rows: rows.clone() }).into(),
    };
    let update = m::TransactionUpdate {
        query_sets: vec![m::QuerySetUpdate {
            query_set_id,
            tables: vec![m::TableUpdate {
                table_name: "person".into(),
                rows: vec![
                    m::TableUpdateRows::PersistentTable(m::PersistentTableRows {
                        inserts: rows,
                        deletes: fixed.clone(),
                    }),
                    m::TableUpdateRows::EventTable(m::EventTableRows { events: fixed }),
                ],
            }],
        }],
    };
    let timestamp = Timestamp::from_micros_since_unix_epoch(7);
    let messages = [
        m::ServerMessage::InitialConnection(m::InitialConnection {
            identity: Identity::from_byte_array([1; 32]),
            connection_id: ConnectionId::from_u128(2),
            token: "token".into(),
        }),
        m::ServerMessage::SubscribeApplied(m::SubscribeApplied { request_id: 1, query_set_id, rows: found.clone() }),
        m::ServerMessage::SubscriptionError(m::SubscriptionError {
            request_id: None,
            query_set_id,
            error: "no".into(),
        }),
        m::ServerMessage::TransactionUpdate(update.clone()),
        m::ServerMessage::OneOffQueryResult(m::OneOffQueryResult { request_id: 1, result: Ok(found) }),
        m::ServerMessage::ReducerResult(m::ReducerResult {
            request_id: 1,
            timestamp,
            result: m::ReducerOutcome::Ok(m::ReducerOk { ret_value: vec![1].into(), transaction_update: update }),
        }),
        m::ServerMessage::ProcedureResult(m::ProcedureResult {
            status: m::ProcedureStatus::Returned(vec![42, 0, 0, 0].into()),
            timestamp,
            total_host_execution_duration: TimeDuration::from_micros(7),
            request_id: 1,
        }),
    ];
    let mut all = vec![0];
    for (index, message) in messages.iter().enumerate() {
        let bytes = bsatn::to_vec(message).expect("plain data");
        all.extend(&bytes);
        write(folder, &format!("v2-{index}"), 0, &[&[0], &*bytes].concat())?;
    }
    write(folder, "v3-all", 1, &all)?;
    // A frame's first byte names its compression; the target's first byte says which was asked for.
    let plain = &all[1..];
    let mut gzip = flate2::write::GzEncoder::new(vec![2], flate2::Compression::default());
    gzip.write_all(plain)?;
    write(folder, "gzip", 1 + 2, &gzip.finish()?)?;
    let mut packed = vec![1];
    brotli::CompressorWriter::new(&mut packed, 4_096, 5, 20).write_all(plain)?;
    write(folder, "brotli", 1 + 4, &packed)?;
    write(folder, "gzip-unasked", 1, &[2, 31, 139, 8])
}
