//! The words every part of Muster shares: names, versions, row shapes, limits and error codes.
//!
//! What always holds here: this crate knows none of the others, does no I/O, has no clock, and builds for wasm, so the
//! module, the clients and the gates compile the very same text. Two sides that disagree about a name or a type do so
//! through [`handshake`], loudly, and never by showing an empty world.

pub mod append;
pub mod backoff;
pub mod canonical;
pub mod claims;
pub mod code;
pub mod cursor;
pub mod handshake;
pub mod hash;
pub mod limits;
pub mod packed;
pub mod page;
pub mod pattern;
pub mod producer;
pub mod refusal;
pub mod resume;
pub mod retention;
pub mod role;
pub mod rows;
pub mod scope;
pub mod shape;
pub mod state;
pub mod stream;
pub mod topic;

pub use canonical::{CanonicalJson, PayloadError};
pub use code::Code;
pub use cursor::{Cursor, Epoch, Position, Seq};
pub use handshake::{Client, ContractError};
pub use hash::PayloadHash;
pub use pattern::StreamPattern;
pub use producer::ProducerId;
pub use refusal::Refusal;
pub use scope::Scope;
pub use state::{ConnectionState, LeaveReason};
pub use stream::StreamId;
pub use topic::Topic;

/// The protocol that module and clients speak. Another id means another contract altogether.
pub const PROTOCOL_ID: &str = "spacetime.sync.v1";

/// The schema version of the row shapes in [`rows`], and the only one this crate can decode.
pub const SCHEMA_VERSION: u32 = 1;

/// The oldest client schema version that a module built from this crate still serves: the lower end of its support
/// window. The upper end is [`SCHEMA_VERSION`].
pub const OLDEST_SCHEMA_VERSION: u32 = 1;

/// The oldest client build (semantic version) that a module built from this crate still serves.
pub const OLDEST_CLIENT_BUILD: &str = "0.1.0";

/// This build (semantic version): what the module reports as its version and a client as its build.
pub const BUILD: &str = env!("CARGO_PKG_VERSION");

// A support window that leaves out the current version would refuse everybody.
const _: () = assert!(OLDEST_SCHEMA_VERSION <= SCHEMA_VERSION);
