//! A disk that a process writes transactions to, and what is left of them after a crash.
//!
//! What always holds: transactions are atomic and ordered, as SQLite's write-ahead log makes them (sqlite.org/wal.html).
//! After a crash of the machine there is what was synced and some prefix of what was not; after a crash of the process
//! alone everything committed is there. A full disk refuses a transaction whole.

use std::collections::VecDeque;

use crate::rng::Rng;

/// What a disk holds, as what transactions make of it.
pub trait Ledger: Clone + Default {
    /// A transaction.
    type Tx: Clone;
    /// Applies a committed transaction.
    fn apply(&mut self, tx: &Self::Tx);
}

/// A disk without room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskFull;

/// A disk.
#[derive(Clone, Debug)]
pub struct Disk<L: Ledger> {
    synced: L,
    seen: L,
    unsynced: VecDeque<L::Tx>,
    full: bool,
}

impl<L: Ledger> Default for Disk<L> {
    fn default() -> Self {
        Disk { synced: L::default(), seen: L::default(), unsynced: VecDeque::new(), full: false }
    }
}

impl<L: Ledger> Disk<L> {
    /// What the process sees: everything committed.
    pub fn seen(&self) -> &L {
        &self.seen
    }

    /// What would be left at least.
    pub fn synced(&self) -> &L {
        &self.synced
    }

    /// Commits a transaction, not yet synced.
    ///
    /// # Errors
    /// [`DiskFull`]; nothing is written then.
    pub fn commit(&mut self, tx: L::Tx) -> Result<(), DiskFull> {
        if self.full {
            return Err(DiskFull);
        }
        self.seen.apply(&tx);
        self.unsynced.push_back(tx);
        Ok(())
    }

    /// Makes everything committed outlast a crash.
    pub fn sync(&mut self) {
        for tx in self.unsynced.drain(..) {
            self.synced.apply(&tx);
        }
    }

    /// The machine dies: of the transactions that were not synced, some first ones are left. Returns how many were lost.
    pub fn crash(&mut self, rng: &mut Rng) -> usize {
        let kept = usize::try_from(rng.below(self.unsynced.len() as u64 + 1)).expect("an index fits");
        let lost = self.unsynced.len() - kept;
        self.unsynced.truncate(kept);
        self.sync();
        self.seen = self.synced.clone();
        lost
    }

    /// Puts a copy in the place of everything.
    pub fn restore(&mut self, copy: L) {
        self.synced = copy.clone();
        self.seen = copy;
        self.unsynced.clear();
    }

    /// Takes away the room, or gives it back.
    pub fn set_full(&mut self, full: bool) {
        self.full = full;
    }
}
