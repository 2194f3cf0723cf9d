//! What the tests of the program share: a sandbox to run it in, hosts and stand-ins for hosts, and modules.
//!
//! What always holds: nothing of the machine's own configuration reaches the program; every wait has a deadline, and
//! every process ends with its test.
#![allow(dead_code, unused_imports, reason = "each test binary uses a part of this")]

mod host;
mod modules;
mod process;
mod sandbox;
mod stub;

// Written as WebAssembly text and made in milliseconds: modules that refuse, panic and change their tables, which
// Muster's own module does not. Shared with the host's tests, by path, because it is test code of no crate.
#[path = "../../../../crates/host/tests/it/module.rs"]
#[allow(unreachable_pub, reason = "the host's tests use what these do not")]
pub(crate) mod variants;

pub(crate) use host::{Host, sandbox_at};
pub(crate) use modules::{checkout, muster_module, test_module};
pub(crate) use process::{PATIENCE, Run, Running, finish, finish_within, signal};
pub(crate) use sandbox::Sandbox;
pub(crate) use stub::Stub;

/// The program under test.
pub(crate) const MUSTER: &str = env!("CARGO_BIN_EXE_muster");
