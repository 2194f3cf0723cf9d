//! How to connect.
//!
//! What always holds: the defaults are the safe ones (confirmed reads, every wait limited), so that
//! [`ConnectOptions::new`] alone is enough.

use std::time::Duration;

use crate::endpoint::Endpoint;
use crate::limits::{self, ms};
use crate::token::Token;

/// How to connect. Change the public fields as needed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectOptions {
    /// Where to.
    pub endpoint: Endpoint,
    /// As whom. Without a token the host makes up a new anonymous identity, whose token is
    /// [`crate::Connection::token`].
    pub token: Option<Token>,
    /// The protocols to offer, the preferred first. Not empty. Default: v3, then v2.
    pub protocols: Vec<Protocol>,
    /// Whether the host shows a transaction, and answers a call that committed, only once it is durable. Default:
    /// true. Without it a host that crashes may take back what this client has already seen.
    pub confirmed: bool,
    /// How the host may compress large messages. Default: none, which costs the least on a fast network.
    pub compression: Compression,
    /// What the module must be like. Checked before [`crate::connect`] returns. Default: not checked.
    pub expectations: Option<muster_contract::Client>,
    /// How long to wait for what.
    pub timeouts: Timeouts,
    /// How much may wait where.
    pub queues: Queues,
}

impl ConnectOptions {
    /// An anonymous connection to `endpoint` with the defaults.
    pub fn new(endpoint: Endpoint) -> ConnectOptions {
        ConnectOptions {
            endpoint,
            token: None,
            protocols: vec![Protocol::V3, Protocol::V2],
            confirmed: true,
            compression: Compression::None,
            expectations: None,
            timeouts: Timeouts::default(),
            queues: Queues::default(),
        }
    }

    /// The same with a token.
    pub fn token(mut self, token: Option<Token>) -> ConnectOptions {
        self.token = token;
        self
    }

    /// The same with a contract check: usually `muster_contract::Client::of_this_build()`.
    pub fn expect(mut self, expectations: muster_contract::Client) -> ConnectOptions {
        self.expectations = Some(expectations);
        self
    }

    /// The same with another compression.
    pub fn compression(mut self, compression: Compression) -> ConnectOptions {
        self.compression = compression;
        self
    }

    /// The same with or without confirmed reads.
    pub fn confirmed(mut self, confirmed: bool) -> ConnectOptions {
        self.confirmed = confirmed;
        self
    }
}

/// A version of SpacetimeDB's WebSocket protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// `v2.bsatn.spacetimedb`: one message in a frame.
    V2,
    /// `v3.bsatn.spacetimedb`: one or more messages in a frame.
    V3,
}

impl Protocol {
    /// As it stands in `Sec-WebSocket-Protocol`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Protocol::V2 => crate::messages::V2_PROTOCOL,
            Protocol::V3 => crate::messages::V3_PROTOCOL,
        }
    }

    /// The protocol of that name.
    pub fn from_name(name: &str) -> Option<Protocol> {
        [Protocol::V2, Protocol::V3].into_iter().find(|protocol| protocol.as_str() == name)
    }
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a host may compress what it sends. It decides by itself which messages are worth it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// With gzip (RFC 1952).
    Gzip,
    /// With Brotli (RFC 7932).
    Brotli,
}

impl Compression {
    /// As it stands in the URL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Compression::None => "None",
            Compression::Gzip => "Gzip",
            Compression::Brotli => "Brotli",
        }
    }
}

/// How long to wait for what. The defaults are in [`crate::limits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For the whole of [`crate::connect`], the contract check included.
    pub connect: Duration,
    /// For one call, query or subscription, the wait for a place in the queue included.
    pub call: Duration,
    /// Between pings of a silent connection.
    pub ping_interval: Duration,
    /// Until a connection on which nothing arrives counts as dead. Must be more than twice `ping_interval`.
    pub idle: Duration,
    /// For the closing handshake.
    pub close: Duration,
    /// Until an application that leaves its queue full loses the connection.
    pub slow_consumer: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            connect: ms(limits::CONNECT_MS_MAX),
            call: ms(limits::CALL_MS_MAX),
            ping_interval: ms(limits::PING_INTERVAL_MS),
            idle: ms(limits::IDLE_MS_MAX),
            close: ms(limits::CLOSE_MS_MAX),
            slow_consumer: ms(limits::SLOW_CONSUMER_MS_MAX),
        }
    }
}

/// How much may wait where. The defaults are in [`crate::limits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queues {
    /// Requests waiting for the host's answer.
    pub in_flight: usize,
    /// Requests waiting to become one of those.
    pub requests: usize,
    /// Updates waiting for the application.
    pub updates: usize,
    /// Bytes of updates waiting for the application.
    pub update_bytes: usize,
    /// The largest message accepted from the host, in bytes, decompressed.
    pub message_bytes: usize,
}

impl Default for Queues {
    fn default() -> Self {
        Queues {
            in_flight: limits::IN_FLIGHT_MAX,
            requests: limits::REQUEST_QUEUE_LEN,
            updates: limits::UPDATE_QUEUE_LEN,
            update_bytes: limits::UPDATE_QUEUE_BYTES_MAX,
            message_bytes: limits::INBOUND_BYTES_MAX,
        }
    }
}
