//! When a page is full.
//!
//! What always holds: what a caller asks for is cut to what a page may hold, and a page takes at least one event, so
//! that a reader with small wishes still gets on.

use muster_contract::packed::Packed;
use muster_contract::page::{PAGE_BYTES_MAX, PAGE_EVENTS_MAX};

/// How much a page may still take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filling {
    events: usize,
    bytes: usize,
    empty: bool,
}

impl Filling {
    /// An empty page.
    pub(super) fn up_to(max_events: u32, max_bytes: u32) -> Filling {
        let events = (max_events as usize).clamp(1, PAGE_EVENTS_MAX);
        Filling { events, bytes: (max_bytes as usize).min(PAGE_BYTES_MAX), empty: true }
    }

    /// Whether it takes nothing more, whatever comes.
    pub(super) fn is_full(&self) -> bool {
        self.events == 0 || (self.bytes == 0 && !self.empty)
    }

    /// How many more events it may take at most.
    pub(super) fn events_left(&self) -> u64 {
        self.events as u64
    }

    /// Takes as many of these events as there is room for, and says how many. Mostly all: then none is looked at.
    pub(super) fn takes_of(&mut self, events: Packed<'_>) -> usize {
        let (count, bytes) = (events.count(), events.bytes());
        if count > self.events || bytes > self.bytes {
            return events.take_while(|event| self.takes(event.bytes())).count();
        }
        self.events -= count;
        self.bytes -= bytes;
        self.empty &= count == 0;
        count
    }

    /// Takes an event of this many bytes, unless the page is full.
    pub(super) fn takes(&mut self, bytes: usize) -> bool {
        let fits = self.events > 0 && (self.empty || bytes <= self.bytes);
        if fits {
            self.events -= 1;
            self.bytes = self.bytes.saturating_sub(bytes);
            self.empty = false;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use muster_contract::packed::{Event, PackedBuf};
    use muster_contract::page::WireHash;
    use spacetimedb::Timestamp;

    use super::*;

    fn taken(max_events: u32, max_bytes: u32, sizes: &[usize]) -> usize {
        let mut filling = Filling::up_to(max_events, max_bytes);
        let one_by_one = sizes.iter().take_while(|bytes| filling.takes(**bytes)).count();
        let mut packed = PackedBuf::default();
        let event = Event { kind: "", payload: "", hash: WireHash::ZERO, at: Timestamp::UNIX_EPOCH };
        sizes.iter().for_each(|bytes| packed.push(Event { payload: &"x".repeat(*bytes), ..event }));
        let at_once = Filling::up_to(max_events, max_bytes).takes_of(packed.packed());
        assert_eq!(at_once, one_by_one, "whole runs and single events are taken alike");
        one_by_one
    }

    #[test]
    fn a_page_ends_with_its_events_or_its_bytes() {
        assert_eq!(taken(2, 100, &[10, 10, 10]), 2);
        assert_eq!(taken(9, 25, &[10, 10, 10]), 2);
        assert_eq!(taken(9, 30, &[10, 10, 10]), 3);
        assert_eq!(taken(9, 30, &[10, 21, 1]), 1);
    }

    #[test]
    fn a_page_takes_at_least_one_event() {
        assert_eq!(taken(0, 0, &[300_000, 1]), 1);
    }

    #[test]
    fn nobody_gets_more_than_a_page_holds() {
        assert_eq!(taken(u32::MAX, u32::MAX, &[1; 5_500]), 4_000);
        assert_eq!(taken(u32::MAX, u32::MAX, &[262_144; 9]), 4);
    }
}
