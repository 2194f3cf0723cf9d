//! The rows of the module's public tables, as a client decodes them.
//!
//! What always holds: each type here has the columns of its table, in the table's order and with its types. The module
//! declares the tables a second time, because SpacetimeDB's table macro wants the struct in the module's own crate; a
//! test over there compares the two, and [`crate::shape`] compares these with what a host says at run time.

use spacetimedb_lib::{ConnectionId, Identity, Timestamp};
use spacetimedb_sats::{SpacetimeType, bsatn};

use crate::page::{AnswerValue as _, Page, RIDING_BYTES_MAX};

/// A row of a table, known by the table's name.
pub trait Row: SpacetimeType + for<'de> spacetimedb_sats::Deserialize<'de> {
    /// The table's name, as it stands in SQL.
    const TABLE: &'static str;
}

macro_rules! row {
    ($row:ty, $table:literal) => {
        impl Row for $row {
            const TABLE: &'static str = $table;
        }
    };
}

/// A name that somebody gave themselves. There is a row only for those who did: a row for everybody who ever connected
/// would grow without bound under anonymous sessions.
#[derive(Clone, Debug, PartialEq, Eq, SpacetimeType)]
#[sats(crate = spacetimedb_lib)]
pub struct Person {
    /// Who. Primary key.
    pub identity: Identity,
    /// The name, trimmed, at most [`crate::limits::NAME_CHARS_MAX`] characters.
    pub name: String,
}
row!(Person, "person");

/// One live session: the row exists for exactly as long as the connection does.
#[derive(Clone, Debug, PartialEq, Eq, SpacetimeType)]
#[sats(crate = spacetimedb_lib)]
pub struct ActiveConnection {
    /// Which connection. Primary key.
    pub connection_id: ConnectionId,
    /// Who connected. One identity may hold many connections.
    pub identity: Identity,
    /// What the session's token says it is: one of [`crate::role::Role`].
    pub role: String,
    /// The OAuth client of the session's token (claim `client_id`, RFC 9068 section 2.2), where it names one.
    pub client_id: Option<String>,
    /// The client's build (claim `oa_client_build`), where the token names one.
    pub client_build: Option<String>,
    /// When the host accepted the connection, by the host's clock.
    pub connected_at: Timestamp,
}
row!(ActiveConnection, "active_connection");

/// How many sessions of one role are connected.
#[derive(Clone, Debug, PartialEq, Eq, SpacetimeType)]
#[sats(crate = spacetimedb_lib)]
pub struct RoleCount {
    /// One of [`crate::role::Role`].
    pub role: String,
    /// How many, at least one.
    pub count: u32,
}

/// The one row of `presence_summary`: what a crowd follows instead of `active_connection`, refreshed at most twice a
/// second.
#[derive(Clone, Debug, PartialEq, Eq, SpacetimeType)]
#[sats(crate = spacetimedb_lib)]
pub struct PresenceSummary {
    /// Always 0. Primary key.
    pub id: u8,
    /// All live sessions.
    pub total: u32,
    /// The same by role, roles without a session left out, in the order of [`crate::role::Role::ALL`].
    pub by_role: Vec<RoleCount>,
    /// When this was counted, by the host's clock.
    pub counted_at: Timestamp,
}
row!(PresenceSummary, "presence_summary");

/// The one row of `contract_info`: what the running module speaks, and whom it serves.
#[derive(Clone, Debug, PartialEq, Eq, SpacetimeType)]
#[sats(crate = spacetimedb_lib)]
pub struct ContractInfo {
    /// Always 0. Primary key.
    pub id: u8,
    /// The module's [`crate::PROTOCOL_ID`].
    pub protocol_id: String,
    /// The module's [`crate::SCHEMA_VERSION`], the newest that it serves.
    pub schema_version: u32,
    /// The module's [`crate::BUILD`].
    pub module_version: String,
    /// The oldest client schema version that it serves.
    pub oldest_schema_version: u32,
    /// The oldest client build that it serves.
    pub oldest_client_build: String,
}
row!(ContractInfo, "contract_info");

/// What there is to know about a stream that a session follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, SpacetimeType)]
#[sats(crate = spacetimedb_lib)]
pub enum Signal {
    /// It has more events, or its floor moved: ask for the next page.
    Ahead,
    /// It has begun to exist, or has begun anew under another epoch.
    NewStream,
    /// It does not exist any more.
    Gone,
    /// The host no longer follows the pattern for this session; the stream is 0 then.
    FollowEnded,
}

/// One wake for one session: an event, held by no table (SpacetimeDB logs it nevertheless), seen by `to` alone (the module filters the table by it). It says
/// that there is something; what, it says only where that is little, see [`SyncSignal::page`]. Other pages are asked for.
#[derive(Clone, Debug, PartialEq, Eq, SpacetimeType)]
#[sats(crate = spacetimedb_lib)]
pub struct SyncSignal {
    /// Whose session.
    pub to: Identity,
    /// Which of the identity's sessions.
    pub connection_id: ConnectionId,
    /// Which of the session's follows: the number that it gave.
    pub slot: u32,
    /// The module's number of the stream.
    pub stream: u64,
    /// What there is to know.
    pub what: Signal,
    /// With [`Signal::Ahead`], where it is little: the events that came, so that nobody who had all before needs to ask for
    /// them. The BSATN of a [`crate::page::Page`], at most [`crate::page::RIDING_BYTES_MAX`] long; empty where there is none.
    /// It rides on one of the signals of a transaction to an identity, for all of its sessions and slots, and only where
    /// every live session of `to` may read the stream, as of the append.
    pub page: Vec<u8>,
}
row!(SyncSignal, "sync_signal");

impl SyncSignal {
    /// The page that rides on it. `None` where there is none, and where it is longer than one may be or cannot be read: whoever
    /// wants to know asks for it then.
    #[must_use]
    pub fn riding(&self) -> Option<Page> {
        let is_one = !self.page.is_empty() && self.page.len() <= RIDING_BYTES_MAX;
        let page: Page = is_one.then(|| bsatn::from_slice(&self.page).ok()).flatten()?;
        page.check().is_ok().then_some(page)
    }
}

impl ContractInfo {
    /// What a module built from this crate says of itself.
    pub fn of_this_build() -> ContractInfo {
        ContractInfo {
            id: 0,
            protocol_id: crate::PROTOCOL_ID.into(),
            schema_version: crate::SCHEMA_VERSION,
            module_version: crate::BUILD.into(),
            oldest_schema_version: crate::OLDEST_SCHEMA_VERSION,
            oldest_client_build: crate::OLDEST_CLIENT_BUILD.into(),
        }
    }
}
