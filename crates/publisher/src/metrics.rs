//! What a publisher counts.
//!
//! What always holds: counting never waits; counters only rise while the publisher lives, and start at 0 with it.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::core::Counters;

/// What the writer and the sender count.
#[derive(Debug, Default)]
pub(crate) struct Meters {
    pub(crate) published: AtomicU64,
    pub(crate) refused_full: AtomicU64,
    pub(crate) commits: AtomicU64,
    pub(crate) commit_us: AtomicU64,
    pub(crate) failed_commits: AtomicU64,
    pub(crate) events: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) oldest_ms: AtomicI64,
    pub(crate) from_memory: AtomicU64,
    pub(crate) sender: Mutex<(Counters, BTreeMap<String, u64>)>,
}

/// What a publisher has counted since it was opened, and how full its outbox is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Events taken and kept.
    pub published: u64,
    /// Events not taken because the outbox was full.
    pub refused_full: u64,
    /// Commits, each with one wait for the disk.
    pub commits: u64,
    /// How long all of them took together.
    pub commit_time: Duration,
    /// Commits that failed, for want of space or otherwise.
    pub failed_commits: u64,
    /// Events in the outbox that are not confirmed, parked ones included.
    pub depth_events: u64,
    /// Bytes on disk for them.
    pub depth_bytes: u64,
    /// How long the oldest of them has been there; zero if there is none.
    pub oldest_age: Duration,
    /// Batches that the sender did not have to read back, because they had just been committed.
    pub from_memory: u64,
    /// What the sender counted.
    pub sender: Counters,
    /// Refusals and failed attempts to connect, by code: a code of [`muster_contract::Code`], one of the outbox's own
    /// (`outbox_…`, `host_behind_outbox`), or `network`.
    pub failures: BTreeMap<String, u64>,
}

impl Meters {
    pub(crate) fn snapshot(&self, now_ms: i64) -> Metrics {
        let (sender, failures) = self.sender.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let oldest_ms = self.oldest_ms.load(Relaxed);
        let age_ms = if oldest_ms == 0 { 0 } else { u64::try_from(now_ms - oldest_ms).unwrap_or(0) };
        Metrics {
            published: self.published.load(Relaxed),
            refused_full: self.refused_full.load(Relaxed),
            commits: self.commits.load(Relaxed),
            commit_time: Duration::from_micros(self.commit_us.load(Relaxed)),
            failed_commits: self.failed_commits.load(Relaxed),
            depth_events: self.events.load(Relaxed),
            depth_bytes: self.bytes.load(Relaxed),
            oldest_age: Duration::from_millis(age_ms),
            from_memory: self.from_memory.load(Relaxed),
            sender,
            failures,
        }
    }

    pub(crate) fn failed(&self, code: &str) {
        let mut sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        *sender.1.entry(code.to_string()).or_default() += 1;
    }

    pub(crate) fn counted(&self, counters: Counters) {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner).0 = counters;
    }
}
