//! What travels between a client and the host: the doors of the module, as requests and replies.
//!
//! What always holds: the replies carry the contract's own types, which the real module answers with.

use std::rc::Rc;

use muster_contract::page::{Answer, NewEvent, Page, ProducerState, Snapshot, StreamList};
use muster_contract::rows::Signal;

/// Which connection. Never used twice in a run.
pub type ConnId = u64;

/// Which request of a client. Never used twice by one process.
pub type RequestId = u64;

/// A call of one of the module's reducers or procedures.
#[derive(Clone, Debug)]
pub enum Request {
    /// `append_encoded`.
    Append {
        /// The stream's id.
        stream: String,
        /// The epoch that the numbers are for; 0 if not known.
        epoch: u64,
        /// Who numbers.
        producer: String,
        /// The first event's number.
        first: u64,
        /// The events.
        events: Rc<Vec<NewEvent>>,
    },
    /// `producer_state`.
    ProducerState {
        /// Who asks.
        producer: String,
        /// About which streams.
        streams: Vec<String>,
    },
    /// `list_streams`.
    ListStreams {
        /// Which.
        pattern: String,
        /// Those behind this number.
        after_no: u64,
    },
    /// `read_page`.
    ReadPage {
        /// The stream's id.
        stream: String,
        /// The epoch that `after` is for; 0 for whatever it is.
        epoch: u64,
        /// Events after this one.
        after: u64,
        /// The mark of event `after`; 0 where it is not known.
        after_mark: u64,
        /// At most so many.
        max_events: u32,
        /// At most so many bytes.
        max_bytes: u32,
    },
    /// `read_snapshot`.
    ReadSnapshot {
        /// The stream's id.
        stream: String,
        /// The epoch that it is wanted for.
        epoch: u64,
    },
    /// `follow`.
    Follow {
        /// The session's number of it.
        slot: u32,
        /// What.
        pattern: String,
    },
    /// `ack_checkpoint`.
    Checkpoint {
        /// The stream's id.
        stream: String,
        /// The client's name.
        client: String,
        /// The cursor's epoch.
        epoch: u64,
        /// The cursor.
        seq: u64,
    },
}

/// What comes back.
#[derive(Clone, Debug)]
pub enum Reply {
    /// A reducer's end: done, or refused with one line.
    Reducer(Result<(), String>),
    /// `producer_state`.
    States(Answer<Vec<ProducerState>>),
    /// `list_streams`.
    Streams(Answer<StreamList>),
    /// `read_page`.
    Page(Answer<Page>),
    /// `read_snapshot`.
    Snapshot(Answer<Option<Snapshot>>),
}

/// What the host sends.
#[derive(Clone, Debug)]
pub enum Down {
    /// The session is there.
    Greeting,
    /// The answer to a request.
    Reply(RequestId, Reply),
    /// A row of `sync_signal`.
    Signal {
        /// Which follow.
        slot: u32,
        /// The module's number of the stream.
        stream: u64,
        /// What.
        what: Signal,
        /// The page that rides on it.
        page: Option<Page>,
    },
}
