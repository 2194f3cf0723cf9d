//! SpacetimeDB's HTTP API (`/v1/…`), as far as Muster uses it.
//!
//! What always holds: every request has a deadline and every body a limit; an answer that is not the expected one is
//! an [`HttpError`] that quotes the host. Paths, parameters and JSON shapes are those of the HTTP API pages of
//! SpacetimeDB's documentation; what is not documented there (`pre_publish`, `confirmed`) was observed on 2.x hosts.

mod client;
mod database;
mod error;
mod host;
mod json;
mod logs;
mod publish;
mod schema;

pub use client::{HttpClient, IssuedIdentity};
pub use database::{CallReply, DatabaseInfo, HostType, SqlAnswer, StatementResult};
pub use error::HttpError;
pub use logs::{LogRecord, LogStream};
pub use publish::{Migration, MigrationPlan, MigrationToken, Policy, PublishOperation, PublishOptions, PublishOutcome};
pub use schema::{Column, FunctionSchema, Lifecycle, ModuleSchema, TableSchema};
