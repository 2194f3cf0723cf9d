//! The processes that publish and apply, one of each for a measurement.
//!
//! What always holds: the application's side is the same code for every system: payloads, batches, clock, outbox (of the
//! peers), store, commits. Each ends when nobody is left to ask it anything.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use futures::StreamExt;
use futures::future::try_join_all;
use futures::stream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Duration, timeout};

use super::outbox::{Batch, Outbox};
use super::store::Progress;
use super::system::System;
use super::words::{Applied, Load, Place, Published, Wait, now_us, payload, sleep_until};
use super::{Outcome, alone, muster, nats, postgres, redis, text};
use crate::limits::{APPENDS_IN_FLIGHT, KEEP_AT_ONCE, PEERS_SEND_EVENTS_MAX, STREAMS_PATIENCE};
use crate::streams::roles::serve;

/// Publishes what stdin says.
///
/// # Errors
/// Words about whatever went wrong; a measurement is then void.
pub(crate) async fn publisher(place: Place) -> Outcome {
    let keeper = Keeper::open(&place).await?;
    serve(async |load: Load| publish(&keeper, &load).await).await
}

/// Applies until stdin ends.
///
/// # Errors
/// As [`publisher`].
pub(crate) async fn subscriber(place: Place) -> Outcome {
    let names: Vec<String> = (0..place.streams).map(|index| format!("{}.s{index}", place.prefix)).collect();
    if place.system == System::Nats {
        nats::prepare(&place.address, &place.prefix).await?;
    }
    let (want, wanted) = watch::channel(0);
    let readers: Vec<Arc<Progress>> =
        try_join_all((0..place.readers).map(|reader| follow(&place, reader, &names, &wanted))).await?;
    serve(async |Wait { goal }| {
        want.send_replace(goal);
        let waiting = readers.iter().map(async |reader| reached(reader, goal).await);
        timeout(STREAMS_PATIENCE, try_join_all(waiting)).await.map_err(|_| missing(&readers, goal))??;
        let commits = readers.iter().map(|reader| reader.commits());
        let last = |commits: Vec<(u64, u64)>| commits.iter().find(|(count, _)| *count >= goal).map(|(_, at)| *at);
        let at_us = commits.filter_map(last).max().unwrap_or_else(now_us);
        let commits = readers.first().map(|reader| reader.commits()).unwrap_or_default();
        Ok(Applied { at_us, commits })
    })
    .await
}

fn missing(readers: &[Arc<Progress>], goal: u64) -> String {
    let counts: Vec<u64> = readers.iter().map(|reader| *reader.count.borrow()).collect();
    format!("not all of {goal} events were applied in {} s: {counts:?}", STREAMS_PATIENCE.as_secs())
}

async fn reached(reader: &Progress, goal: u64) -> Outcome {
    let mut count = reader.count.subscribe();
    count.wait_for(|count| *count >= goal).await.map(drop).map_err(text)
}

async fn follow(
    place: &Place,
    reader: usize,
    names: &[String],
    wanted: &watch::Receiver<u64>,
) -> Outcome<Arc<Progress>> {
    let store = store_of(Path::new(&place.folder), reader);
    let Place { address, prefix, .. } = place;
    let name = format!("{}-{reader}", place.group);
    match place.system {
        System::Muster => muster::follow(address, &store, prefix, names).await,
        System::Redis => redis::follow(address, &store, &name, names).await,
        System::RedisRead => redis::read(address, &store, names).await,
        System::Nats => nats::follow(address, &store, &name, prefix, names).await,
        System::Postgres | System::PostgresCopy => postgres::follow(address, &store, names).await,
        System::Alone | System::AloneEngine => alone::follow(&store, &place.given, wanted.clone()),
    }
}

/// The file of a reader's store.
pub(crate) fn store_of(folder: &Path, reader: usize) -> PathBuf {
    folder.join(format!("store{reader}"))
}

/// Where the application hands events over.
enum Keeper {
    Muster(muster::Keeper),
    Peer { outbox: Outbox, taken: AtomicU64, confirmed: watch::Receiver<u64>, sent: Arc<AtomicU64> },
}

impl Keeper {
    async fn open(place: &Place) -> Outcome<Keeper> {
        let file = Path::new(&place.folder).join("outbox");
        if place.system == System::Muster {
            return muster::Keeper::open(&place.address, &file).map(Keeper::Muster);
        }
        let (count, confirmed) = watch::channel(0);
        let sent = Arc::new(AtomicU64::new(0));
        let outbox = if place.outbox {
            let (next, batches) = mpsc::unbounded_channel();
            start(place, unbounded(batches), count, sent.clone()).await?;
            Outbox::open(&file, next, sent.clone())?
        } else {
            let (next, batches) = mpsc::channel(APPENDS_IN_FLIGHT);
            start(place, bounded(batches), count, sent.clone()).await?;
            Outbox::None { next }
        };
        Ok(Keeper::Peer { outbox, taken: AtomicU64::new(0), confirmed, sent })
    }

    async fn keep(&self, batch: Batch) -> Outcome {
        match self {
            Keeper::Muster(keeper) => keeper.keep(batch).await,
            Keeper::Peer { outbox, taken, .. } => {
                taken.fetch_add(1, Ordering::AcqRel);
                outbox.keep(batch).await
            }
        }
    }

    async fn flush(&self) -> Outcome {
        match self {
            Keeper::Muster(keeper) => keeper.flush().await,
            Keeper::Peer { taken, confirmed, sent, .. } => {
                let goal = taken.load(Ordering::Acquire);
                let mut confirmed = confirmed.clone();
                let all = confirmed.wait_for(|count| *count >= goal);
                let waited = timeout(STREAMS_PATIENCE, all).await;
                let failed = || format!("{} of {goal} batches were confirmed", sent.load(Ordering::Acquire));
                waited.map_err(|_| failed())?.map(drop).map_err(|_| failed())
            }
        }
    }
}

type Batches = stream::BoxStream<'static, Batch>;

fn unbounded(batches: mpsc::UnboundedReceiver<Batch>) -> Batches {
    stream::unfold(batches, async |mut batches| Some((batches.recv().await?, batches))).boxed()
}

fn bounded(batches: mpsc::Receiver<Batch>) -> Batches {
    stream::unfold(batches, async |mut batches| Some((batches.recv().await?, batches))).boxed()
}

/// Starts what sends: what waits goes together, several requests are on their way, answers are taken in order.
async fn start(place: &Place, batches: Batches, count: watch::Sender<u64>, sent: Arc<AtomicU64>) -> Outcome {
    let together = Box::pin(together(batches));
    let names = (0..place.streams).map(|index| format!("{}.s{index}", place.prefix)).collect();
    let done = move |worked: Outcome<u64>| {
        let (count, sent) = (count.clone(), sent.clone());
        async move {
            match worked {
                Ok(batches) => {
                    let all = sent.fetch_add(batches, Ordering::AcqRel) + batches;
                    count.send_replace(all);
                }
                // Whoever waits for it finds it missing.
                Err(error) => eprintln!("not sent: {error}"),
            }
        }
    };
    match place.system {
        System::Muster => {}
        // Nobody is asked: what is on disk is confirmed.
        System::Alone | System::AloneEngine => {
            drop(tokio::spawn(together.map(|some| Ok(some.len() as u64)).for_each(done)));
        }
        System::Redis | System::RedisRead => {
            let sender = redis::Sender::connect(&place.address).await?;
            let sending = together.map(move |some| {
                let (number, sender) = (some.len() as u64, sender.clone());
                async move { sender.send(some).await.map(|()| number) }
            });
            tokio::spawn(sending.buffered(APPENDS_IN_FLIGHT).for_each(done));
        }
        System::Nats => {
            let sender = nats::Sender::connect(&place.address, &place.prefix).await?;
            // Publishing itself is in order, and one after the other; what is waited for together is the answers.
            let sending = together.then(move |some| {
                let (number, sender) = (some.len() as u64, sender.clone());
                async move { sender.publish(some).await.map(|acks| (number, acks)) }
            });
            let acks = sending.map(async |published: Outcome<(u64, _)>| {
                let (number, acks) = published?;
                nats::acknowledged(acks).await.map(|()| number)
            });
            tokio::spawn(acks.buffered(APPENDS_IN_FLIGHT).for_each(done));
        }
        System::Postgres | System::PostgresCopy => {
            let copies = place.system == System::PostgresCopy;
            let sender = postgres::Sender::connect(&place.address, names, copies).await?;
            let sending = together.map(move |some| {
                let (number, sender) = (some.len() as u64, sender.clone());
                async move { sender.send(some).await.map(|()| number) }
            });
            tokio::spawn(sending.buffered(APPENDS_IN_FLIGHT).for_each(done));
        }
    }
    Ok(())
}

/// Batches that wait, together, up to [`PEERS_SEND_EVENTS_MAX`] events.
fn together(batches: Batches) -> impl stream::Stream<Item = Vec<Batch>> + Send {
    let batches = batches.peekable();
    stream::unfold(Box::pin(batches), async |mut batches| {
        let first = batches.next().await?;
        let mut events = first.payloads.len();
        let mut some = vec![first];
        while events < PEERS_SEND_EVENTS_MAX {
            let fits = |next: &Batch| events + next.payloads.len() <= PEERS_SEND_EVENTS_MAX;
            match futures::FutureExt::now_or_never(batches.as_mut().next_if(fits)) {
                Some(Some(next)) => {
                    events += next.payloads.len();
                    some.push(next);
                }
                _ => break,
            }
        }
        Some((some, batches))
    })
}

async fn publish(keeper: &Keeper, load: &Load) -> Outcome<Published> {
    let began = Instant::now();
    let began_us = now_us();
    if load.rate > 0 {
        by_the_clock(keeper, load, began).await?;
    } else {
        // Each stream has its events from one place, one batch after the other: their order is the application's.
        let lanes = load.streams.min(KEEP_AT_ONCE);
        try_join_all((0..lanes).map(|lane| lane_of(keeper, load, lane, lanes))).await?;
    }
    let kept_us = now_us();
    keeper.flush().await?;
    Ok(Published { began_us, kept_us, confirmed_us: now_us() })
}

/// Every so many-th stream's batches, in turn.
async fn lane_of(keeper: &Keeper, load: &Load, lane: usize, lanes: usize) -> Outcome {
    let streams: Vec<Arc<str>> = (lane..load.streams).step_by(lanes).map(|index| load.stream(index).into()).collect();
    for done in (0..load.each).step_by(usize::try_from(load.batch).map_err(text)?) {
        let count = load.batch.min(load.each - done);
        let first = load.first + done;
        for stream in &streams {
            let payloads = (first..first + count).map(|n| payload(n, load.bytes)).collect();
            keeper.keep(Batch { stream: stream.clone(), payloads }).await?;
        }
    }
    Ok(())
}

/// One stream's events, each when it is due; those that became due while the last ones were being kept, together.
async fn by_the_clock(keeper: &Keeper, load: &Load, began: Instant) -> Outcome {
    let stream: Arc<str> = load.stream(0).into();
    let mut next = 0;
    while next < load.each {
        let due = began + Duration::from_micros(load.due_us(next));
        tokio::task::block_in_place(|| sleep_until(due));
        let elapsed = began.elapsed().as_micros();
        let due = (next + 1..load.each).take_while(|n| u128::from(load.due_us(*n)) <= elapsed).count() as u64 + 1;
        let payloads = (load.first + next..load.first + next + due).map(|n| payload(n, load.bytes)).collect();
        keeper.keep(Batch { stream: stream.clone(), payloads }).await?;
        next += due;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_waits_goes_together_and_no_more_than_fits() {
        let batch = |count: usize| Batch { stream: "s".into(), payloads: vec!["{}".into(); count] };
        let (send, batches) = mpsc::unbounded_channel();
        for count in [500, 500, 500, 400, 200, 1_500, 1] {
            send.send(batch(count)).expect("somebody takes them");
        }
        drop(send);
        let sent = together(unbounded(batches)).map(|some| some.iter().map(|batch| batch.payloads.len()).collect());
        let sent: Vec<Vec<usize>> = sent.collect().await;
        assert_eq!(sent, [vec![500, 500], vec![500, 400], vec![200], vec![1_500], vec![1]]);
    }
}
