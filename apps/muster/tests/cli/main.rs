//! The command line from outside: the real binary, a real `muster host` process, real files and sockets.
//!
//! Without the host there is nothing to talk to, so this is for builds that have it.
#![cfg(feature = "host")]

#[path = "../support/mod.rs"]
mod support;

mod bad_hosts;
mod bad_input;
mod help;
mod host;
mod publishing;
mod reading;
mod tokens;
mod upgrading;
