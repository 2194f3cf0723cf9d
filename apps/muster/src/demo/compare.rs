//! What a subscriber's database holds, beside what was emitted: byte for byte.
//!
//! What always holds: nothing here is told by who applied it; every figure comes from the rows of the database. An event
//! is known by its stream and its producer's number, so that two events with the same payload are two.

use std::collections::BTreeMap;
use std::path::Path;

use muster_contract::hash::PayloadHash;
use muster_contract::stream::StreamId;
use muster_sync::{LoggedEvent, Reader, StoreError};

use crate::emit::line::Emitted;

/// How many events are read at a time.
const PAGE: usize = 1_000;

/// What is in the database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Events emitted.
    pub(crate) emitted: u64,
    /// Rows that are an emitted event, byte for byte, each counted once.
    pub(crate) applied: u64,
    /// Emitted events that no row is.
    pub(crate) lost: u64,
    /// Rows that are an emitted event which another row is already.
    pub(crate) duplicated: u64,
    /// Rows behind one of a later event, or whose number is not the next.
    pub(crate) out_of_order: u64,
    /// Rows that are no emitted event: other bytes, another stream, another time.
    pub(crate) altered: u64,
}

impl Tally {
    /// Whether everything arrived once, unchanged and in order.
    pub(crate) fn is_clean(&self) -> bool {
        self.applied == self.emitted && self.lost + self.duplicated + self.out_of_order + self.altered == 0
    }
}

/// Compares. `emitted` in the order of emission.
///
/// # Errors
/// [`StoreError`], if the database cannot be read.
pub(super) fn compare(emitted: &[Emitted], store: &Path) -> Result<Tally, StoreError> {
    let reader = Reader::open(store)?;
    let mut streams: BTreeMap<StreamId, Vec<&Emitted>> = BTreeMap::new();
    for event in emitted {
        streams.entry(event.topic.stream().clone()).or_default().push(event);
    }
    for (stream, _) in reader.places()? {
        streams.entry(stream).or_default();
    }
    let mut tally = Tally { emitted: emitted.len() as u64, ..Tally::default() };
    for (stream, expected) in &streams {
        one(&reader, stream, expected, &mut tally)?;
    }
    Ok(tally)
}

fn one(reader: &Reader, stream: &StreamId, expected: &[&Emitted], tally: &mut Tally) -> Result<(), StoreError> {
    let mut seen = vec![false; expected.len()];
    let (mut after, mut latest) = (0, 0);
    loop {
        let page = reader.events(stream, after, PAGE)?;
        let Some(last) = page.last().map(|event| event.seq) else { break };
        for row in &page {
            let is_next = row.seq == after + 1 && row.number > latest;
            after = row.seq;
            latest = latest.max(row.number);
            tally.out_of_order += u64::from(!is_next);
            let index = usize::try_from(row.number).ok().and_then(|number| number.checked_sub(1));
            match index.and_then(|index| Some((expected.get(index)?, seen.get_mut(index)?))) {
                Some((event, seen)) if is_same(event, row) => {
                    if std::mem::replace(seen, true) {
                        tally.duplicated += 1
                    } else {
                        tally.applied += 1
                    }
                }
                _ => tally.altered += 1,
            }
        }
        after = last;
    }
    tally.lost += seen.iter().filter(|seen| !**seen).count() as u64;
    Ok(())
}

fn is_same(event: &Emitted, row: &LoggedEvent) -> bool {
    row.payload.as_bytes() == event.payload.as_bytes()
        && row.kind == event.kind
        && row.hash == PayloadHash::of(row.payload.as_bytes())
        && event.at.is_none_or(|at| at.as_microsecond() == row.at_micros)
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;
    use tempfile::TempDir;

    use super::*;
    use crate::emit::line::parse;

    fn emitted() -> Vec<Emitted> {
        // Two with the same payload, as heartbeats have.
        let line = |topic: &str, n: u64| {
            format!(r#"{{"topic":"{topic}","kind":"k","payload":{n},"at":"2026-01-01T00:00:00Z"}}"#)
        };
        [("a", 1), ("a", 1), ("b", 3), ("a", 4)]
            .map(|(topic, n)| parse(line(topic, n).as_bytes(), None).unwrap())
            .into()
    }

    /// A store with these events applied once and in order.
    fn applied(emitted: &[Emitted]) -> (TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let mut log = muster_sync::EventLog;
        drop(muster_sync::Store::open(&path, muster_sync::Durability::Normal, &mut log).unwrap());
        let mut next = BTreeMap::new();
        for event in emitted {
            let seq = next.entry(event.topic.stream()).and_modify(|seq| *seq += 1).or_insert(1i64);
            let row = (
                event.topic.stream().as_str(),
                *seq,
                &event.kind,
                event.payload.as_str(),
                *PayloadHash::of(event.payload.as_bytes()).as_bytes(),
                event.at.unwrap().as_microsecond(),
            );
            sql(&path).execute("INSERT INTO event VALUES (?1, ?2, 1, ?3, ?4, ?5, ?6, 1, ?2)", row).unwrap();
        }
        (folder, path)
    }

    fn sql(path: &Path) -> Connection {
        Connection::open(path).unwrap()
    }

    /// The tally after the database was tampered with.
    fn after(change: &str) -> Tally {
        let emitted = emitted();
        let (_folder, path) = applied(&emitted);
        sql(&path).execute_batch(change).unwrap();
        compare(&emitted, &path).unwrap()
    }

    const A: &str = "runtime.topic.a";

    #[test]
    fn what_was_applied_once_and_in_order_is_clean() {
        let tally = after("");
        assert_eq!(tally, Tally { emitted: 4, applied: 4, ..Tally::default() });
        assert!(tally.is_clean());
    }

    #[test]
    fn an_event_that_is_missing_is_lost() {
        let tally = after(&format!("DELETE FROM event WHERE stream = '{A}' AND seq = 3"));
        assert_eq!(tally, Tally { emitted: 4, applied: 3, lost: 1, ..Tally::default() });
        let hole = after(&format!("DELETE FROM event WHERE stream = '{A}' AND seq = 2"));
        assert_eq!((hole.lost, hole.out_of_order), (1, 1), "what follows a hole is not the next");
        let all = after("DELETE FROM event");
        assert_eq!((all.lost, all.applied), (4, 0));
        assert!(!tally.is_clean() && !hole.is_clean());
    }

    #[test]
    fn an_event_that_is_there_twice_is_duplicated() {
        let tally = after(&format!(
            "INSERT INTO event SELECT stream, 4, epoch, kind, payload, payload_hash, at, producer, number FROM event \
             WHERE stream = '{A}' AND seq = 3"
        ));
        assert_eq!((tally.duplicated, tally.lost, tally.applied), (1, 0, 4));
        assert!(!tally.is_clean());
    }

    #[test]
    fn events_that_changed_places_are_out_of_order() {
        let tally = after(&format!(
            "UPDATE event SET seq = 30 WHERE stream = '{A}' AND seq = 3; UPDATE event SET seq = 3 WHERE stream = '{A}' \
             AND seq = 2; UPDATE event SET seq = 2 WHERE stream = '{A}' AND seq = 30"
        ));
        assert_eq!((tally.out_of_order, tally.lost, tally.altered), (1, 0, 0));
        assert!(!tally.is_clean());
    }

    #[test]
    fn other_bytes_are_no_emitted_event() {
        for change in ["payload = '5'", "kind = 'l'", "at = 1", "payload_hash = zeroblob(32)"] {
            let tally = after(&format!("UPDATE event SET {change} WHERE stream = '{A}' AND seq = 3"));
            assert_eq!((tally.altered, tally.lost), (1, 1), "{change}");
        }
    }
}
