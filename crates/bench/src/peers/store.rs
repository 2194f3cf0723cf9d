//! The consumer that every peer has: events and cursor in one SQLite transaction.
//!
//! What always holds: the same table, the same statement and the same settings as Muster's subscriber has; a commit is
//! synced (`synchronous=FULL`) before it counts; pages that wait together share a commit. Of them [`WAITING_MAX`] wait, each
//! of as many events as Muster's has at most, where Muster's subscriber has up to `APPLY_AT_ONCE_MAX` pages of a mebibyte at most
//! and bounds their bytes; a peer's page has no bound of bytes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use muster_sync::limits::{APPLY_AT_ONCE_MAX, WAL_PAGES};
use rusqlite::{CachedStatement, Connection, Transaction};
use tokio::sync::{mpsc, watch};

use super::words::now_us;
use super::{Outcome, text};

/// The table of the application, of every system.
pub(crate) const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS event (
        stream TEXT NOT NULL, seq INTEGER NOT NULL, payload TEXT NOT NULL, PRIMARY KEY (stream, seq)
    ) WITHOUT ROWID;
";

const CURSOR: &str =
    "CREATE TABLE IF NOT EXISTS cursor (stream TEXT PRIMARY KEY, seq INTEGER NOT NULL, token TEXT NOT NULL)
    WITHOUT ROWID;";

/// What writes events, of every system: looked up once for all that come together.
pub(crate) struct Insert<'a>(CachedStatement<'a>);

impl<'a> Insert<'a> {
    pub(crate) fn into(transaction: &'a Transaction<'_>) -> rusqlite::Result<Insert<'a>> {
        transaction.prepare_cached("INSERT INTO event (stream, seq, payload) VALUES (?1, ?2, ?3)").map(Insert)
    }

    /// Writes one event.
    pub(crate) fn one(&mut self, stream: &str, seq: u64, payload: &str) -> rusqlite::Result<()> {
        self.0.execute((stream, seq.cast_signed(), payload)).map(drop)
    }
}

/// What came of a stream at once.
pub(crate) struct Run {
    pub(crate) stream: Arc<str>,
    pub(crate) payloads: Vec<Vec<u8>>,
    /// Where the server calls the end of it.
    pub(crate) token: String,
}

/// What came at once, and how it is acknowledged once it is committed.
pub(crate) struct Taken<A> {
    pub(crate) runs: Vec<Run>,
    pub(crate) ack: A,
}

/// How many events are committed, and when they were.
#[derive(Debug)]
pub(crate) struct Progress {
    pub(crate) count: watch::Sender<u64>,
    commits: Mutex<Vec<(u64, u64)>>,
}

impl Progress {
    /// Nothing yet, or what a store had before.
    pub(crate) fn from(count: u64) -> Arc<Progress> {
        Arc::new(Progress { count: watch::Sender::new(count), commits: Mutex::default() })
    }

    /// So many are committed now.
    pub(crate) fn note(&self, count: u64, at_us: u64) {
        self.commits.lock().unwrap_or_else(PoisonError::into_inner).push((count, at_us));
        self.count.send_replace(count);
    }

    /// Commit by commit.
    pub(crate) fn commits(&self) -> Vec<(u64, u64)> {
        self.commits.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A store with its thread.
pub(crate) struct Store<A> {
    /// Where batches go; a few wait.
    pub(crate) inbox: mpsc::Sender<Taken<A>>,
    /// What is to be acknowledged, in order.
    pub(crate) acks: mpsc::UnboundedReceiver<Vec<A>>,
    pub(crate) progress: Arc<Progress>,
    /// The tokens that the store had when it was opened.
    pub(crate) tokens: BTreeMap<String, String>,
    thread: JoinHandle<Outcome>,
}

/// Pages that wait for the store, beside what is being committed: no more, because those of large events are 16 MiB each.
const WAITING_MAX: usize = 4;

impl<A: Send + 'static> Store<A> {
    /// Opens or makes the store in this file.
    pub(crate) fn open(path: &Path) -> Outcome<Store<A>> {
        let connection = Connection::open(path).map_err(text)?;
        connection
            .execute_batch(&format!(
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint={WAL_PAGES}; {TABLES} {CURSOR}"
            ))
            .map_err(text)?;
        let mut heads = BTreeMap::new();
        let mut tokens = BTreeMap::new();
        {
            let mut cursors = connection.prepare("SELECT stream, seq, token FROM cursor").map_err(text)?;
            let mut rows = cursors.query(()).map_err(text)?;
            while let Some(row) = rows.next().map_err(text)? {
                let stream: String = row.get(0).map_err(text)?;
                heads.insert(Arc::from(stream.as_str()), row.get::<_, i64>(1).map_err(text)?.cast_unsigned());
                tokens.insert(stream, row.get(2).map_err(text)?);
            }
        }
        let progress = Progress::from(heads.values().sum());
        let (inbox, batches) = mpsc::channel(WAITING_MAX);
        let (done, acks) = mpsc::unbounded_channel();
        let mut writer = Writer { connection, heads, progress: progress.clone() };
        let thread = std::thread::spawn(move || writer.run(batches, &done));
        Ok(Store { inbox, acks, progress, tokens, thread })
    }

    /// Its parts.
    #[allow(clippy::type_complexity, reason = "the parts of one struct, taken apart once")]
    pub(crate) fn split(
        self,
    ) -> (mpsc::Sender<Taken<A>>, mpsc::UnboundedReceiver<Vec<A>>, Arc<Progress>, JoinHandle<Outcome>) {
        (self.inbox, self.acks, self.progress, self.thread)
    }
}

struct Writer {
    connection: Connection,
    heads: BTreeMap<Arc<str>, u64>,
    progress: Arc<Progress>,
}

impl Writer {
    fn run<A>(&mut self, mut batches: mpsc::Receiver<Taken<A>>, done: &mpsc::UnboundedSender<Vec<A>>) -> Outcome {
        while let Some(first) = batches.blocking_recv() {
            let mut together = vec![first];
            while together.len() < APPLY_AT_ONCE_MAX
                && let Ok(next) = batches.try_recv()
            {
                together.push(next);
            }
            self.commit(&together).map_err(text)?;
            let acks = together.into_iter().map(|taken| taken.ack).collect();
            // Nobody acknowledges any more: the measurement is over.
            let _ = done.send(acks);
        }
        Ok(())
    }

    fn commit<A>(&mut self, together: &[Taken<A>]) -> Result<(), Box<dyn std::error::Error>> {
        let transaction = self.connection.transaction()?;
        let mut all = *self.progress.count.borrow();
        let mut insert = Insert::into(&transaction)?;
        for run in together.iter().flat_map(|taken| &taken.runs) {
            let head = self.heads.entry(run.stream.clone()).or_default();
            for payload in &run.payloads {
                *head += 1;
                insert.one(&run.stream, *head, std::str::from_utf8(payload)?)?;
            }
            all += run.payloads.len() as u64;
            transaction
                .prepare_cached("INSERT OR REPLACE INTO cursor (stream, seq, token) VALUES (?1, ?2, ?3)")?
                .execute((&*run.stream, head.cast_signed(), &run.token))?;
        }
        drop(insert);
        transaction.commit()?;
        self.progress.note(all, now_us());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(stream: &str, payloads: &[&str]) -> Run {
        let payloads = payloads.iter().map(|text| text.as_bytes().to_vec()).collect();
        Run { stream: stream.into(), payloads, token: "t".into() }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_was_committed_is_counted_acknowledged_and_gone_on_from() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let path = folder.path().join("store");
        for round in 0..2u64 {
            let store = Store::open(&path).expect("a store");
            assert_eq!(*store.progress.count.borrow(), round * 3);
            assert_eq!(store.tokens.len() as u64, round * 2);
            let (inbox, mut acks, progress, thread) = store.split();
            let runs = vec![run("a", &["1", "2"]), run("b", &["3"])];
            inbox.send(Taken { runs, ack: 7 }).await.expect("taken");
            assert_eq!(acks.recv().await, Some(vec![7]));
            assert_eq!(progress.commits().last().map(|(count, _)| *count), Some(round * 3 + 3));
            drop(inbox);
            thread.join().expect("no panic").expect("ended well");
        }
        let rows: i64 = Connection::open(&path)
            .expect("there")
            .query_row("SELECT count(*) FROM event WHERE stream = 'a' AND seq <= 4", (), |row| row.get(0))
            .expect("readable");
        assert_eq!(rows, 4);
    }
}
