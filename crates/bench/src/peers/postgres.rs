//! PostgreSQL as a log: one table, inserted into in batches on one connection (so that ids come in the order of commits),
//! several statements on their way, `synchronous_commit=on`; read by id in pages, woken by `LISTEN`, the next page asked for
//! while this one is taken apart. Or loaded by `COPY`, which its documentation calls the fastest way: one round trip more for
//! each, and less work for each row.
//!
//! What always holds: a reader's cursor is the id that its store has; the notification only wakes.

use std::future::poll_fn;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures::SinkExt;

use tokio::sync::{mpsc, watch};
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, NoTls, Row, Statement};

use super::outbox::Batch;
use super::store::{Progress, Run, Store, Taken};
use super::{Outcome, text};
use crate::limits::PEERS_READ_EVENTS;

/// Rows of a page.
const PAGE: i64 = PEERS_READ_EVENTS as i64;

/// How long a reader waits for a notification before it looks by itself.
const LOOK: Duration = Duration::from_secs(1);

/// What is made once, before anybody measures. Numbers are taken from the sequence a thousand at a time: one connection
/// inserts, so their order stays.
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS event (id bigserial PRIMARY KEY, stream int NOT NULL, payload text NOT NULL);
    ALTER SEQUENCE event_id_seq CACHE 1000;
    CREATE OR REPLACE FUNCTION wake() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NOTIFY event; RETURN NULL; END $$;
    CREATE OR REPLACE TRIGGER wake AFTER INSERT ON event FOR EACH STATEMENT EXECUTE FUNCTION wake();
";

/// Connects; `woken` changes at each notification.
async fn client(address: &str) -> Outcome<(Client, watch::Receiver<()>)> {
    let (host, port) = address.split_once(':').ok_or("no port")?;
    let config = format!("host={host} port={port} user=postgres dbname=postgres");
    let (client, mut connection) = tokio_postgres::connect(&config, NoTls).await.map_err(text)?;
    let (wake, woken) = watch::channel(());
    tokio::spawn(async move {
        loop {
            match poll_fn(|context| connection.poll_message(context)).await {
                Some(Ok(AsyncMessage::Notification(_))) => wake.send_modify(|()| ()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            }
        }
    });
    Ok((client, woken))
}

/// Makes the table.
pub(crate) async fn prepare(address: &str) -> Outcome {
    client(address).await?.0.batch_execute(SCHEMA).await.map_err(text)
}

/// Who sends.
#[derive(Clone)]
pub(crate) struct Sender {
    client: Arc<Client>,
    insert: Statement,
    copy: Option<Statement>,
    streams: Arc<Vec<String>>,
}

impl Sender {
    /// `copies` instead of inserting.
    pub(crate) async fn connect(address: &str, streams: Vec<String>, copies: bool) -> Outcome<Sender> {
        let (client, _) = client(address).await?;
        let sql = "INSERT INTO event (stream, payload) SELECT s, p FROM unnest($1::int[], $2::text[]) WITH ORDINALITY AS \
                   rows (s, p, n) ORDER BY n";
        let insert = client.prepare(sql).await.map_err(text)?;
        let copy = match copies {
            true => {
                let sql = "COPY event (stream, payload) FROM STDIN (FORMAT binary)";
                Some(client.prepare(sql).await.map_err(text)?)
            }
            false => None,
        };
        Ok(Sender { client: Arc::new(client), insert, copy, streams: Arc::new(streams) })
    }

    /// Inserts in one statement; over once it is committed and synced.
    pub(crate) async fn send(self, batches: Vec<Batch>) -> Outcome {
        if let Some(copy) = &self.copy {
            let data = binary(&batches, &self.streams)?;
            let mut sink = pin!(self.client.copy_in::<_, Bytes>(copy).await.map_err(text)?);
            sink.send(data).await.map_err(text)?;
            return sink.finish().await.map(drop).map_err(text);
        }
        let (mut streams, mut payloads) = (Vec::new(), Vec::new());
        for batch in &batches {
            streams.extend(vec![number(&self.streams, &batch.stream)?; batch.payloads.len()]);
            payloads.extend(batch.payloads.iter().map(String::as_str));
        }
        self.client.execute(&self.insert, &[&streams, &payloads]).await.map(drop).map_err(text)
    }
}

fn number(streams: &[String], name: &str) -> Outcome<i32> {
    let number = streams.iter().position(|known| known == name).ok_or("no such stream")?;
    i32::try_from(number).map_err(text)
}

/// The rows as `COPY` reads them (PostgreSQL's manual, "COPY", "Binary Format"): a signature, no flags, no extension; for each row
/// how many fields, and for each field its length and its bytes; at the end -1.
fn binary(batches: &[Batch], streams: &[String]) -> Outcome<Bytes> {
    let mut data = BytesMut::from(&b"PGCOPY\n\xff\r\n\0"[..]);
    data.put_i32(0);
    data.put_i32(0);
    for batch in batches {
        let number = number(streams, &batch.stream)?;
        for payload in &batch.payloads {
            data.put_i16(2);
            data.put_i32(4);
            data.put_i32(number);
            data.put_i32(i32::try_from(payload.len()).map_err(text)?);
            data.put_slice(payload.as_bytes());
        }
    }
    data.put_i16(-1);
    Ok(data.freeze())
}

/// Follows; returns how it gets on.
pub(crate) async fn follow(address: &str, store: &Path, streams: &[String]) -> Outcome<Arc<Progress>> {
    let (client, mut woken) = client(address).await?;
    client.batch_execute("LISTEN event").await.map_err(text)?;
    let page = client
        .prepare("SELECT id, stream, payload FROM event WHERE id > $1 ORDER BY id LIMIT $2")
        .await
        .map_err(text)?;
    let store = Store::<()>::open(store)?;
    let mut after: i64 = store.tokens.values().filter_map(|token| token.parse().ok()).max().unwrap_or(0);
    let (inbox, mut acks, progress, _thread) = store.split();
    let names: Vec<Arc<str>> = streams.iter().map(|name| Arc::from(name.as_str())).collect();
    tokio::spawn(async move {
        let mut rows = Vec::new();
        loop {
            after = rows.last().map_or(after, |row: &Row| row.get(0));
            woken.borrow_and_update();
            let from: [&(dyn ToSql + Sync); 2] = [&after, &PAGE];
            let (next, given) = tokio::join!(client.query(&page, &from), give(&inbox, rows, &names, after));
            if given.is_none() {
                return;
            }
            rows = match next {
                Ok(rows) => rows,
                Err(error) => return eprintln!("postgresql: {error}"),
            };
            if rows.is_empty() {
                // Woken or not, it looks.
                let _ = tokio::time::timeout(LOOK, woken.changed()).await;
            }
        }
    });
    tokio::spawn(async move { while acks.recv().await.is_some() {} });
    Ok(progress)
}

async fn give(inbox: &mpsc::Sender<Taken<()>>, rows: Vec<Row>, names: &[Arc<str>], last: i64) -> Option<()> {
    if rows.is_empty() {
        return Some(());
    }
    let mut runs: Vec<Run> = Vec::new();
    for row in rows {
        let stream = names.get(usize::try_from(row.get::<_, i32>(1)).ok()?)?;
        let payload = row.get::<_, &str>(2).as_bytes().to_vec();
        match runs.iter_mut().find(|run| Arc::ptr_eq(&run.stream, stream)) {
            Some(run) => run.payloads.push(payload),
            None => runs.push(Run { stream: stream.clone(), payloads: vec![payload], token: last.to_string() }),
        }
    }
    inbox.send(Taken { runs, ack: () }).await.ok()
}
