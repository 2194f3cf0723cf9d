//! A subscriber's database against the journal, with nothing of the crates under test: SQLite and SHA-256 alone.
//!
//! What always holds: rows and cursor are read in one transaction; the journal is read after it, so every row has its
//! attempt in there.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use sha2::{Digest, Sha256};

use crate::journal::{self, Attempt, KIND, Outcome, payload};

/// How far a stream has been compared.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    seq: u64,
    attempt: usize,
    /// Events of that attempt that were found.
    found: u64,
    epoch: i64,
}

/// Compares, and remembers how far it is.
#[derive(Debug)]
pub(crate) struct Checker {
    seed: u64,
    streams: BTreeMap<u64, Progress>,
}

struct Row {
    seq: u64,
    epoch: i64,
    kind: String,
    payload: String,
    hash: Vec<u8>,
    number: u64,
}

impl Checker {
    pub(crate) fn new(seed: u64, streams: u64) -> Checker {
        Checker { seed, streams: (0..streams).map(|stream| (stream, Progress::default())).collect() }
    }

    /// Events found so far.
    pub(crate) fn events(&self) -> u64 {
        self.streams.values().map(|progress| progress.seq).sum()
    }

    /// Compares what came since the last look: whatever is there is the next that was published, as it was published, and
    /// the cursor stands at the last of it.
    #[track_caller]
    pub(crate) fn look(&mut self, store: &Path, journal: &Path) {
        let connection = open(store);
        let transaction = connection.unchecked_transaction().expect("a transaction");
        let news: Vec<_> =
            self.streams.iter().map(|(stream, at)| (*stream, news(&transaction, *stream, at.seq))).collect();
        drop(transaction);
        let attempts = journal::read(journal);
        for (stream, (rows, cursor)) in news {
            let progress = self.streams.get_mut(&stream).expect("one of them");
            let tried = attempts.get(&stream).map_or(&[][..], Vec::as_slice);
            for row in rows {
                follow(self.seed, stream, progress, tried, &row);
            }
            assert_eq!(cursor.unwrap_or(0), progress.seq, "stream {stream}: the cursor is not at its last row");
        }
    }

    /// The same, and that nothing of what was acknowledged is missing.
    #[track_caller]
    pub(crate) fn look_at_all(&mut self, store: &Path, journal: &Path) {
        self.look(store, journal);
        let attempts = journal::read(journal);
        for (stream, progress) in &self.streams {
            let tried = attempts.get(stream).map_or(&[][..], Vec::as_slice);
            let (at, missing) = match tried.get(progress.attempt) {
                Some(_) if progress.found == 0 => (progress.attempt, &tried[progress.attempt..]),
                Some(half) => {
                    assert_eq!(progress.found, half.count, "stream {stream}: a part of {half:?} is lost");
                    (progress.attempt + 1, &tried[progress.attempt + 1..])
                }
                None => (tried.len(), &[][..]),
            };
            let lost = missing.iter().find(|attempt| matches!(attempt.outcome, Outcome::Kept { .. }));
            assert_eq!(lost, None, "stream {stream}: acknowledged and lost, after attempt {at}");
        }
    }
}

/// Nothing is written: but what a killed writer left in SQLite's log can be read only by who may write.
fn open(store: &Path) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(store, flags).expect("the store");
    connection.busy_timeout(std::time::Duration::from_secs(30)).expect("set");
    connection
}

fn news(connection: &Connection, stream: u64, after: u64) -> (Vec<Row>, Option<u64>) {
    let id = journal::stream(stream);
    let sql =
        "SELECT seq, epoch, kind, payload, payload_hash, number FROM event WHERE stream = ?1 AND seq > ?2 ORDER BY seq";
    let mut statement = connection.prepare(sql).expect("the table");
    let rows = statement.query_map((id.as_str(), after.cast_signed()), |row| {
        Ok(Row {
            seq: row.get::<_, i64>(0)?.cast_unsigned(),
            epoch: row.get(1)?,
            kind: row.get(2)?,
            payload: row.get(3)?,
            hash: row.get(4)?,
            number: row.get::<_, i64>(5)?.cast_unsigned(),
        })
    });
    let rows = rows.expect("rows").collect::<Result<_, _>>().expect("rows");
    let cursor = connection
        .query_row("SELECT seq FROM muster_cursor WHERE stream = ?1", [id.as_str()], |row| row.get::<_, i64>(0));
    (rows, cursor.ok().map(i64::cast_unsigned))
}

/// The row must be the next event; attempts that were not acknowledged may be left out, whole.
#[track_caller]
fn follow(seed: u64, stream: u64, at: &mut Progress, tried: &[Attempt], row: &Row) {
    assert_eq!(row.seq, at.seq + 1, "stream {stream}: a hole or a repetition after {}", at.seq);
    assert!(at.epoch == 0 || row.epoch == at.epoch, "stream {stream}: two epochs");
    loop {
        let attempt =
            tried.get(at.attempt).unwrap_or_else(|| panic!("stream {stream}: nobody published {}", row.payload));
        if at.found == attempt.count {
            (at.attempt, at.found) = (at.attempt + 1, 0);
            continue;
        }
        let n = attempt.first + at.found;
        if row.payload == payload(seed, stream, n) {
            if let Outcome::Kept { first, .. } = attempt.outcome {
                assert_eq!(row.number, first + at.found, "stream {stream}: not the number that was acknowledged");
            }
            assert_ne!(attempt.outcome, Outcome::Refused, "stream {stream}: refused and kept all the same, {n}");
            break;
        }
        let may_be_missing = at.found == 0 && !matches!(attempt.outcome, Outcome::Kept { .. });
        assert!(may_be_missing, "stream {stream}: instead of event {n} of {attempt:?} comes {}", row.payload);
        at.attempt += 1;
    }
    assert_eq!(row.kind, KIND);
    assert_eq!(row.hash, Sha256::digest(row.payload.as_bytes())[..], "stream {stream}: the hash of {}", row.seq);
    (at.seq, at.found, at.epoch) = (row.seq, at.found + 1, row.epoch);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(seq: u64, n: u64) -> Row {
        let payload = payload(1, 0, n);
        let hash = Sha256::digest(payload.as_bytes()).to_vec();
        Row { seq, epoch: 5, kind: KIND.into(), payload, hash, number: seq }
    }

    /// Two events that are kept, one of which nobody knows, and one more that is kept.
    fn tried() -> [Attempt; 3] {
        let kept = |first, count, number| Attempt { first, count, outcome: Outcome::Kept { first: number, last: 0 } };
        [kept(0, 2, 1), Attempt { first: 2, count: 1, outcome: Outcome::Unknown }, kept(3, 1, 3)]
    }

    fn walk(rows: &[Row]) -> Progress {
        let mut progress = Progress::default();
        rows.iter().for_each(|row| follow(1, 0, &mut progress, &tried(), row));
        progress
    }

    #[test]
    fn what_nobody_knows_of_may_be_missing() {
        assert_eq!(walk(&[row(1, 0), row(2, 1), row(3, 3)]).seq, 3);
    }

    #[test]
    #[should_panic(expected = "instead of event 1")]
    fn what_was_kept_may_not() {
        walk(&[row(1, 0), row(2, 3)]);
    }

    #[test]
    #[should_panic(expected = "instead of event 1")]
    fn nor_may_anything_come_twice() {
        walk(&[row(1, 0), row(2, 0)]);
    }

    #[test]
    #[should_panic(expected = "a hole")]
    fn numbers_have_no_holes() {
        walk(&[row(1, 0), row(3, 1)]);
    }
}
