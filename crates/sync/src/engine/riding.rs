//! Pages that ride on signals.
//!
//! What always holds: a page is taken unasked only where it comes right behind what was taken, of the same history by its
//! mark, while nothing is asked for; then it is judged as any page is. Everything else
//! is a wake as any other, and the page is asked for: so it does no harm that a page does not come, comes twice or is of another
//! life. What rides is not asked for, so it is bounded here: by what a page may hold and by the bytes under way.

use muster_contract::cursor::{Position, Seq};
use muster_contract::page::{Page, StoredEvent};

use super::pages::check;
use super::stream::{Key, Owed, Step, Stream};
use super::{Engine, Timer, Tuning};
use crate::batch::{Batch, Change, Events, Place};
use crate::limits::{BEHIND_MS_MAX, ms};

impl Engine {
    /// The host has more of this stream, and says what.
    pub(super) fn rides(&mut self, key: Key, page: Page) {
        let stream = &self.streams[key.0];
        let Step::Read(at) = stream.step else { return self.wake(key) };
        let is_of_this_life = page.epoch == at.epoch.get();
        let head = page.head;
        if is_of_this_life && head <= at.seq.get() {
            // It came twice, by two patterns for instance, or with a page that was asked for.
            return;
        }
        let tuning = &self.options.tuning;
        // What is asked for needs room for a page, and does not wait for ever behind what is not.
        let under_way = self.in_flight_bytes + bytes_of(&page.events) + tuning.page_bytes as usize;
        let fits = under_way <= tuning.in_flight_bytes;
        if fits && stream.asked.is_none() && follows(stream, at, &page) && has_room(stream, &page, tuning) {
            // One that is not right is asked for once more, and what comes then is judged.
            if let Ok((mark, events)) = check(at, page) {
                return self.take_ridden(key, at, mark, events);
            }
        }
        self.wake_up_to(key, is_of_this_life.then_some(head));
    }

    fn take_ridden(&mut self, key: Key, at: Position, mark: u64, events: Vec<StoredEvent>) {
        let end = Position { epoch: at.epoch, seq: Seq::new(at.seq.get() + events.len() as u64) };
        self.counters.events += events.len() as u64;
        self.counters.ridden += 1;
        let now = self.now;
        if self.streams[key.0].behind_since().is_none() {
            self.after(ms(BEHIND_MS_MAX), Timer::Behind(key));
        }
        let stream = &mut self.streams[key.0];
        stream.head = end.seq.get();
        stream.step = Step::Read(end);
        match &mut stream.ready {
            // The store is busy with what came before.
            Some(Batch { change: Change::Events(run), .. }) => {
                self.in_flight_bytes += bytes_of(&events);
                run.events.extend(events);
                run.mark = mark;
            }
            _ => {
                self.put_events(key, Events { epoch: at.epoch, first: at.seq.next(), mark, events });
                self.streams[key.0].ready_owed = Owed { since: Some(now), is_all: true };
            }
        }
        self.mark(key);
    }
}

/// Whether a page is the next of the history up to `at`, where everything that was taken ends, up to its head. Its life is
/// [`check`]'s to look at.
fn follows(stream: &Stream, at: Position, page: &Page) -> bool {
    let ends = page.first.checked_add(page.events.len() as u64);
    page.first == at.seq.next().get()
        && ends == page.head.checked_add(1)
        && !page.events.is_empty()
        && stream.taken() == Some(Place { position: at, mark: Some(page.mark) })
}

/// Whether what waits for the store, with this page, is no more than one page.
fn has_room(stream: &Stream, page: &Page, tuning: &Tuning) -> bool {
    match stream.ready.as_ref() {
        None => true,
        Some(batch @ Batch { change: Change::Events(run), .. }) => {
            run.events.len() + page.events.len() <= tuning.page_events as usize
                && batch.bytes() + bytes_of(&page.events) <= tuning.page_bytes as usize
        }
        Some(_) => false,
    }
}

fn bytes_of(events: &[StoredEvent]) -> usize {
    events.iter().map(crate::batch::event_bytes).sum()
}
