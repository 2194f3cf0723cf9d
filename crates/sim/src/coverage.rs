//! How often each fault was injected and each rule applied.
//!
//! What always holds: what two thousand seeds must meet is declared in [`EXERCISED`], so that a campaign can say what it
//! never met. A simulation that never meets a rule says nothing about it.

use std::collections::BTreeMap;

/// Counts by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage(BTreeMap<&'static str, u64>);

impl Coverage {
    /// Counts one.
    pub fn hit(&mut self, name: &'static str) {
        *self.0.entry(name).or_default() += 1;
    }

    /// Counts several.
    pub fn add(&mut self, name: &'static str, count: u64) {
        if count > 0 {
            *self.0.entry(name).or_default() += count;
        }
    }

    /// Adds another run's counts.
    pub fn merge(&mut self, other: &Coverage) {
        for (name, count) in &other.0 {
            *self.0.entry(name).or_default() += count;
        }
    }

    /// How often.
    pub fn count(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// What was counted, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.iter().map(|(name, count)| (*name, *count))
    }
}

/// Every fault and every rule that two thousand seeds must have met at least once.
pub const EXERCISED: &[&str] = &[
    // Faults.
    "answers lost",
    "appends refused in passing",
    "clock jumped",
    "connection attempt lost",
    "connection cut",
    "connection cut, answers still arriving",
    "connection cut, requests still arriving",
    "connection half-open",
    "connection refused",
    "connection stalled",
    "disk full",
    "disk unreadable",
    "epochs renewed",
    "grant ended",
    "host disk full",
    "host killed",
    "host killed silently",
    "host lost unsynced transactions",
    "host restored from an older copy",
    "machine killed",
    "message swallowed",
    "messages repeated",
    "network partitioned",
    "outbox lost unsynced transactions",
    "outbox refused a write, disk full",
    "outbox or store restored from a part of a copy",
    "outbox or store restored from an older copy",
    "pages damaged",
    "pages of another life",
    "pages overlap",
    "pages with gaps",
    "process died in the middle of a step",
    "process killed",
    "process paused",
    "reply arrived twice",
    "request arrived twice",
    "signals lost",
    "store lost unsynced transactions",
    "store refused a write, disk full",
    "stream deleted",
    "token refreshed",
    "word of an earlier connection",
    // Rules.
    "host: append refused in passing",
    "host: append refused, epoch changed",
    "host: duplicate batch dropped",
    "host: overlapping batch cut",
    "host: page stale, epoch changed",
    "host: page stale, floor breach",
    "host: page stale, head behind cursor",
    "host: page stale, history diverged",
    "host: page stale, stream missing",
    "host: producer hole refused",
    "host: refused, the grant has ended",
    "host: snapshot taken",
    "host: streams pruned",
    "publisher: another epoch noticed",
    "publisher: batch could not be read",
    "publisher: call refused",
    "publisher: duplicate found when asked",
    "publisher: loss accepted by a person",
    "publisher: numbers rebased",
    "publisher: stream parked",
    "subscriber: batch failed",
    "subscriber: another session took over",
    "subscriber: began anew",
    "subscriber: began with a snapshot",
    "subscriber: duplicate dropped",
    "subscriber: gap noticed",
    "subscriber: late answer ignored",
    "subscriber: page of another history",
    "subscriber: stale cursor",
    "subscriber: stream let go of",
    "subscriber: token came while a connection waited for it",
    "subscriber: told epoch_changed",
    "subscriber: told head_behind_cursor",
    "subscriber: told history_diverged",
    "subscriber: told replay_budget_exceeded",
    "subscriber: told retention_floor_breach",
    "subscriber: told that the beginning is gone",
    "subscriber: wrong hash noticed",
];
