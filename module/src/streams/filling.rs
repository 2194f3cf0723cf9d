//! When a page is full.
//!
//! What always holds: what a caller asks for is cut to what a page may hold, and a page takes at least one event, so
//! that a reader with small wishes still gets on.

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

    /// How many more events it may take at most.
    pub(super) fn events_left(&self) -> u64 {
        self.events as u64
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
    use super::*;

    fn taken(max_events: u32, max_bytes: u32, sizes: &[usize]) -> usize {
        let mut filling = Filling::up_to(max_events, max_bytes);
        sizes.iter().take_while(|bytes| filling.takes(**bytes)).count()
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
        assert_eq!(taken(u32::MAX, u32::MAX, &[1; 1_500]), 1_000);
        assert_eq!(taken(u32::MAX, u32::MAX, &[262_144; 9]), 4);
    }
}
