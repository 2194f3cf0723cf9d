//! The tables of sessions' grants.
//!
//! What always holds: all are private. The owner reads them with SQL, and nobody else learns who may do what. No token is
//! stored, only its id and what it grants.

use spacetimedb::{ConnectionId, Identity, ScheduleAt, table};

use super::ending::expire_grant;

/// Whose tokens this lane takes: one row, or none for an open lane.
#[table(accessor = lane_auth)]
#[derive(Clone)]
pub struct LaneAuth {
    /// Always 0.
    #[primary_key]
    pub id: u8,
    /// The issuer, byte for byte as its tokens name it.
    pub issuer: String,
    /// The audience.
    pub audience: String,
    /// Whether sessions without a token of the issuer may connect. They see what is public, and no stream.
    pub allow_anonymous: bool,
    /// Who may end grants beside the owner.
    pub revoker: Option<Identity>,
    /// Whether `active_connection` and `person` are only for tokens with `presence.read`.
    #[default(false)]
    pub presence_needs_scope: bool,
}

/// What the token of a live session grants it. The row goes with the session.
#[table(accessor = session_grant)]
#[derive(Clone)]
pub struct SessionGrant {
    /// Which session.
    #[primary_key]
    pub connection_id: ConnectionId,
    /// Whose. Sessions of one identity may have different grants.
    #[index(btree)]
    pub identity: Identity,
    /// The token's id.
    #[index(btree)]
    pub jti: String,
    /// The token's session, a refresh family.
    #[index(btree)]
    pub sid: String,
    /// The client that the token was given to.
    #[index(btree)]
    pub client_id: String,
    /// When the token was issued, in seconds since 1970.
    pub issued_s: i64,
    /// From when on it is good no more, in seconds since 1970.
    pub expires_s: i64,
    /// The scopes.
    pub scopes: Vec<String>,
    /// The stream patterns.
    pub streams: Vec<String>,
    /// Why it ended, where it did: what the session is told at every door.
    pub ended: Option<String>,
}

/// When a session's grant ends: one row for each that has not ended.
#[table(accessor = grant_expiry, scheduled(expire_grant))]
pub struct GrantExpiry {
    /// Assigned by the host.
    #[primary_key]
    #[auto_inc]
    pub scheduled_id: u64,
    /// When it is due.
    pub scheduled_at: ScheduleAt,
    /// Whose.
    #[index(btree)]
    pub connection_id: ConnectionId,
}

/// What was revoked, for as long as a token that it ends could still be shown.
#[table(accessor = revoked_grant, index(accessor = by_kind_value, btree(columns = [kind, value])))]
pub struct RevokedGrant {
    /// Assigned by the host.
    #[primary_key]
    #[auto_inc]
    pub id: u64,
    /// `token`, `session` or `client`.
    pub kind: String,
    /// Which: a `jti`, `sid` or `client_id`.
    pub value: String,
    /// Of a client: tokens issued after this are good, in seconds since 1970.
    pub before_s: i64,
    /// Until when it is remembered, in seconds since 1970.
    pub until_s: i64,
}
