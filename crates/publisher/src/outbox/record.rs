//! The rows of streams: how they are read and written.

use muster_contract::stream::StreamId;
use rusqlite::{Connection, OptionalExtension, Row};

use crate::core::{Refusal, StreamNo, StreamRecord};

/// The columns that [`read`] reads, in its order.
const COLUMNS: &str = "no, epoch, base, confirmed, last, renumber, parked_code IS NOT NULL, generation";

fn read(row: &Row<'_>) -> rusqlite::Result<StreamRecord> {
    Ok(StreamRecord {
        no: row.get::<_, i64>(0)?.cast_unsigned(),
        epoch: row.get::<_, i64>(1)?.cast_unsigned(),
        base: row.get::<_, i64>(2)?.cast_unsigned(),
        confirmed: row.get::<_, i64>(3)?.cast_unsigned(),
        last: row.get::<_, i64>(4)?.cast_unsigned(),
        renumber: row.get(5)?,
        parked: row.get(6)?,
        generation: row.get(7)?,
    })
}

pub(super) fn by_id(connection: &Connection, id: &str) -> rusqlite::Result<Option<StreamRecord>> {
    let sql = format!("SELECT {COLUMNS} FROM stream WHERE id = ?1");
    connection.prepare_cached(&sql)?.query_row([id], read).optional()
}

pub(super) fn by_no(connection: &Connection, no: StreamNo) -> rusqlite::Result<Option<StreamRecord>> {
    let sql = format!("SELECT {COLUMNS} FROM stream WHERE no = ?1");
    connection.prepare_cached(&sql)?.query_row([no.cast_signed()], read).optional()
}

/// A new stream's row.
pub(super) fn insert(connection: &Connection, id: &StreamId) -> rusqlite::Result<StreamRecord> {
    connection.prepare_cached("INSERT INTO stream (id) VALUES (?1)")?.execute([id.as_str()])?;
    Ok(StreamRecord { no: connection.last_insert_rowid().cast_unsigned(), ..StreamRecord::default() })
}

/// Writes all of a row but whether it is parked.
pub(super) fn write(connection: &Connection, record: &StreamRecord) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE stream SET epoch = ?2, base = ?3, confirmed = ?4, last = ?5, renumber = ?6, generation = ?7 \
             WHERE no = ?1",
        )?
        .execute((
            record.no.cast_signed(),
            record.epoch.cast_signed(),
            record.base.cast_signed(),
            record.confirmed.cast_signed(),
            record.last.cast_signed(),
            record.renumber,
            record.generation,
        ))?;
    Ok(())
}

pub(super) fn park(connection: &Connection, no: StreamNo, refusal: &Refusal, now_ms: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE stream SET parked_code = ?2, parked_message = ?3, parked_ms = ?4 WHERE no = ?1")?
        .execute((no.cast_signed(), &refusal.code, &refusal.message, now_ms))?;
    Ok(())
}

pub(super) fn unpark(connection: &Connection, no: StreamNo) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE stream SET parked_code = NULL, parked_message = NULL, parked_ms = NULL WHERE no = ?1")?
        .execute([no.cast_signed()])?;
    Ok(())
}

/// Streams with events that are not confirmed and that are not parked, by number, from the one after `after` on.
pub(super) fn pending(connection: &Connection, after: StreamNo, limit: usize) -> rusqlite::Result<Vec<StreamRecord>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM stream WHERE last > confirmed AND no > ?1 AND parked_code IS NULL ORDER BY no LIMIT ?2"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map((after.cast_signed(), i64::try_from(limit).unwrap_or(i64::MAX)), read)?;
    rows.collect()
}
