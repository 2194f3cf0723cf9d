//! What the sender has to know of new events: which streams have any, never how many wait.
//!
//! What always holds: it holds at most one record for each stream, the newest; nothing while nobody sends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

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

    pub(super) fn changed(
        &self,
        records: &BTreeMap<StreamNo, StreamRecord>,
        stored: &BTreeSet<StreamNo>,
        reset: &BTreeSet<StreamNo>,
    ) {
        let mut news = self.news();
        if !news.is_listened_to {
            return;
        }
        news.reset.extend(reset);
        for (no, record) in records {
            let is_news = stored.contains(no) || reset.contains(no);
            if is_news || news.stored.contains_key(no) {
                news.stored.insert(*no, *record);
            }
        }
        drop(news);
        self.notify.notify_one();
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
