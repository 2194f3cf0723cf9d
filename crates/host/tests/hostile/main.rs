//! The host among clients that mean harm or have lost their minds, and the host killed at any moment.
//!
//! Every test starts a host in a process of its own (this binary again, see `process.rs`), so that its memory is its own,
//! and ends with the same three sentences: the offender was cut off or refused, the host's memory stayed within bounds,
//! and a well-behaved client ([`witness`]) was served all the while. One binary, because each links the whole engine.

mod attack;
mod module;
mod process;
mod witness;

mod bytes;
mod crash;
mod modules;
mod nesting;
mod readers;
mod slow;
mod sockets;
