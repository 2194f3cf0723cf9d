//! Redis Streams, as its documentation drives them: `XADD` in pipelines, several on their way; a consumer group, read in
//! blocks that wait (`XREADGROUP … BLOCK`), acknowledged (`XACK`, in a pipeline) after the commit. Or without a group: read
//! from the id that the store has (`XREAD … BLOCK`), which asks of the server no record of who has what.
//!
//! What always holds: a pipeline is a transaction (`MULTI`, `EXEC`), which is written to the file in one piece (documentation,
//! "Transactions"). Redis syncs once for each turn of its event loop, in which it takes only some 16 to 32 KiB from a client: a
//! plain pipeline of a thousand events would wait for many syncs. One stream of Redis for each stream; the consumer's name and
//! group are its store's, so it goes on where it was; without a group, the store's own cursor says where that is.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Value, cmd, pipe};

use super::outbox::Batch;
use super::store::{Progress, Run, Store, Taken};
use super::{Outcome, text};
use crate::limits::{PATIENCE, PEERS_READ_EVENTS};

/// How long a reader waits for something new, in milliseconds; then it asks again.
const BLOCK_MS: u64 = 1_000;

/// Entries of all streams in one answer, about.
const ENTRIES: usize = PEERS_READ_EVENTS;

/// Entries of one stream in an answer, of so many streams.
fn entries_each(streams: usize) -> usize {
    (ENTRIES / streams.max(1)).max(50)
}

async fn connection(address: &str) -> Outcome<MultiplexedConnection> {
    let client = Client::open(format!("redis://{address}/")).map_err(text)?;
    // Answers come when they come: a reader blocks, a pipeline waits for the disk, and many may connect at once.
    let config = AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(Some(PATIENCE));
    client.get_multiplexed_async_connection_with_config(&config).await.map_err(text)
}

/// Whether the server takes commands: it listens before it has loaded what it had.
pub(crate) async fn ready(address: &str) -> Outcome {
    cmd("PING").query_async::<()>(&mut connection(address).await?).await.map_err(text)
}

/// Who sends.
#[derive(Clone)]
pub(crate) struct Sender(MultiplexedConnection);

impl Sender {
    pub(crate) async fn connect(address: &str) -> Outcome<Sender> {
        connection(address).await.map(Sender)
    }

    /// Sends in one transaction; over once the server has synced all of it.
    pub(crate) async fn send(mut self, batches: Vec<Batch>) -> Outcome {
        let mut all = pipe();
        all.atomic();
        for batch in &batches {
            for payload in &batch.payloads {
                all.cmd("XADD").arg(&*batch.stream).arg("*").arg("p").arg(payload.as_bytes());
            }
        }
        added(&all.query_async(&mut self.0).await.map_err(text)?, all.len())
    }
}

/// Whether a transaction's answer says that every entry was added: it has an id for each. Errors come as such; a
/// transaction that was not carried out has nil.
fn added(answer: &Value, entries: usize) -> Outcome {
    let is_id = |value: &Value| matches!(value, Value::BulkString(_));
    match answer {
        Value::Array(ids) if ids.len() == entries && ids.iter().all(is_id) => Ok(()),
        Value::Array(ids) => {
            Err(format!("redis: {entries} entries were sent, {} added", ids.iter().filter(|id| is_id(id)).count()))
        }
        _ => Err("redis: the transaction was not carried out".into()),
    }
}

type Ack = Vec<(Arc<str>, Vec<Vec<u8>>)>;

/// Follows; returns how it gets on.
pub(crate) async fn follow(address: &str, store: &Path, group: &str, streams: &[String]) -> Outcome<Arc<Progress>> {
    let mut acking = connection(address).await?;
    for stream in streams {
        let mut create = cmd("XGROUP");
        create.arg("CREATE").arg(stream).arg(group).arg("0").arg("MKSTREAM");
        match create.query_async::<()>(&mut acking).await {
            Err(error) if !error.to_string().contains("BUSYGROUP") => return Err(text(error)),
            _ => {}
        }
    }
    let store = Store::<Ack>::open(store)?;
    let (inbox, mut acks, progress, _thread) = store.split();
    let mut reading = connection(address).await?;
    let names = by_name(streams);
    let mut read = cmd("XREADGROUP");
    read.arg("GROUP").arg(group).arg("c").arg("COUNT").arg(entries_each(streams.len()));
    read.arg("BLOCK").arg(BLOCK_MS).arg("STREAMS").arg(streams).arg(vec![">"; streams.len()]);
    tokio::spawn(async move {
        loop {
            let answer: Value = match read.query_async(&mut reading).await {
                Ok(answer) => answer,
                Err(error) => return eprintln!("redis: {error}"),
            };
            match taken(answer, &names) {
                Some(taken) if taken.runs.is_empty() => {}
                Some(taken) => {
                    if inbox.send(taken).await.is_err() {
                        return;
                    }
                }
                None => return eprintln!("redis: an answer that is no stream's"),
            }
        }
    });
    let group = group.to_owned();
    tokio::spawn(async move {
        while let Some(done) = acks.recv().await {
            let mut all = pipe();
            all.atomic();
            for (stream, ids) in done.iter().flatten() {
                all.cmd("XACK").arg(&**stream).arg(&group).arg(ids).ignore();
            }
            if let Err(error) = all.query_async::<()>(&mut acking).await {
                return eprintln!("redis: {error}");
            }
        }
    });
    Ok(progress)
}

/// Follows without a group; returns how it gets on.
pub(crate) async fn read(address: &str, store: &Path, streams: &[String]) -> Outcome<Arc<Progress>> {
    let store = Store::<()>::open(store)?;
    let mut ids: Vec<String> =
        streams.iter().map(|name| store.tokens.get(name).cloned().unwrap_or_else(|| "0".into())).collect();
    let (inbox, mut acks, progress, _thread) = store.split();
    let mut reading = connection(address).await?;
    let streams = streams.to_vec();
    tokio::spawn(async move {
        let names = by_name(&streams);
        loop {
            let mut read = cmd("XREAD");
            read.arg("COUNT").arg(entries_each(streams.len())).arg("BLOCK").arg(BLOCK_MS);
            read.arg("STREAMS").arg(&streams).arg(&ids);
            let answer: Value = match read.query_async(&mut reading).await {
                Ok(answer) => answer,
                Err(error) => return eprintln!("redis: {error}"),
            };
            let Some(Taken { runs, .. }) = taken(answer, &names) else {
                return eprintln!("redis: an answer that is no stream's");
            };
            for run in &runs {
                if let Some(index) = streams.iter().position(|name| **name == *run.stream) {
                    ids[index].clone_from(&run.token);
                }
            }
            if !runs.is_empty() && inbox.send(Taken { runs, ack: () }).await.is_err() {
                return;
            }
        }
    });
    tokio::spawn(async move { while acks.recv().await.is_some() {} });
    Ok(progress)
}

fn by_name(streams: &[String]) -> BTreeMap<Vec<u8>, Arc<str>> {
    streams.iter().map(|name| (name.as_bytes().to_vec(), Arc::from(name.as_str()))).collect()
}

/// `[[stream, [[id, [field, value]], …]], …]`, or nil when nothing came.
fn taken(answer: Value, names: &BTreeMap<Vec<u8>, Arc<str>>) -> Option<Taken<Ack>> {
    let mut taken = Taken { runs: Vec::new(), ack: Vec::new() };
    let streams = match answer {
        Value::Nil => return Some(taken),
        Value::Array(streams) => streams,
        _ => return None,
    };
    for stream in streams {
        let [Value::BulkString(name), Value::Array(entries)] = <[Value; 2]>::try_from(array(stream)?).ok()? else {
            return None;
        };
        let name = names.get(&name)?;
        let (mut ids, mut payloads) = (Vec::with_capacity(entries.len()), Vec::with_capacity(entries.len()));
        for entry in entries {
            let [Value::BulkString(id), fields] = <[Value; 2]>::try_from(array(entry)?).ok()? else { return None };
            let Value::BulkString(payload) = array(fields)?.pop()? else { return None };
            ids.push(id);
            payloads.push(payload);
        }
        let token = ids.last().map(|id| String::from_utf8_lossy(id).into_owned()).unwrap_or_default();
        taken.runs.push(Run { stream: name.clone(), payloads, token });
        taken.ack.push((name.clone(), ids));
    }
    Some(taken)
}

fn array(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(values) => Some(values),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_has_added_its_entries_only_if_each_has_an_id() {
        let id = || Value::BulkString(b"1-1".to_vec());
        added(&Value::Array(vec![id(), id()]), 2).expect("both");
        assert!(added(&Value::Array(vec![id()]), 2).is_err(), "one is missing");
        assert!(added(&Value::Array(vec![id(), Value::Nil]), 2).is_err(), "one was not added");
        assert!(added(&Value::Nil, 2).is_err(), "not carried out");
    }
}
