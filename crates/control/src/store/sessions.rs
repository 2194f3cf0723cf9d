//! Sessions and their tokens. A session is what began with one proof of identity: a single access token, or a refresh
//! family and all the access tokens it gave. An exchanged token is a session of its own, with the exchanged one as parent.
//!
//! What always holds: revoking a session revokes all that were exchanged from it, at any depth, in one transaction, and
//! writes each to the outbox.

use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};
use serde::Serialize;

use super::revocations::{self, RevokedKind};
use super::{StoreError, from_json, to_json};
use crate::grant::Grant;
use crate::limits::{CLOCK_MARGIN_S, HOST_EXPIRY_LEEWAY_S, SESSION_KEPT_S};

/// A session, without its tokens. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Session {
    /// Its id: the `sid` of its tokens.
    pub id: String,
    /// The client that holds it.
    pub client_id: String,
    /// The `sub` of its tokens.
    pub subject: String,
    /// Who acts for the subject, the present actor first (RFC 8693 section 4.1).
    pub actors: Vec<String>,
    /// The `oa_role` of its tokens.
    pub role: Option<String>,
    /// The build that the client said it is.
    pub client_build: Option<String>,
    /// The most that a token of it may do.
    pub grant: Grant,
    /// The session that it was exchanged from.
    pub parent: Option<String>,
    /// When it began.
    pub created_s: i64,
    /// When it last gave a token.
    pub used_s: i64,
    /// When the last of its tokens ends at the latest.
    pub ends_s: i64,
    /// When it was revoked.
    pub revoked_s: Option<i64>,
    /// Why it was revoked, in a word.
    pub reason: Option<String>,
}

const COLUMNS: &str = "id, client_id, subject, actors, role, client_build, scopes, streams, parent, created_s, used_s, \
                       ends_s, revoked_s, reason";

fn read(row: &Row<'_>) -> Result<Session, StoreError> {
    let text = |column: usize| -> Result<String, StoreError> { Ok(row.get(column)?) };
    Ok(Session {
        id: text(0)?,
        client_id: text(1)?,
        subject: text(2)?,
        actors: from_json(&text(3)?, "session")?,
        role: row.get(4)?,
        client_build: row.get(5)?,
        grant: Grant { scopes: from_json(&text(6)?, "session")?, streams: from_json(&text(7)?, "session")? },
        parent: row.get(8)?,
        created_s: row.get(9)?,
        used_s: row.get(10)?,
        ends_s: row.get(11)?,
        revoked_s: row.get(12)?,
        reason: row.get(13)?,
    })
}

/// Adds a session.
pub(crate) fn insert(tx: &Transaction<'_>, session: &Session) -> Result<(), StoreError> {
    let sql = format!("INSERT INTO session ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    tx.prepare_cached(&sql)?.execute(params![
        session.id,
        session.client_id,
        session.subject,
        to_json(&session.actors),
        session.role,
        session.client_build,
        to_json(&session.grant.scopes),
        to_json(&session.grant.streams),
        session.parent,
        session.created_s,
        session.used_s,
        session.ends_s,
        session.revoked_s,
        session.reason,
    ])?;
    Ok(())
}

/// The session with this id.
pub(crate) fn find(connection: &Connection, id: &str) -> Result<Option<Session>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM session WHERE id = ?"))?;
    let mut rows = statement.query([id])?;
    rows.next()?.map(read).transpose()
}

/// Sessions that may still have a live token, newest first; of one client, if it is named.
pub(crate) fn live(
    connection: &Connection,
    client: Option<&str>,
    now_s: i64,
    limit: usize,
) -> Result<Vec<Session>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM session WHERE revoked_s IS NULL AND ends_s > ?1 AND (?2 IS NULL OR client_id = ?2) \
         ORDER BY created_s DESC, rowid DESC LIMIT ?3"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![now_s, client, limit as i64])?;
    let mut sessions = Vec::new();
    while let Some(row) = rows.next()? {
        sessions.push(read(row)?);
    }
    Ok(sessions)
}

/// How many sessions may still have a live token.
pub(crate) fn count_live(connection: &Connection, now_s: i64) -> Result<i64, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT count(*) FROM session WHERE revoked_s IS NULL AND ends_s > ?")?;
    Ok(statement.query_row([now_s], |row| row.get(0))?)
}

/// Notes that a session gave a token.
pub(crate) fn used(tx: &Transaction<'_>, id: &str, now_s: i64) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE session SET used_s = ? WHERE id = ?")?.execute(params![now_s, id])?;
    Ok(())
}

/// Revokes a session and all that were exchanged from it. Returns the ids of those that it ended.
pub(crate) fn revoke(tx: &Transaction<'_>, id: &str, now_s: i64, reason: &str) -> Result<Vec<String>, StoreError> {
    end_family(tx, id, None, now_s, reason)
}

/// Ends a session and its descendants, and says so of each but those of `told`: of whom everything is revoked at once.
fn end_family(
    tx: &Transaction<'_>,
    id: &str,
    told: Option<&str>,
    now_s: i64,
    reason: &str,
) -> Result<Vec<String>, StoreError> {
    let mut statement = tx.prepare_cached(
        "WITH RECURSIVE family (id) AS (SELECT ?1 UNION SELECT s.id FROM session s JOIN family f ON s.parent = f.id) \
         UPDATE session SET revoked_s = ?2, reason = ?3 \
         WHERE id IN (SELECT id FROM family) AND revoked_s IS NULL RETURNING id, ends_s, client_id",
    )?;
    let rows = statement.query_map(params![id, now_s, reason], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let ended: Vec<(String, i64, String)> = rows.collect::<Result<_, _>>()?;
    for (session, ends_s, _) in ended.iter().filter(|(_, _, client)| told != Some(client)) {
        revocations::append(tx, RevokedKind::Session, session, now_s, remembered_until(*ends_s), reason)?;
    }
    Ok(ended.into_iter().map(|(session, ..)| session).collect())
}

/// Revokes every live session of a client, of whom all tokens are revoked beside, and what others exchanged from them.
/// Returns how many.
pub(crate) fn revoke_of_client(
    tx: &Transaction<'_>,
    client: &str,
    now_s: i64,
    reason: &str,
) -> Result<usize, StoreError> {
    let mut statement =
        tx.prepare_cached("SELECT id FROM session WHERE client_id = ? AND revoked_s IS NULL AND ends_s > ?")?;
    let ids: Vec<String> = statement.query_map(params![client, now_s], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let mut ended = 0;
    for id in ids {
        ended += end_family(tx, &id, Some(client), now_s, reason)?.len();
    }
    Ok(ended)
}

fn remembered_until(ends_s: i64) -> i64 {
    ends_s.saturating_add(HOST_EXPIRY_LEEWAY_S + CLOCK_MARGIN_S)
}

/// Adds an access token.
pub(crate) fn insert_access(
    tx: &Transaction<'_>,
    jti: &str,
    session: &str,
    now_s: i64,
    expires_s: i64,
) -> Result<(), StoreError> {
    tx.prepare_cached("INSERT INTO access_token (jti, session_id, issued_s, expires_s) VALUES (?, ?, ?, ?)")?
        .execute(params![jti, session, now_s, expires_s])?;
    Ok(())
}

/// The session of an access token that is neither revoked itself nor of a revoked session.
pub(crate) fn of_access(connection: &Connection, jti: &str) -> Result<Option<Session>, StoreError> {
    let session: Option<String> = connection
        .prepare_cached("SELECT session_id FROM access_token WHERE jti = ? AND revoked_s IS NULL")?
        .query_row([jti], |row| row.get(0))
        .optional()?;
    let Some(session) = session else { return Ok(None) };
    Ok(find(connection, &session)?.filter(|session| session.revoked_s.is_none()))
}

/// Revokes one access token, and what was exchanged from its session. `false` if it was already.
pub(crate) fn revoke_access(
    tx: &Transaction<'_>,
    jti: &str,
    session: &Session,
    now_s: i64,
    reason: &str,
) -> Result<bool, StoreError> {
    let expires_s: Option<i64> = tx
        .prepare_cached(
            "UPDATE access_token SET revoked_s = ? WHERE jti = ? AND revoked_s IS NULL RETURNING expires_s",
        )?
        .query_row(params![now_s, jti], |row| row.get(0))
        .optional()?;
    let Some(expires_s) = expires_s else { return Ok(false) };
    revocations::append(tx, RevokedKind::Token, jti, now_s, remembered_until(expires_s), reason)?;
    let mut statement = tx.prepare_cached("SELECT id FROM session WHERE parent = ? AND revoked_s IS NULL")?;
    let children: Vec<String> = statement.query_map([&session.id], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for child in children {
        revoke(tx, &child, now_s, reason)?;
    }
    Ok(true)
}

/// Whether a session is a refresh family.
pub(crate) fn has_refresh(connection: &Connection, session: &str) -> Result<bool, StoreError> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM refresh_token WHERE session_id = ?")?;
    Ok(statement.exists([session])?)
}

/// Adds a refresh token.
pub(crate) fn insert_refresh(
    tx: &Transaction<'_>,
    hash: &[u8; 32],
    session: &str,
    now_s: i64,
) -> Result<(), StoreError> {
    tx.prepare_cached("INSERT INTO refresh_token (hash, session_id, issued_s) VALUES (?, ?, ?)")?
        .execute(params![hash, session, now_s])?;
    Ok(())
}

/// The session of a refresh token, and whether the token is spent.
pub(crate) fn of_refresh(connection: &Connection, hash: &[u8; 32]) -> Result<Option<(Session, bool)>, StoreError> {
    let row: Option<(String, bool)> = connection
        .prepare_cached("SELECT session_id, spent_s IS NOT NULL FROM refresh_token WHERE hash = ?")?
        .query_row([hash], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((session, spent)) = row else { return Ok(None) };
    let session = find(connection, &session)?.ok_or(StoreError::Corrupt("refresh token"))?;
    Ok(Some((session, spent)))
}

/// Spends a refresh token.
pub(crate) fn spend(tx: &Transaction<'_>, hash: &[u8; 32], now_s: i64) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE refresh_token SET spent_s = ? WHERE hash = ?")?.execute(params![now_s, hash])?;
    Ok(())
}

/// Deletes what nobody needs any more: expired tokens, sessions a day after their end, assertions, revocations. An
/// expired token is refused for its time before it is looked up.
pub(crate) fn prune(tx: &Transaction<'_>, now_s: i64) -> Result<(), StoreError> {
    let kept_s = now_s - SESSION_KEPT_S;
    tx.execute("DELETE FROM access_token WHERE expires_s < ?", [kept_s])?;
    tx.execute("DELETE FROM refresh_token WHERE session_id IN (SELECT id FROM session WHERE ends_s < ?)", [kept_s])?;
    tx.execute(
        "DELETE FROM session WHERE ends_s < ?1 AND NOT EXISTS (SELECT 1 FROM access_token a WHERE a.session_id = session.id)",
        [kept_s],
    )?;
    tx.execute("DELETE FROM assertion WHERE expires_s < ?", [now_s])?;
    tx.execute("DELETE FROM revocation WHERE expires_s < ?", [now_s])?;
    Ok(())
}
