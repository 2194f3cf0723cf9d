//! The host as clients know SpacetimeDB: modules made with SpacetimeDB's own crate, each engine feature as a client sees
//! it, the official TypeScript SDK, and every route and protocol of its HTTP API pages as a table.
//!
//! What always holds: nothing here looks inside the host. What is asserted went over a socket.

mod features;
mod support;
mod table;
mod typescript;
