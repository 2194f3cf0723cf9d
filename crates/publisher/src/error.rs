//! What can go wrong with an outbox, in types: opening it, publishing into it, and looking after it.
//!
//! What always holds: every message is one line that names the cause and what to do about it. An error from publishing
//! means that the event is not kept, with two exceptions that say so ([`PublishError::Disk`] and
//! [`PublishError::Interrupted`]).

use std::path::PathBuf;

use muster_contract::append::AppendError;
use muster_contract::canonical::PayloadError;
use muster_contract::stream::StreamId;
use muster_contract::topic::TopicError;

use crate::limits;

/// Why an outbox cannot be opened. Nothing was changed or overwritten.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or another publisher of this one, has it.
    #[error(
        "the outbox {} is in use by {holder}; stop that first, or use another file: two senders of one outbox would \
         confuse its numbers", path.display()
    )]
    InUse {
        /// The outbox's file.
        path: PathBuf,
        /// `process 4711`, as the other one wrote it down.
        holder: String,
    },
    /// It has further hard links, so that another process may have it under another name.
    #[error(
        "the outbox {} has {names} names (hard links); remove all but one: a sender that opened it by another name could \
         not be seen", path.display()
    )]
    SeveralNames {
        /// The outbox's file.
        path: PathBuf,
        /// How many.
        names: u64,
    },
    /// It was written by a newer build.
    #[error(
        "the outbox {} has format {found}, and this build knows {known} and older; use the build that wrote it, or a newer \
         one", path.display()
    )]
    NewerFormat {
        /// The outbox's file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest format that this build knows.
        known: i64,
    },
    /// It is a file of something else.
    #[error("{} is no outbox: {detail}; give the path of an outbox, or of a file that does not exist yet", path.display())]
    NotAnOutbox {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        detail: String,
    },
    /// It is damaged.
    #[error(
        "the outbox {} is damaged ({detail}); keep the file, move it aside with its -wal and -shm, and let a person \
         recover what it holds: a new outbox begins empty", path.display()
    )]
    Corrupt {
        /// The outbox's file.
        path: PathBuf,
        /// What SQLite says.
        detail: String,
    },
    /// The file system says no.
    #[error("the outbox {} cannot be opened ({detail}); check the folder, its permissions and its space", path.display())]
    Io {
        /// The outbox's file.
        path: PathBuf,
        /// What the operating system or SQLite says.
        detail: String,
    },
}

/// Why an event was not taken.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PublishError {
    /// The topic has no stream.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// The event breaks a rule of the contract: its kind or its size.
    #[error(transparent)]
    Event(#[from] AppendError),
    /// The payload is no JSON with a canonical form.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// Nothing to publish.
    #[error("nothing to publish; give at least one event")]
    Nothing,
    /// More at once than one call takes.
    #[error(
        "{events} events of {bytes} bytes in one call; at most {} events and {} bytes are taken at once, give fewer",
        limits::PUBLISH_EVENTS_MAX,
        limits::PUBLISH_BYTES_MAX
    )]
    TooMuchAtOnce {
        /// How many events, up to the first that was too many.
        events: usize,
        /// Their bytes.
        bytes: usize,
    },
    /// The outbox holds as much as it may.
    #[error(
        "the outbox is full ({events} events, {bytes} bytes; {limit}); wait until the host has taken some, or allow it more"
    )]
    Full {
        /// Events that are not confirmed.
        events: u64,
        /// Bytes on disk for events.
        bytes: u64,
        /// Which limit was met, in words.
        limit: String,
    },
    /// The disk has no room.
    #[error("the disk under the outbox is full; free some space on it, or wait until the host has taken some events")]
    DiskFull,
    /// The disk fails in another way. Mostly the event is not kept. But where the disk failed to confirm what had been
    /// written to it (a failed `fsync`), it may be there after the next opening: whoever publishes it again may have it
    /// twice ([`crate::Publisher::numbers`] tells, after the outbox was opened again).
    #[error(
        "the outbox cannot write ({detail}); check the disk, and open the outbox again before the event is given again"
    )]
    Disk {
        /// What SQLite says.
        detail: String,
    },
    /// The publisher was closed before the event was taken.
    #[error("the publisher is closed; open the outbox again")]
    Closed,
    /// The writer is gone with the event in its hands: it may be kept or not.
    #[error(
        "the outbox's writer ended while it had the event, which may be kept or not; open the outbox again and look"
    )]
    Interrupted,
}

impl PublishError {
    /// Whether the same event may be taken later without anybody changing it.
    pub const fn is_retryable(&self) -> bool {
        matches!(self, PublishError::Full { .. } | PublishError::DiskFull | PublishError::Disk { .. })
    }
}

/// Why something about a stream of the outbox could not be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OperateError {
    /// No such stream.
    #[error("the outbox has no stream `{stream}`; `muster outbox` lists those it has")]
    NoSuchStream {
        /// As asked for.
        stream: StreamId,
    },
    /// The event is not among those that wait.
    #[error("event {number} is not among those of stream `{stream}` that wait: they are {first} to {last}")]
    NoSuchEvent {
        /// The stream.
        stream: StreamId,
        /// As asked for.
        number: u64,
        /// The first that waits.
        first: u64,
        /// The last.
        last: u64,
    },
    /// The stream is not parked.
    #[error("stream `{stream}` is not parked: its events are sent by themselves, and nothing is to be decided")]
    NotParked {
        /// As asked for.
        stream: StreamId,
    },
    /// The disk fails.
    #[error("the outbox cannot be read or written ({detail}); check the disk and its space")]
    Disk {
        /// What SQLite says.
        detail: String,
    },
    /// The publisher was closed.
    #[error("the publisher is closed; open the outbox again")]
    Closed,
}

/// Why not everything was confirmed in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlushError {
    /// The deadline passed.
    #[error("events that are not confirmed yet: {pending}{}", cause(.last_error))]
    Deadline {
        /// How many are neither confirmed nor parked.
        pending: u64,
        /// What the sender last had trouble with: the connection, or else what the host refuses and is asked again.
        last_error: Option<String>,
    },
    /// Nothing is sending: there was no [`crate::Publisher::connect`], or it was closed.
    #[error("nothing is sending the events that are not confirmed ({pending}); connect the publisher")]
    NotConnected {
        /// How many are neither confirmed nor parked.
        pending: u64,
    },
    /// The sender has ended by itself: nothing is sending them.
    #[error("nothing is sending the events that are not confirmed ({pending}): {detail}")]
    SenderEnded {
        /// How many are neither confirmed nor parked.
        pending: u64,
        /// Why it ended.
        detail: String,
    },
    /// The outbox cannot be read.
    #[error(transparent)]
    Outbox(#[from] OperateError),
}

fn cause(error: &Option<String>) -> String {
    error.as_ref().map_or(String::new(), |error| format!(" ({error})"))
}

/// What an SQLite error says, without the statement it belongs to.
pub(crate) fn words(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(code, Some(message)) => format!("{message}, SQLite code {}", code.extended_code),
        error => error.to_string(),
    }
}

/// Whether an SQLite error means that the disk has no room.
pub(crate) fn is_full(error: &rusqlite::Error) -> bool {
    let Some(code) = error.sqlite_error() else { return false };
    code.code == rusqlite::ErrorCode::DiskFull || code.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE
}

/// Whether an SQLite error means that the file is damaged, or none of SQLite's.
pub(crate) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase))
}

impl From<rusqlite::Error> for PublishError {
    fn from(error: rusqlite::Error) -> Self {
        if is_full(&error) { PublishError::DiskFull } else { PublishError::Disk { detail: words(&error) } }
    }
}

impl From<rusqlite::Error> for OperateError {
    fn from(error: rusqlite::Error) -> Self {
        OperateError::Disk { detail: words(&error) }
    }
}
