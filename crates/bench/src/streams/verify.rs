//! Whether a subscriber's database holds what was published: every byte of it, once, in order.

use std::path::Path;

use muster_sync::Reader;

use super::words::stream;
use super::{STORE, payload};
use crate::error::BenchError;
use crate::limits::APPEND_EVENTS;

/// Compares the database in `folder` with the first `each` events of so many streams.
///
/// # Errors
/// [`BenchError::Wrong`] where they differ: then the figures are worth nothing.
pub(super) fn verify(
    folder: &Path,
    prefix: &str,
    streams: usize,
    each: u64,
    payload_bytes: usize,
) -> Result<(), BenchError> {
    let unreadable = |error: muster_sync::StoreError| BenchError::Wrong(error.to_string());
    let reader = Reader::open(&folder.join(STORE)).map_err(unreadable)?;
    for index in 0..streams {
        let id = stream(prefix, index);
        let mut expected = 0..each;
        loop {
            let rows = reader.events(&id, expected.start, APPEND_EVENTS).map_err(unreadable)?;
            if rows.is_empty() {
                break;
            }
            for row in rows {
                let n =
                    expected.next().ok_or_else(|| BenchError::Wrong(format!("{id} has more than {each} events")))?;
                if row.seq != n + 1 || row.payload != payload(n, payload_bytes) {
                    return Err(BenchError::Wrong(format!(
                        "event {} of {id} is not the one that was published",
                        n + 1
                    )));
                }
            }
        }
        if !expected.is_empty() {
            return Err(BenchError::Wrong(format!("{id} ends at {} of {each} events", expected.start)));
        }
    }
    Ok(())
}
