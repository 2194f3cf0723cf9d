//! Follows every stream of a lane and keeps, in SQLite, how many events of each kind there were: exactly, whatever is killed.
//!
//! `cargo run -p muster-sync --example count_kinds http://localhost:3000 events counts.db`; Ctrl-C ends it, and the next run goes
//! on where this one was. Another program may read `counts.db` meanwhile.

use muster_contract::pattern::StreamPattern;
use muster_sync::{Batch, Change, StartAt, Subscriber};
use muster_wire::Endpoint;
use rusqlite::Transaction;

const TABLE: &str =
    "CREATE TABLE IF NOT EXISTS kinds (stream TEXT, kind TEXT, events INTEGER, PRIMARY KEY (stream, kind)) STRICT";
const COUNT: &str = "INSERT INTO kinds VALUES (?1, ?2, 1) ON CONFLICT DO UPDATE SET events = events + 1";

/// Runs within the store's transaction: the counts and the cursor are committed together, so no event counts twice.
fn count(transaction: &Transaction<'_>, batch: &Batch) -> rusqlite::Result<()> {
    transaction.execute(TABLE, [])?;
    let stream = batch.stream.as_str();
    match &batch.change {
        Change::Events(run) => {
            let mut count = transaction.prepare_cached(COUNT)?;
            for event in &run.events {
                count.execute([stream, event.kind.as_str()])?;
            }
        }
        // The stream begins again: what was made of it goes.
        Change::Reset(_) => drop(transaction.execute("DELETE FROM kinds WHERE stream = ?1", [stream])?),
        Change::Begin(_) => {}
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [server, database, store] = arguments.as_slice() else {
        return Err("usage: count_kinds SERVER DATABASE STORE".into());
    };
    let endpoint = Endpoint::new(server, database.as_str())?;
    let subscriber =
        Subscriber::builder(endpoint, store).follow(StreamPattern::All, StartAt::Start).apply(count).await?;
    let mut status = subscriber.status();
    loop {
        let now = status.borrow_and_update().clone();
        println!("{:?}", now.state);
        tokio::select! {
            changed = status.changed() => changed?,
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                break;
            }
        }
    }
    subscriber.shutdown().await;
    Ok(())
}
