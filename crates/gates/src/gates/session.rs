//! A session that knows the doors of the streams, without the client libraries: what a gate asks by itself, as a witness
//! beside the publisher and the subscriber that it tries.
//!
//! What always holds: every wait has a limit; a refusal, a stale answer and a failure are told apart.

use std::time::Duration;

use muster_contract::page::{Answer, AnswerValue, NewEvent, Page, StoredEvent, StreamInfo, StreamList, wire_hash};
use muster_contract::{Client, PayloadHash, Refusal};
use muster_wire::sats::{Serialize, bsatn};
use muster_wire::{CallError, CallOutcome, ConnectError, ConnectOptions, Connection, Endpoint, Incoming, Timestamp};
use muster_wire::{Token, args, connect};

/// Why a session gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// No answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The module refused.
    #[error("{0}")]
    Refused(Refusal),
    /// The cursor does not hold.
    #[error("the cursor is stale: {0}")]
    Stale(String),
    /// The function failed, or answered what no module of this contract does.
    #[error("{0}")]
    Failed(String),
}

impl SessionError {
    /// The refusal, if it is one.
    pub(crate) fn refusal(&self) -> Option<&Refusal> {
        match self {
            SessionError::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }
}

/// A connected client.
pub(crate) struct Session {
    pub(crate) connection: Connection,
    /// Held, so that updates have somewhere to go; what nobody takes is bounded by the wire.
    pub(crate) incoming: Incoming,
}

impl Session {
    /// Connects and checks the contract.
    pub(crate) async fn open(
        endpoint: Endpoint,
        token: Option<Token>,
        patience: Duration,
    ) -> Result<Session, SessionError> {
        let mut options = ConnectOptions::new(endpoint).expect(Client::of_this_build()).token(token);
        (options.timeouts.connect, options.timeouts.call) = (patience, patience);
        Session::with(options).await
    }

    /// Connects as it is said.
    pub(crate) async fn with(options: ConnectOptions) -> Result<Session, SessionError> {
        let (connection, incoming) = connect(options).await?;
        Ok(Session { connection, incoming })
    }

    /// Calls a reducer.
    pub(crate) async fn call<T: Serialize>(&self, reducer: &str, arguments: &T) -> Result<(), SessionError> {
        match self.connection.call_reducer(reducer, args(arguments)).await?.outcome {
            CallOutcome::Returned(_) => Ok(()),
            CallOutcome::Refused(error) => {
                let line = bsatn::from_slice::<String>(&error).unwrap_or_default();
                Err(Refusal::from_wire(&line)
                    .map_or_else(|| SessionError::Failed(format!("{reducer}: {line}")), SessionError::Refused))
            }
            CallOutcome::Failed(message) => Err(SessionError::Failed(format!("{reducer} failed: {message}"))),
        }
    }

    /// Calls a procedure.
    pub(crate) async fn ask<T: Serialize, R: AnswerValue>(
        &self,
        procedure: &str,
        arguments: &T,
    ) -> Result<R, SessionError> {
        let failed = |why: String| SessionError::Failed(format!("{procedure}: {why}"));
        let value = match self.connection.call_procedure(procedure, args(arguments)).await?.outcome {
            CallOutcome::Returned(value) => value,
            other => return Err(failed(format!("{other:?}"))),
        };
        let bytes: Vec<u8> = bsatn::from_slice(&value).map_err(|error| failed(error.to_string()))?;
        match Answer::from_bytes(&bytes).map_err(|error| failed(error.to_string()))? {
            Answer::Ok(value) => Ok(value),
            Answer::Stale(stale) => Err(SessionError::Stale(stale.reason)),
            Answer::Refused(line) => Err(Refusal::from_wire(&line).map_or_else(|| failed(line), SessionError::Refused)),
        }
    }

    /// The streams of a pattern.
    pub(crate) async fn streams(&self, pattern: &str) -> Result<Vec<StreamInfo>, SessionError> {
        let (mut all, mut after) = (Vec::new(), 0u64);
        loop {
            let list: StreamList = self.ask("list_streams", &(pattern, after)).await?;
            all.extend(list.streams);
            if !list.more {
                return Ok(all);
            }
            after = list.resume_after;
        }
    }

    /// One page of a stream, from after this number on.
    pub(crate) async fn page(&self, stream: &str, after: u64) -> Result<Page, SessionError> {
        self.ask("read_page", &(stream, 0u64, after, 0u64, 1_000u32, 1u32 << 20)).await
    }

    /// Everything of a stream, page by page, with the numbers that the pages give; no more than `most` events.
    pub(crate) async fn everything(&self, stream: &str, most: u64) -> Result<Vec<(u64, StoredEvent)>, SessionError> {
        let mut all: Vec<(u64, StoredEvent)> = Vec::new();
        loop {
            let after = all.last().map_or(0, |(seq, _)| *seq);
            let page = self.page(stream, after).await?;
            // A page with a hole in it names numbers that the head has gone past: what it lacks comes as a page too many.
            if page.events.is_empty() || all.len() as u64 > most {
                return Ok(all);
            }
            let first = page.first;
            all.extend(page.events.into_iter().enumerate().map(|(index, event)| (first + index as u64, event)));
        }
    }

    /// Appends events of a producer, numbered from `first` on.
    pub(crate) async fn append(
        &self,
        stream: &str,
        producer: &str,
        first: u64,
        events: Vec<NewEvent>,
    ) -> Result<(), SessionError> {
        self.call("append_events", &(stream, 0u64, producer, first, 0u64, events)).await
    }

    /// Closes, and waits until it is.
    pub(crate) async fn close(self) {
        drop(self.incoming);
        self.connection.close().await;
    }
}

/// An event with this payload, which must be canonical.
pub(crate) fn event(kind: &str, payload: String, at: Timestamp) -> NewEvent {
    let hash = wire_hash(PayloadHash::of(payload.as_bytes()).as_bytes());
    NewEvent { kind: kind.into(), payload, hash, at }
}

/// A producer's id that nobody has used.
pub(crate) fn new_producer() -> String {
    format!("{:032x}", rand::random::<u128>())
}
