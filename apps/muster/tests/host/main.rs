//! `muster host` as whoever runs one meets it: its configuration, its certificates, its disk, its backups.
//!
//! The program and the host are the real ones, each a process of its own, as in `tests/cli`.
#![cfg(feature = "host")]

#[path = "../support/mod.rs"]
mod support;

mod backup;
mod configuration;
#[cfg(target_os = "linux")]
mod disk;
mod tls;
