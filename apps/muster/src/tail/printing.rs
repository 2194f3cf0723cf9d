//! The application of `tail`'s store: prints each event as it comes, and keeps it where that is wanted.
//!
//! What always holds: an event is printed before its transaction commits, and in one run never twice, however often its
//! batch comes; the order of a stream's lines is the stream's.

use std::collections::HashMap;
use std::sync::Arc;

use muster_contract::cursor::Position;
use muster_contract::stream::StreamId;
use muster_sync::{ApplicationError, Apply, Batch, EventLog};
use rusqlite::Transaction;
use tokio::sync::watch;

use super::line::{Style, lines, new_beginning};
use crate::outcome::Failure;
use crate::ui::{Ui, write_stdout};

/// How far printing is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// Batches printed.
    pub(crate) batches: u64,
    /// Why stdout takes no more.
    pub(crate) failed: Option<Failure>,
}

/// Prints and keeps.
pub(crate) struct Printing {
    ui: Ui,
    style: Style,
    /// `None` where only cursors are kept: the store of a tail without `--store` must not grow for as long as it runs.
    log: Option<EventLog>,
    /// Up to where each stream was printed by this run.
    printed: HashMap<StreamId, Position>,
    progress: Arc<watch::Sender<Progress>>,
}

impl Printing {
    /// With nothing printed yet.
    pub(crate) fn new(ui: Ui, style: Style, keeps_events: bool) -> (Printing, watch::Receiver<Progress>) {
        let (progress, receiver) = watch::channel(Progress::default());
        let progress = Arc::new(progress);
        let log = keeps_events.then_some(EventLog);
        (Printing { ui, style, log, printed: HashMap::new(), progress }, receiver)
    }

    fn print(&mut self, batch: &Batch) -> Result<(), Failure> {
        let ends = batch.ends().position;
        if self.printed.get(&batch.stream) == Some(&ends) {
            // Offered again, because the transaction of the first time did not commit.
            return Ok(());
        }
        if let Some(told) = new_beginning(batch) {
            self.ui.say(format!("{}: {told}", batch.stream));
        }
        write_stdout(&lines(batch, self.style))?;
        self.printed.insert(batch.stream.clone(), ends);
        Ok(())
    }
}

impl Apply for Printing {
    fn prepare(&mut self, transaction: &Transaction<'_>) -> Result<(), ApplicationError> {
        self.log.as_mut().map_or(Ok(()), |log| log.prepare(transaction))
    }

    fn apply(&mut self, transaction: &Transaction<'_>, batch: &Batch) -> Result<(), ApplicationError> {
        let printed = self.print(batch);
        self.progress.send_modify(|progress| match &printed {
            Ok(()) => progress.batches += 1,
            Err(failure) => progress.failed = Some(failure.clone()),
        });
        printed?;
        self.log.as_mut().map_or(Ok(()), |log| log.apply(transaction, batch))
    }
}
