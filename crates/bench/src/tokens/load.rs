//! One load: a writer appends batches, and each of so many sessions reads every event of them, page by page, woken by the
//! module's signals.

use std::pin::pin;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use muster_contract::canonical::PayloadHash;
use muster_contract::page::{Answer, NewEvent, Page, wire_hash};
// What a session asks for at a time is what our subscriber does.
use muster_sync::limits::{PAGE_BYTES_MAX, PAGE_EVENTS_MAX};
use muster_wire::sats::{Serialize, bsatn};
use muster_wire::{CallOutcome, ConnectOptions, Connection, Endpoint, Incoming, Timestamp, Token, args, connect};
use tokio::time::timeout;

use super::mint::Mint;
use super::servers::Servers;
use crate::error::BenchError;
use crate::limits::{CONNECTING_AT_ONCE, PATIENCE, STREAMS_PATIENCE};
use crate::streams::payload;

/// Events in each append.
const BATCH: usize = 50;
/// Appends of a load, at least: signals and pages must be many.
const BATCHES_MIN: usize = 10;
const PAYLOAD_BYTES: usize = 256;
/// What a load took, for each event that each session read.
pub(super) struct Took {
    pub(super) wall_us: f64,
    pub(super) host_us: f64,
}

/// Who reads what.
pub(super) struct Load {
    subscribers: usize,
    batches: usize,
    stream: String,
    producer: String,
}

fn failed(reason: impl std::fmt::Display) -> BenchError {
    BenchError::Session { system: "muster", reason: reason.to_string() }
}

/// A session with this token.
pub(super) async fn join(endpoint: &Endpoint, token: Token) -> Result<(Connection, Incoming), BenchError> {
    let mut options = ConnectOptions::new(endpoint.clone()).token(Some(token));
    (options.timeouts.connect, options.timeouts.call) = (PATIENCE, PATIENCE);
    connect(options).await.map_err(failed)
}

/// Calls a reducer, which must not refuse.
pub(super) async fn call<T: Serialize>(
    connection: &Connection,
    reducer: &str,
    arguments: &T,
) -> Result<(), BenchError> {
    let reply = connection.call_reducer(reducer, args(arguments)).await.map_err(failed)?;
    match reply.outcome.is_ok() {
        true => Ok(()),
        false => Err(failed(format!("{reducer}: {}", reply.outcome.message().unwrap_or_default()))),
    }
}

impl Load {
    pub(super) fn new(subscribers: usize, reads: usize, round: usize) -> Load {
        let batches = reads.div_ceil(subscribers * BATCH).max(BATCHES_MIN);
        // A stream that no other load had.
        let stream = format!("bench.{subscribers}.{round}");
        Load { subscribers, batches, stream, producer: format!("{:032x}", (subscribers as u128) << 64 | round as u128) }
    }

    fn events(&self) -> u64 {
        (self.batches * BATCH) as u64
    }

    pub(super) async fn run(&self, servers: &Servers, enforced: bool) -> Result<Took, BenchError> {
        let endpoint = servers.endpoint(enforced);
        let mut mint = Mint::connect(servers).await?;
        let (writer, _incoming) = join(endpoint, mint.token("user:writer").await?).await?;
        let mut sessions = Vec::with_capacity(self.subscribers);
        while sessions.len() < self.subscribers {
            let mut tokens = Vec::new();
            for index in sessions.len()..self.subscribers.min(sessions.len() + CONNECTING_AT_ONCE) {
                tokens.push(mint.token(&format!("user:{index}")).await?);
            }
            sessions.extend(try_join_all(tokens.into_iter().map(|token| self.follow(endpoint, token))).await?);
        }
        let batches: Vec<Vec<NewEvent>> = (0..self.batches).map(batch).collect();
        let (began, host_before) = (Instant::now(), servers.host_time()?);
        let reading = try_join_all(sessions.iter_mut().map(|(connection, incoming)| self.read(connection, incoming)));
        let whole = async { tokio::try_join!(self.write(&writer, batches), reading) };
        timeout(STREAMS_PATIENCE, whole).await.map_err(|_| failed("the events did not arrive in time"))??;
        let took = began.elapsed();
        let host = servers.host_time()?.saturating_sub(host_before);
        for (connection, _) in sessions {
            connection.close().await;
        }
        writer.close().await;
        let each = |time: Duration| time.as_secs_f64() * 1e6 / (self.events() as f64 * self.subscribers as f64);
        Ok(Took { wall_us: each(took), host_us: each(host) })
    }

    async fn follow(&self, endpoint: &Endpoint, token: Token) -> Result<(Connection, Incoming), BenchError> {
        let (connection, incoming) = join(endpoint, token).await?;
        connection.subscribe(&["SELECT * FROM sync_signal"]).await.map_err(failed)?;
        call(&connection, "follow", &(0u32, self.stream.as_str())).await?;
        Ok((connection, incoming))
    }

    async fn write(&self, writer: &Connection, batches: Vec<Vec<NewEvent>>) -> Result<(), BenchError> {
        for (index, events) in batches.into_iter().enumerate() {
            let first = (index * BATCH) as u64 + 1;
            let arguments = (self.stream.as_str(), 0u64, self.producer.as_str(), first, 0u64, events);
            call(writer, "append_events", &arguments).await?;
        }
        Ok(())
    }

    /// Reads to the last event. A signal says that there is more; what was said before a page was asked for is in it. Signals
    /// are taken also while a page is on its way: a session whose signals wait is not read, so its page would not come.
    async fn read(&self, connection: &Connection, incoming: &mut Incoming) -> Result<(), BenchError> {
        let (mut after, mut more) = (0u64, false);
        while after < self.events() {
            if !more {
                incoming.next().await.ok_or_else(|| failed("a session ended"))?;
            }
            more = false;
            let arguments = (self.stream.as_str(), 0u64, after, 0u64, PAGE_EVENTS_MAX, PAGE_BYTES_MAX);
            let mut asked = pin!(connection.call_procedure("read_page", args(&arguments)));
            let reply = loop {
                tokio::select! {
                    reply = &mut asked => break reply.map_err(failed)?,
                    update = incoming.next() => {
                        update.ok_or_else(|| failed("a session ended"))?;
                        more = true;
                    }
                }
            };
            let CallOutcome::Returned(value) = reply.outcome else { return Err(failed("a page was refused")) };
            let bytes: Vec<u8> = bsatn::from_slice(&value).map_err(failed)?;
            let Answer::Ok(page) = Answer::<Page>::from_bytes(&bytes).map_err(failed)? else {
                return Err(failed("a page was refused"));
            };
            after += page.events.len() as u64;
            more |= after < page.head;
        }
        Ok(())
    }
}

fn batch(index: usize) -> Vec<NewEvent> {
    let events = (index * BATCH..(index + 1) * BATCH).map(|n| {
        let payload = payload(n as u64, PAYLOAD_BYTES);
        NewEvent {
            kind: "bench".into(),
            hash: wire_hash(PayloadHash::of(payload.as_bytes()).as_bytes()),
            payload,
            at: Timestamp::from_micros_since_unix_epoch(n as i64),
        }
    });
    events.collect()
}
