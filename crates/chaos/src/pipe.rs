//! One direction of one connection: reads here, writes there, when the weather lets it.
//!
//! Two tasks with a bounded queue between them, so that a delay does not lower the throughput: many chunks are on their
//! way at one time, each with the moment at which it may arrive.

use crate::limits::{HELD_BYTES_MAX, READ_BYTES, THROTTLE_INTERVAL};
use crate::weather::Weather;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

/// Bytes on their way, and when they were sent.
struct Chunk {
    bytes: Vec<u8>,
    sent_at: Instant,
}

/// Carries bytes from `from` to `to` until `from` ends, `to` breaks, or nobody holds the weather any more. An orderly end is
/// passed on as one: the other direction may go on.
pub(crate) async fn carry(
    mut from: ReadHalf<TcpStream>,
    to: WriteHalf<TcpStream>,
    weather: watch::Receiver<Weather>,
    passed: Arc<AtomicU64>,
) -> std::io::Result<()> {
    let room = Arc::new(Semaphore::new(HELD_BYTES_MAX));
    let reading_room = Arc::clone(&room);
    // Each chunk holds at least one byte of the room, so this queue cannot be what is full first.
    let (queue, chunks) = mpsc::channel(HELD_BYTES_MAX / READ_BYTES * 64);
    let reading = async move {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let count = from.read(&mut buffer).await?;
            if count == 0 {
                return Ok(());
            }
            let count_u32 = u32::try_from(count).expect("a read is at most READ_BYTES");
            reading_room.acquire_many(count_u32).await.expect("the room is never closed").forget();
            let chunk = Chunk { bytes: buffer[..count].to_vec(), sent_at: Instant::now() };
            if queue.send(chunk).await.is_err() {
                return Ok(());
            }
        }
    };
    // What was read before `from` broke still arrives; once `to` is broken, nothing more need be read.
    let (read, ()) = tokio::try_join!(async { Ok(reading.await) }, deliver(to, chunks, weather, &room, &passed))?;
    read
}

async fn deliver(
    mut to: WriteHalf<TcpStream>,
    mut chunks: mpsc::Receiver<Chunk>,
    mut weather: watch::Receiver<Weather>,
    room: &Semaphore,
    passed: &AtomicU64,
) -> std::io::Result<()> {
    while let Some(chunk) = chunks.recv().await {
        let mut rest = chunk.bytes.as_slice();
        while !rest.is_empty() {
            let now = passable(&mut weather, chunk.sent_at).await;
            let count = match now.bytes_per_second {
                Some(rate) => rest.len().min(allowance(rate)),
                None => rest.len(),
            };
            to.write_all(&rest[..count]).await?;
            passed.fetch_add(count as u64, Ordering::Relaxed);
            rest = &rest[count..];
            if now.bytes_per_second.is_some() {
                sleep(THROTTLE_INTERVAL).await;
            }
        }
        room.add_permits(chunk.bytes.len());
    }
    // An end of the stream does not overtake a freeze either.
    passable(&mut weather, Instant::now()).await;
    to.shutdown().await
}

/// Waits until bytes sent at `sent_at` may pass, and says in which weather they do.
async fn passable(weather: &mut watch::Receiver<Weather>, sent_at: Instant) -> Weather {
    loop {
        let now = weather.borrow_and_update().clone();
        if !now.frozen {
            sleep_until(sent_at + now.delay).await;
            // It may have frozen meanwhile.
            if !weather.borrow().frozen {
                return now;
            }
        }
        if weather.changed().await.is_err() {
            return Weather::CLEAR;
        }
    }
}

/// Bytes that a throttled direction passes in one interval: at least one, so that it always moves.
fn allowance(bytes_per_second: u32) -> usize {
    let per_interval = u64::from(bytes_per_second) * THROTTLE_INTERVAL.as_millis() as u64 / 1_000;
    usize::try_from(per_interval.max(1)).unwrap_or(usize::MAX)
}
