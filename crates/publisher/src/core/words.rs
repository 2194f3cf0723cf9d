//! The words between the core and its driver: events in, actions out.
//!
//! What always holds: plain data, comparable and cheap to print, so that a test or a simulator can write down what it
//! expects. No payload is in it: the core knows ranges of numbers.

use std::time::Duration;

use muster_contract::producer::ProducerId;

/// The outbox's own number of a stream.
pub type StreamNo = u64;

/// The core's own number of a call to the host.
pub type CallId = u64;

/// Who counts: the producer of an outbox, in one of its countings of a stream. A counting has an id of its own, so that a
/// number that the host gives always means the same event, whatever was deleted, made anew or restored since.
pub fn producer_of(outbox: ProducerId, generation: u32) -> ProducerId {
    ProducerId::from_random(outbox.to_u128() ^ u128::from(generation))
}

/// What the outbox keeps of a stream. Events have *local* numbers, given when they are published: 1, 2, 3, … for each
/// stream of an outbox, for ever. The host counts each producer's events of a stream from 1 on; `local - base` is the
/// number there, for the producer of this `generation` ([`producer_of`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamRecord {
    /// The outbox's number of the stream.
    pub no: StreamNo,
    /// The epoch in which the stream was last seen; 0 while it is not known.
    pub epoch: u64,
    /// Which counting this is: the first is 0, the one after another the next number, and one that a person asked for a
    /// random number.
    pub generation: u32,
    /// What a local number has more than the host's. It never changes within a generation.
    pub base: u64,
    /// The last local number that the host has confirmed; 0 for none.
    pub confirmed: u64,
    /// The last local number given; 0 for none.
    pub last: u64,
    /// Whether a person accepted that the host has lost events or knows others: the next
    /// answer of the host begins another counting.
    pub renumber: bool,
    /// Whether the stream waits for a person.
    pub parked: bool,
}

impl StreamRecord {
    /// The host's number of a local one, where it has one.
    pub fn wire_number(&self, local: u64) -> Option<u64> {
        local.checked_sub(self.base).filter(|number| *number > 0)
    }

    /// How many events are not confirmed.
    pub const fn pending(&self) -> u64 {
        // A damaged row may say anything.
        self.last.saturating_sub(self.confirmed)
    }
}

/// A refusal as the core needs it: the stable code, and words for a person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// A code of [`muster_contract::Code`], or one that a newer module knows.
    pub code: String,
    /// The whole refusal as the host said it.
    pub message: String,
    /// How long the host wants to be left alone, where it says so. At most [`crate::limits::RETRY_AFTER_MS_MAX`] of it
    /// is believed.
    pub retry_after: Option<Duration>,
    /// Which of the streams asked about is at fault, from 0, where a question was refused for one of them; which of the
    /// events, where a batch was.
    pub at: Option<u32>,
}

/// Which of a stream's events a person has to decide about, at the end of a message.
pub(crate) fn named(first: u64, last: u64) -> String {
    if last <= first {
        return format!(" (the outbox's event {first} of this stream)");
    }
    format!(" (the outbox's events {first} to {last} of this stream)")
}

impl Refusal {
    /// A refusal of this code, in these words.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Refusal {
        Refusal { code: code.into(), message: message.into(), retry_after: None, at: None }
    }
}

/// Whose event the host has under the last number that it accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HostEvent {
    /// Nobody can say: the host does not hold the event any more, or the outbox does not.
    #[default]
    Unknown,
    /// The one that the outbox has under that number: payload and time are the same.
    Own,
    /// Another one. The outbox was restored from an older copy, and has given numbers again.
    Other,
}

/// What the host says of a stream: [`muster_contract::page::ProducerState`] as the core needs it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostState {
    /// The stream's epoch; 0 if there is no such stream.
    pub epoch: u64,
    /// The last number accepted of this producer; 0 for none.
    pub number: u64,
    /// Whose event that is. It matters only where the outbox has not heard yet that the number was accepted.
    pub event: HostEvent,
}

/// What happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Whoever holds the publisher wants it to send.
    Start,
    /// Nobody wants it to send any more.
    Stop,
    /// A person asks to try again now, blocked or not.
    RetryNow,
    /// There is another token, and whoever carries out [`Action::Connect`] uses it from now on.
    TokenRefreshDue,
    /// Events of a stream are on disk. For a stream that the core knows, only `last` is taken from it.
    Stored(StreamRecord),
    /// A person changed a parked stream on disk: what the core knew of it is void.
    Reset(StreamRecord),
    /// [`Action::Connect`] succeeded.
    Connected {
        /// The connection's number.
        connection: u64,
    },
    /// [`Action::Connect`] failed, or the connection ended.
    Disconnected {
        /// The connection's number.
        connection: u64,
        /// Whether trying again may help without anybody changing anything.
        retryable: bool,
        /// For a person.
        message: String,
    },
    /// The events of [`Action::Append`] were read from disk and handed to the connection.
    Taken {
        /// Which call.
        call: CallId,
        /// How many, at least one.
        count: u32,
        /// How many bytes they hold.
        bytes: usize,
    },
    /// They could not be read; the call was not made.
    NotTaken {
        /// Which call.
        call: CallId,
        /// Whether the outbox is damaged there, so that reading again cannot help.
        damaged: bool,
        /// For a person.
        message: String,
    },
    /// `append_encoded` succeeded: what it brought is durable at the host.
    Accepted {
        /// Which call.
        call: CallId,
    },
    /// The host refused a call, `append_encoded` or `producer_state`, and nothing was changed.
    Refused {
        /// Which call.
        call: CallId,
        /// Why.
        refusal: Refusal,
    },
    /// `producer_state` answered; all that it says is durable at the host.
    States {
        /// Which call.
        call: CallId,
        /// One for each stream asked for, in that order.
        states: Vec<HostState>,
    },
    /// [`Action::Save`] is on disk, or could not be written.
    Saved {
        /// The stream.
        stream: StreamNo,
        /// Whether it is.
        ok: bool,
    },
    /// [`Action::Forget`] is on disk, or could not be written.
    Forgotten {
        /// Whether it is.
        ok: bool,
    },
    /// Time has passed.
    Tick,
}

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Connect to the host; answered by [`Event::Connected`] or [`Event::Disconnected`].
    Connect {
        /// The connection's number. Calls have numbers of their own, which never come again on another connection.
        connection: u64,
    },
    /// Drop the connection, without an answer. Answers to its calls that still come are ignored.
    Disconnect {
        /// The connection's number.
        connection: u64,
    },
    /// The host does not take the token of this connection, or what it granted has ended: get another, if there is where
    /// to get one, and answer with [`Event::TokenRefreshDue`] once it is there. Said once for a connection.
    RenewToken {
        /// The connection's number.
        connection: u64,
    },
    /// The host has done what the token of this connection grants.
    TokenTaken {
        /// The connection's number.
        connection: u64,
    },
    /// Call `producer_state`.
    Ask {
        /// The call.
        call: CallId,
        /// The counting of all these streams.
        generation: u32,
        /// The streams, at most [`crate::limits::ASK_STREAMS_MAX`].
        streams: Vec<StreamNo>,
    },
    /// Read events from disk and call `append_encoded` with them: as many as there are from `first` on, at least one, at
    /// most `events_max` and, from the second on, `bytes_max`. Calls go out in the order of these actions. Answered by
    /// [`Event::Taken`] and then the host's word, or by [`Event::NotTaken`].
    Append {
        /// The call.
        call: CallId,
        /// The stream.
        stream: StreamNo,
        /// Its counting.
        generation: u32,
        /// The stream's epoch as far as known, or 0.
        epoch: u64,
        /// The local number of the first event.
        first: u64,
        /// The host's number of the first event.
        number: u64,
        /// At most so many.
        events_max: u32,
        /// At most so many bytes of kinds and payloads, unless the first event alone has more.
        bytes_max: usize,
    },
    /// Write epoch, generation, base and confirmed number of a stream to disk, and `renumber` as false; answered by
    /// [`Event::Saved`]. Nothing is sent under the new numbers before.
    Save(StreamRecord),
    /// Write to disk that the stream waits for a person. Not answered: the driver repeats it until it is written, and a
    /// stream for which it was lost is parked again after the next start.
    Park {
        /// The stream.
        stream: StreamNo,
        /// Why.
        refusal: Refusal,
    },
    /// Write to disk that all events of each stream up to a local number are confirmed, and forget them; answered by
    /// [`Event::Forgotten`].
    Forget(Vec<(StreamNo, u64)>),
}

/// What the sender is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nobody asked it to send.
    Off,
    /// Waiting for the host's greeting.
    Connecting,
    /// Connected, with events that are not confirmed.
    Sending,
    /// Connected, and all but parked events confirmed.
    Idle,
    /// Not connected; waiting until the next attempt.
    Backoff {
        /// When it comes, as a time of [`super::Core::on`].
        until: Duration,
    },
    /// Not connected, until somebody has changed something. That is looked for slowly.
    Blocked {
        /// When the next attempt comes, as a time of [`super::Core::on`].
        until: Duration,
    },
}

/// What the core tells of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// What it is doing.
    pub state: State,
    /// Attempts to connect in a row that failed.
    pub attempts: u32,
    /// What went wrong last with the connection, while it is away.
    pub last_error: Option<String>,
    /// Streams with events that are neither confirmed nor parked.
    pub pending_streams: usize,
    /// Parked streams that the core has met.
    pub parked_streams: usize,
    /// Calls that the host has not answered.
    pub calls: usize,
    /// Streams in trouble that are tried again by themselves, with the last refusal of each; at most ten.
    pub refused: Vec<(StreamNo, Refusal)>,
}

/// What has been counted since the core was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Events confirmed, however.
    pub confirmed: u64,
    /// Events that the host turned out to have when asked: sent before, with the acknowledgement lost.
    pub duplicates: u64,
    /// Successful calls of `append_encoded`.
    pub accepted_calls: u64,
    /// Refused calls of any kind.
    pub refused_calls: u64,
    /// Connections that were made.
    pub connections: u64,
    /// Connections that took over from an open one.
    pub hand_overs: u64,
    /// Countings that began anew, because the stream did or a person said so.
    pub rebased: u64,
    /// Streams that were seen in another epoch than before.
    pub epochs: u64,
    /// Streams parked.
    pub parked: u64,
}
