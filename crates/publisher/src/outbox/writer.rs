//! The one thread that writes: everything that waits for it shares a commit.
//!
//! What always holds: nobody hears that something is kept before the commit that keeps it is on the disk; a commit that
//! fails changes nothing, and everybody in it hears so. Publishers that find the disk full do not keep confirmed events
//! from being forgotten: those go alone then.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use muster_contract::stream::StreamId;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::chunks::{Builder, Chunk, Written};
use super::control::{self, Control};
use super::feed::Feed;
use super::record;
use super::totals::{OutboxLimits, Totals};
use crate::core::{StreamNo, StreamRecord};
use crate::error::{PublishError, is_full};
use crate::limits::{
    COMMIT_BYTES_MAX, COMMIT_REQUESTS_MAX, CONTROLS_LEFT_OUT_MAX, RECORD_CACHE_MAX, SPARE_PAGES, VACUUM_PAGES,
};
use crate::metrics::Meters;
use crate::publisher::Receipt;

/// Events on their way to the disk.
pub(crate) struct Publish {
    pub(crate) stream: StreamId,
    pub(crate) chunks: Vec<Chunk>,
    pub(crate) reply: oneshot::Sender<Result<Receipt, PublishError>>,
    /// The bytes' share of what may wait.
    pub(crate) _room: OwnedSemaphorePermit,
}

/// What the writer is asked.
pub(crate) enum Request {
    Publish(Publish),
    Control(Control),
}

impl Request {
    fn bytes(&self) -> usize {
        match self {
            Request::Publish(publish) => publish.chunks.iter().map(|chunk| chunk.data.len()).sum(),
            Request::Control(_) => 0,
        }
    }
}

/// The writer's state. What it remembers of the file is what the last commit left there.
pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) limits: OutboxLimits,
    pub(super) totals: Totals,
    pub(super) feed: Arc<Feed>,
    pub(super) meters: Arc<Meters>,
    numbers: HashMap<StreamId, StreamNo>,
    records: HashMap<StreamNo, StreamRecord>,
    freed: bool,
    /// When the oldest chunk was stored; `None` where nobody has looked since it may have changed.
    oldest_ms: Option<i64>,
}

/// What a commit came to: for each control, and for each publishing.
type Committed = (Vec<control::Answer>, Vec<Result<Receipt, PublishError>>);

/// The streams that a commit has new events of.
type Builders = BTreeMap<StreamNo, (StreamId, Builder)>;

/// What a commit changes, until it is one.
#[derive(Default)]
pub(super) struct Changes {
    pub(super) totals: Totals,
    pub(super) records: BTreeMap<StreamNo, StreamRecord>,
    pub(super) numbers: HashMap<StreamId, StreamNo>,
    /// Streams with new events.
    pub(super) stored: BTreeSet<StreamNo>,
    /// Streams that a person changed.
    pub(super) reset: BTreeSet<StreamNo>,
    /// Streams whose numbering changed, or that wait for a person now.
    pub(super) renumbered: BTreeSet<StreamNo>,
    /// The new rows.
    pub(super) written: Vec<(StreamNo, StreamId, Vec<Written>)>,
    pub(super) freed: bool,
    pub(super) published: u64,
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        limits: OutboxLimits,
        feed: Arc<Feed>,
        meters: Arc<Meters>,
    ) -> rusqlite::Result<Writer> {
        let totals = Totals::load(&connection)?;
        let mut writer = Writer {
            connection,
            limits,
            totals,
            feed,
            meters,
            numbers: HashMap::new(),
            records: HashMap::new(),
            freed: true,
            oldest_ms: None,
        };
        writer.show()?;
        Ok(writer)
    }

    /// Serves requests until nobody can make any more.
    pub(super) fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        while let Some(first) = requests.blocking_recv() {
            let mut bytes = first.bytes();
            let mut group = vec![first];
            while group.len() < COMMIT_REQUESTS_MAX
                && bytes < COMMIT_BYTES_MAX
                && let Ok(next) = requests.try_recv()
            {
                bytes += next.bytes();
                group.push(next);
            }
            self.serve(group);
            if self.freed {
                self.tidy(&requests);
            }
        }
    }

    /// Gives room back to the file system, while nobody waits.
    fn tidy(&mut self, requests: &mpsc::Receiver<Request>) {
        let mut gave_any = false;
        while self.freed && requests.is_empty() {
            self.freed = self.give_back().unwrap_or(false);
            gave_any |= self.freed;
        }
        if gave_any && requests.is_empty() {
            // The file becomes shorter once the log is written back to it; whoever reads is not waited for.
            let _ = self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        }
    }

    fn serve(&mut self, group: Vec<Request>) {
        let (mut controls, mut publishes) = (Vec::new(), Vec::new());
        for request in group {
            match request {
                Request::Publish(publish) => publishes.push(publish),
                Request::Control(control) => controls.push(control),
            }
        }
        let (events, replies): (Vec<_>, Vec<_>) =
            publishes.into_iter().map(|publish| ((publish.stream, publish.chunks), publish.reply)).unzip();
        match self.commit(&controls, events) {
            Ok((answers, receipts)) => {
                control::reply(controls, answers);
                for (reply, receipt) in replies.into_iter().zip(receipts) {
                    // Whoever does not wait any more has its event kept all the same.
                    let _ = reply.send(receipt);
                }
            }
            Err(error) => self.failed(&error, controls, replies),
        }
    }

    fn failed(
        &mut self,
        error: &rusqlite::Error,
        controls: Vec<Control>,
        replies: Vec<oneshot::Sender<Result<Receipt, PublishError>>>,
    ) {
        tracing::warn!(%error, "the outbox could not commit");
        self.meters.failed_commits.fetch_add(1, Relaxed);
        // What is remembered may belong to what was rolled back.
        self.forget_all();
        if is_full(error) {
            // What the log holds twice is room.
            let _ = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        }
        let refusal = if is_full(error) {
            PublishError::DiskFull
        } else {
            PublishError::Disk { detail: crate::error::words(error) }
        };
        let had_publishers = !replies.is_empty();
        for reply in replies {
            let _ = reply.send(Err(refusal.clone()));
        }
        let again = if had_publishers && !controls.is_empty() { self.commit(&controls, Vec::new()).ok() } else { None };
        match again {
            Some((answers, _)) => control::reply(controls, answers),
            None => control::refuse(controls, error),
        }
    }

    fn forget_all(&mut self) {
        self.numbers.clear();
        self.records.clear();
        self.feed.lose_recent();
        self.oldest_ms = None;
        if let Ok(totals) = Totals::load(&self.connection) {
            self.totals = totals;
        }
    }

    /// One commit: controls first, so that events that came after a person's word are not touched by it.
    fn commit(&mut self, controls: &[Control], publishes: Vec<(StreamId, Vec<Chunk>)>) -> rusqlite::Result<Committed> {
        let began = Instant::now();
        let now_ms = now_ms();
        let mut failed = BTreeMap::new();
        let (transaction, mut changes, answers) = loop {
            let mut changes = Changes { totals: self.totals, ..Changes::default() };
            let transaction = Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)?;
            match self.control(controls, &failed, &mut changes, now_ms) {
                Ok(answers) => break (transaction, changes, answers),
                Err((_, error)) if is_full(&error) || failed.len() == CONTROLS_LEFT_OUT_MAX => return Err(error),
                // One that fails by itself, at a damaged page for instance, must not take the others with it. Each turn
                // leaves one more out.
                Err((index, error)) => {
                    tracing::warn!(%error, "the outbox could not carry a change out");
                    transaction.rollback()?;
                    failed.insert(index, crate::error::words(&error));
                }
            }
        };
        let mut receipts = Vec::with_capacity(publishes.len());
        let mut builders: Builders = BTreeMap::new();
        for (stream, chunks) in publishes {
            receipts.push(self.store(stream, chunks, &mut changes, &mut builders, now_ms)?);
        }
        for (no, (id, builder)) in builders {
            let written = builder.finish(&self.connection, now_ms)?;
            changes.written.push((no, id, written));
        }
        // Those that controls changed are written already.
        for record in changes.stored.iter().filter_map(|no| changes.records.get(no)) {
            record::write(&self.connection, record)?;
        }
        transaction.commit()?;
        self.committed(changes, began);
        Ok((answers, receipts))
    }

    /// Carries controls out, but those that have failed before; says which one failed.
    fn control(
        &self,
        controls: &[Control],
        failed: &BTreeMap<usize, String>,
        changes: &mut Changes,
        now_ms: i64,
    ) -> Result<Vec<control::Answer>, (usize, rusqlite::Error)> {
        let mut answers = Vec::with_capacity(controls.len());
        for (index, control) in controls.iter().enumerate() {
            if let Some(detail) = failed.get(&index) {
                answers.push(control::Answer::Failed(detail.clone()));
                continue;
            }
            let answer = control::apply(control, &self.connection, changes, now_ms);
            answers.push(answer.map_err(|error| (index, error))?);
            for no in control.streams(changes) {
                if let Some(record) = changes.records.get(&no) {
                    record::write(&self.connection, record).map_err(|error| (index, error))?;
                }
            }
        }
        Ok(answers)
    }

    fn store(
        &self,
        id: StreamId,
        chunks: Vec<Chunk>,
        changes: &mut Changes,
        builders: &mut Builders,
        now_ms: i64,
    ) -> rusqlite::Result<Result<Receipt, PublishError>> {
        let events = chunks.iter().map(|chunk| u64::from(chunk.events)).sum();
        let bytes = chunks.iter().map(|chunk| chunk.data.len() as u64).sum();
        if let Err(full) = changes.totals.admit(&self.limits, events, bytes) {
            self.meters.refused_full.fetch_add(events, Relaxed);
            return Ok(Err(full));
        }
        let mut record = self.record(&id, changes)?;
        let first = record.last + 1;
        for chunk in chunks {
            let (_, builder) = builders.entry(record.no).or_insert_with(|| (id.clone(), Builder::new(record.no)));
            let (number, count) = (record.last + 1, chunk.events);
            builder.add(&self.connection, number, chunk, now_ms)?;
            record.last += u64::from(count);
        }
        changes.records.insert(record.no, record);
        changes.stored.insert(record.no);
        changes.published += events;
        Ok(Ok(Receipt { stream: id, first, last: record.last }))
    }

    /// The stream's row as this commit sees it; made if there is none.
    fn record(&self, id: &StreamId, changes: &mut Changes) -> rusqlite::Result<StreamRecord> {
        if let Some(no) = self.numbers.get(id) {
            if let Some(record) = changes.records.get(no) {
                return Ok(*record);
            }
            if let Some(record) = self.records.get(no) {
                return Ok(*record);
            }
        }
        if let Some(no) = changes.numbers.get(id)
            && let Some(record) = changes.records.get(no)
        {
            return Ok(*record);
        }
        let record = match record::by_id(&self.connection, id.as_str())? {
            // A control of this commit may have changed it, and not written it yet.
            Some(record) => changes.records.get(&record.no).copied().unwrap_or(record),
            None => record::insert(&self.connection, id)?,
        };
        changes.numbers.insert(id.clone(), record.no);
        Ok(record)
    }

    fn committed(&mut self, mut changes: Changes, began: Instant) {
        self.totals = changes.totals;
        self.freed |= changes.freed;
        if changes.freed {
            self.oldest_ms = None;
        }
        if self.records.len() + changes.records.len() > RECORD_CACHE_MAX {
            self.records.clear();
            self.numbers.clear();
        }
        for (no, record) in &changes.records {
            self.records.insert(*no, *record);
        }
        self.feed.changed(&mut changes, Instant::now());
        self.numbers.extend(changes.numbers);
        let meters = &self.meters;
        meters.published.fetch_add(changes.published, Relaxed);
        meters.commits.fetch_add(1, Relaxed);
        let took = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        meters.commit_us.fetch_add(took, Relaxed);
        if let Err(error) = self.show() {
            tracing::debug!(%error, "the age of the outbox cannot be read");
        }
    }

    /// Lets others see how full it is.
    fn show(&mut self) -> rusqlite::Result<()> {
        self.meters.events.store(self.totals.events, Relaxed);
        self.meters.bytes.store(self.totals.bytes, Relaxed);
        // New chunks are never older than those before them.
        if self.oldest_ms.is_none() {
            let mut statement = self.connection.prepare_cached("SELECT min(id), stored_ms FROM chunk")?;
            self.oldest_ms = statement.query_row([], |row| row.get(1))?;
        }
        let oldest_ms = self.oldest_ms.filter(|_| self.totals.events > 0).unwrap_or(0);
        self.meters.oldest_ms.store(oldest_ms, Relaxed);
        Ok(())
    }

    /// Gives some unused pages back to the file system; true if there may be more.
    fn give_back(&self) -> rusqlite::Result<bool> {
        let spare: u32 = self.connection.pragma_query_value(None, "freelist_count", |row| row.get(0))?;
        if spare <= SPARE_PAGES {
            return Ok(false);
        }
        let pages = VACUUM_PAGES.min(spare - SPARE_PAGES);
        let mut statement = self.connection.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
        let mut rows = statement.query([])?;
        // Each step gives one page back.
        while rows.next()?.is_some() {}
        Ok(true)
    }
}

pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
