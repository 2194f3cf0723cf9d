//! One connection to any SpacetimeDB 2.x host: over WebSocket ([`connect`]) and over HTTP ([`http::HttpClient`]).
//!
//! What always holds:
//! - Nothing in the dependency tree is under the Business Source License: the message types are ours ([`messages`]),
//!   and a check in CI keeps it so.
//! - Every queue is bounded and every wait limited ([`limits`]). An application that does not take its updates slows
//!   the host down and then loses the connection, with a reason.
//! - What a connection decides is decided in [`session`], which is pure; `driver.rs` only carries it out.
//! - A connection does not come back by itself. Whoever holds it decides when to connect again.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use muster_wire::{ConnectOptions, Endpoint, Update, args, connect};
//!
//! let endpoint = Endpoint::new("http://localhost:3000", "presence")?;
//! let (connection, mut incoming) = connect(ConnectOptions::new(endpoint)).await?;
//! let people = connection.subscribe(&["SELECT * FROM person"]).await?;
//! let reply = connection.call_reducer("set_name", args(&("Ada",))).await?;
//! assert!(reply.outcome.is_ok());
//! while let Some(update) = incoming.next().await {
//!     if let Update::Transaction(transaction) = update {
//!         assert_eq!(transaction.query_sets[0].query_set, people.query_set);
//!         break;
//!     }
//! }
//! connection.close().await;
//! # Ok(())
//! # }
//! ```

pub mod clock;
mod connect;
mod connection;
mod driver;
mod endpoint;
mod error;
pub mod frame;
pub mod http;
pub mod lease;
pub mod limits;
pub mod messages;
mod network;
mod options;
mod rows;
pub mod session;
mod tls;
mod token;
mod update;

pub use connect::connect;
pub use connection::{Connection, Incoming, args};
pub use endpoint::{Endpoint, EndpointError, HEALTH_PATH, WEBSOCKET_PATH};
pub use error::{CallError, ClosedReason, ConnectError, NetworkError};
pub use lease::{Keeper, LeaseStatus, Source};
pub use messages::QuerySetId;
pub use options::{Compression, ConnectOptions, Protocol, Queues, Timeouts};
pub use rows::{RowError, Rows};
pub use token::{Token, TokenError};
pub use update::{
    CallOutcome, Order, ProcedureReply, QueryAnswer, QuerySetChange, ReducerReply, Subscription, TableChange,
    Transaction, Update,
};

// What a user of this crate needs of SpacetimeDB's own (Apache-2.0) crates.
pub use spacetimedb_lib::{ConnectionId, Identity, TimeDuration, Timestamp};
pub use spacetimedb_sats as sats;
