//! The command line from outside: the real binary, a real `muster host` process, real files and sockets.

mod help;
mod support;

// Written as WebAssembly text and made in milliseconds: modules that refuse, panic and change their tables, which
// Muster's own module does not. Shared with the host's tests, by path, because it is test code of no crate.
#[cfg(feature = "host")]
#[path = "../../../../crates/host/tests/it/module.rs"]
#[allow(dead_code, unreachable_pub, reason = "the host's tests use what these do not")]
mod module;

#[cfg(feature = "host")]
mod bad_input;
#[cfg(feature = "host")]
mod host;
#[cfg(feature = "host")]
mod publishing;
#[cfg(feature = "host")]
mod reading;
#[cfg(feature = "host")]
mod tokens;
