//! What `muster-wire` decodes of what a host sends: compression, frame, messages, rows.
//!
//! The first byte chooses the protocol and which compression was asked for, the rest is the payload of one WebSocket
//! message. What must hold: no panic; no message beyond the limit, whatever the compression; nothing decompressed that was
//! not asked for; no message behind an error; rows can be walked whatever their boundaries say; and what decodes is written
//! back as the same bytes.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use muster_wire::frame::Messages;
use muster_wire::messages::{
    QueryRows, ReducerOutcome, RowList, ServerMessage, SubscribeSetOutcome, TableUpdateRows, TransactionUpdate,
};
use muster_wire::{Compression, Protocol, Rows};
use spacetimedb_sats::bsatn;

/// Small, so that a bomb shows.
const BYTES_MAX: usize = 64 * 1024;

fuzz_target!(|data: &[u8]| {
    let Some((choice, payload)) = data.split_first() else { return };
    let protocol = if choice % 2 == 0 { Protocol::V2 } else { Protocol::V3 };
    let asked = [Compression::None, Compression::Gzip, Compression::Brotli][usize::from(choice / 2 % 3)];
    let Ok(mut messages) = Messages::of(protocol, asked, &Bytes::copy_from_slice(payload), BYTES_MAX) else { return };
    assert!(payload[0] == 0 || asked != Compression::None, "decompressed without having asked");
    let mut again = Vec::new();
    let mut failed = false;
    for message in &mut messages {
        assert!(!failed, "a message behind an error");
        match message {
            Ok(message) => {
                again.extend(bsatn::to_vec(&message).expect("it was decoded"));
                walk(message);
            }
            Err(_) => failed = true,
        }
    }
    assert!(messages.is_done() && again.len() <= BYTES_MAX);
    if payload[0] == 0 {
        assert!(payload[1..].starts_with(&again));
        assert!(failed || again.len() == payload.len() - 1);
    }
});

/// Reads every row of a message as three types, which mostly fails, and must fail in words.
fn walk(message: ServerMessage) {
    match message {
        ServerMessage::SubscribeApplied(applied) => tables(applied.rows),
        ServerMessage::UnsubscribeApplied(gone) => gone.rows.into_iter().for_each(tables),
        ServerMessage::OneOffQueryResult(answer) => answer.result.into_iter().for_each(tables),
        ServerMessage::SubscribeBatchApplied(batch) => {
            for set in batch.results {
                if let SubscribeSetOutcome::Applied(rows) = set.outcome {
                    tables(rows);
                }
            }
        }
        ServerMessage::TransactionUpdate(update) => changes(update),
        ServerMessage::ReducerResult(result) => {
            if let ReducerOutcome::Ok(ok) = result.result {
                changes(ok.transaction_update);
            }
        }
        ServerMessage::InitialConnection(_)
        | ServerMessage::SubscriptionError(_)
        | ServerMessage::ProcedureResult(_) => {}
    }
}

fn tables(rows: QueryRows) {
    rows.tables.into_iter().for_each(|table| list(&table.table, table.rows));
}

fn changes(update: TransactionUpdate) {
    for table in update.query_sets.into_iter().flat_map(|set| set.tables) {
        for rows in table.rows {
            match rows {
                TableUpdateRows::PersistentTable(rows) => {
                    list(&table.table_name, rows.inserts);
                    list(&table.table_name, rows.deletes);
                }
                TableUpdateRows::EventTable(rows) => list(&table.table_name, rows.events),
            }
        }
    }
}

fn list(table: &str, list: RowList) {
    let Ok(rows) = Rows::new(table, list) else { return };
    assert_eq!(rows.iter().map(<[u8]>::len).sum::<usize>(), rows.bytes());
    let _ = rows.decode::<(u32, String)>().map_err(|error| error.to_string());
    let _ = rows.decode::<(u64, Vec<Option<u16>>)>();
    let _ = rows.decode_one::<muster_wire::Identity>();
}
