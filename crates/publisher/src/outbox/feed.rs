//! What the sender has to know of new events: which streams have any, never how many wait.
//!
//! What always holds: it holds at most one record for each stream, the newest, and what was committed last within a
//! limit ([`Recent`]); nothing while nobody sends. All of it is on the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use muster_contract::producer::ProducerId;
use tokio::sync::Notify;

use super::batch::{Batch, Wanted};
use super::recent::Recent;
use super::writer::Changes;
use crate::core::{Event, StreamNo, StreamRecord};

/// News from the writer to the sender.
#[derive(Debug, Default)]
pub(crate) struct Feed {
    news: Mutex<News>,
    pub(crate) notify: Notify,
}

#[derive(Debug, Default)]
struct News {
    is_listened_to: bool,
    stored: BTreeMap<StreamNo, StreamRecord>,
    reset: BTreeSet<StreamNo>,
    recent: Recent,
    /// Nobody could send what is recent: there is no connection.
    is_cut_off: bool,
}

impl Feed {
    fn news(&self) -> MutexGuard<'_, News> {
        // Nothing in there is left half done by a panic.
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins, or ends, to keep news.
    pub(crate) fn listen(&self, listen: bool) {
        *self.news() = News { is_listened_to: listen, ..News::default() };
    }

    /// Takes what a commit has changed, once it is one.
    pub(super) fn changed(&self, changes: &mut Changes, now: Instant) {
        let mut news = self.news();
        if !news.is_listened_to {
            return;
        }
        let Changes { records, stored, reset, renumbered, written, .. } = changes;
        news.reset.extend(&*reset);
        for (no, record) in &*records {
            let is_news = stored.contains(no) || reset.contains(no);
            if is_news || news.stored.contains_key(no) {
                news.stored.insert(*no, *record);
            }
            news.recent.forget(*no, record.confirmed);
        }
        for no in renumbered.iter().chain(&*reset) {
            news.recent.drop_stream(*no);
        }
        // Of what a commit changes, events come last.
        for (no, id, chunks) in written.drain(..) {
            // Whoever decides about it takes longer than they would be kept.
            if !news.is_cut_off && records.get(&no).is_some_and(|record| !record.parked) {
                news.recent.keep(now, no, &id, chunks);
            }
        }
        drop(news);
        self.notify.notify_one();
    }

    /// The events that are wanted, if all of them were committed so recently that they are still in memory; what
    /// [`super::reader::batch`] would read.
    pub(crate) fn batch(&self, producer: ProducerId, wanted: &Wanted) -> Option<Batch> {
        let taken = self.news().recent.take(wanted)?;
        // The writer need not wait while they are copied.
        Some(taken.into_batch(producer, wanted))
    }

    #[cfg(test)]
    pub(super) fn holds_nothing_of(&self, no: StreamNo) -> bool {
        !self.news().recent.holds(no)
    }

    /// Whether events are kept in memory for somebody who could send them; without a connection they are let go of.
    pub(crate) fn connected(&self, is_connected: bool) {
        let mut news = self.news();
        news.is_cut_off = !is_connected;
        if !is_connected {
            news.recent = Recent::default();
        }
    }

    /// Lets go of the events in memory, where nobody knows what is on the disk.
    pub(super) fn lose_recent(&self) {
        self.news().recent = Recent::default();
    }

    /// Takes what is new, as the core's events.
    pub(crate) fn take(&self) -> Vec<Event> {
        let mut news = self.news();
        let reset = std::mem::take(&mut news.reset);
        std::mem::take(&mut news.stored)
            .into_iter()
            .map(|(no, record)| if reset.contains(&no) { Event::Reset(record) } else { Event::Stored(record) })
            .collect()
    }
}
