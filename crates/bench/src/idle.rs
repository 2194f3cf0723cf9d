//! The memory of idle sessions: a server's resident memory before and after, by the number of sessions.
//!
//! What always holds: the server is new, so that nothing which an earlier session left behind is counted or reused; it
//! has served one session before the first look, so that what it allocates once is not counted; every session is alive
//! at the second look, or the measurement fails.

use futures::{StreamExt, TryStreamExt, stream};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::bare::{Address, Bare};
use crate::child::Server;
use crate::error::BenchError;
use crate::limits::{CONNECTING_AT_ONCE, SETTLE};

/// Opens `count` idle sessions at `address`, which is `server`'s, and says how many KiB each of them costs it. With
/// `follows_a_row`, each holds the subscription that every session of this measurement has.
pub(crate) async fn kib_per_session(
    server: &Server,
    system: &'static str,
    address: &Address,
    count: usize,
    follows_a_row: bool,
) -> Result<f64, BenchError> {
    let failed = BenchError::session(system);
    connect(address, follows_a_row).await.map_err(&failed)?.close().await;
    sleep(SETTLE).await;
    let before = server.resident_kib()?;
    let mut staying: JoinSet<String> = JoinSet::new();
    let mut opening =
        stream::iter(0..count).map(|_| connect(address, follows_a_row)).buffer_unordered(CONNECTING_AT_ONCE);
    while let Some(socket) = opening.try_next().await.map_err(&failed)? {
        // At once: a host ends a session that answers no pings while the others are still being opened.
        staying.spawn(socket.stay());
    }
    sleep(SETTLE).await;
    if let Some(lost) = staying.try_join_next() {
        return Err(failed(format!("an idle session ended: {}", lost.unwrap_or_else(|error| error.to_string()))));
    }
    let after = server.resident_kib()?;
    Ok((after.saturating_sub(before)) as f64 / count as f64)
}

async fn connect(address: &Address, follows_a_row: bool) -> Result<Bare, String> {
    let mut socket = Bare::open(address).await?;
    if follows_a_row {
        socket.first_row().await?;
    } else {
        socket.echo(bytes::Bytes::from_static(b"there")).await?;
    }
    Ok(socket)
}
