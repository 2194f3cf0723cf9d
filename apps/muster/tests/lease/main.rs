//! Tokens that go on: a real token service, a real host in a process of its own, and clients that take one token after the
//! other while the load goes on, the service restarts, its keys rotate, or it is away for longer than any token lives.
//!
//! The forms here are short. The long ones are the same tests with other times:
//!
//! | variable | what | short |
//! | --- | --- | --- |
//! | `MUSTER_LEASE_DRILL_S` | how long the load goes on | 30 |
//! | `MUSTER_LEASE_TOKEN_S` | how long a token is good | 10, the shortest |
//! | `MUSTER_LEASE_ANNOUNCE_S` | how long a key is announced before it signs | 5 |
//! | `MUSTER_LEASE_AWAY_S` | how long the service is away after the last token has ended | 10 |
#![cfg(feature = "host")]

mod cli;
mod drills;
mod plane;
mod watcher;

#[path = "../subscriber/host.rs"]
#[allow(dead_code, unreachable_pub, reason = "the tests of the subscriber use what these do not")]
mod host;
#[path = "../support/mod.rs"]
mod support;
