//! The subscriber: streams of a host, applied exactly once and in order to a SQLite database, through any crash.
//!
//! What always holds:
//! - [`engine`] decides and does no I/O; the driver and the store only carry out.
//! - A stream's cursor and the application's effects commit in one SQLite transaction.
//! - Every queue is bounded and every wait limited ([`limits`]).

pub mod batch;
pub mod engine;
pub mod limits;
pub mod status;
pub mod store;

mod driver;
mod subscriber;

pub use batch::{Batch, Change, Events, Place, Reset};
pub use driver::desk::{Batches, PendingBatch};
pub use engine::StartAt;
pub use status::{Counts, Status, StreamStatus};
pub use store::{ApplicationError, Apply, Durability, EventLog, LoggedEvent, Reader, Store, StoreError};
pub use subscriber::{Builder, StartError, Subscriber};
