//! A host in a process of its own behind a proxy, a producer, and subscribers with what they were told.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use muster_chaos::Proxy;
use muster_contract::hash::PayloadHash;
use muster_contract::page::NewEvent;
use muster_contract::pattern::StreamPattern;
use muster_contract::state::ConnectionState;
use muster_contract::stream::StreamId;
use muster_sync::{ApplicationError, Apply, Batch, Change, EventLog, Reader, StartAt, Status, Subscriber};
use muster_wire::{ConnectOptions, Connection, Endpoint, Timestamp, Token, args, connect};

use crate::host::Host;

/// How long any state may take to come about before a test fails. Several tests share two cores.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const DATABASE: &str = "lane";
pub(crate) const PRODUCER: &str = "0123456789abcdef0123456789abcdef";

pub(crate) struct Lane {
    host: Option<Host>,
    pub(crate) proxy: Proxy,
    pub(crate) folder: tempfile::TempDir,
    owner: Token,
}

impl Lane {
    pub(crate) async fn start() -> Lane {
        let folder = tempfile::tempdir().expect("a folder");
        let host = Host::on(&folder.path().join("host"));
        let proxy = Proxy::start(host.address()).await.expect("a proxy");
        let owner = host.publish(DATABASE).await;
        Lane { host: Some(host), proxy, folder, owner }
    }

    /// SIGKILL.
    pub(crate) fn kill_host(&mut self) {
        self.host.take().expect("a host").kill();
    }

    pub(crate) fn stop_host(&mut self) {
        assert!(self.host.take().expect("a host").terminate().success());
    }

    /// Starts the host again, at another port; the proxy finds it.
    pub(crate) fn start_host(&mut self) {
        let host = Host::on(&self.host_folder());
        self.proxy.set_upstream(host.address());
        self.host = Some(host);
    }

    pub(crate) fn host_folder(&self) -> PathBuf {
        self.folder.path().join("host")
    }

    /// Through the proxy.
    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::new(&format!("http://{}", self.proxy.address()), DATABASE).expect("an endpoint")
    }

    /// The owner's own connection, past the proxy; it is the producer too.
    pub(crate) async fn owner(&self) -> Connection {
        let url = &self.host.as_ref().expect("a host").url;
        let endpoint = Endpoint::new(url, DATABASE).expect("an endpoint");
        let options = ConnectOptions::new(endpoint).token(Some(self.owner.clone()));
        connect(options).await.expect("connected").0
    }

    pub(crate) fn store(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A subscriber from the start of everything, with its store in the file `name`.
    pub(crate) async fn follow(&self, name: &str) -> Follower {
        self.follow_from(name, "*", StartAt::Start).await
    }

    pub(crate) async fn follow_from(&self, name: &str, pattern: &str, start: StartAt) -> Follower {
        let told = Told::default();
        let pattern = StreamPattern::parse(pattern).expect("a pattern");
        let subscriber = Subscriber::builder(self.endpoint(), self.store(name))
            .follow(pattern, start)
            .client(name)
            .apply(told.clone())
            .await
            .expect("started");
        Follower { subscriber, told, store: self.store(name) }
    }
}

pub(crate) fn id(text: &str) -> StreamId {
    StreamId::parse(text).expect("a stream id")
}

pub(crate) fn payload(stream: &str, number: u64) -> String {
    format!("{{\"n\":{number},\"pad\":\"{stream:x<200}\"}}")
}

pub(crate) async fn call(connection: &Connection, reducer: &str, arguments: &impl muster_wire::sats::Serialize) {
    let reply = connection.call_reducer(reducer, args(arguments)).await.expect("an answer");
    assert_eq!(reply.outcome.message(), None, "{reducer}");
}

/// Appends the producer's events `first` to `last`.
pub(crate) async fn append(connection: &Connection, stream: &str, first: u64, last: u64) {
    let mut next = first;
    while next <= last {
        let end = last.min(next + 999);
        let events: Vec<NewEvent> = (next..=end).map(|number| event(payload(stream, number))).collect();
        call(connection, "append_events", &(stream, 0u64, PRODUCER, next, 0u64, events)).await;
        next = end + 1;
    }
}

pub(crate) fn event(payload: String) -> NewEvent {
    let hash = PayloadHash::of(payload.as_bytes()).into();
    NewEvent { kind: "test".into(), payload, hash, at: Timestamp::UNIX_EPOCH }
}

pub(crate) async fn snapshot(connection: &Connection, stream: &str, seq: u64) {
    let payload = format!("{{\"upto\":{seq}}}");
    let hash: muster_contract::page::WireHash = PayloadHash::of(payload.as_bytes()).into();
    let epoch = epoch(connection, stream).await;
    call(connection, "put_snapshot", &(stream, epoch, seq, payload.as_str(), hash, PRODUCER)).await;
}

pub(crate) async fn epoch(connection: &Connection, stream: &str) -> u64 {
    info(connection, stream).await.epoch
}

pub(crate) async fn info(connection: &Connection, stream: &str) -> muster_contract::page::StreamInfo {
    use muster_contract::page::{Answer, StreamList};
    let reply = connection.call_procedure("list_streams", args(&(stream, 0u64))).await.expect("an answer");
    let muster_wire::CallOutcome::Returned(bytes) = reply.outcome else { panic!("{:?}", reply.outcome) };
    let Ok(Answer::Ok(StreamList { mut streams, .. })) = Answer::from_bytes(&bytes[4..]) else { panic!("no list") };
    streams.pop().expect("the stream")
}

/// Keeps what the application was told, and the events as rows.
#[derive(Clone, Default)]
pub(crate) struct Told {
    resets: Arc<Mutex<Vec<String>>>,
}

impl Apply for Told {
    fn prepare(&mut self, transaction: &rusqlite::Transaction<'_>) -> Result<(), ApplicationError> {
        EventLog.prepare(transaction)
    }

    fn apply(&mut self, transaction: &rusqlite::Transaction<'_>, batch: &Batch) -> Result<(), ApplicationError> {
        if let Change::Reset(reset) = &batch.change {
            let reason = reset.reason.map_or_else(|| "new".to_owned(), |reason| reason.to_string());
            self.resets.lock().expect("whole").push(reason);
        }
        EventLog.apply(transaction, batch)
    }
}

pub(crate) struct Follower {
    pub(crate) subscriber: Subscriber,
    told: Told,
    store: PathBuf,
}

impl Follower {
    pub(crate) fn resets(&self) -> Vec<String> {
        self.told.resets.lock().expect("whole").clone()
    }

    /// Waits until the overall status is as wanted.
    pub(crate) async fn until(&self, wanted: impl Fn(&Status) -> bool) -> Status {
        let mut status = self.subscriber.status();
        let came = tokio::time::timeout(PATIENCE, status.wait_for(|status| wanted(status))).await;
        let came = came.map(|status| status.expect("it runs").clone());
        came.unwrap_or_else(|_| panic!("it never came: {:?} {:?}", status.borrow().clone(), self.subscriber.streams()))
    }

    /// Waits until this stream is applied up to `seq` and live.
    pub(crate) async fn until_at(&self, stream: &str, seq: u64) {
        let deadline = Instant::now() + PATIENCE;
        // The stream appears with its first listing; the overall status changes with it.
        let mut status = loop {
            if let Some(status) = self.subscriber.stream(&id(stream)) {
                break status;
            }
            assert!(Instant::now() < deadline, "{stream} never came: {:?}", self.subscriber.status().borrow().clone());
            let _ = tokio::time::timeout(Duration::from_millis(50), self.subscriber.status().changed()).await;
        };
        let is_there = |status: &muster_sync::StreamStatus| {
            status.state == ConnectionState::Live && status.cursor.is_some_and(|cursor| cursor.seq.get() == seq)
        };
        let came = tokio::time::timeout(PATIENCE, status.wait_for(is_there)).await.is_ok();
        if !came {
            panic!("{stream} never came to {seq}: {:?}", status.borrow().clone());
        }
    }

    pub(crate) async fn stop(self) -> PathBuf {
        self.subscriber.shutdown().await;
        self.store
    }
}

/// The payloads that a store holds of a stream, with the number of the first.
pub(crate) fn rows(store: &Path, stream: &str) -> (u64, Vec<String>) {
    let events = Reader::open(store).expect("readable").events(&id(stream), 0, usize::MAX).expect("rows");
    let first = events.first().map_or(0, |event| event.seq);
    for (event, expected) in events.iter().zip(first..) {
        assert_eq!(event.seq, expected, "a hole or a repeat");
    }
    (first, events.into_iter().map(|event| event.payload).collect())
}

/// The store holds exactly the events `first` to `last` of a stream, byte for byte.
pub(crate) fn holds(store: &Path, stream: &str, first: u64, last: u64) {
    let expected: Vec<String> = (first..=last).map(|number| payload(stream, number)).collect();
    let (at, rows) = rows(store, stream);
    assert_eq!((at, rows.len()), (first, expected.len()), "{stream}");
    assert!(rows == expected, "{stream} has other bytes");
}
