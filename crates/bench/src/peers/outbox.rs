//! The outbox that peers are given, so that they promise what Muster does: what was taken is on the publisher's disk.
//!
//! What always holds: one row for each batch, synced (`synchronous=FULL`) before the caller hears of it; callers that wait
//! together share a commit; what is confirmed is deleted with the next commit; a batch goes to the sender only once it is on
//! disk, and from memory, not read back.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use muster_publisher::limits::{CHECKPOINT_PAGES, COMMIT_REQUESTS_MAX};
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::{Outcome, text};

/// Events of one stream that were handed over together.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) stream: Arc<str>,
    pub(crate) payloads: Vec<String>,
}

/// An outbox and its thread, or none: then everything is handed on at once.
pub(crate) enum Outbox {
    /// On disk, with a thread of its own.
    Disk { requests: mpsc::Sender<(Batch, oneshot::Sender<()>)> },
    /// Straight to the sender, which takes a few.
    None { next: mpsc::Sender<Batch> },
}

const QUEUE_LEN: usize = 1_024;

impl Outbox {
    /// Opens one in this file. `confirmed` counts the batches that the server has.
    pub(crate) fn open(path: &Path, next: mpsc::UnboundedSender<Batch>, confirmed: Arc<AtomicU64>) -> Outcome<Outbox> {
        let mut connection = Connection::open(path).map_err(text)?;
        connection
            .execute_batch(&format!(
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES};
                 CREATE TABLE chunk (no INTEGER PRIMARY KEY, stream TEXT NOT NULL, count INTEGER NOT NULL, data BLOB NOT NULL);"
            ))
            .map_err(text)?;
        let (requests, inbox) = mpsc::channel(QUEUE_LEN);
        std::thread::spawn(move || {
            // Whoever waits for it finds it ended.
            if let Err(error) = work(&mut connection, inbox, &next, &confirmed) {
                eprintln!("outbox: {error}");
            }
        });
        Ok(Outbox::Disk { requests })
    }

    /// Takes a batch: returns once it is on disk, or, without an outbox, with the sender.
    pub(crate) async fn keep(&self, batch: Batch) -> Outcome {
        let ended = || "the outbox ended".to_owned();
        match self {
            Outbox::Disk { requests } => {
                let (done, kept) = oneshot::channel();
                requests.send((batch, done)).await.map_err(|_| ended())?;
                kept.await.map_err(|_| ended())
            }
            Outbox::None { next } => next.send(batch).await.map_err(|_| ended()),
        }
    }
}

fn work(
    connection: &mut Connection,
    mut inbox: mpsc::Receiver<(Batch, oneshot::Sender<()>)>,
    next: &mpsc::UnboundedSender<Batch>,
    confirmed: &AtomicU64,
) -> rusqlite::Result<()> {
    let mut no = 0i64;
    let mut data = Vec::new();
    while let Some(first) = inbox.blocking_recv() {
        let mut together = vec![first];
        while together.len() < COMMIT_REQUESTS_MAX
            && let Ok(request) = inbox.try_recv()
        {
            together.push(request);
        }
        let transaction = connection.transaction()?;
        transaction
            .prepare_cached("DELETE FROM chunk WHERE no <= ?1")?
            .execute((confirmed.load(Ordering::Acquire).cast_signed(),))?;
        for (batch, _) in &together {
            no += 1;
            data.clear();
            for payload in &batch.payloads {
                data.extend_from_slice(&(payload.len() as u32).to_le_bytes());
                data.extend_from_slice(payload.as_bytes());
            }
            transaction
                .prepare_cached("INSERT INTO chunk (no, stream, count, data) VALUES (?1, ?2, ?3, ?4)")?
                .execute((no, &*batch.stream, batch.payloads.len() as i64, &data))?;
        }
        transaction.commit()?;
        for (batch, done) in together {
            // Either may be gone when a measurement is given up.
            let _ = done.send(());
            let _ = next.send(batch);
        }
    }
    Ok(())
}
