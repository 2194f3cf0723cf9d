//! A host in this process with Muster's module on it, and sessions that know the doors of the streams.

use std::time::Duration;

use muster_contract::hash::PayloadHash;
use muster_contract::page::{
    Answer, AnswerValue, NewEvent, Page, ProducerState, Snapshot, Stale, StreamList, WireHash, wire_hash,
};
use muster_contract::rows::{Row, Signal, SyncSignal};
use muster_contract::{Client, Refusal};
use muster_host::{Host, RunningHost};
use muster_wire::http::{HttpClient, PublishOptions};
use muster_wire::sats::{Serialize, bsatn};
use muster_wire::{
    CallOutcome, ConnectOptions, Connection, Endpoint, Incoming, Timestamp, Token, Update, args, connect,
};

/// How long any state may take to come about before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// How long a test waits to see that something does not come.
pub(crate) const QUIET: Duration = Duration::from_millis(300);
pub(crate) const DATABASE: &str = "lane";

/// Where a database is, and its owner.
pub(crate) struct Place {
    url: String,
    pub(crate) owner: Token,
}

pub(crate) struct Lane {
    _host: RunningHost,
    pub(crate) place: Place,
}

impl Lane {
    pub(crate) async fn start() -> Lane {
        let module = std::fs::read(crate::support::muster_module()).expect("the module's file");
        Lane::with(Host::builder().in_memory().start().await.expect("the host starts"), module).await
    }

    pub(crate) async fn with(host: RunningHost, module: Vec<u8>) -> Lane {
        let place = Place::publish(host.url(), module).await;
        Lane { _host: host, place }
    }

    pub(crate) async fn join(&self) -> Session {
        self.place.join(None).await
    }

    /// A session of the database's owner.
    pub(crate) async fn owner(&self) -> Session {
        self.place.join(Some(self.place.owner.clone())).await
    }
}

impl Place {
    /// Publishes as somebody new.
    pub(crate) async fn publish(url: String, module: Vec<u8>) -> Place {
        let endpoint = Endpoint::new(&url, DATABASE).expect("an endpoint");
        let stranger = HttpClient::new(endpoint, None).expect("a client");
        let owner = stranger.create_identity().await.expect("an identity").token;
        let place = Place { url, owner };
        place.http(Some(place.owner.clone())).publish(module, &PublishOptions::default()).await.expect("published");
        place
    }

    /// The same database on a host that answers at another address.
    pub(crate) fn moved(self, url: String) -> Place {
        Place { url, ..self }
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::new(&self.url, DATABASE).expect("an endpoint")
    }

    pub(crate) fn http(&self, token: Option<Token>) -> HttpClient {
        HttpClient::new(self.endpoint(), token).expect("a client")
    }

    /// A session that has checked the contract; of somebody new without a token.
    pub(crate) async fn join(&self, token: Option<Token>) -> Session {
        let mut options = ConnectOptions::new(self.endpoint()).expect(Client::of_this_build());
        options.token = token;
        // Machines of CI are slow and shared.
        (options.timeouts.connect, options.timeouts.call) = (PATIENCE, PATIENCE);
        let (connection, incoming) = connect(options).await.expect("connected");
        Session { connection, incoming }
    }

    /// The rows that the owner gets for a statement, as the texts of their cells.
    pub(crate) async fn sql(&self, statement: &str) -> Vec<Vec<String>> {
        let answer = self.http(Some(self.owner.clone())).sql(statement, true).await.expect("an answer");
        let rows = answer.statements.into_iter().next().expect("one statement").rows;
        rows.iter().map(|row| row.iter().map(|cell| cell.get().to_owned()).collect()).collect()
    }

    /// The number that a statement counts.
    pub(crate) async fn count(&self, from: &str) -> u64 {
        self.sql(&format!("SELECT COUNT(*) AS n FROM {from}")).await[0][0].parse().expect("a number")
    }

    /// How many events the rows of `sync_event` hold.
    pub(crate) async fn events(&self) -> u64 {
        let rows = self.sql("SELECT events FROM sync_event").await;
        rows.iter().map(|row| row[0].parse::<u64>().expect("a number")).sum()
    }

    /// Waits until a statement counts that many.
    pub(crate) async fn until_count(&self, from: &str, wanted: u64) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let count = self.count(from).await;
            if count == wanted {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "{from}: {count} rows, and never {wanted}");
            // Between two looks of a deadline-bound wait; nothing depends on its length.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A producer that counts.
pub(crate) const ADA: &str = "0123456789abcdef0123456789abcdef";
/// Another.
pub(crate) const BOB: &str = "ffffffffffffffffffffffffffffffff";

/// The n-th event of a test.
pub(crate) fn event(n: u64) -> NewEvent {
    let payload = format!(r#"{{"n":{n}}}"#);
    NewEvent {
        kind: "test".into(),
        hash: hash_of(&payload),
        payload,
        at: Timestamp::from_micros_since_unix_epoch(n as i64),
    }
}

/// Events that say their numbers.
pub(crate) fn events(numbers: impl IntoIterator<Item = u64>) -> Vec<NewEvent> {
    numbers.into_iter().map(event).collect()
}

pub(crate) fn hash_of(payload: &str) -> WireHash {
    wire_hash(PayloadHash::of(payload.as_bytes()).as_bytes())
}

/// One append.
pub(crate) struct Append<'a> {
    pub(crate) stream: &'a str,
    pub(crate) epoch: u64,
    pub(crate) producer: &'a str,
    pub(crate) first: u64,
    pub(crate) expected: u64,
    pub(crate) events: Vec<NewEvent>,
}

impl Append<'_> {
    /// Ada's events of these numbers, whatever the stream's epoch and head.
    pub(crate) fn of(stream: &str, numbers: std::ops::RangeInclusive<u64>) -> Append<'_> {
        let first = *numbers.start();
        Append { stream, epoch: 0, producer: ADA, first, expected: 0, events: events(numbers) }
    }
}

/// A client.
pub(crate) struct Session {
    pub(crate) connection: Connection,
    pub(crate) incoming: Incoming,
}

impl Session {
    /// Calls a reducer; its refusal where it refuses.
    pub(crate) async fn call<T: Serialize>(&self, reducer: &str, arguments: &T) -> Result<(), Refusal> {
        let outcome = self.connection.call_reducer(reducer, args(arguments)).await.expect("an answer").outcome;
        match outcome {
            CallOutcome::Returned(_) => Ok(()),
            CallOutcome::Refused(error) => {
                let line: String = bsatn::from_slice(&error).expect("a reducer's error is a string");
                Err(Refusal::from_wire(&line).unwrap_or_else(|| panic!("{reducer} refused with no refusal: {line}")))
            }
            CallOutcome::Failed(message) => panic!("{reducer} failed: {message}"),
        }
    }

    /// Calls a procedure.
    pub(crate) async fn ask<T: Serialize, R: AnswerValue>(&self, procedure: &str, arguments: &T) -> Answer<R> {
        let outcome = self.connection.call_procedure(procedure, args(arguments)).await.expect("an answer").outcome;
        let CallOutcome::Returned(value) = outcome else { panic!("{procedure}: {outcome:?}") };
        let bytes: Vec<u8> = bsatn::from_slice(&value).expect("a byte string");
        Answer::from_bytes(&bytes).expect("an answer")
    }

    pub(crate) async fn append(&self, append: Append<'_>) -> Result<(), Refusal> {
        let Append { stream, epoch, producer, first, expected, events } = append;
        self.call("append_events", &(stream, epoch, producer, first, expected, events)).await
    }

    /// Appends Ada's events of these numbers, which must succeed.
    pub(crate) async fn emit(&self, stream: &str, numbers: std::ops::RangeInclusive<u64>) {
        self.append(Append::of(stream, numbers)).await.expect("appended");
    }

    pub(crate) async fn page(&self, stream: &str, epoch: u64, after: u64) -> Answer<Page> {
        self.page_with(stream, epoch, after, 0, 1_000, 1 << 20).await
    }

    pub(crate) async fn page_with(
        &self,
        stream: &str,
        epoch: u64,
        after: u64,
        mark: u64,
        max_events: u32,
        max_bytes: u32,
    ) -> Answer<Page> {
        self.ask("read_page", &(stream, epoch, after, mark, max_events, max_bytes)).await
    }

    /// A page that must be there.
    pub(crate) async fn read(&self, stream: &str, after: u64) -> Page {
        ok(self.page(stream, 0, after).await)
    }

    pub(crate) async fn streams(&self, pattern: &str) -> StreamList {
        ok(self.ask("list_streams", &(pattern, 0u64)).await)
    }

    pub(crate) async fn snapshot(&self, stream: &str) -> Option<Snapshot> {
        ok(self.ask("read_snapshot", &(stream, 0u64)).await)
    }

    pub(crate) async fn put_snapshot(&self, stream: &str, epoch: u64, seq: u64, payload: &str) -> Result<(), Refusal> {
        self.call("put_snapshot", &(stream, epoch, seq, payload, hash_of(payload), ADA)).await
    }

    pub(crate) async fn states(&self, producer: &str, streams: &[&str]) -> Answer<Vec<ProducerState>> {
        let streams: Vec<String> = streams.iter().map(ToString::to_string).collect();
        self.ask("producer_state", &(producer, streams)).await
    }

    /// Subscribes to signals, and follows a pattern.
    pub(crate) async fn follow(&self, slot: u32, pattern: &str) {
        self.connection.subscribe(&["SELECT * FROM sync_signal"]).await.expect("subscribed");
        self.call("follow", &(slot, pattern)).await.expect("followed");
    }

    /// The signals of the next transaction that has any.
    pub(crate) async fn next_signals(&mut self) -> Vec<SyncSignal> {
        match tokio::time::timeout(PATIENCE, self.incoming.next()).await.expect("a signal in time") {
            Some(Update::Transaction(transaction)) => {
                let tables = transaction.query_sets.iter().flat_map(|set| &set.tables);
                tables
                    .filter(|table| table.table == SyncSignal::TABLE)
                    .flat_map(|table| table.inserted.decode::<SyncSignal>().expect("signals"))
                    .collect()
            }
            other => panic!("no signal, but {other:?}"),
        }
    }

    /// Slot, stream and matter of the one signal that comes next.
    pub(crate) async fn next_signal(&mut self) -> (u32, u64, Signal) {
        let signals = self.next_signals().await;
        let [signal] = signals.as_slice() else { panic!("one signal, not {signals:?}") };
        assert_eq!((signal.to, signal.connection_id), (self.connection.identity(), self.connection.connection_id()));
        (signal.slot, signal.stream, signal.what)
    }

    pub(crate) async fn hears_nothing(&mut self) {
        let heard = tokio::time::timeout(QUIET, self.incoming.next()).await;
        assert!(heard.is_err(), "{heard:?}");
    }
}

/// The value of an answer that must have one.
pub(crate) fn ok<T: std::fmt::Debug>(answer: Answer<T>) -> T {
    match answer {
        Answer::Ok(value) => value,
        other => panic!("{other:?}"),
    }
}

/// What an answer says that must be stale.
pub(crate) fn stale<T: std::fmt::Debug>(answer: Answer<T>) -> Stale {
    match answer {
        Answer::Stale(stale) => stale,
        other => panic!("{other:?}"),
    }
}

/// The refusal of an answer that must be one.
pub(crate) fn refused<T: std::fmt::Debug>(answer: Answer<T>) -> Refusal {
    match answer {
        Answer::Refused(line) => Refusal::from_wire(&line).expect("a refusal"),
        other => panic!("{other:?}"),
    }
}

/// The payloads of a page.
pub(crate) fn payloads(page: &Page) -> Vec<&str> {
    page.events.iter().map(|event| event.payload.as_str()).collect()
}
