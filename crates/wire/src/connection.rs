//! A live connection, as an application holds it: [`Connection`] to ask, [`Incoming`] to listen.
//!
//! What always holds: both are only ends of queues to one task, which owns the socket (see [`crate::driver`]). Every
//! request has a deadline from the moment it is made; when the task ends, every waiting caller hears why.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use muster_contract::rows::ContractInfo;
use spacetimedb_lib::{ConnectionId, Identity};
use spacetimedb_sats::{Serialize, bsatn};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};

use crate::error::{CallError, ClosedReason};
use crate::limits::{CALL_GRACE_MS, ms};
use crate::messages::QuerySetId;
use crate::options::Protocol;
use crate::session::{Reply, Request};
use crate::token::Token;
use crate::update::{ProcedureReply, QueryAnswer, ReducerReply, Subscription, Update};

/// The asking end of a connection. Cheap to clone; requests of all clones go out over one socket, and many may wait
/// for their answers at once.
///
/// The connection lives until [`Connection::close`], or until every clone and the [`Incoming`] are dropped.
#[derive(Clone)]
pub struct Connection {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    close: Arc<watch::Sender<bool>>,
    closed: watch::Receiver<Option<ClosedReason>>,
}

/// What the host said in its greeting, and what was agreed.
pub(crate) struct Shared {
    identity: Identity,
    connection_id: ConnectionId,
    token: Token,
    protocol: Protocol,
    call_timeout: Duration,
    /// Set once, before the application gets the connection.
    contract: OnceLock<ContractInfo>,
}

impl Shared {
    pub(crate) fn new(
        identity: Identity,
        connection_id: ConnectionId,
        token: Token,
        protocol: Protocol,
        call_timeout: Duration,
    ) -> Shared {
        Shared { identity, connection_id, token, protocol, call_timeout, contract: OnceLock::new() }
    }
}

/// A request on its way to the task that owns the socket.
pub(crate) struct Command {
    pub(crate) request: Request,
    pub(crate) timeout: Duration,
    pub(crate) deadline: Instant,
    pub(crate) reply: oneshot::Sender<Result<Reply, CallError>>,
}

/// The ends that the task holds.
pub(crate) struct TaskEnds {
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) close: watch::Receiver<bool>,
    pub(crate) closed: watch::Sender<Option<ClosedReason>>,
    pub(crate) updates: mpsc::Sender<Queued>,
    pub(crate) update_bytes: Arc<Semaphore>,
}

/// An update in the queue, with the part of the byte budget that it holds.
pub(crate) struct Queued {
    pub(crate) update: Update,
    pub(crate) _budget: OwnedSemaphorePermit,
}

impl Connection {
    /// Who the host takes this client for.
    pub fn identity(&self) -> Identity {
        self.shared.identity
    }

    /// This connection's id at the host: the key of its row in `active_connection`.
    pub fn connection_id(&self) -> ConnectionId {
        self.shared.connection_id
    }

    /// The token by which the host lets this client come back as the same identity: a new one for an anonymous
    /// connection, otherwise the one that it connected with.
    pub fn token(&self) -> &Token {
        &self.shared.token
    }

    /// The protocol that the host chose among those offered.
    pub fn protocol(&self) -> Protocol {
        self.shared.protocol
    }

    /// The module's contract, if this connection checked it.
    pub fn contract(&self) -> Option<&ContractInfo> {
        self.shared.contract.get()
    }

    pub(crate) fn set_contract(&self, contract: ContractInfo) {
        self.shared.contract.set(contract).expect("the contract is checked once");
    }

    /// Why the connection ended; `None` while it lives.
    pub fn closed_reason(&self) -> Option<ClosedReason> {
        self.closed.borrow().clone()
    }

    /// Follows the rows of `queries`, each one `SELECT` of SpacetimeDB's subscription SQL: all of them or none. Later
    /// changes come through [`Incoming`].
    ///
    /// If the returned future is dropped, the subscription is undone.
    ///
    /// # Errors
    /// [`CallError::Refused`] if a query does not parse or names what this identity may not see; otherwise see
    /// [`CallError`].
    pub async fn subscribe(&self, queries: &[impl AsRef<str>]) -> Result<Subscription, CallError> {
        let queries = queries.iter().map(|query| query.as_ref().to_string()).collect();
        match self.ask(Request::Subscribe { queries }).await? {
            Reply::Subscribed(subscription) => Ok(subscription),
            other => unexpected(&other),
        }
    }

    /// Stops following a set. When this returns, no further update has it.
    ///
    /// # Errors
    /// [`CallError::Refused`] if there is no such live set; otherwise see [`CallError`].
    pub async fn unsubscribe(&self, query_set: QuerySetId) -> Result<(), CallError> {
        match self.ask(Request::Unsubscribe { query_set }).await? {
            Reply::Unsubscribed => Ok(()),
            other => unexpected(&other),
        }
    }

    /// Runs a reducer with arguments in BSATN: the product of them, which [`args`] makes of a tuple. Its changes to
    /// this connection's subscriptions are in the queue of [`Incoming`] before this returns.
    ///
    /// # Errors
    /// [`CallError`], when there is no answer. A reducer that refuses or fails is an answer.
    pub async fn call_reducer(&self, reducer: &str, args: impl Into<Bytes>) -> Result<ReducerReply, CallError> {
        match self.ask(Request::Reducer { name: reducer.into(), args: args.into() }).await? {
            Reply::Reducer(reply) => Ok(reply),
            other => unexpected(&other),
        }
    }

    /// Runs a procedure with arguments in BSATN, as [`Connection::call_reducer`] does a reducer.
    ///
    /// # Errors
    /// [`CallError`], when there is no answer.
    pub async fn call_procedure(&self, procedure: &str, args: impl Into<Bytes>) -> Result<ProcedureReply, CallError> {
        match self.ask(Request::Procedure { name: procedure.into(), args: args.into() }).await? {
            Reply::Procedure(reply) => Ok(reply),
            other => unexpected(&other),
        }
    }

    /// Asks one `SELECT` once.
    ///
    /// # Errors
    /// [`CallError::Refused`] if the query does not parse or names what this identity may not see; otherwise see
    /// [`CallError`].
    pub async fn one_off_query(&self, sql: &str) -> Result<QueryAnswer, CallError> {
        match self.ask(Request::Query { sql: sql.into() }).await? {
            Reply::Rows(answer) => Ok(answer),
            other => unexpected(&other),
        }
    }

    /// Closes the connection properly and waits until it is: requests still waiting may be answered until the host
    /// confirms, at most [`crate::Timeouts::close`] later. Returns the reason for which it ended, which is another than
    /// [`ClosedReason::ByClient`] if something else ended it first.
    pub async fn close(&self) -> ClosedReason {
        self.close.send_replace(true);
        self.wait_closed().await
    }

    /// Waits until the connection has ended, for whatever reason.
    pub async fn wait_closed(&self) -> ClosedReason {
        let mut closed = self.closed.clone();
        match closed.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().expect("waited for a reason"),
            Err(_) => gone(),
        }
    }

    async fn ask(&self, request: Request) -> Result<Reply, CallError> {
        let limit = self.shared.call_timeout;
        let deadline = Instant::now() + limit;
        let (reply, answer) = oneshot::channel();
        let command = Command { request, timeout: limit, deadline, reply };
        match timeout_at(deadline, self.commands.send(command)).await {
            Err(_) => return Err(CallError::Timeout { limit, sent: false }),
            Ok(Err(_)) => return Err(CallError::Closed { reason: self.reason_or_gone(), sent: false }),
            Ok(Ok(())) => {}
        }
        // The task answers every command it takes, at the latest when its deadline passes or the connection ends; but an
        // answer that stands behind an update which the application does not take would come later than that.
        match timeout_at(deadline + ms(CALL_GRACE_MS), answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(CallError::Closed { reason: self.reason_or_gone(), sent: false }),
            Err(_) => Err(CallError::Timeout { limit, sent: true }),
        }
    }

    fn reason_or_gone(&self) -> ClosedReason {
        self.closed_reason().unwrap_or_else(gone)
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("connection_id", &self.shared.connection_id)
            .field("identity", &self.shared.identity)
            .field("closed", &self.closed_reason())
            .finish_non_exhaustive()
    }
}

/// The listening end of a connection.
///
/// Take the updates as they come: while the queue is full nothing more is read from the host, not even the answers to
/// requests, and after [`crate::Timeouts::slow_consumer`] the connection is closed. An application that wants no
/// updates drops the `Incoming`; updates are then thrown away.
#[derive(Debug)]
pub struct Incoming {
    updates: mpsc::Receiver<Queued>,
    closed: watch::Receiver<Option<ClosedReason>>,
    ended: bool,
}

impl Incoming {
    /// The next update; [`Update::Closed`] as the last one, and then `None`. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Update> {
        if self.ended {
            return None;
        }
        if let Some(queued) = self.updates.recv().await {
            return Some(queued.update);
        }
        // The task says why it ends before it lets go of the queue.
        self.ended = true;
        let reason = self.closed.borrow().clone().unwrap_or_else(gone);
        Some(Update::Closed(reason))
    }
}

impl std::fmt::Debug for Queued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.update.fmt(f)
    }
}

/// The BSATN of a reducer's arguments, given as a tuple: `args(&("Ada",))`, `args(&())`.
///
/// # Panics
/// Never for types of plain data: BSATN fails only on collections longer than `u32::MAX`.
pub fn args<T: Serialize>(tuple: &T) -> Bytes {
    bsatn::to_vec(tuple).expect("plain data encodes").into()
}

/// Both ends, and those for the task.
pub(crate) fn channels(shared: Shared, queues: &crate::options::Queues) -> (Connection, Incoming, TaskEnds) {
    let (commands_tx, commands) = mpsc::channel(queues.requests.max(1));
    let (updates, updates_rx) = mpsc::channel(queues.updates.max(1));
    let (close_tx, close) = watch::channel(false);
    let (closed, closed_rx) = watch::channel(None);
    let connection = Connection {
        shared: Arc::new(shared),
        commands: commands_tx,
        close: Arc::new(close_tx),
        closed: closed_rx.clone(),
    };
    let incoming = Incoming { updates: updates_rx, closed: closed_rx, ended: false };
    let update_bytes = Arc::new(Semaphore::new(crate::driver::budget::permits_of(queues.update_bytes) as usize));
    (connection, incoming, TaskEnds { commands, close, closed, updates, update_bytes })
}

/// What is said when the task vanished without a word, as it does when the runtime shuts down.
fn gone() -> ClosedReason {
    ClosedReason::Lost { reason: "the task that held the connection is gone".into() }
}

fn unexpected<T>(reply: &Reply) -> T {
    unreachable!("the session answers each request with its own kind of reply, not {reply:?}")
}
