//! Which systems are compared, and what each of them promises of an event that it has confirmed.
//!
//! What always holds: a system's durability stands beside every figure of it; only those whose confirmed events are as safe as
//! Muster's are peers for a ratio, and what bounds all of them is none.

use serde::{Deserialize, Serialize};

/// One server, as it is driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum System {
    /// Muster, the whole path.
    Muster,
    /// Redis Streams, by a consumer group.
    Redis,
    /// Redis Streams without a group: read from the id that the store has.
    #[value(name = "redis-xread")]
    RedisRead,
    /// NATS JetStream.
    Nats,
    /// PostgreSQL, by inserts.
    Postgres,
    /// PostgreSQL, by `COPY`: only where many events are sent at a time, and only if it is named: it costs the server as much.
    PostgresCopy,
    /// No server: the two ends that all have, and three syncs in a chain. What bounds every system.
    Alone,
    /// The same two ends and the engine of the ceiling at the same time, with nothing between. What bounds Muster's throughput.
    AloneEngine,
}

/// The bound of latency, as it stands in the results.
pub const THREE_SYNCS: &str = "three syncs alone";

/// What it is.
pub const THREE_SYNCS_ARE: &str =
    "bound: three files, synced one after the other; nothing is sent, stored or looked up";

impl System {
    /// All of them, in the order of a round.
    pub const ALL: [System; 8] = [
        System::Muster,
        System::Redis,
        System::RedisRead,
        System::Nats,
        System::Postgres,
        System::PostgresCopy,
        System::Alone,
        System::AloneEngine,
    ];

    /// Those that are measured unless others are named.
    pub const UNLESS_NAMED: [System; 7] = [
        System::Muster,
        System::Redis,
        System::RedisRead,
        System::Nats,
        System::Postgres,
        System::Alone,
        System::AloneEngine,
    ];

    /// As it stands in the results.
    #[must_use]
    pub fn name(self, outbox: bool) -> &'static str {
        match (self, outbox) {
            (System::Muster, _) => "muster",
            (System::Redis, true) => "redis streams",
            (System::Redis, false) => "redis streams, no outbox",
            (System::RedisRead, _) => "redis streams, xread",
            (System::Nats, true) => "nats jetstream",
            (System::Nats, false) => "nats jetstream, no outbox",
            (System::PostgresCopy, _) => "postgresql, copy",
            (System::Postgres, true) => "postgresql",
            (System::Postgres, false) => "postgresql, no outbox",
            (System::Alone, _) => "both ends alone",
            (System::AloneEngine, _) => "both ends and the engine",
        }
    }

    /// What an event survives once it was taken, in words.
    #[must_use]
    pub fn durability(self, outbox: bool) -> &'static str {
        match (self, outbox) {
            (System::Muster, _) => "synced: outbox, commit log, subscriber; sent again, it is there once",
            (System::Redis | System::RedisRead, true) => {
                "synced: outbox, append-only file (always), subscriber; sent again, it is there twice"
            }
            (System::Redis | System::RedisRead, false) => {
                "synced: append-only file (always), subscriber; none before; sent again, it is there twice"
            }
            (System::Nats, true) => {
                "synced: outbox, subscriber; the server syncs every 2 minutes; sent again, it is there twice"
            }
            (System::Nats, false) => {
                "synced: subscriber; the server syncs every 2 minutes; sent again, it is there twice"
            }
            (System::Postgres | System::PostgresCopy, true) => {
                "synced: outbox, write-ahead log, subscriber; sent again, it is there twice"
            }
            (System::Postgres | System::PostgresCopy, false) => {
                "synced: write-ahead log, subscriber; none before; sent again, it is there twice"
            }
            (System::Alone, _) => "bound: no server; the same outbox and the same store, synced, with nothing between",
            (System::AloneEngine, _) => {
                "bound: no server; outbox, commit log and store, each synced by itself at the same time, with nothing between; the better of the sizes of an append that the settings name"
            }
        }
    }

    /// Whether it says something only of sending many at a time, so that it is measured only there: what differs from another
    /// system in nothing else, and what has nothing between its parts that an event could pass.
    #[must_use]
    pub fn only_sends(self) -> bool {
        matches!(self, System::PostgresCopy | System::AloneEngine)
    }

    /// Whether a server carries the events. Without one, the subscriber is given what the publisher is told to send.
    #[must_use]
    pub fn carries(self) -> bool {
        !matches!(self, System::Alone | System::AloneEngine)
    }

    /// Whether it is also measured without an outbox.
    #[must_use]
    pub fn goes_without_outbox(self) -> bool {
        matches!(self, System::Redis | System::Nats | System::Postgres)
    }

    /// Whether a confirmed event is as safe as Muster's: on the server's disk, and on the publisher's before. Not whether it
    /// is there once: an event whose answer was lost is sent again, and no peer, as it is driven, takes that for a repeat.
    #[must_use]
    pub fn is_equal(self, outbox: bool) -> bool {
        match self {
            System::Muster => true,
            System::Redis | System::RedisRead | System::Postgres | System::PostgresCopy => outbox,
            // Version 2.9 acknowledges what it has written and not synced, and has no setting for it.
            System::Nats => false,
            // Carry nothing anywhere.
            System::Alone | System::AloneEngine => false,
        }
    }
}
