//! One stream, as the core knows it.
//!
//! What always holds: `confirmed < next <= last + 1`, and the numbers from `confirmed + 1` to `next - 1` are those of the
//! calls under way.

use std::time::Duration;

use super::CoreConfig;
use super::words::{HostEvent, HostState, Refusal, StreamRecord};
use crate::limits::FINAL_REFUSALS_MAX;

/// Where a stream is. The table of moves is on the page of [`super`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Unknown,
    Asking,
    /// The new record, and the connection on which the host was asked.
    Saving {
        record: StreamRecord,
        session: u64,
    },
    Ready,
    Draining,
    Waiting {
        until: Duration,
    },
    Parked,
}

#[derive(Clone, Debug)]
pub(super) struct Stream {
    pub(super) record: StreamRecord,
    pub(super) phase: Phase,
    /// The next local number to send.
    pub(super) next: u64,
    pub(super) calls: usize,
    /// A call whose events are being read: where the next one begins is not known yet.
    pub(super) reading: bool,
    /// Since when there have been events that nobody has sent.
    pub(super) waiting_since: Duration,
    /// The refusal that is being dealt with, of the earliest call that had one since the last success.
    pub(super) refusal: Option<Refusal>,
    /// The first local number of the call that it was for.
    pub(super) refused_at: u64,
    /// The event that the host refused for good, where it said which: what stands before it goes out without it.
    pub(super) at_fault: Option<u64>,
    /// Final refusals in a row. With any, one call at a time is made.
    pub(super) finals: u32,
    /// Refusals of any kind in a row.
    pub(super) attempts: u32,
    /// Whether the host must be asked about this stream in a call of its own, because it refused one with others.
    pub(super) alone: bool,
    /// Whether the disk is forgetting its confirmed events.
    pub(super) forgetting: bool,
    pub(super) timer: Option<Duration>,
    pub(super) drained: Option<u64>,
}

impl Stream {
    pub(super) fn new(record: StreamRecord, now: Duration) -> Stream {
        Stream {
            record,
            phase: if record.parked { Phase::Parked } else { Phase::Unknown },
            next: record.confirmed + 1,
            calls: 0,
            reading: false,
            waiting_since: now,
            refusal: None,
            refused_at: 0,
            at_fault: None,
            finals: 0,
            attempts: 0,
            alone: false,
            forgetting: false,
            timer: None,
            drained: None,
        }
    }

    /// Whether nothing is under way for it.
    pub(super) fn is_idle(&self) -> bool {
        self.calls == 0 && matches!(self.phase, Phase::Unknown | Phase::Ready)
    }

    /// How many events nobody has sent.
    pub(super) fn unsent(&self) -> u64 {
        (self.record.last + 1).saturating_sub(self.next)
    }

    /// How many of them the next call may have, at most so many.
    pub(super) fn next_events(&self, max: u32) -> u32 {
        let before_fault = self.at_fault.and_then(|fault| fault.checked_sub(self.next)).filter(|before| *before > 0);
        let events = before_fault.map_or(self.unsent(), |before| before.min(self.unsent()));
        u32::try_from(events).unwrap_or(u32::MAX).min(max)
    }

    /// When the next batch may go out; `None` while an answer is needed first. Events gather while others are under way.
    pub(super) fn sends_at(&self, config: &CoreConfig) -> Option<Duration> {
        let calls_max = if self.finals > 0 { 1 } else { config.stream_calls_max };
        if self.reading || self.unsent() == 0 || self.calls >= calls_max {
            return None;
        }
        let at_once = self.calls < config.eager_calls.max(1) || self.unsent() >= u64::from(config.batch_events_max);
        Some(if at_once { Duration::ZERO } else { self.waiting_since + config.linger })
    }

    /// Everything that was under way is void.
    pub(super) fn rewind(&mut self) {
        self.calls = 0;
        self.reading = false;
        self.next = self.record.confirmed + 1;
    }
}

/// What to do about a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// The stream is another one: ask, renumber, go on.
    Epoch,
    /// It will come again: park.
    Final,
    /// The outbox cannot be read there, now or later: park, once nothing is under way any more.
    Damaged,
    /// It may be over by itself, or after somebody changed a grant: try again, more and more slowly.
    Passing,
}

impl Refusal {
    pub(super) fn class(&self) -> Class {
        match self.code.as_str() {
            "outbox_damaged" => Class::Damaged,
            "epoch_changed" | "stale_cursor" => Class::Epoch,
            "sequence_conflict"
            | "producer_hole"
            | "payload_hash_mismatch"
            | "payload_too_large"
            | "invalid_payload"
            | "invalid_kind"
            | "invalid_batch"
            | "invalid_request"
            | "batch_too_large"
            | "bad_stream_id" => Class::Final,
            // Also what a person can mend without touching the outbox: a token, a grant, a client that is too old. And
            // what a newer module may say.
            _ => Class::Passing,
        }
    }
}

/// What the host's word about a stream means for its numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Numbers {
    /// The host has everything up to this local number.
    Confirmed(u64),
    /// Another counting begins, or the same one goes on in an epoch that was not known.
    Renumbered(StreamRecord),
    /// They contradict each other, and only a person can say what to do.
    Contradicted(Refusal),
}

/// Compares what the outbox holds of a stream with the host's word. `fresh` are random bits.
pub(super) fn compare(record: &StreamRecord, host: HostState, fresh: u32) -> Numbers {
    // The next counting begins behind what is confirmed, with 1. Whether the host really knows nothing of it is asked
    // before anything goes out under it: an outbox that was restored from an older copy may have begun it before.
    let next = record.generation.wrapping_add(1);
    let renumbered = |generation, confirmed| StreamRecord {
        epoch: host.epoch,
        generation,
        base: confirmed,
        confirmed,
        renumber: false,
        ..*record
    };
    let known = record.base.saturating_add(host.number);
    let is_news = known > record.confirmed;
    if record.renumber {
        // Whatever a person accepted, what the host has of the outbox's own events need not go out again.
        let is_own = is_news && known <= record.last && host.event == HostEvent::Own;
        // One that nobody ever began: a person is not to be asked once for each that an older copy does not know of.
        let unheard_of = if fresh == record.generation { next } else { fresh };
        return Numbers::Renumbered(renumbered(unheard_of, if is_own { known } else { record.confirmed }));
    }
    if known > record.last || (is_news && host.event == HostEvent::Other) {
        return Numbers::Contradicted(ahead(record, host));
    }
    if known < record.confirmed {
        // Another stream of the same name counts anew; so does one whose epoch nobody had learnt yet. One that knows
        // this counting is the same stream, whatever its epoch.
        let is_another = host.number == 0 && (record.epoch == 0 || record.epoch != host.epoch);
        return if is_another {
            Numbers::Renumbered(renumbered(next, record.confirmed))
        } else {
            Numbers::Contradicted(behind(record, host))
        };
    }
    if host.epoch == record.epoch {
        return Numbers::Confirmed(known);
    }
    // The stream was given another epoch and kept what it knew of its producers, or its first epoch is known now.
    Numbers::Renumbered(StreamRecord { epoch: host.epoch, confirmed: known, ..*record })
}

fn behind(record: &StreamRecord, host: HostState) -> Refusal {
    let confirmed = record.wire_number(record.confirmed).unwrap_or(0);
    let lost = record.base.saturating_add(host.number) + 1;
    Refusal::new(
        "host_behind_outbox",
        format!(
            "the host has this producer's events up to {}, and had confirmed {confirmed}: it was restored from an older \
             copy, and the events {lost} to {} of this stream are gone from the outbox; accept the loss to go on with the \
             next event",
            host.number, record.confirmed
        ),
    )
}

fn ahead(record: &StreamRecord, host: HostState) -> Refusal {
    let last = record.wire_number(record.last).unwrap_or(0);
    let found = if host.event == HostEvent::Other {
        "and the last of them is not the one that the outbox has under this number".to_string()
    } else {
        format!("and the outbox never gave a number above {last}")
    };
    Refusal::new(
        "outbox_behind_host",
        format!(
            "the host has this producer's events up to {}, {found}: the outbox was restored from an older copy; accept the \
             loss to send what it holds as new events, some perhaps twice",
            host.number
        ),
    )
}

/// Whether a refusal of the only call under way parks the stream: a final one, and not the first.
pub(super) fn parks(stream: &Stream, refusal: &Refusal) -> bool {
    let is_again = stream.refusal.as_ref().is_some_and(|before| before.code == refusal.code);
    refusal.class() == Class::Final && stream.finals > 0 && (is_again || stream.finals >= FINAL_REFUSALS_MAX)
}
