//! How much is in an outbox, and how much may be.

use rusqlite::Connection;

use crate::error::PublishError;
use crate::limits;

/// How much an outbox may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxLimits {
    /// The most events that are not confirmed. Default: [`limits::OUTBOX_EVENTS_MAX`].
    pub events_max: u64,
    /// The most bytes of events on disk. Default: [`limits::OUTBOX_BYTES_MAX`].
    pub bytes_max: u64,
}

impl Default for OutboxLimits {
    fn default() -> Self {
        OutboxLimits { events_max: limits::OUTBOX_EVENTS_MAX, bytes_max: limits::OUTBOX_BYTES_MAX }
    }
}

/// How much is in an outbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Events that are not confirmed, parked ones included.
    pub(crate) events: u64,
    /// Bytes of the chunks on disk.
    pub(crate) bytes: u64,
}

impl Totals {
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Totals> {
        let sum = |sql: &str| -> rusqlite::Result<u64> {
            connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map(i64::cast_unsigned)
        };
        Ok(Totals {
            events: sum("SELECT coalesce(sum(last - confirmed), 0) FROM stream WHERE last > confirmed")?,
            bytes: sum("SELECT coalesce(sum(bytes), 0) FROM chunk")?,
        })
    }

    /// Takes more in, unless that were too much.
    pub(super) fn admit(&mut self, limits: &OutboxLimits, events: u64, bytes: u64) -> Result<(), PublishError> {
        let limit = if self.events + events > limits.events_max {
            format!("the limit is {} events", limits.events_max)
        } else if self.bytes + bytes > limits.bytes_max {
            format!("the limit is {} bytes", limits.bytes_max)
        } else {
            self.events += events;
            self.bytes += bytes;
            return Ok(());
        };
        Err(PublishError::Full { events: self.events, bytes: self.bytes, limit })
    }
}
