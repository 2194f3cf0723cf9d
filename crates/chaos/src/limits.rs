//! Sizes and waits of the proxy, named with their units.

use std::time::Duration;

/// Bytes that one direction of a connection holds back at most, while it is delayed or throttled.
pub(crate) const HELD_BYTES_MAX: usize = 1024 * 1024;

/// Bytes read from a socket at a time.
pub(crate) const READ_BYTES: usize = 64 * 1024;

/// How long the proxy waits for the upstream to accept a connection.
pub(crate) const CONNECT_WAIT: Duration = Duration::from_secs(5);

/// A throttled direction passes what one such interval allows, then waits for the next.
pub(crate) const THROTTLE_INTERVAL: Duration = Duration::from_millis(10);

const _: () = assert!(READ_BYTES <= HELD_BYTES_MAX, "a single read must fit into what may be held back");
