//! Reading the screen's store: the newest events of a stream, and where streams stand.
//!
//! What always holds: it is read through a connection of its own that cannot write, which SQLite's WAL lets neither wait for
//! the sync nor hold it up. What is read is bounded, whatever the store holds.

use std::collections::BTreeMap;
use std::path::Path;

use muster_contract::hash::PayloadHash;
use muster_contract::state::ConnectionState;
use muster_contract::stream::StreamId;
use muster_sync::{Place, Reader, StoreError};
use rusqlite::Connection;

use super::cache::Noted;
use crate::clock::At;
use crate::limits::{EVENTS_MAX, LAST_EVENTS_MAX, PAYLOAD_SHOWN_CHARS_MAX, SEARCH_EVENTS_MAX};
use crate::model::events::EventRow;
use crate::model::streams::{LastEvent, StreamWord};

/// What to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) stream: StreamId,
    pub(super) search: String,
}

/// What was read.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) rows: Vec<EventRow>,
    /// Where the store had the stream.
    pub(super) place: Option<Place>,
}

/// Reads the newest events that match, the newest first, as of one moment; `None` if the stream still stands where it stood
/// `before`, in which case its events are the same.
pub(super) fn events(
    reader: &Reader,
    wanted: &Wanted,
    before: Option<Option<Place>>,
) -> Result<Option<Read>, StoreError> {
    let moment = reader.connection().unchecked_transaction()?;
    let place = reader.place(&wanted.stream)?;
    if before == Some(place) {
        return Ok(None);
    }
    let through = place.map_or(0, |place| place.position.seq.get());
    let search = wanted.search.trim().to_lowercase();
    let rows = if search.is_empty() {
        let cut = PAYLOAD_SHOWN_CHARS_MAX as i64;
        rows(&moment, wanted, &format!("substr(payload, 1, {cut})"), 0, |_, _| true)?
    } else {
        // SQLite's own `lower` knows only the letters of ASCII.
        let has = |text: &str| text.to_lowercase().contains(&search);
        let oldest = through.saturating_sub(SEARCH_EVENTS_MAX);
        rows(&moment, wanted, "payload", oldest, |kind, payload| has(kind) || has(payload))?
    };
    Ok(Some(Read { rows, place }))
}

fn rows(
    connection: &Connection,
    wanted: &Wanted,
    payload: &str,
    oldest: u64,
    fits: impl Fn(&str, &str) -> bool,
) -> Result<Vec<EventRow>, StoreError> {
    let mut query = connection.prepare_cached(&format!(
        "SELECT seq, epoch, kind, at, {payload}, length(CAST(payload AS BLOB)), payload_hash FROM event \
         WHERE stream = ?1 AND seq > ?2 ORDER BY seq DESC"
    ))?;
    let mut found = query.query((wanted.stream.as_str(), oldest.cast_signed()))?;
    let mut rows = Vec::new();
    while rows.len() < EVENTS_MAX
        && let Some(row) = found.next()?
    {
        let text = |column| row.get_ref(column)?.as_str().map_err(rusqlite::Error::from);
        let (kind, payload) = (text(2)?, text(4)?);
        if !fits(kind, payload) {
            continue;
        }
        let end = payload.char_indices().nth(PAYLOAD_SHOWN_CHARS_MAX).map_or(payload.len(), |(end, _)| end);
        rows.push(EventRow {
            seq: row.get::<_, i64>(0)?.cast_unsigned(),
            epoch: row.get::<_, i64>(1)?.cast_unsigned(),
            kind: kind.into(),
            at: At(row.get(3)?),
            payload: payload[..end].into(),
            payload_bytes: usize::try_from(row.get::<_, i64>(5)?).unwrap_or(usize::MAX),
            hash: PayloadHash::from_bytes(row.get(6)?).to_string(),
        });
    }
    Ok(rows)
}

/// What a store says without a subscriber: where each stream stands, and its newest event.
pub(super) struct Standing {
    pub(super) words: Vec<StreamWord>,
    pub(super) last: BTreeMap<StreamId, LastEvent>,
}

/// Looks into a store for the streams that were there; `None` where there is none.
pub(super) fn standing(path: &Path, noted: &Noted) -> Result<Option<Standing>, StoreError> {
    if !path.exists() {
        return Ok(None);
    }
    let reader = Reader::open(path)?;
    let mut standing = Standing { words: Vec::new(), last: BTreeMap::new() };
    let places = reader.places()?;
    for (stream, place) in places.into_iter().filter(|(stream, _)| noted.had(stream)) {
        if standing.last.len() < LAST_EVENTS_MAX
            && let Some(last) = last_event(&reader, &stream)
        {
            standing.last.insert(stream.clone(), last);
        }
        let seq = place.position.seq.get();
        standing.words.push(StreamWord {
            stream,
            state: ConnectionState::Idle,
            reason: None,
            epoch: Some(place.position.epoch.get()),
            cursor: Some(seq),
            head: seq,
            lag: 0,
            attempts: 0,
            next_retry: None,
            last_error: None,
        });
    }
    Ok(Some(standing))
}

/// A store that nothing was applied to has no such table yet.
fn last_event(reader: &Reader, stream: &StreamId) -> Option<LastEvent> {
    let sql = "SELECT seq, kind, at FROM event WHERE stream = ?1 ORDER BY seq DESC LIMIT 1";
    let mut query = reader.connection().prepare_cached(sql).ok()?;
    query
        .query_row([stream.as_str()], |row| {
            let kind: String = row.get(1)?;
            Ok(LastEvent { seq: row.get::<_, i64>(0)?.cast_unsigned(), kind: kind.into(), at: At(row.get(2)?) })
        })
        .ok()
}

#[cfg(test)]
mod tests {
    use muster_sync::{Durability, EventLog, Store};
    use tempfile::TempDir;

    use super::*;
    use crate::model::EventRow;

    const STREAM: &str = "runtime.run.1.events";

    /// A store with these payloads, that stands at the last of them.
    fn store(folder: &TempDir, epoch: i64, mark: i64, payloads: &[&str]) -> std::path::PathBuf {
        let path = folder.path().join("x.db");
        drop(Store::open(&path, Durability::Normal, &mut EventLog).expect("a store"));
        let connection = Connection::open(&path).expect("the same");
        connection.execute("DELETE FROM event", ()).expect("empty");
        for (seq, payload) in (1i64..).zip(payloads) {
            let insert = "INSERT INTO event VALUES (?1, ?2, ?3, 'step', ?4, zeroblob(32), 0, 1, ?2)";
            connection.execute(insert, (STREAM, seq, epoch, payload)).expect("kept");
        }
        let place = (STREAM, epoch, payloads.len() as i64, mark);
        connection.execute("INSERT OR REPLACE INTO muster_cursor VALUES (?1, ?2, ?3, ?4)", place).expect("kept");
        path
    }

    fn wanted(search: &str) -> Wanted {
        Wanted { stream: StreamId::parse(STREAM).expect("an id"), search: search.into() }
    }

    fn found(reader: &Reader, search: &str) -> Vec<EventRow> {
        events(reader, &wanted(search), None).expect("readable").expect("something").rows
    }

    #[test]
    fn what_has_not_changed_is_not_read_again_and_another_life_of_as_many_events_is() {
        let folder = TempDir::new().expect("a folder");
        let reader = Reader::open(&store(&folder, 1, 7, &["1", "2"])).expect("a reader");
        let first = events(&reader, &wanted(""), None).expect("readable").expect("something");
        assert_eq!(first.rows.iter().map(|row| row.payload.as_str()).collect::<Vec<_>>(), ["2", "1"]);
        assert!(events(&reader, &wanted(""), Some(first.place)).expect("readable").is_none());
        // Made anew, or another history of the same life.
        for (epoch, mark) in [(2, 7), (2, 8)] {
            let before = events(&reader, &wanted(""), None).expect("readable").expect("something").place;
            store(&folder, epoch, mark, &["3", "4"]);
            let again = events(&reader, &wanted(""), Some(before)).expect("readable").expect("it is another");
            assert_eq!(again.rows[0].payload, "4");
        }
    }

    #[test]
    fn letters_of_any_script_are_found_whatever_their_case_and_a_cut_payload_says_so() {
        let folder = TempDir::new().expect("a folder");
        let long = format!("\"{}\"", "ä".repeat(PAYLOAD_SHOWN_CHARS_MAX));
        let reader = Reader::open(&store(&folder, 1, 1, &[r#""Ärger""#, r#""nothing""#, &long])).expect("a reader");
        assert_eq!(found(&reader, " ÄRGER ").iter().map(|row| row.seq).collect::<Vec<_>>(), [1]);
        assert_eq!(found(&reader, "STEP").len(), 3, "kinds are searched too");
        for search in ["", "ä"] {
            let rows = found(&reader, search);
            assert!(rows[0].is_cut() && rows[0].payload_bytes == 2 * PAYLOAD_SHOWN_CHARS_MAX + 2, "{search}");
            assert!(!rows.last().expect("three").is_cut());
        }
    }
}
