//! What the module does with streams, on the real engine: Muster's module, published to an embedded host, and clients of
//! `muster-wire` over real sockets.
#![cfg(feature = "host")]

mod appending;
mod batches;
mod crash;
mod following;
mod lane;
mod lives;
mod reading;
mod retention;
mod summing_up;
#[path = "../support/mod.rs"]
mod support;
mod visibility;
