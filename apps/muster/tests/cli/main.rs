//! The command line from outside: the real binary, a real `muster host` process, real files and sockets.
//!
//! Without the host there is nothing to talk to, so this is for builds that have it.
#![cfg(feature = "host")]

mod help;
mod support;

// Written as WebAssembly text and made in milliseconds: modules that refuse, panic and change their tables, which
// Muster's own module does not. Shared with the host's tests, by path, because it is test code of no crate.
#[path = "../../../../crates/host/tests/it/module.rs"]
#[allow(dead_code, unreachable_pub, reason = "the host's tests use what these do not")]
mod module;

mod bad_hosts;
mod bad_input;
mod host;
mod publishing;
mod reading;
mod tokens;
mod upgrading;
