//! Who writes, who watches, and who compares.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use muster_contract::state::{ConnectionState, LeaveReason};
use muster_contract::stream::StreamId;
use muster_publisher::{Draft, Publisher};
use muster_sync::{Status, Subscriber};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Streams that are written to in turn.
const STREAMS: u64 = 4;

/// Writes numbered events until it is told to stop.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    task: JoinHandle<(Publisher, BTreeMap<String, u64>)>,
}

impl Load {
    pub(crate) fn begin(publisher: Publisher) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let mut written = BTreeMap::new();
            let mut pace = tokio::time::interval(Duration::from_millis(10));
            for n in 0.. {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                pace.tick().await;
                let name = format!("drill.s{}", n % STREAMS);
                let count = written.entry(name.clone()).or_insert(0u64);
                *count += 1;
                let stream = StreamId::parse(&name).expect("a stream id");
                let payload = format!(r#"{{"n":{count}}}"#);
                publisher.publish_many(&stream, [Draft::new("drill", payload.as_bytes())]).await.expect("stored");
            }
            (publisher, written)
        });
        Load { stop, task }
    }

    /// Ends it, once the host has confirmed everything. What was written to each stream.
    pub(crate) async fn end(self, patience: Duration) -> BTreeMap<String, u64> {
        self.stop.store(true, Ordering::Relaxed);
        let (publisher, written) = self.task.await.expect("no panic");
        publisher.flush(patience).await.expect("all is confirmed");
        publisher.close().await;
        written
    }
}

/// What was seen of a subscriber since it was live first.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The longest time that it was not live.
    pub(crate) longest: Duration,
    /// How often it was left.
    pub(crate) left: usize,
    /// Why, as far as said.
    pub(crate) reasons: Vec<Option<LeaveReason>>,
}

/// Follows the status from its first `live` on.
pub(crate) struct Watcher {
    stop: watch::Sender<bool>,
    task: JoinHandle<Seen>,
}

impl Watcher {
    pub(crate) fn begin(subscriber: &Subscriber) -> Watcher {
        let mut status = subscriber.status();
        let (stop, mut stopped) = watch::channel(false);
        let task = tokio::spawn(async move {
            let mut seen = Seen::default();
            let mut left_at: Option<Instant> = None;
            let mut was_live = false;
            loop {
                let now = status.borrow_and_update().clone();
                let is_live = now.state == ConnectionState::Live;
                match (is_live, left_at) {
                    (true, Some(at)) => {
                        seen.longest = seen.longest.max(at.elapsed());
                        left_at = None;
                    }
                    (false, None) if was_live => {
                        left_at = Some(Instant::now());
                        seen.left += 1;
                        seen.reasons.push(now.reason);
                    }
                    _ => {}
                }
                was_live |= is_live;
                tokio::select! {
                    changed = status.changed() => if changed.is_err() { break },
                    _ = stopped.changed() => break,
                }
            }
            if let Some(at) = left_at {
                seen.longest = seen.longest.max(at.elapsed());
            }
            seen
        });
        Watcher { stop, task }
    }

    pub(crate) async fn end(self) -> Seen {
        self.stop.send_replace(true);
        self.task.await.expect("no panic")
    }
}

/// Waits until the status is as wanted.
pub(crate) async fn until(subscriber: &Subscriber, patience: Duration, wanted: impl Fn(&Status) -> bool) -> Status {
    let mut status = subscriber.status();
    let found = tokio::time::timeout(patience, status.wait_for(|now| wanted(now))).await;
    match found {
        Ok(now) => now.expect("the subscriber lives").clone(),
        Err(_) => panic!("never as wanted; it is {:?}", subscriber.status().borrow()),
    }
}

/// What the store holds is what was written: each number of each stream once, in order, from the first to the last.
pub(crate) async fn until_complete(store: &Path, written: &BTreeMap<String, u64>, patience: Duration) {
    let deadline = Instant::now() + patience;
    let total: u64 = written.values().sum();
    while count(store) < total {
        assert!(Instant::now() < deadline, "{} of {total} events came", count(store));
        // Between two looks of a deadline-bound wait; nothing depends on its length.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let database = rusqlite::Connection::open(store).expect("the store opens");
    let mut query = database.prepare("SELECT seq, payload FROM event WHERE stream = ?1 ORDER BY seq").expect("a query");
    for (stream, last) in written {
        let rows = query.query_map((stream,), |row| Ok((row.get::<_, u64>(0)?, row.get::<_, String>(1)?)));
        let rows: Vec<_> = rows.expect("rows").map(|row| row.expect("a row")).collect();
        let expected: Vec<_> = (1..=*last).map(|n| (n, format!(r#"{{"n":{n}}}"#))).collect();
        assert!(rows == expected, "{stream}: not each of {last} events once and in order");
    }
    assert_eq!(count(store), total, "and nothing else");
}

fn count(store: &Path) -> u64 {
    let database = rusqlite::Connection::open(store).expect("the store opens");
    database.query_row("SELECT COUNT(*) FROM event", (), |row| row.get(0)).unwrap_or(0)
}
