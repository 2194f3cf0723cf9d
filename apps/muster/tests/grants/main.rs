//! Getting in: tokens of a real issuer, on a host that trusts it, against a lane that takes only what they grant; by every
//! door that sessions have.
#![cfg(feature = "host")]

mod admission;
mod doors;
mod ending;
mod issuer;
mod plane;

#[path = "../streams/lane.rs"]
#[allow(dead_code, unreachable_pub, reason = "the tests of the streams use what these do not")]
mod lane;
#[path = "../support/mod.rs"]
mod support;
