//! Revocations on their way to those who must end sessions: at least once, in order, with retries.
//!
//! What always holds: a revocation is marked as delivered only after the sink took it; a sink that fails is tried again,
//! ever more slowly, and holds up nobody else. Delivering twice must do no harm, and does not: a revocation names what
//! ends, and what has ended stays so.

use std::future::Future;
use std::time::Duration;

use crate::Control;
use crate::error::ControlError;
use crate::limits::{
    DELIVERY_BACKOFF_MAX_MS, DELIVERY_BACKOFF_MIN_MS, DELIVERY_PAGE_MAX, DELIVERY_TIMEOUT_MAX_MS, DELIVERY_TIMEOUT_MS,
    OUTBOX_POLL_MS,
};
use crate::metrics::Counter;
use crate::store::revocations::Revocation;

/// Who takes revocations: in production, a reducer of the lane's module.
pub trait RevocationSink: Send + Sync {
    /// Which module takes them, by the name of its database: what it has taken is remembered under that.
    fn target(&self) -> &str {
        ""
    }

    /// Takes these, oldest first; all or none. It must not matter that some were taken before.
    ///
    /// # Errors
    /// Why not, in one line without secrets; the same are offered again.
    fn deliver(&self, revocations: &[Revocation]) -> impl Future<Output = Result<(), String>> + Send;
}

/// How long to wait after this many failures in a row.
fn backoff(failures: u32) -> Duration {
    let doubled = DELIVERY_BACKOFF_MIN_MS.saturating_mul(1 << failures.saturating_sub(1).min(16));
    Duration::from_millis(doubled.min(DELIVERY_BACKOFF_MAX_MS))
}

/// How long a delivery may take after this many failures in a row.
fn timeout(failures: u32) -> Duration {
    let doubled = DELIVERY_TIMEOUT_MS.saturating_mul(1 << failures.min(16));
    Duration::from_millis(doubled.min(DELIVERY_TIMEOUT_MAX_MS))
}

/// Delivers until it is dropped. What this process revokes is delivered at once, what another one does within
/// [`OUTBOX_POLL_MS`].
pub async fn deliver_revocations(control: &Control, sink: &impl RevocationSink) {
    let mut failures: u32 = 0;
    // Known from now on, so that what waits for it is counted.
    let target = sink.target().to_owned();
    if let Err(error) = on_disk(control, move |control| control.revocations_delivered(&target, 0)).await {
        tracing::error!(%error, "the store failed");
    }
    let mut revoked = control.inner.revoked.subscribe();
    loop {
        revoked.mark_unchanged();
        match deliver_once(control, sink, timeout(failures)).await {
            Ok(0) => {
                failures = 0;
                let poll = Duration::from_millis(OUTBOX_POLL_MS);
                tokio::select! {
                    _ = revoked.changed() => {}
                    () = tokio::time::sleep(poll) => {}
                }
            }
            Ok(_) => failures = 0,
            Err(cause) => {
                failures = failures.saturating_add(1);
                control.inner.metrics.count(Counter::DeliveryFailures, sink.target());
                tracing::warn!(
                    database = sink.target(),
                    cause,
                    failures,
                    "revocations could not be delivered; they are tried again"
                );
                tokio::time::sleep(backoff(failures)).await;
            }
        }
    }
}

/// Delivers one page of what waits. Returns how many.
async fn deliver_once(control: &Control, sink: &impl RevocationSink, limit: Duration) -> Result<usize, String> {
    let said = |error: ControlError| error.to_string();
    let target = sink.target().to_owned();
    let page = {
        let target = target.clone();
        on_disk(control, move |control| control.revocations_waiting(&target, DELIVERY_PAGE_MAX)).await
    };
    let waiting = page.map_err(said)?;
    let Some(last) = waiting.last().map(|revocation| revocation.seq) else { return Ok(0) };
    tokio::time::timeout(limit, sink.deliver(&waiting)).await.map_err(|_| "no answer in time".to_owned())??;
    control.inner.metrics.add(Counter::Delivered, &target, waiting.len() as u64);
    on_disk(control, move |control| control.revocations_delivered(&target, last)).await.map_err(said)?;
    Ok(waiting.len())
}

async fn on_disk<T: Send + 'static>(
    control: &Control,
    work: impl FnOnce(&Control) -> Result<T, ControlError> + Send + 'static,
) -> Result<T, ControlError> {
    let control = control.clone();
    let done = tokio::task::spawn_blocking(move || work(&control)).await;
    done.unwrap_or_else(|error| Err(ControlError::Serve(std::io::Error::other(error))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit() {
        let waits: Vec<u64> = (1..=8).map(|failures| backoff(failures).as_millis() as u64).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
        assert_eq!(backoff(u32::MAX).as_millis() as u64, DELIVERY_BACKOFF_MAX_MS);
        let limits: Vec<u64> = (0..=4).map(|failures| timeout(failures).as_millis() as u64).collect();
        assert_eq!(limits, [2_000, 4_000, 8_000, 16_000, 16_000]);
    }
}
