//! Trying to get in: tokens of a real issuer, on a host that trusts it, against a lane that takes only what they grant; by
//! every door that sessions have. `matrix` tries everything at every door and writes `docs/sync/SECURITY_MATRIX.md`; the
//! other files are about what takes more than one step.
#![cfg(feature = "host")]

mod admission;
mod doors;
mod ending;
mod issuer;
mod matrix;
mod plane;
mod presence;
mod riding;

#[path = "../streams/lane.rs"]
#[allow(dead_code, unreachable_pub, reason = "the tests of the streams use what these do not")]
mod lane;
#[path = "../support/mod.rs"]
mod support;
