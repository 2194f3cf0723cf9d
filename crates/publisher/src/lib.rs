//! The publisher: events are on disk before [`Publisher::publish`] returns, and reach their streams once, in order,
//! whatever is killed or cut in between.
//!
//! What always holds:
//! - Publishing needs no host. Sending begins with [`Publisher::connect`] and may end and begin again at any time.
//! - An event is forgotten only after the host has confirmed it, or after a person threw it away.
//! - A full outbox, a full disk and a broken one are errors to whoever publishes, never a silent loss.
//! - A stream whose events the host refuses for good is parked, visibly, and holds up no other.
//! - Nothing in the dependency tree is under the Business Source License.
//!
//! [`core`] decides and does no I/O; `outbox` is the file; `driver` connects the two with a host.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use muster_publisher::{ConnectConfig, OutboxConfig, Publisher};
//! use muster_wire::Endpoint;
//! use std::time::Duration;
//!
//! let publisher = Publisher::open(OutboxConfig::new("events.outbox"))?;
//! let receipt = publisher.publish("run:r-1:events", "started", r#"{"by": "me"}"#).await?;
//! println!("{} has its event {}", receipt.stream, receipt.first);
//! publisher.connect(ConnectConfig::new(Endpoint::new("http://localhost:3000", "events")?));
//! publisher.flush(Duration::from_secs(10)).await?;
//! publisher.close().await;
//! # Ok(())
//! # }
//! ```

pub mod core;
mod driver;
mod error;
mod frame;
pub mod limits;
mod metrics;
mod outbox;
mod publisher;

pub use driver::{ConnectConfig, PublisherStatus, SenderState, TokenSource, Trouble};
pub use error::{FlushError, OpenError, OperateError, PublishError};
pub use metrics::Metrics;
pub use outbox::{Decision, Inspection, OutboxLimits, Parked, StreamView, inspect};
pub use publisher::{Draft, OutboxConfig, Payload, Publisher, Receipt};
