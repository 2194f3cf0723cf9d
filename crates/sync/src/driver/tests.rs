//! The task itself: connections that come too late, and an end that nobody asked for.

use std::time::Duration;

use muster_contract::cursor::{Epoch, Seq};
use muster_contract::hash::PayloadHash;
use muster_contract::page::StoredEvent;
use muster_contract::pattern::StreamPattern;
use muster_contract::state::ConnectionState;
use muster_contract::stream::StreamId;
use muster_wire::Endpoint;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

use super::desk::Desk;
use super::worker::Taker;
use super::*;
use crate::batch::{Batch, Change, Events};
use crate::engine::BatchNo;
use crate::engine::{Follow, Options, StartAt, Tuning};
use crate::status::Status;
use crate::store::{Durability, EventLog, Store};

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

struct Held {
    board: Arc<Board>,
    _commands: mpsc::Sender<Command>,
    _stop: watch::Sender<bool>,
    _folder: tempfile::TempDir,
}

/// A task on a fresh store that would connect to `url`.
fn task(url: &str) -> (Task, Held) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.db");
    let store = Store::open(&path, Durability::Normal, &mut EventLog).expect("it opens");
    let follow = Follow { pattern: StreamPattern::parse("*").expect("a pattern"), start: StartAt::Start };
    let options = Options { follows: vec![follow], client: None, replay_budget: None, tuning: Tuning::default() };
    let board = Arc::new(Board::new());
    let (commands, inbox) = mpsc::channel(1);
    let (stop, stopped) = watch::channel(false);
    let task = Task {
        ending: Ending::of(board.clone()),
        engine: Engine::new(options),
        began: Instant::now(),
        options: ConnectOptions::new(Endpoint::new(url, "lane").expect("an endpoint")),
        keeper: None,
        worker: Worker::start(store, Taker::Apply(Box::new(EventLog))).expect("a thread"),
        board: board.clone(),
        commands: inbox,
        stop: stopped,
        store: path,
    };
    (task, Held { board, _commands: commands, _stop: stop, _folder: folder })
}

async fn accept(host: &TcpListener) -> TcpStream {
    timeout(PATIENCE, host.accept()).await.expect("in time").expect("a connection").0
}

/// Reads until the other side is gone.
async fn until_gone(mut socket: TcpStream) -> bool {
    let mut bytes = Vec::new();
    // Sooner than the connection's own limit would end it.
    timeout(ms(muster_wire::limits::CONNECT_MS_MAX / 2), socket.read_to_end(&mut bytes)).await.is_ok()
}

#[tokio::test]
async fn an_opening_that_another_one_has_taken_the_place_of_is_given_up_and_changes_nothing() {
    let host = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let (task, _held) = task(&format!("http://{}", host.local_addr().expect("an address")));
    let mut running = Running::new(task);
    running.act(Action::Connect(LinkNo(1)));
    let first = accept(&host).await;
    running.act(Action::Connect(LinkNo(2)));
    let _second = accept(&host).await;
    assert!(until_gone(first).await, "the first opening goes on");
    let why = Trouble { is_retryable: true, code: None, message: "late".into() };
    running.handle(Wake::Opened(LinkNo(1), None, Err(why)));
    assert_eq!(running.awaited, Some(LinkNo(2)));
    running.act(Action::Disconnect(LinkNo(2)));
    assert_eq!(running.awaited, None);
    running.task.ending.is_told = true;
}

#[tokio::test]
async fn a_task_that_ends_without_being_told_to_does_not_leave_live_standing() {
    let host = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let (task, held) = task(&format!("http://{}", host.local_addr().expect("an address")));
    let running = tokio::spawn(task.run(Event::Opened { places: Vec::new(), established: Vec::new() }));
    let _socket = accept(&host).await;
    let before = held.board.watch().borrow().clone();
    held.board.overall(Status { state: ConnectionState::Live, ..before });
    running.abort();
    let mut status = held.board.watch();
    let blocked = status.wait_for(|status| status.state == ConnectionState::Blocked);
    let status = timeout(PATIENCE, blocked).await.expect("in time").expect("a status").clone();
    assert!(status.last_error.expect("an error").contains("without being told"));
}

/// A store of its own, and a batch for it: its first event, or a longer page.
fn store_and_batch(count: u64) -> (tempfile::TempDir, PathBuf, Store, Batch) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.db");
    let store = Store::open(&path, Durability::Normal, &mut EventLog).expect("it opens");
    (folder, path, store, batch(count))
}

fn batch(count: u64) -> Batch {
    let event = StoredEvent {
        kind: "test".into(),
        payload: "1".into(),
        hash: PayloadHash::of(b"1").into(),
        at: muster_wire::Timestamp::UNIX_EPOCH,
        producer: 1,
        number: 1,
    };
    let events = vec![event; usize::try_from(count).expect("small")];
    let run = Events { epoch: Epoch::new(7).expect("not 0"), first: Seq::FIRST, mark: count, events };
    Batch { stream: StreamId::parse("a").expect("an id"), after: None, change: Change::Events(run) }
}

fn commit(path: &std::path::Path, batch: &Batch) {
    let mut own = rusqlite::Connection::open(path).expect("a connection");
    let transaction = own.transaction().expect("a transaction");
    batch.commit(&transaction).expect("moved");
    transaction.commit().expect("committed");
}

#[tokio::test]
async fn a_batch_that_nobody_asks_for_does_not_hold_up_the_end_of_the_store() {
    let (_folder, path, store, batch) = store_and_batch(1);
    let (counter, mut batches) = Desk::open();
    let mut worker = Worker::start(store, Taker::Hand(counter)).expect("a thread");
    worker.give(Job::Apply(BatchNo(1), Box::new(batch)));
    let desk = worker.desk.clone().expect("a desk");
    let offered = tokio::task::spawn_blocking(move || desk.wait_until_offered(PATIENCE));
    assert!(offered.await.expect("no panic"), "it is never offered");
    worker.close();
    let end = async { while worker.done.recv().await.is_some() {} };
    timeout(PATIENCE, end).await.expect("the thread ends");
    Store::open(&path, Durability::Normal, &mut EventLog).expect("the store is free");
    assert!(batches.next().await.is_none());
}

#[tokio::test]
async fn what_the_application_committed_and_nobody_was_told_of_is_gone_on_from() {
    let (_folder, path, store, shorter) = store_and_batch(1);
    commit(&path, &shorter);
    let (counter, mut batches) = Desk::open();
    let mut worker = Worker::start(store, Taker::Hand(counter)).expect("a thread");
    // The stream was read again from the old cursor, and the page has grown.
    worker.give(Job::Apply(BatchNo(1), Box::new(batch(3))));
    let done = timeout(PATIENCE, worker.done.recv()).await.expect("in time").expect("a word");
    assert!(matches!(done, Done::Moved(BatchNo(1), place) if place == Some(shorter.ends())));
    worker.close();
    assert!(batches.next().await.is_none(), "nothing was handed out");
}

#[tokio::test]
async fn a_batch_given_back_without_a_commit_comes_again() {
    let (_folder, path, store, batch) = store_and_batch(1);
    let (counter, mut batches) = Desk::open();
    let mut worker = Worker::start(store, Taker::Hand(counter)).expect("a thread");
    worker.give(Job::Apply(BatchNo(1), Box::new(batch.clone())));
    drop(timeout(PATIENCE, batches.next()).await.expect("in time").expect("a batch"));
    let done = timeout(PATIENCE, worker.done.recv()).await.expect("in time").expect("a word");
    assert!(matches!(done, Done::Failed(BatchNo(1), failure) if failure.is_retryable));
    worker.give(Job::Apply(BatchNo(2), Box::new(batch)));
    let pending = timeout(PATIENCE, batches.next()).await.expect("in time").expect("a batch");
    commit(&path, &pending);
    drop(pending);
    let done = timeout(PATIENCE, worker.done.recv()).await.expect("in time").expect("a word");
    assert!(matches!(done, Done::Applied(BatchNo(2))));
}
