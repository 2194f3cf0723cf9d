//! The words between a session and its driver: events in, actions out.
//!
//! What always holds: plain data, comparable, so that a test or a simulator can write down what it expects.

use std::time::Duration;

use bytes::Bytes;

use crate::error::{CallError, ClosedReason};
use crate::messages::{ClientMessage, QuerySetId, ServerMessage};
use crate::update::{ProcedureReply, QueryAnswer, ReducerReply, Subscription, Update};

/// Who asked: the driver's own number for a waiting caller.
pub type CallId = u64;

/// What an application asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Follow queries.
    Subscribe {
        /// One `SELECT` each.
        queries: Vec<String>,
    },
    /// Stop following.
    Unsubscribe {
        /// The set.
        query_set: QuerySetId,
    },
    /// Ask once.
    Query {
        /// One `SELECT`.
        sql: String,
    },
    /// Run a reducer.
    Reducer {
        /// Its name.
        name: String,
        /// Its arguments in BSATN.
        args: Bytes,
    },
    /// Run a procedure.
    Procedure {
        /// Its name.
        name: String,
        /// Its arguments in BSATN.
        args: Bytes,
    },
}

impl Request {
    /// About how large the request is on the wire.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Request::Subscribe { queries } => queries.iter().map(|query| query.len() + 4).sum(),
            Request::Unsubscribe { .. } => 0,
            Request::Query { sql } => sql.len(),
            Request::Reducer { name, args } | Request::Procedure { name, args } => name.len() + args.len(),
        }
    }
}

/// What an application hears, one kind for each kind of request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To [`Request::Subscribe`].
    Subscribed(Subscription),
    /// To [`Request::Unsubscribe`].
    Unsubscribed,
    /// To [`Request::Query`].
    Rows(QueryAnswer),
    /// To [`Request::Reducer`].
    Reducer(ReducerReply),
    /// To [`Request::Procedure`].
    Procedure(ProcedureReply),
}

/// What happens to a session.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The application asks.
    Ask {
        /// Who.
        call: CallId,
        /// What.
        request: Request,
        /// How long it is ready to wait, for the error message.
        timeout: Duration,
        /// Until when.
        deadline: Duration,
    },
    /// Nobody waits for this subscription any more, although it was answered.
    Unclaimed(QuerySetId),
    /// The application closes.
    Close,
    /// A frame of any kind arrived.
    Heard,
    /// Nothing is read just now, because the application has not taken what was read before: silence proves nothing.
    NotListening,
    /// A message arrived.
    Message(ServerMessage),
    /// Time has passed: at the latest at [`super::Session::next_deadline`].
    Tick,
    /// The host closed.
    HostClosed {
        /// The close code; 1005 if none.
        code: u16,
        /// The host's words.
        said: String,
    },
    /// The socket failed, a frame cannot be read, or the application does not take its updates.
    Failed(ClosedReason),
}

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Send a message.
    Send(ClientMessage),
    /// Send a ping frame.
    Ping,
    /// Send a close frame, and nothing more after it.
    Close,
    /// Answer who asked.
    Reply {
        /// Who.
        call: CallId,
        /// The answer.
        result: Result<Reply, CallError>,
    },
    /// Hand an update to the application.
    Deliver(Update),
    /// Drop the socket: it is over.
    End(ClosedReason),
}
