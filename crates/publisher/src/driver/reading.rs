//! The thread that reads the outbox for the sender.
//!
//! What always holds: requests are answered in order, each by its own channel; the thread ends when nobody can ask, and has
//! closed the file by then.

use muster_contract::page::ProducerState;
use muster_contract::producer::ProducerId;
use rusqlite::Connection;
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot};

use crate::core::{HostState, StreamNo, StreamRecord};
use crate::limits::CALLS_MAX;
use crate::outbox::batch::{Batch, Wanted};
use crate::outbox::reader::{self, ReadError};

/// Requests that may wait: every call that may be under way, twice, because those of a connection that broke may still
/// be among them, and a few questions.
const QUEUE_LEN: usize = 2 * CALLS_MAX + 16;

type Reply<T> = oneshot::Sender<Result<T, ReadError>>;

enum Request {
    Batch(Wanted, Reply<Batch>),
    Compared { generation: u32, streams: Vec<StreamNo>, states: Vec<ProducerState>, reply: Reply<Vec<HostState>> },
    Ids(Vec<StreamNo>, Reply<Vec<String>>),
    Pending { after: StreamNo, limit: usize, reply: Reply<Vec<StreamRecord>> },
    Token(String, Reply<Option<String>>),
}

/// The asking end.
#[derive(Clone)]
pub(super) struct Reader(mpsc::Sender<Request>);

impl Reader {
    /// Starts the thread; it ends once the last clone of the asking end is gone.
    pub(super) fn start(connection: Connection, producer: ProducerId) -> std::io::Result<(Reader, JoinHandle<()>)> {
        let (requests, mut queue) = mpsc::channel(QUEUE_LEN);
        let thread = std::thread::Builder::new().name("outbox-reader".into()).spawn(move || {
            while let Some(request) = queue.blocking_recv() {
                serve(&connection, producer, request);
            }
        })?;
        Ok((Reader(requests), thread))
    }

    pub(super) async fn batch(self, wanted: Wanted) -> Result<Batch, ReadError> {
        self.ask(|reply| Request::Batch(wanted, reply)).await
    }

    pub(super) async fn ids(self, streams: Vec<StreamNo>) -> Result<Vec<String>, ReadError> {
        self.ask(|reply| Request::Ids(streams, reply)).await
    }

    pub(super) async fn compared(
        self,
        generation: u32,
        streams: Vec<StreamNo>,
        states: Vec<ProducerState>,
    ) -> Result<Vec<HostState>, ReadError> {
        self.ask(|reply| Request::Compared { generation, streams, states, reply }).await
    }

    pub(super) async fn pending(self, after: StreamNo, limit: usize) -> Result<Vec<StreamRecord>, ReadError> {
        self.ask(|reply| Request::Pending { after, limit, reply }).await
    }

    pub(super) async fn token(self, host: String) -> Result<Option<String>, ReadError> {
        self.ask(|reply| Request::Token(host, reply)).await
    }

    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, ReadError> {
        let gone = || ReadError::Unreadable("the thread that reads the outbox has ended".into());
        let (reply, answer) = oneshot::channel();
        self.0.send(request(reply)).await.map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

fn serve(connection: &Connection, producer: ProducerId, request: Request) {
    // Whoever does not wait any more needs no answer.
    match request {
        Request::Batch(_, reply) if reply.is_closed() => {}
        Request::Batch(wanted, reply) => drop(reply.send(reader::batch(connection, producer, &wanted))),
        Request::Compared { generation, streams, states, reply } => {
            drop(reply.send(reader::compared(connection, generation, &streams, &states)));
        }
        Request::Ids(streams, reply) => drop(reply.send(reader::ids(connection, &streams))),
        Request::Pending { after, limit, reply } => drop(reply.send(reader::pending(connection, after, limit))),
        Request::Token(host, reply) => drop(reply.send(reader::token(connection, &host))),
    }
}
