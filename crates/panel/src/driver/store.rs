//! Reading the screen's store: the newest events of a stream, and where streams stand.
//!
//! What always holds: it is read through a connection of its own that cannot write, which SQLite's WAL lets neither wait for
//! the sync nor hold it up. What is read is bounded, whatever the store holds.

use std::collections::BTreeMap;
use std::path::Path;

use muster_contract::hash::PayloadHash;
use muster_contract::state::ConnectionState;
use muster_contract::stream::StreamId;
use muster_sync::{Reader, StoreError};

use crate::clock::At;
use crate::limits::{EVENTS_MAX, LAST_EVENTS_MAX, PAYLOAD_SHOWN_BYTES_MAX, SEARCH_EVENTS_MAX};
use crate::model::events::EventRow;
use crate::model::streams::{LastEvent, StreamWord};

/// What to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) stream: StreamId,
    pub(super) search: String,
}

/// Reads the newest events that match, the newest first, and up to where the store has the stream.
pub(super) fn events(reader: &Reader, wanted: &Wanted) -> Result<(Vec<EventRow>, u64), StoreError> {
    let through = reader.place(&wanted.stream)?.map_or(0, |place| place.position.seq.get());
    let search = wanted.search.trim().to_lowercase();
    let oldest = if search.is_empty() { 0 } else { through.saturating_sub(SEARCH_EVENTS_MAX) };
    let mut query = reader.connection().prepare_cached(
        "SELECT seq, epoch, kind, at, substr(payload, 1, ?1), length(payload), payload_hash FROM event WHERE stream = ?2 \
         AND seq > ?3 AND (?4 = '' OR instr(lower(kind), ?4) OR instr(lower(payload), ?4)) ORDER BY seq DESC LIMIT ?5",
    )?;
    let (cut, limit) = (PAYLOAD_SHOWN_BYTES_MAX as i64, EVENTS_MAX as i64);
    let key = (cut, wanted.stream.as_str(), oldest.cast_signed(), search.as_str(), limit);
    let rows = query.query_map(key, |row| {
        Ok(EventRow {
            seq: row.get::<_, i64>(0)?.cast_unsigned(),
            epoch: row.get::<_, i64>(1)?.cast_unsigned(),
            kind: row.get(2)?,
            at: At(row.get(3)?),
            payload: row.get(4)?,
            payload_bytes: usize::try_from(row.get::<_, i64>(5)?).unwrap_or(usize::MAX),
            hash: PayloadHash::from_bytes(row.get(6)?).to_string(),
        })
    })?;
    Ok((rows.collect::<Result<_, _>>()?, through))
}

/// What a store says without a subscriber: where each stream stands, and its newest event.
pub(super) struct Standing {
    pub(super) words: Vec<StreamWord>,
    pub(super) last: BTreeMap<StreamId, LastEvent>,
}

/// Looks into a store; `None` where there is none.
pub(super) fn standing(path: &Path) -> Result<Option<Standing>, StoreError> {
    if !path.exists() {
        return Ok(None);
    }
    let reader = Reader::open(path)?;
    let mut standing = Standing { words: Vec::new(), last: BTreeMap::new() };
    for (stream, place) in reader.places()? {
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
