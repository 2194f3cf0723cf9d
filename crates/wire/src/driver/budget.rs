//! Room in the queue of updates: a place, and a share of the bytes that may wait.
//!
//! What always holds: bytes are counted in semaphore permits of one KiB, and an update that left the queue has given its
//! permits back.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::connection::Queued;
use crate::update::Update;

/// What fixed costs one update has in the byte budget.
const UPDATE_OVERHEAD_BYTES: usize = 256;

/// Bytes as permits of one KiB, at least one.
pub(crate) fn permits_of(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1_024)).unwrap_or(u32::MAX).max(1)
}

/// Waits for a place and its share of the byte budget; `None` if nobody listens any more.
pub(super) async fn reserve(
    updates: &mpsc::Sender<Queued>,
    bytes: &Arc<Semaphore>,
    permits: u32,
) -> Option<(mpsc::OwnedPermit<Queued>, OwnedSemaphorePermit)> {
    tokio::select! {
        room = async {
            let budget = bytes.clone().acquire_many_owned(permits).await.ok()?;
            let place = updates.clone().reserve_owned().await.ok()?;
            Some((place, budget))
        } => room,
        () = updates.closed() => None,
    }
}

pub(super) fn update_permits(update: &Update) -> u32 {
    let bytes = match update {
        Update::Transaction(transaction) => transaction
            .query_sets
            .iter()
            .flat_map(|set| &set.tables)
            .map(|table| table.inserted.bytes() + table.deleted.bytes() + UPDATE_OVERHEAD_BYTES)
            .sum(),
        Update::SubscriptionFailed { message, .. } => message.len(),
        Update::Closed(_) => 0,
    };
    permits_of(bytes + UPDATE_OVERHEAD_BYTES)
}
