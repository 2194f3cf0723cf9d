//! `muster emit`, `tail`, `streams` and `outbox` as a person runs them: real processes, a real host, real files.
//!
//! What always holds: what arrived is read out of the store or off the lines, never assumed; whatever is killed is killed
//! at a point of progress, and the test fails if that point was not in the middle.
#![cfg(feature = "host")]

#[path = "../support/mod.rs"]
mod support;

mod demo;
mod emitting;
mod files;
mod hosts;
mod kills;
mod listing;
mod parked;
mod plane;
mod tailing;
