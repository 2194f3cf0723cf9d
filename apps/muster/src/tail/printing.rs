//! The application of `tail`'s store: prints each event as it comes, and keeps it where that is wanted.
//!
//! What always holds: an event is printed before its transaction commits, and in one run never twice, however often its
//! batch comes; the order of a stream's lines is the stream's.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use muster_contract::cursor::{Position, Seq};
use muster_contract::stream::StreamId;
use muster_sync::{ApplicationError, Apply, Batch, Change, EventLog, Events};
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
        let rest = self.printed.get(&batch.stream).map_or(Some(Cow::Borrowed(batch)), |at| behind(batch, *at));
        let Some(batch) = rest else { return Ok(()) };
        let batch = batch.as_ref();
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

/// What of a batch was not printed when all up to `at` was; `None` if nothing is left. A batch whose transaction did not commit
/// is read again, and may by then be a longer or a shorter one.
fn behind(batch: &Batch, at: Position) -> Option<Cow<'_, Batch>> {
    if batch.ends().position == at {
        return None;
    }
    match &batch.change {
        Change::Events(run) if run.epoch == at.epoch && run.first <= at.seq => {
            let known = usize::try_from(at.seq.get() + 1 - run.first.get()).unwrap_or(usize::MAX);
            let events = run.events.get(known..).filter(|events| !events.is_empty())?.to_vec();
            let rest = Events { first: Seq::new(at.seq.get() + 1), events, ..*run };
            Some(Cow::Owned(Batch { change: Change::Events(rest), ..batch.clone() }))
        }
        _ => Some(Cow::Borrowed(batch)),
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

#[cfg(test)]
mod tests {
    use muster_contract::cursor::Epoch;
    use muster_contract::page::StoredEvent;
    use muster_sync::Reset;

    use super::*;

    fn at(epoch: u64, seq: u64) -> Position {
        Position { epoch: Epoch::new(epoch).unwrap(), seq: Seq::new(seq) }
    }

    fn events(epoch: u64, first: u64, last: u64) -> Batch {
        let event = |seq: u64| StoredEvent {
            kind: "k".into(),
            payload: seq.to_string(),
            hash: muster_contract::page::wire_hash(&[0; 32]),
            at: muster_wire::Timestamp::UNIX_EPOCH,
            producer: 1,
            number: seq,
        };
        let run = Events {
            epoch: at(epoch, 0).epoch,
            first: Seq::new(first),
            mark: 1,
            events: (first..=last).map(event).collect(),
        };
        let stream = StreamId::parse("a.b").unwrap();
        Batch { stream, after: Some(at(epoch, first - 1)), change: Change::Events(run) }
    }

    #[test]
    fn of_a_batch_that_is_read_again_only_what_is_new_is_printed() {
        let printed = at(9, 5);
        let left = |batch: &Batch| behind(batch, printed).map(Cow::into_owned);
        assert_eq!(left(&events(9, 1, 5)), None, "the same");
        assert_eq!(left(&events(9, 1, 3)), None, "a shorter one");
        let Some(Batch { change: Change::Events(rest), .. }) = left(&events(9, 1, 8)) else { panic!("a longer one") };
        let payloads: Vec<_> = rest.events.iter().map(|event| event.payload.as_str()).collect();
        assert_eq!((rest.first.get(), rest.last().get(), payloads), (6, 8, vec!["6", "7", "8"]));
        for other in [events(9, 6, 7), events(8, 1, 5), events(8, 1, 9)] {
            assert_eq!(left(&other), Some(other), "nothing of it was printed");
        }
        let reset = Change::Reset(Reset { reason: None, at: at(9, 2), snapshot: None });
        let reset = Batch { change: reset, ..events(9, 1, 1) };
        assert_eq!(left(&reset), Some(reset), "a new beginning is told whatever was printed");
    }
}
