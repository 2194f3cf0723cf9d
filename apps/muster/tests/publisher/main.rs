//! The publisher against Muster's module on the embedded host: everything published is stored once, in order, whatever is
//! killed, cut, restored or made anew.
#![cfg(feature = "host")]

mod faults;
#[path = "../streams/lane.rs"]
#[allow(dead_code, reason = "the tests of the streams use what these do not")]
mod lane;
mod lives;
mod plane;
#[path = "../support/mod.rs"]
mod support;
mod way;
