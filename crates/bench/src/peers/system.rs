//! Which systems are compared, and what each of them promises of an event that it has confirmed.
//!
//! What always holds: a system's durability stands beside every figure of it; only those that promise what Muster promises
//! are peers for a ratio.

use serde::{Deserialize, Serialize};

/// One server, as it is driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum System {
    /// Muster, the whole path.
    Muster,
    /// Redis Streams.
    Redis,
    /// NATS JetStream.
    Nats,
    /// PostgreSQL.
    Postgres,
}

impl System {
    /// All of them, in the order of a round.
    pub const ALL: [System; 4] = [System::Muster, System::Redis, System::Nats, System::Postgres];

    /// As it stands in the results.
    #[must_use]
    pub fn name(self, outbox: bool) -> &'static str {
        match (self, outbox) {
            (System::Muster, _) => "muster",
            (System::Redis, true) => "redis streams",
            (System::Redis, false) => "redis streams, no outbox",
            (System::Nats, true) => "nats jetstream",
            (System::Nats, false) => "nats jetstream, no outbox",
            (System::Postgres, true) => "postgresql",
            (System::Postgres, false) => "postgresql, no outbox",
        }
    }

    /// What an event survives once it was taken, in words.
    #[must_use]
    pub fn durability(self, outbox: bool) -> &'static str {
        match (self, outbox) {
            (System::Muster, _) => "synced: outbox, commit log, subscriber",
            (System::Redis, true) => "synced: outbox, append-only file (always), subscriber",
            (System::Redis, false) => "synced: append-only file (always), subscriber; none before",
            (System::Nats, true) => "synced: outbox, subscriber; the server syncs every 2 minutes",
            (System::Nats, false) => "synced: subscriber; the server syncs every 2 minutes",
            (System::Postgres, true) => "synced: outbox, write-ahead log, subscriber",
            (System::Postgres, false) => "synced: write-ahead log, subscriber; none before",
        }
    }

    /// Whether a confirmed event is as safe as Muster's: on the server's disk, and on the publisher's before.
    #[must_use]
    pub fn is_equal(self, outbox: bool) -> bool {
        match self {
            System::Muster => true,
            System::Redis | System::Postgres => outbox,
            // Version 2.9 acknowledges what it has written and not synced, and has no setting for it.
            System::Nats => false,
        }
    }
}
