//! The token service as a program: set up, served, managed beside it, killed, and heard by a real host.
#![cfg(feature = "control")]

mod cohort;
mod commands;
mod configuration;
#[cfg(feature = "host")]
mod handshake;
mod keys;
#[cfg(feature = "host")]
mod lane;
#[cfg(feature = "host")]
mod revocation;
mod service;
#[path = "../support/mod.rs"]
mod support;
