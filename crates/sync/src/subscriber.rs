//! A subscriber, as an application holds it.
//!
//! What always holds: it works in a task of its own, with a thread for the store, and ends, store and all, with
//! [`Subscriber::shutdown`]; dropped, it ends by itself a little later. It never stops trying by itself, except where
//! only a person can help, and then it says so ([`muster_contract::state::ConnectionState::Blocked`]).

use std::path::PathBuf;
use std::sync::Arc;

use muster_contract::pattern::StreamPattern;
use muster_contract::stream::StreamId;
use muster_wire::{ConnectOptions, Endpoint, Keeper, Timeouts, Token};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::driver::board::{Board, Ending};
use crate::driver::desk::{Batches, Desk};
use crate::driver::worker::{Taker, Worker};
use crate::driver::{Command, Task};
use crate::engine::{Engine, Event, Follow, Options, StartAt, Tuning};
use crate::limits::FOLLOWS_MAX;
use crate::status::{Status, StreamStatus};
use crate::store::{Apply, Durability, Store, StoreError};

/// Commands that may wait for the task. They are rare.
const COMMANDS_MAX: usize = 16;

/// Why a subscriber does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nothing to follow, or too much.
    #[error("{asked} patterns to follow; give at least one and at most {FOLLOWS_MAX}")]
    Follows {
        /// How many were given.
        asked: usize,
    },
    /// The system gives no thread.
    #[error("no thread for the store ({0}); the system's limit is reached")]
    Thread(#[source] std::io::Error),
}

/// What a subscriber is made of.
#[derive(Debug)]
pub struct Builder {
    connect: ConnectOptions,
    keeper: Option<Keeper>,
    follows: Vec<Follow>,
    client: Option<String>,
    replay_budget: Option<u64>,
    tuning: Tuning,
    store: PathBuf,
    durability: Durability,
}

impl Builder {
    /// Connects with the keeper's tokens, and goes over to each of its next ones without a gap: the next session is
    /// connected before the one that it follows is let go.
    pub fn tokens(mut self, keeper: Keeper) -> Builder {
        self.keeper = Some(keeper);
        self
    }

    /// Connects with this token instead of as somebody new.
    pub fn token(mut self, token: Token) -> Builder {
        self.connect.token = Some(token);
        self
    }

    /// Follows these streams too, from there on where the store has nothing of them yet.
    pub fn follow(mut self, pattern: StreamPattern, start: StartAt) -> Builder {
        self.follows.push(Follow { pattern, start });
        self
    }

    /// Acknowledges cursors to the host under this name, unique among the subscribers of this identity, so that
    /// operators see how far it is. Without a name nothing is acknowledged.
    pub fn client(mut self, name: impl Into<String>) -> Builder {
        self.client = Some(name.into());
        self
    }

    /// Starts from a snapshot, where there is one, rather than replay more events than this.
    pub fn replay_budget(mut self, events: u64) -> Builder {
        self.replay_budget = Some(events);
        self
    }

    /// How long the connection waits for what. A host that is silent for `idle` counts as gone.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Builder {
        self.connect.timeouts = timeouts;
        self
    }

    /// What SQLite waits for when it commits. Default: the disk.
    pub fn durability(mut self, durability: Durability) -> Builder {
        self.durability = durability;
        self
    }

    /// Sizes of pages, bounds, and how soon silence is noticed.
    pub fn tuning(mut self, tuning: Tuning) -> Builder {
        self.tuning = tuning;
        self
    }

    /// Starts, with `application` run inside the store's transactions on the store's own thread. Returns once the store
    /// is open; the connection comes when it comes.
    ///
    /// # Errors
    /// [`StartError`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn apply(self, application: impl Apply) -> Result<Subscriber, StartError> {
        let mut application = Box::new(application);
        let (path, durability) = (self.store.clone(), self.durability);
        let opening = tokio::task::spawn_blocking(move || {
            Store::open(&path, durability, application.as_mut()).map(|store| (store, application))
        });
        let (store, application) = opening.await.map_err(|_| StoreError::Closed)??;
        self.start(store, Taker::Apply(application))
    }

    /// Starts, and gives the application the batches, to apply and commit each itself ([`Batches::next`]).
    ///
    /// # Errors
    /// [`StartError`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn take(self) -> Result<(Subscriber, Batches), StartError> {
        let (path, durability) = (self.store.clone(), self.durability);
        let opening = tokio::task::spawn_blocking(move || {
            let nothing = &mut |_: &rusqlite::Transaction<'_>, _: &crate::batch::Batch| Ok::<(), std::io::Error>(());
            Store::open(&path, durability, nothing)
        });
        let store = opening.await.map_err(|_| StoreError::Closed)??;
        let (counter, batches) = Desk::open();
        Ok((self.start(store, Taker::Hand(counter))?, batches))
    }

    fn start(self, store: Store, taker: Taker) -> Result<Subscriber, StartError> {
        let asked = self.follows.len();
        if asked == 0 || asked > FOLLOWS_MAX {
            return Err(StartError::Follows { asked });
        }
        let first = Event::Opened { places: store.places()?, established: store.established()? };
        let engine = Engine::new(Options {
            follows: self.follows,
            client: self.client,
            replay_budget: self.replay_budget,
            tuning: self.tuning,
        });
        let board = Arc::new(Board::new());
        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        let (stop, stopped) = watch::channel(false);
        let began = Instant::now();
        let task = Task {
            ending: Ending::of(board.clone()),
            engine,
            began,
            options: self.connect,
            keeper: self.keeper,
            worker: Worker::start(store, taker).map_err(StartError::Thread)?,
            board: board.clone(),
            commands: inbox,
            stop: stopped,
            store: self.store.clone(),
        };
        let task = tokio::spawn(task.run(first));
        Ok(Subscriber { board, commands, stop, task, began, store: self.store })
    }
}

/// A running subscriber.
#[derive(Debug)]
pub struct Subscriber {
    board: Arc<Board>,
    commands: mpsc::Sender<Command>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    began: Instant,
    store: PathBuf,
}

impl Subscriber {
    /// A subscriber of a database, with its store in this SQLite file, which may be the application's own.
    pub fn builder(endpoint: Endpoint, store: impl Into<PathBuf>) -> Builder {
        Builder {
            connect: ConnectOptions::new(endpoint),
            keeper: None,
            follows: Vec::new(),
            client: None,
            replay_budget: None,
            tuning: Tuning::default(),
            store: store.into(),
            durability: Durability::default(),
        }
    }

    /// The overall status, as it changes.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.board.watch()
    }

    /// The status of one stream, as it changes; `None` as long as nothing is known of it. Of a stream that is deleted, or not
    /// granted any more, it says so (idle, `stream_closed`) for at least one listing of all streams, and then ends: the
    /// sender is gone. Ask again for a stream that comes back.
    pub fn stream(&self, stream: &StreamId) -> Option<watch::Receiver<StreamStatus>> {
        self.board.watch_stream(stream)
    }

    /// The status of every stream that the host shows, or did a short while ago, in the order of their ids.
    pub fn streams(&self) -> Vec<StreamStatus> {
        self.board.all()
    }

    /// When the newest question was asked that the host has answered on the present connection; `None` while there is
    /// none that is younger than [`Tuning::liveness`]. A screen that says `live` later than that bound after it would lie,
    /// whatever the last status was.
    pub fn proof(&self) -> Option<Instant> {
        self.board.proof().map(|at| self.began + at)
    }

    /// Time zero of the times in statuses.
    pub fn began(&self) -> Instant {
        self.began
    }

    /// Where the store is.
    pub fn store(&self) -> &std::path::Path {
        &self.store
    }

    /// Tries again what is blocked, because somebody has changed something; with another token, as that one.
    pub async fn unblock(&self, token: Option<Token>) {
        // The task listens for as long as this lives.
        let _ = self.commands.send(Command::Unblock(token)).await;
    }

    /// Goes on with another token in a new session, which is connected before the present one is let go. Not for a
    /// subscriber with a keeper, whose tokens are used.
    pub async fn refresh(&self, token: Token) {
        let _ = self.commands.send(Command::Refresh(token)).await;
    }

    /// Ends it: closes the connection, and waits until the store has committed what it has begun.
    pub async fn shutdown(self) {
        self.stop.send_replace(true);
        // Only a panic of the task's own would be lost here, and that has been printed.
        let _ = self.task.await;
    }
}
