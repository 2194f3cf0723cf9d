//! Real faults: publisher, host and subscriber as processes of their own, with their files on disk and a network between
//! them that can be cut, delayed, frozen and refused. Whatever was acknowledged is applied: once, in order, byte for byte.
//!
//! What always holds: a run follows from its seed, which it prints; `MUSTER_FAULTS_SEED` repeats it and `MUSTER_FAULTS` says
//! how many kills it has. Every wait has a deadline, and every process ends with its test.
#![cfg(all(feature = "host", target_os = "linux"))]

mod actor;
mod check;
mod desk;
mod dice;
mod disk;
mod journal;
mod kills;
#[path = "../streams/lane.rs"]
#[allow(dead_code, reason = "the tests of the streams use what these do not")]
mod lane;
mod liveness;
mod passed_by;
mod plane;
mod restored;
mod roles;
#[path = "../support/mod.rs"]
mod support;
