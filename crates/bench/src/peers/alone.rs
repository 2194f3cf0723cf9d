//! No server: the two ends of every system by themselves. The publisher keeps events in the outbox that peers have, which are
//! confirmed at once; the store that peers have is given the same events, from memory.
//!
//! What always holds: what the store is given was made before anybody asks for it, so that its making costs the
//! measurement nothing; it comes in pages as large as the peers', in the publisher's order; no page comes before somebody
//! waits for it.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;

use super::Outcome;
use super::store::{Progress, Run, Store, Taken};
use super::words::{Load, payload};
use crate::limits::PEERS_READ_EVENTS;

/// Gives the store all of these loads, one after the other; returns how it gets on. `wanted` is how many events somebody
/// waits for, counted from the beginning.
pub(crate) fn follow(store: &Path, given: &[Load], mut wanted: watch::Receiver<u64>) -> Outcome<Arc<Progress>> {
    let store = Store::<()>::open(store)?;
    let (inbox, mut acks, progress, _thread) = store.split();
    let pages: Vec<Taken<()>> = given.iter().flat_map(pages).collect();
    tokio::spawn(async move {
        let mut done = 0;
        for page in pages {
            if wanted.wait_for(|goal| *goal > done).await.is_err() {
                return;
            }
            done += events(&page);
            if inbox.send(page).await.is_err() {
                return;
            }
        }
    });
    tokio::spawn(async move { while acks.recv().await.is_some() {} });
    Ok(progress)
}

fn events(page: &Taken<()>) -> u64 {
    page.runs.iter().map(|run| run.payloads.len() as u64).sum()
}

/// A load as a reader would get it: the streams' batches in turn, several in a page.
fn pages(load: &Load) -> Vec<Taken<()>> {
    let streams: Vec<Arc<str>> = load.names().into_iter().map(Arc::from).collect();
    let until = load.first + load.each;
    let mut pages = Vec::new();
    let mut page = Taken { runs: Vec::new(), ack: () };
    let mut first = load.first;
    while first < until {
        let next = (first + load.batch.max(1)).min(until);
        for stream in &streams {
            let payloads = (first..next).map(|n| payload(n, load.bytes).into_bytes()).collect();
            page.runs.push(Run { stream: stream.clone(), payloads, token: next.to_string() });
            if events(&page) >= PEERS_READ_EVENTS as u64 {
                pages.push(std::mem::replace(&mut page, Taken { runs: Vec::new(), ack: () }));
            }
        }
        first = next;
    }
    if !page.runs.is_empty() {
        pages.push(page);
    }
    pages
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;
    use crate::limits::PATIENCE;

    fn load(streams: usize, first: u64, each: u64, batch: u64) -> Load {
        Load { prefix: "p".into(), streams, first, each, batch, bytes: 64, rate: 0 }
    }

    #[test]
    fn a_page_is_as_large_as_those_that_peers_read() {
        let sizes: Vec<u64> = pages(&load(1, 1, 8_600, 500)).iter().map(events).collect();
        assert_eq!(sizes, [4_000, 4_000, 600]);
        let sizes: Vec<u64> = pages(&load(3, 0, 2_000, 500)).iter().map(events).collect();
        assert_eq!(sizes, [4_000, 2_000]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_store_gets_every_event_of_every_stream_and_none_before_it_is_waited_for() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let (want, wanted) = watch::channel(0);
        let given = [load(2, 0, 1, 1), load(2, 1, 700, 500)];
        let path = super::super::roles::store_of(folder.path(), 0);
        let progress = follow(&path, &given, wanted).expect("a store");
        let mut count = progress.count.subscribe();
        let mut reached = async |goal: u64| {
            want.send_replace(goal);
            let waiting = count.wait_for(|count| *count >= goal);
            *timeout(PATIENCE, waiting).await.expect("in time").expect("a store")
        };
        assert_eq!(reached(2).await, 2, "what nobody waits for does not come");
        reached(1_402).await;
        super::super::scene::verify(folder.path(), 0, &given[1]).expect("all are there");
    }
}
