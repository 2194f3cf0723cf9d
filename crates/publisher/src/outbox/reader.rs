//! Reading events back, as the arguments of the call that sends them.
//!
//! What always holds: what is read is copied once, from the file into the arguments; a gap in the numbers or an event
//! that is cut off is damage, never passed over.

use std::collections::BTreeMap;

use muster_contract::page::{ProducerState, WireHash};
use muster_contract::producer::ProducerId;
use muster_contract::stream::StreamId;
use rusqlite::{Connection, OptionalExtension};

use super::batch::{Args, Batch, Wanted};
use super::record;
use crate::core::{HostEvent, HostState, StreamNo, StreamRecord, named};
use crate::error::{is_damage, words};
use crate::frame::{self, DamagedChunk, Room};

/// Why nothing was read.
#[derive(Debug)]
pub(crate) enum ReadError {
    Damaged(String),
    Unreadable(String),
}

impl From<rusqlite::Error> for ReadError {
    fn from(error: rusqlite::Error) -> Self {
        if is_damage(&error) { ReadError::Damaged(words(&error)) } else { ReadError::Unreadable(words(&error)) }
    }
}

/// Why an event cannot be read, and up to which one that is so.
struct Flaw {
    error: ReadError,
    /// `None`: up to the end of its chunk.
    through: Option<u64>,
}

impl<E: Into<ReadError>> From<E> for Flaw {
    fn from(error: E) -> Self {
        Flaw { error: error.into(), through: None }
    }
}

/// Reads a batch.
pub(crate) fn batch(connection: &Connection, producer: ProducerId, wanted: &Wanted) -> Result<Batch, ReadError> {
    let Some(id) = id(connection, wanted.stream)? else {
        return Err(ReadError::Damaged(format!("stream number {} has no row", wanted.stream)));
    };
    let mut args = Args::begin(&id, producer, wanted);
    let mut statement = connection
        .prepare_cached("SELECT first, events FROM chunk WHERE stream = ?1 AND last >= ?2 ORDER BY last LIMIT ?3")?;
    let key = (wanted.stream.cast_signed(), wanted.first.cast_signed(), wanted.events_max);
    let mut rows = statement.query(key)?;
    while args.events < wanted.events_max {
        let room = wanted.room(args.events, args.content);
        let part = match rows.next().map_err(Flaw::from).and_then(|row| match row {
            Some(row) => part_of(row, wanted.stream, wanted.first + u64::from(args.events), room),
            None => Ok(None),
        }) {
            Ok(Some(part)) => part,
            Ok(None) => break,
            // What stands before it goes first, so that it is the first that waits once it is met again.
            Err(_) if args.events > 0 => break,
            Err(Flaw { error: ReadError::Damaged(message), through }) => {
                drop(rows);
                let through = through.or_else(|| end_of_chunk(connection, wanted));
                let which = through.map_or(String::new(), |through| named(wanted.first, through));
                return Err(ReadError::Damaged(format!("{message}{which}")));
            }
            Err(Flaw { error, .. }) => return Err(error),
        };
        args.reserve((wanted.bytes_max.min(part.data.len() * 2)).max(part.data.len()));
        args.add(&part);
    }
    if args.events == 0 {
        drop(rows);
        let last = record::by_no(connection, wanted.stream)?.map_or(wanted.first, |record| record.last);
        let message = format!("{}{}", missing(wanted.stream, wanted.first, None), named(wanted.first, last));
        return Err(ReadError::Damaged(message));
    }
    Ok(args.finish())
}

/// As much of a row's events from number `next` on as there is room for; `None` if that is none.
fn part_of<'r>(
    row: &'r rusqlite::Row<'_>,
    stream: StreamNo,
    next: u64,
    room: Room,
) -> Result<Option<frame::Part<'r>>, Flaw> {
    let first = row.get::<_, i64>(0)?.cast_unsigned();
    let Some(skip) = next.checked_sub(first) else {
        // The chunk behind the one that is missing may be sound.
        let error = ReadError::Damaged(missing(stream, next, Some(first)));
        return Err(Flaw { error, through: Some(first - 1) });
    };
    let chunk = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
    let part = frame::part(chunk, skip, room).map_err(|damage| {
        let through = matches!(damage, DamagedChunk::Event { .. }).then_some(next);
        Flaw { error: ReadError::Damaged(damage.to_string()), through }
    })?;
    Ok((part.events > 0).then_some(part))
}

fn missing(stream: StreamNo, next: u64, found: Option<u64>) -> String {
    let found = found.map_or("the end".to_string(), |found| found.to_string());
    format!("event {next} of stream number {stream} is missing; {found} is next")
}

/// The number of the last event that a damaged chunk is said to have; `None` where that cannot be read either. It stands in an
/// index, apart from the events.
fn end_of_chunk(connection: &Connection, wanted: &Wanted) -> Option<u64> {
    let sql = "SELECT last FROM chunk WHERE stream = ?1 AND last >= ?2 ORDER BY last LIMIT 1";
    let key = (wanted.stream.cast_signed(), wanted.first.cast_signed());
    connection.query_row(sql, key, |row| row.get::<_, i64>(0)).ok().map(i64::cast_unsigned)
}

fn id(connection: &Connection, no: StreamNo) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT id FROM stream WHERE no = ?1")?
        .query_row([no.cast_signed()], |row| row.get(0))
        .optional()
}

/// The ids of streams, in the order of their numbers as given.
pub(crate) fn ids(connection: &Connection, streams: &[StreamNo]) -> Result<Vec<String>, ReadError> {
    streams
        .iter()
        .map(|no| id(connection, *no)?.ok_or_else(|| ReadError::Damaged(format!("stream number {no} has no row"))))
        .collect()
}

/// What the host says of these streams, in a counting, beside what is stored under the same numbers.
pub(crate) fn compared(
    connection: &Connection,
    generation: u32,
    streams: &[StreamNo],
    states: &[ProducerState],
) -> Result<Vec<HostState>, ReadError> {
    let compare = |(no, state): (&StreamNo, &ProducerState)| {
        let event = whose(connection, generation, *no, state)?;
        Ok(HostState { epoch: state.epoch, number: state.number, event })
    };
    streams.iter().zip(states).map(compare).collect()
}

/// Whose event the host has last, where the outbox holds one of that number that it does not know to be confirmed.
fn whose(
    connection: &Connection,
    generation: u32,
    no: StreamNo,
    state: &ProducerState,
) -> Result<HostEvent, ReadError> {
    if state.number == 0 || state.hash == WireHash::ZERO {
        return Ok(HostEvent::Unknown);
    }
    let record = record::by_no(connection, no)?.filter(|record| record.generation == generation);
    let local = record.and_then(|record| {
        let local = record.base.checked_add(state.number)?;
        (local > record.confirmed && local <= record.last).then_some(local)
    });
    let Some(local) = local else { return Ok(HostEvent::Unknown) };
    let mut statement = connection
        .prepare_cached("SELECT first, events FROM chunk WHERE stream = ?1 AND last >= ?2 ORDER BY last LIMIT 1")?;
    let mut rows = statement.query((no.cast_signed(), local.cast_signed()))?;
    let row = match rows.next() {
        Ok(Some(row)) => row,
        Ok(None) => return Ok(HostEvent::Unknown),
        // What is damaged cannot be compared; that it cannot be sent is found when it is to be.
        Err(error) if is_damage(&error) => return Ok(HostEvent::Unknown),
        Err(error) => return Err(error.into()),
    };
    let index = local.checked_sub(row.get::<_, i64>(0)?.cast_unsigned());
    let chunk = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
    let stamp = index.and_then(|index| frame::stamp(chunk, index).ok());
    Ok(match stamp {
        Some(stamp) if stamp == (state.hash, state.at) => HostEvent::Own,
        Some(_) => HostEvent::Other,
        None => HostEvent::Unknown,
    })
}

/// See [`record::pending`].
pub(crate) fn pending(connection: &Connection, after: StreamNo, limit: usize) -> Result<Vec<StreamRecord>, ReadError> {
    Ok(record::pending(connection, after, limit)?)
}

/// The token that was kept for a host.
pub(crate) fn token(connection: &Connection, host: &str) -> Result<Option<String>, ReadError> {
    let mut statement = connection.prepare_cached("SELECT token FROM token WHERE host = ?1")?;
    Ok(statement.query_row([host], |row| row.get(0)).optional()?)
}

/// How many events are neither confirmed nor parked.
pub(crate) fn pending_events(connection: &Connection) -> rusqlite::Result<u64> {
    let sql = "SELECT coalesce(sum(last - confirmed), 0) FROM stream WHERE last > confirmed AND parked_code IS NULL";
    connection.prepare_cached(sql)?.query_row([], |row| row.get::<_, i64>(0)).map(i64::cast_unsigned)
}

/// The last local number of every stream.
pub(crate) fn numbers(connection: &Connection) -> rusqlite::Result<BTreeMap<StreamId, u64>> {
    let mut statement = connection.prepare_cached("SELECT id, last FROM stream")?;
    let rows = statement.query_map([], |row| {
        let id: String = row.get(0)?;
        Ok((parsed(&id)?, row.get::<_, i64>(1)?.cast_unsigned()))
    })?;
    rows.collect()
}

fn parsed(id: &str) -> rusqlite::Result<StreamId> {
    StreamId::parse(id)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error)))
}

/// A stream as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamView {
    /// Its id.
    pub stream: StreamId,
    /// Events that are not confirmed.
    pub pending: u64,
    /// Events that the host has confirmed, since the outbox began.
    pub confirmed: u64,
    /// The epoch in which it was last seen; 0 if it never was.
    pub epoch: u64,
    /// Why it waits for a person, if it does.
    pub parked: Option<Parked>,
}

/// Why a stream waits for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    /// The stable code.
    pub code: String,
    /// What the host, or the outbox, said.
    pub message: String,
    /// Since when, in milliseconds since 1970.
    pub since_ms: i64,
}

/// Streams with events that are not confirmed, or with all of them, by number.
pub(crate) fn views(connection: &Connection, parked_only: bool, limit: usize) -> rusqlite::Result<Vec<StreamView>> {
    let filter = if parked_only { "parked_code IS NOT NULL" } else { "last > confirmed OR parked_code IS NOT NULL" };
    let sql = format!(
        "SELECT id, max(last - confirmed, 0), confirmed, epoch, parked_code, parked_message, parked_ms FROM stream \
         WHERE {filter} ORDER BY no LIMIT ?1"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
        let id: String = row.get(0)?;
        let code: Option<String> = row.get(4)?;
        let parked = match code {
            Some(code) => Some(Parked {
                code,
                message: row.get::<_, Option<String>>(5)?.unwrap_or_default(),
                since_ms: row.get::<_, Option<i64>>(6)?.unwrap_or_default(),
            }),
            None => None,
        };
        Ok(StreamView {
            stream: parsed(&id)?,
            pending: row.get::<_, i64>(1)?.cast_unsigned(),
            confirmed: row.get::<_, i64>(2)?.cast_unsigned(),
            epoch: row.get::<_, i64>(3)?.cast_unsigned(),
            parked,
        })
    })?;
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::file;

    #[test]
    fn events_before_a_damaged_chunk_go_out_and_the_damage_is_named_by_its_numbers() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let producer = ProducerId::from_random(1);
        let (connection, _) = file::open(&folder.path().join("outbox"), producer, 0).expect("made");
        connection.execute("INSERT INTO stream (no, id, last) VALUES (1, 'a', 12)", []).expect("a row");
        let mut two = Vec::new();
        for _ in 0..2 {
            frame::encode(&mut two, "k", "{}", &[7; 32], spacetimedb_lib::Timestamp::UNIX_EPOCH);
        }
        let mut rotten = two.clone();
        let at = rotten.iter().position(|byte| *byte == b'{').expect("a payload");
        rotten[at] = 0xff;
        // Those of 7 and 8 are gone, and so are the last.
        for (first, chunk) in [(1, &two[..]), (3, &two[1..]), (5, &rotten), (9, &two)] {
            let sql =
                "INSERT INTO chunk (stream, first, last, bytes, stored_ms, events) VALUES (1, ?1, ?1 + 1, 1, 0, ?2)";
            connection.execute(sql, (first, chunk)).expect("a row");
        }
        let read = |first| {
            let wanted =
                Wanted { stream: 1, generation: 0, epoch: 1, first, number: first, events_max: 9, bytes_max: 999 };
            batch(&connection, producer, &wanted)
        };
        assert_eq!(read(1).expect("sound").events, 2);
        let damaged = |first| {
            let Err(ReadError::Damaged(message)) = read(first) else { panic!("{first} is damaged") };
            message
        };
        assert!(damaged(3).contains("events 3 to 4 of this stream"), "{}", damaged(3));
        assert!(damaged(5).contains("event 5 of this stream"), "{}", damaged(5));
        assert_eq!(read(6).expect("sound").events, 1);
        assert!(damaged(7).contains("events 7 to 8 of this stream"), "{}", damaged(7));
        assert_eq!(read(9).expect("sound").events, 2);
        assert!(damaged(11).contains("events 11 to 12 of this stream"), "{}", damaged(11));
    }
}
