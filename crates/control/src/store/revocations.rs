//! The outbox of revocations: what the lane's module must hear, in order, until it has.
//!
//! What always holds: a revocation is written in the transaction that revokes, so none is lost between the two; it
//! leaves the outbox only after every token that it concerns has expired everywhere.

use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};
use serde::{Deserialize, Serialize};

use super::StoreError;

/// What is revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RevokedKind {
    /// One token, by its `jti`.
    Token,
    /// Every token of a session (a refresh family), by its `sid`.
    Session,
    /// Every token of a client that was issued no later than the revocation, by `client_id`.
    Client,
}

impl RevokedKind {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            RevokedKind::Token => "token",
            RevokedKind::Session => "session",
            RevokedKind::Client => "client",
        }
    }
}

/// One revocation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// Its place in the feed. Ascending, with holes.
    pub seq: i64,
    /// What is revoked.
    pub kind: RevokedKind,
    /// Which: a `jti`, `sid` or `client_id`.
    pub value: String,
    /// When, in seconds since 1970. A client's tokens with a later `iat` are good.
    pub at_s: i64,
    /// From when on nobody need remember it, in seconds since 1970: what it concerns has expired everywhere.
    pub expires_s: i64,
    /// Why, in a word.
    pub reason: String,
}

/// Adds a revocation, in the transaction that revokes.
pub(crate) fn append(
    tx: &Transaction<'_>,
    kind: RevokedKind,
    value: &str,
    at_s: i64,
    expires_s: i64,
    reason: &str,
) -> Result<(), StoreError> {
    tx.prepare_cached("INSERT INTO revocation (kind, value, at_s, expires_s, reason) VALUES (?, ?, ?, ?, ?)")?
        .execute(params![kind.as_str(), value, at_s, expires_s, reason])?;
    Ok(())
}

/// Revocations after `after`, oldest first.
pub(crate) fn after(connection: &Connection, after: i64, limit: usize) -> Result<Vec<Revocation>, StoreError> {
    select(
        connection,
        "SELECT seq, kind, value, at_s, expires_s, reason FROM revocation WHERE seq > ?1 ORDER BY seq LIMIT ?2",
        params![after, limit as i64],
    )
}

/// Revocations that `target` has not confirmed to have taken, oldest first.
pub(crate) fn waiting(connection: &Connection, target: &str, limit: usize) -> Result<Vec<Revocation>, StoreError> {
    after(connection, delivered_to(connection, target)?, limit)
}

fn delivered_to(connection: &Connection, target: &str) -> Result<i64, StoreError> {
    let mut statement = connection.prepare_cached("SELECT seq FROM delivery WHERE target = ?")?;
    Ok(statement.query_row([target], |row| row.get(0)).optional()?.unwrap_or(0))
}

/// How many each target has not taken yet.
pub(crate) fn waiting_by_target(connection: &Connection) -> Result<Vec<(String, i64)>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT d.target, (SELECT count(*) FROM revocation r WHERE r.seq > d.seq) FROM delivery d ORDER BY d.target",
    )?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn select(connection: &Connection, sql: &str, params: impl rusqlite::Params) -> Result<Vec<Revocation>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

fn read(row: &Row<'_>) -> Result<Revocation, StoreError> {
    let word: String = row.get(1)?;
    let kind = [RevokedKind::Token, RevokedKind::Session, RevokedKind::Client]
        .into_iter()
        .find(|kind| kind.as_str() == word)
        .ok_or(StoreError::Corrupt("revocation"))?;
    Ok(Revocation {
        seq: row.get(0)?,
        kind,
        value: row.get(2)?,
        at_s: row.get(3)?,
        expires_s: row.get(4)?,
        reason: row.get(5)?,
    })
}

/// Notes that `target` has taken everything up to `seq`; 0 for one that is new. It never goes back.
pub(crate) fn delivered(tx: &Transaction<'_>, target: &str, seq: i64, now_s: i64) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO delivery (target, seq, at_s) VALUES (?1, ?2, ?3) \
         ON CONFLICT (target) DO UPDATE SET seq = max(seq, excluded.seq), at_s = excluded.at_s",
        params![target, seq, now_s],
    )?;
    Ok(())
}

/// Forgets a target that there is no more: a new one of its name hears everything again.
pub(crate) fn forget_target(tx: &Transaction<'_>, target: &str) -> Result<(), StoreError> {
    tx.execute("DELETE FROM delivery WHERE target = ?", [target])?;
    Ok(())
}
