//! A subscriber against the real host in a process of its own, through a proxy that cuts, with real files.

#![cfg(feature = "host")]

#[path = "../support/mod.rs"]
mod support;

mod faults;
mod following;
mod host;
mod lane;
