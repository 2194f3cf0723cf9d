//! The host from outside: real engine, real sockets, modules made for each test.
//!
//! One binary, because each links the whole engine.

mod client;
mod module;

mod backup;
mod bad_input;
mod crash;
mod databases;
#[cfg(target_os = "linux")]
mod full_disk;
mod identities;
mod lifecycle;
mod limits;
mod mending;
#[cfg(target_os = "linux")]
mod open_files;
mod publishing;
mod routes;
mod sessions;
mod start;
mod wire;
mod wire_http;
mod wire_tls;
mod wire_trouble;
mod wire_types;
