//! What the engine is told and what it asks for.
//!
//! What always holds: these are plain data. Everything that can go wrong outside comes in as an [`Event`]; everything
//! that is to be done outside goes out as an [`Action`], in the order in which it is to be done.

use muster_contract::Code;
use muster_contract::cursor::Position;
use muster_contract::page::{Answer, Page, Snapshot, StreamList};
use muster_contract::pattern::StreamPattern;
use muster_contract::stream::StreamId;

use crate::batch::{Batch, Place};
use crate::status::{Status, StreamStatus};

/// Where a reader begins that has nothing yet of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    /// With everything that the stream holds.
    Start,
    /// With what comes after the moment in which the pattern was first followed: streams that are there begin at their
    /// head, and those that come later at their first event. A stream's head is that of its first listing; a process
    /// that ends before this is in the store begins the stream at its head of the next start, and where the very first
    /// listing, of more streams than one answer holds, is cut, streams made during the cut count as there.
    Now,
    /// With this event, in streams that are there; others at their first event.
    Seq(u64),
}

/// Streams to follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Follow {
    /// Which.
    pub pattern: StreamPattern,
    /// From where, for streams of which the store has nothing.
    pub start: StartAt,
}

/// The number of a connection, given by the engine. What is told of an earlier one changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkNo(pub u64);

/// The number of a request, given by the engine and never again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestNo(pub u64);

/// The number of a batch, given by the engine and never again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchNo(pub u64);

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The store is open. Comes first, once.
    Opened {
        /// Where each stream stands that the store knows.
        places: Vec<(StreamId, Place)>,
        /// The patterns that were followed to the end of their first listing by an earlier run on this store, with the
        /// host's highest number of a stream at that time ([`Action::Establish`]).
        established: Vec<(StreamPattern, u64)>,
    },
    /// A connection is open: the host has greeted, the contract fits, and signals are subscribed to.
    Connected(LinkNo),
    /// A connection could not be opened, or has ended.
    Disconnected {
        /// Which.
        link: LinkNo,
        /// Why.
        why: Trouble,
    },
    /// The host answered a request, or it is certain that it will not.
    Answered {
        /// Which.
        request: RequestNo,
        /// What.
        reply: Reply,
    },
    /// The host says that there is something to ask for.
    Signal {
        /// On which connection.
        link: LinkNo,
        /// Which follow it is for.
        slot: u32,
        /// The host's number of the stream.
        stream: u64,
        /// What there is.
        what: Signal,
        /// The page that came with it, if one did.
        page: Option<Page>,
    },
    /// The store has committed a batch.
    Applied(BatchNo),
    /// The store has not committed a batch, nor any part of it.
    ApplyFailed {
        /// Which.
        batch: BatchNo,
        /// Why.
        failure: ApplyFailure,
    },
    /// A batch is not what the store has committed: the stream stands elsewhere there, and goes on from that place.
    Moved {
        /// Which batch.
        batch: BatchNo,
        /// Where the store has the stream; `None` where it has nothing of it.
        place: Option<Place>,
    },
    /// The store could not carry out an [`Action::Establish`].
    EstablishFailed(StreamPattern),
    /// There is another token, and whoever carries out [`Action::Connect`] uses it from now on.
    TokenRefreshDue,
    /// Somebody changed something (the token, the rights, the host's module): what is blocked is tried again.
    Unblock,
    /// [`super::Engine::next_deadline`] has come.
    Tick,
    /// No more: the last event that does anything.
    Stop,
}

/// What a signal says. (The module's `Signal`.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The stream has something new.
    Ahead,
    /// There is a new stream that the follow's pattern matches.
    NewStream,
    /// The stream is deleted.
    Gone,
    /// The host ended the follow.
    FollowEnded,
}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Whether connecting again may help without anybody changing anything.
    pub is_retryable: bool,
    /// The stable code, where there is one.
    pub code: Option<Code>,
    /// For people, one line.
    pub message: String,
}

/// What the host answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// Done: a follow or an acknowledged cursor.
    Done,
    /// Streams of a pattern.
    Listed(Answer<StreamList>),
    /// A page.
    Page(Answer<Page>),
    /// A stream's newest snapshot.
    Snapshot(Answer<Option<Snapshot>>),
    /// The host refused, in its words: a refusal's one line, or any other text.
    Refused(String),
    /// No answer, or none that can be read.
    Failed(String),
}

/// What to ask of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Reducer `follow`.
    Follow {
        /// The follow's number on this connection.
        slot: u32,
        /// What to follow.
        pattern: StreamPattern,
    },
    /// Procedure `list_streams`.
    List {
        /// Which streams.
        pattern: StreamPattern,
        /// Only those with a higher number.
        after_no: u64,
    },
    /// Procedure `read_page`.
    Page {
        /// Of which stream.
        stream: StreamId,
        /// In which life of it.
        epoch: u64,
        /// What comes after this event.
        after: u64,
        /// The mark of that event, to be compared; `None` where it is not known.
        after_mark: Option<u64>,
        /// At most so many.
        events_max: u32,
        /// At most so many bytes of kinds and payloads, but at least one event.
        bytes_max: u32,
    },
    /// Procedure `read_snapshot`.
    Snapshot {
        /// Of which stream.
        stream: StreamId,
        /// In which life of it.
        epoch: u64,
    },
    /// Reducer `ack_checkpoint`.
    Checkpoint {
        /// Of which stream.
        stream: StreamId,
        /// Up to where it has been applied.
        position: Position,
        /// The name of this subscriber among those of its identity.
        client: String,
    },
}

/// Why a batch was not applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplyFailure {
    /// Whose fault it is.
    pub scope: Scope,
    /// Whether applying it again may help without anybody changing anything.
    pub is_retryable: bool,
    /// For people, one line.
    pub message: String,
}

/// How far a failure reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// This stream alone: the application did not take the batch.
    Stream,
    /// The store, and so all streams: a full disk, a lock, a broken file.
    Store,
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Open a connection, and answer with [`Event::Connected`] or [`Event::Disconnected`].
    Connect(LinkNo),
    /// Drop a connection. Nothing of it is awaited any more.
    Disconnect(LinkNo),
    /// Ask the host over a connection, and answer with [`Event::Answered`].
    Ask {
        /// The connection.
        link: LinkNo,
        /// The request's number.
        request: RequestNo,
        /// What to ask.
        what: Request,
    },
    /// Apply a batch and move the cursor in one transaction, and answer with [`Event::Applied`] or
    /// [`Event::ApplyFailed`]. Batches of a stream are to be applied in the order of these actions.
    Apply {
        /// The batch's number.
        batch: BatchNo,
        /// What to apply.
        what: Batch,
    },
    /// Write down that this pattern's streams have been listed to the end once ([`Event::Opened`]).
    Establish {
        /// Which.
        pattern: StreamPattern,
        /// The highest number that a stream had then. Streams with higher ones have come later.
        last_no: u64,
    },
    /// The host does not take the token of this connection, or what it granted has ended: get another, if there is where to
    /// get one, and answer with [`Event::TokenRefreshDue`] once it is there. Said once for a connection.
    RenewToken(LinkNo),
    /// The host has taken the token of this connection, and lets it follow.
    TokenTaken(LinkNo),
    /// A stream's status has changed.
    Stream(StreamStatus),
    /// The host has not shown a stream for longer than a listing of them all: it is deleted, or not granted any more.
    /// Nothing is said of it before it is listed again; what the store has of it stays.
    LetGo(StreamId),
    /// The overall status has changed.
    Status(Status),
}
