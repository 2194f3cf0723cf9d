//! A subscriber in this process, whose application writes down what it was told.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use muster_contract::pattern::StreamPattern;
use muster_contract::resume::StaleReason;
use muster_sync::{ApplicationError, Apply, Batch, Change, EventLog, StartAt, Status, Subscriber};
use muster_wire::Endpoint;
use rusqlite::Transaction;
use tokio::time::Instant;

use crate::support::PATIENCE;

/// What the application was told, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Events { first: u64, last: u64 },
    Reset { reason: Option<StaleReason>, at: u64, has_snapshot: bool },
}

#[derive(Clone, Debug, Default)]
struct Notebook(Arc<Mutex<Vec<Told>>>);

impl Apply for Notebook {
    fn prepare(&mut self, transaction: &Transaction<'_>) -> Result<(), ApplicationError> {
        EventLog.prepare(transaction)
    }

    fn apply(&mut self, transaction: &Transaction<'_>, batch: &Batch) -> Result<(), ApplicationError> {
        let told = match &batch.change {
            Change::Events(run) => Told::Events { first: run.first.get(), last: run.last().get() },
            Change::Reset(reset) => {
                Told::Reset { reason: reset.reason, at: reset.at.seq.get(), has_snapshot: reset.snapshot.is_some() }
            }
            Change::Begin(_) => return Ok(()),
        };
        EventLog.apply(transaction, batch)?;
        self.0.lock().expect("nobody panicked").push(told);
        Ok(())
    }
}

/// The subscriber, at work.
pub(crate) struct Desk {
    store: PathBuf,
    subscriber: Subscriber,
    notebook: Notebook,
}

impl Desk {
    /// Follows one stream from its start.
    pub(crate) async fn open(endpoint: Endpoint, store: &Path, stream: &str) -> Desk {
        let notebook = Notebook::default();
        let pattern = StreamPattern::parse(stream).expect("a pattern");
        let builder = Subscriber::builder(endpoint, store).follow(pattern, StartAt::Start);
        let subscriber = builder.apply(notebook.clone()).await.expect("it starts");
        Desk { store: store.to_owned(), subscriber, notebook }
    }

    /// What the application was told so far.
    pub(crate) fn told(&self) -> Vec<Told> {
        self.notebook.0.lock().expect("nobody panicked").clone()
    }

    pub(crate) fn status(&self) -> Status {
        self.subscriber.status().borrow().clone()
    }

    /// Waits until the status is as wanted.
    pub(crate) async fn until(&self, wanted: impl FnMut(&Status) -> bool) -> Status {
        let mut status = self.subscriber.status();
        let found = tokio::time::timeout(PATIENCE, status.wait_for(wanted)).await;
        found.unwrap_or_else(|_| panic!("it never comes: {:?}", self.status())).expect("it lives").clone()
    }

    /// Waits until the database holds exactly this of the stream.
    pub(crate) async fn until_rows(&self, stream: &str, wanted: &[(u64, String)]) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = rows(&self.store, stream);
            if found == wanted {
                return;
            }
            let (count, last) = (found.len(), found.last());
            let status = self.status();
            assert!(Instant::now() < deadline, "{count} rows, the last {last:?}, not {}: {status:?}", wanted.len());
            // Between two looks of a deadline-bound wait; nothing depends on its length.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn close(self) {
        self.subscriber.shutdown().await;
    }
}

/// The rows of a stream, by number, where the cursor stands at the last of them.
pub(crate) fn rows(store: &Path, stream: &str) -> Vec<(u64, String)> {
    let connection = rusqlite::Connection::open(store).expect("the store");
    connection.busy_timeout(PATIENCE).expect("set");
    let transaction = connection.unchecked_transaction().expect("a transaction");
    let sql = "SELECT seq, payload FROM event WHERE stream = ?1 ORDER BY seq";
    let mut statement = transaction.prepare(sql).expect("the table");
    let rows = statement.query_map([stream], |row| Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get(1)?)));
    let rows: Vec<(u64, String)> = rows.expect("rows").collect::<Result<_, _>>().expect("rows");
    let sql = "SELECT seq FROM muster_cursor WHERE stream = ?1";
    let cursor = transaction.query_row(sql, [stream], |row| row.get::<_, i64>(0)).map(i64::cast_unsigned);
    if let Some((last, _)) = rows.last() {
        assert_eq!(cursor, Ok(*last), "the cursor is not at the last row");
    }
    rows
}

/// The snapshot that the stream was started from.
pub(crate) fn snapshot(store: &Path, stream: &str) -> Option<(u64, String)> {
    let connection = rusqlite::Connection::open(store).expect("the store");
    let sql = "SELECT seq, payload FROM snapshot WHERE stream = ?1";
    connection.query_row(sql, [stream], |row| Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get(1)?))).ok()
}

/// Payloads with the numbers from `first` on.
pub(crate) fn numbered(first: u64, payloads: impl IntoIterator<Item = String>) -> Vec<(u64, String)> {
    (first..).zip(payloads).collect()
}
