//! SpacetimeDB, embedded: the engine's own crates behind SpacetimeDB's public HTTP and WebSocket API.
//!
//! ```no_run
//! # async fn example() -> Result<(), muster_host::StartError> {
//! let host = muster_host::Host::builder().in_memory().start().await?;
//! println!("publish to {}", host.url());
//! host.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! A host is a value: many run in one process, each on its own port and folder, and nothing is left behind. What it
//! stores, schedules, migrates and queries is SpacetimeDB's engine at [`ENGINE_VERSION`]; this crate is the server
//! around it, because the official one is not published as a library.
//!
//! | question | file |
//! | --- | --- |
//! | what happens at start, in which order | `builder.rs` |
//! | what happens at shutdown | `running.rs` |
//! | where files lie, and who may use them | `data_dir.rs` |
//! | which databases exist | `control/` |
//! | when a database is launched, and why never in V8 | `engine.rs` |
//! | what happens when a commit log cannot be written | `durability.rs` |
//! | how a running host's folder is copied | `backup/` |
//! | create, update, reset, delete, crash by crash | `publishing.rs` |
//! | who a caller is, which tokens count | `auth.rs`, `keys.rs` |
//! | what a path answers | `routes/` |
//! | WebSocket sessions | `subscribe/` |
//! | every number | `limits.rs` |
//!
//! The engine's crates are under the Business Source License; see the project's NOTICE. No client crate may depend on
//! this one.

mod address;
mod auth;
mod backup;
mod body;
mod builder;
mod call_budget;
mod connection;
mod control;
mod data_dir;
mod departure;
mod durability;
mod engine;
mod error;
mod http_error;
mod keys;
pub mod limits;
mod metrics;
mod open_files;
mod persistence;
mod programs;
mod publishing;
mod routes;
mod running;
mod serve;
mod sizeless;
mod snapshots;
mod sql_split;
mod state;
mod subscribe;
mod tls;
mod turns;

pub use backup::{Backup, BackupError, backup};
pub use builder::{Host, HostBuilder};
pub use engine::ENGINE_VERSION;
pub use error::StartError;
pub use limits::{HostLimits, HostLimitsError};
pub use open_files::raise_open_files;
pub use running::RunningHost;
#[cfg(feature = "in-process")]
pub use running::in_process::{InProcess, InProcessError, Visit};
pub use subscribe::{WebSocketLimits, WebSocketLimitsError};
