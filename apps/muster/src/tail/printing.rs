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

use super::database::Binding;
use super::line::{Style, lines, new_beginning};
use crate::outcome::Failure;
use crate::ui::{Ui, write_stdout};

/// How far printing is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// Batches printed.
    pub(crate) batches: u64,
    /// Which database the store belonged to when it was opened.
    pub(crate) bound: Option<String>,
    /// Why stdout takes no more, or the store nothing of this database.
    pub(crate) failed: Option<Failure>,
}

/// Prints and keeps.
pub(crate) struct Printing {
    ui: Ui,
    style: Style,
    /// `None` where only cursors are kept: the store of a tail without `--store` must not grow for as long as it runs.
    log: Option<(Binding, EventLog)>,
    /// Up to where each stream was printed by this run.
    printed: HashMap<StreamId, Position>,
    progress: Arc<watch::Sender<Progress>>,
}

impl Printing {
    /// With nothing printed yet. `keeps` is what binds the store in which events are kept, if they are.
    pub(crate) fn new(ui: Ui, style: Style, keeps: Option<Binding>) -> (Printing, watch::Receiver<Progress>) {
        let (progress, receiver) = watch::channel(Progress::default());
        let progress = Arc::new(progress);
        let log = keeps.map(|binding| (binding, EventLog));
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
        // Where a word turned out to be two streams, only their names tell the lines apart.
        let names_streams = self.style.names_streams || self.printed.keys().any(|known| *known != batch.stream);
        write_stdout(&lines(batch, Style { names_streams, ..self.style }))?;
        self.printed.insert(batch.stream.clone(), ends);
        Ok(())
    }
}

impl Apply for Printing {
    fn prepare(&mut self, transaction: &Transaction<'_>) -> Result<(), ApplicationError> {
        let Some((_, log)) = &mut self.log else { return Ok(()) };
        let bound = Binding::prepare(transaction)?;
        self.progress.send_modify(|progress| progress.bound = bound);
        log.prepare(transaction)
    }

    fn apply(&mut self, transaction: &Transaction<'_>, batch: &Batch) -> Result<(), ApplicationError> {
        if let Some((binding, _)) = &mut self.log {
            binding.check(transaction).inspect_err(|error| {
                if let Some(refused) = error.downcast_ref::<Failure>() {
                    self.progress.send_modify(|progress| progress.failed = Some(refused.clone()));
                }
            })?;
        }
        let printed = self.print(batch);
        self.progress.send_modify(|progress| match &printed {
            Ok(()) => progress.batches += 1,
            Err(failure) => progress.failed = Some(failure.clone()),
        });
        printed?;
        self.log.as_mut().map_or(Ok(()), |(_, log)| log.apply(transaction, batch))
    }
}
