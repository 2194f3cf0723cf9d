//! PostgreSQL as a log: one table, inserted into in batches on one connection (so that ids come in the order of commits),
//! several statements on their way, `synchronous_commit=on`; read by id in pages, woken by `LISTEN`.
//!
//! What always holds: a reader's cursor is the id that its store has; the notification only wakes.

use std::future::poll_fn;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_postgres::{AsyncMessage, Client, NoTls, Statement};

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
                Some(Ok(AsyncMessage::Notification(_))) => drop(wake.send_replace(())),
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
    streams: Arc<Vec<String>>,
}

impl Sender {
    pub(crate) async fn connect(address: &str, streams: Vec<String>) -> Outcome<Sender> {
        let (client, _) = client(address).await?;
        let sql = "INSERT INTO event (stream, payload) SELECT s, p FROM unnest($1::int[], $2::text[]) WITH ORDINALITY AS \
                   rows (s, p, n) ORDER BY n";
        let insert = client.prepare(sql).await.map_err(text)?;
        Ok(Sender { client: Arc::new(client), insert, streams: Arc::new(streams) })
    }

    /// Inserts in one statement; over once it is committed and synced.
    pub(crate) async fn send(self, batches: Vec<Batch>) -> Outcome {
        let (mut streams, mut payloads) = (Vec::new(), Vec::new());
        for batch in &batches {
            let number = self.streams.iter().position(|name| **name == *batch.stream).ok_or("no such stream")?;
            streams.extend(vec![i32::try_from(number).map_err(text)?; batch.payloads.len()]);
            payloads.extend(batch.payloads.iter().map(String::as_str));
        }
        self.client.execute(&self.insert, &[&streams, &payloads]).await.map(drop).map_err(text)
    }
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
        loop {
            woken.borrow_and_update();
            let rows = match client.query(&page, &[&after, &PAGE]).await {
                Ok(rows) => rows,
                Err(error) => return eprintln!("postgresql: {error}"),
            };
            if rows.is_empty() {
                // Woken or not, it looks.
                let _ = tokio::time::timeout(LOOK, woken.changed()).await;
                continue;
            }
            after = rows.last().map_or(after, |row| row.get(0));
            if give(&inbox, rows, &names, after).await.is_none() {
                return;
            }
        }
    });
    tokio::spawn(async move { while acks.recv().await.is_some() {} });
    Ok(progress)
}

async fn give(
    inbox: &mpsc::Sender<Taken<()>>,
    rows: Vec<tokio_postgres::Row>,
    names: &[Arc<str>],
    last: i64,
) -> Option<()> {
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
