//! Clients that work until their host is killed, and remember what they were told.
//!
//! Every client numbers its calls, without a hole, in both databases: in one, each call leaves a row; in the other, each
//! replaces the client's name. So what is found after a crash can be held against what was sent and what was confirmed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesOrdered;
use muster_wire::{CallError, ConnectOptions, Connection, Endpoint, Identity, Token, Update, args, connect};
use tokio::task::JoinHandle;

use super::{BEATS, PRESENCE, endpoint};
use crate::process::{HostProcess, soon};

/// Calls that a client has under way at once.
const PIPELINE: usize = 16;

/// Bits of a number that count; the client's index stands above them.
const COUNT_BITS: u32 = 40;

/// Between two calls of a client: keeps two hundred rounds at some hundred thousand rows.
const PACE: Duration = Duration::from_millis(2);

/// How many calls of a kind a client sent, and how many of them it knows to be done.
#[derive(Default)]
struct Calls {
    sent: AtomicU64,
    confirmed: AtomicU64,
}

impl Calls {
    fn next(&self) -> u64 {
        self.sent.fetch_add(1, Ordering::SeqCst)
    }

    /// Number `number`, and with it all before it, is done.
    fn confirm(&self, number: u64) {
        self.confirmed.fetch_max(number + 1, Ordering::SeqCst);
    }

    /// `found` are there; returns how many of them were news.
    fn settle(&self, found: u64, what: &str) -> u64 {
        let (sent, confirmed) = (self.sent.load(Ordering::SeqCst), self.confirmed.load(Ordering::SeqCst));
        assert!(found >= confirmed, "{what}: {found} are there, but {confirmed} were confirmed, of {sent} sent");
        assert!(found <= sent, "{what}: {found} are there, but only {sent} were sent");
        self.sent.store(found, Ordering::SeqCst);
        self.confirmed.store(found, Ordering::SeqCst);
        found - confirmed
    }
}

/// A client, and what it knows.
#[derive(Clone)]
pub(super) struct Ledger {
    index: usize,
    token: Token,
    identity: Identity,
    beats: Arc<Calls>,
    names: Arc<Calls>,
}

impl Ledger {
    pub(super) fn new(index: usize, token: Token, identity: Identity) -> Self {
        Self { index, token, identity, beats: Arc::default(), names: Arc::default() }
    }

    /// Holds what is there against what this client was told; returns how much more is there.
    pub(super) async fn settle(&mut self, host: &HostProcess) -> u64 {
        let (connection, _incoming) = self.connect(host, BEATS).await.unwrap();
        let answer = connection.one_off_query("SELECT * FROM beat").await.unwrap();
        let mut mine: Vec<u64> = answer.rows::<u64>("beat").unwrap();
        mine.retain(|number| number >> COUNT_BITS == self.index as u64);
        mine.sort_unstable();
        let first = (self.index as u64) << COUNT_BITS;
        let found = mine.len() as u64;
        assert!(mine.into_iter().eq(first..first + found), "client {}: a call is missing between others", self.index);
        let beats = self.beats.settle(found, &format!("client {}'s rows", self.index));

        let (connection, _incoming) = self.connect(host, PRESENCE).await.unwrap();
        let answer = connection.one_off_query("SELECT * FROM person").await.unwrap();
        let people: Vec<(Identity, String)> = answer.rows("person").unwrap();
        let name = people.into_iter().find(|(identity, _)| *identity == self.identity);
        let found = name.map_or(0, |(_, name)| name.parse::<u64>().unwrap() + 1);
        beats + self.names.settle(found, &format!("client {}'s name", self.index))
    }

    async fn connect(
        &self,
        host: &HostProcess,
        database: &str,
    ) -> Result<(Connection, muster_wire::Incoming), muster_wire::ConnectError> {
        connect(self.options(endpoint(host, database))).await
    }

    fn options(&self, endpoint: Endpoint) -> ConnectOptions {
        ConnectOptions::new(endpoint).token(Some(self.token.clone()))
    }

    fn confirmed(&self) -> u64 {
        self.beats.confirmed.load(Ordering::SeqCst) + self.names.confirmed.load(Ordering::SeqCst)
    }
}

/// Clients at work.
pub(super) struct Load {
    ledgers: Vec<Ledger>,
    confirmed_before: u64,
    tasks: Vec<JoinHandle<()>>,
}

impl Load {
    /// Every client connects to both databases and calls; the first also follows what all of them do.
    pub(super) fn start(host: &HostProcess, ledgers: &[Ledger]) -> Self {
        let confirmed_before = ledgers.iter().map(Ledger::confirmed).sum();
        let mut tasks = vec![tokio::spawn(follow(endpoint(host, BEATS), ledgers.to_vec()))];
        for ledger in ledgers {
            tasks.push(tokio::spawn(beat(endpoint(host, BEATS), ledger.clone())));
            tasks.push(tokio::spawn(rename(endpoint(host, PRESENCE), ledger.clone())));
        }
        Self { ledgers: ledgers.to_vec(), confirmed_before, tasks }
    }

    /// After the host's end: how much was confirmed meanwhile.
    pub(super) async fn confirmed(self) -> u64 {
        for task in self.tasks {
            soon("a client that notices its host's end", task).await.expect("a client that met nothing unexpected");
        }
        self.ledgers.iter().map(Ledger::confirmed).sum::<u64>() - self.confirmed_before
    }
}

/// Pipelines numbers until the host is gone.
async fn beat(endpoint: Endpoint, ledger: Ledger) {
    let Ok((connection, _incoming)) = connect(ledger.options(endpoint)).await else { return };
    let mut waiting = FuturesOrdered::new();
    let mut numbers = VecDeque::new();
    loop {
        while waiting.len() < PIPELINE {
            let number = ledger.beats.next();
            let value = (ledger.index as u64) << COUNT_BITS | number;
            let connection = connection.clone();
            numbers.push_back(number);
            waiting.push_back(async move { connection.call_reducer("beat", args(&(value,))).await });
        }
        let number = numbers.pop_front().expect("one for each that waits");
        match waiting.next().await.expect("the pipeline is full") {
            Ok(reply) => {
                assert!(reply.outcome.is_ok(), "{reply:?}");
                ledger.beats.confirm(number);
            }
            Err(error) => return gone(&error),
        }
        tokio::time::sleep(PACE).await;
    }
}

/// Takes one name after the other until the host is gone.
async fn rename(endpoint: Endpoint, ledger: Ledger) {
    let Ok((connection, _incoming)) = connect(ledger.options(endpoint)).await else { return };
    loop {
        let number = ledger.names.next();
        match connection.call_reducer("set_name", args(&(number.to_string(),))).await {
            Ok(reply) => {
                assert!(reply.outcome.is_ok(), "{reply:?}");
                ledger.names.confirm(number);
            }
            Err(error) => return gone(&error),
        }
        tokio::time::sleep(PACE).await;
    }
}

/// What a subscriber has seen counts as confirmed too.
async fn follow(endpoint: Endpoint, ledgers: Vec<Ledger>) {
    let Ok((connection, mut incoming)) = connect(ConnectOptions::new(endpoint)).await else { return };
    if connection.subscribe(&["SELECT * FROM beat"]).await.is_err() {
        return;
    }
    while let Some(Update::Transaction(transaction)) = incoming.next().await {
        for change in transaction.query_sets.iter().flat_map(|set| &set.tables) {
            for value in change.inserted.decode::<u64>().unwrap() {
                ledgers[(value >> COUNT_BITS) as usize].beats.confirm(value & ((1 << COUNT_BITS) - 1));
            }
        }
    }
}

fn gone(error: &CallError) {
    assert!(matches!(error, CallError::Closed { .. }), "{error}");
}
