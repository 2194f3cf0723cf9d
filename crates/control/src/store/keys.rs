//! Signing keys as they are stored: public halves and states. Private halves are files ([`crate::keys`]).

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use serde::Serialize;

use super::StoreError;
use crate::schedule::{KeyFacts, KeyState};

/// A P-256 public key as the two coordinates of its JWK (RFC 7518 section 6.2.1), base64url.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PublicKey {
    /// The `x` of the point.
    pub x: String,
    /// The `y` of the point.
    pub y: String,
}

/// A signing key, without its private half.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SigningKeyInfo {
    /// What the schedule knows.
    #[serde(flatten)]
    pub facts: KeyFacts,
    /// The public half.
    #[serde(flatten)]
    pub public: PublicKey,
    /// When it was made, in seconds since 1970.
    pub created_s: i64,
}

/// All keys, oldest first, also those that are gone.
pub(crate) fn all(connection: &Connection) -> Result<Vec<SigningKeyInfo>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT kid, state, since_s, wanted, x, y, created_s FROM signing_key ORDER BY created_s, rowid",
    )?;
    let mut rows = statement.query([])?;
    let mut keys = Vec::new();
    while let Some(row) = rows.next()? {
        let word: String = row.get(1)?;
        let state = KeyState::from_word(&word).ok_or(StoreError::Corrupt("signing key"))?;
        keys.push(SigningKeyInfo {
            facts: KeyFacts { kid: row.get(0)?, state, since_s: row.get(2)?, wanted: row.get(3)? },
            public: PublicKey { x: row.get(4)?, y: row.get(5)? },
            created_s: row.get(6)?,
        });
    }
    Ok(keys)
}

/// The key that signs.
pub(crate) fn active(connection: &Connection) -> Result<String, StoreError> {
    connection
        .prepare_cached("SELECT kid FROM signing_key WHERE state = 'active'")?
        .query_row([], |row| row.get(0))
        .optional()?
        .ok_or(StoreError::Corrupt("set of signing keys"))
}

/// The public half of a key that is in the key set.
pub(crate) fn published(connection: &Connection, kid: &str) -> Result<Option<PublicKey>, StoreError> {
    let row = connection
        .prepare_cached("SELECT x, y FROM signing_key WHERE kid = ? AND state <> 'gone'")?
        .query_row([kid], |row| Ok(PublicKey { x: row.get(0)?, y: row.get(1)? }))
        .optional()?;
    Ok(row)
}

/// Adds a key.
pub(crate) fn insert(
    tx: &Transaction<'_>,
    kid: &str,
    state: KeyState,
    public: &PublicKey,
    now_s: i64,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO signing_key (kid, state, since_s, x, y, created_s) VALUES (?, ?, ?, ?, ?, ?)",
        params![kid, state.as_str(), now_s, public.x, public.y, now_s],
    )?;
    Ok(())
}

/// Puts a key into another state.
pub(crate) fn set_state(tx: &Transaction<'_>, kid: &str, state: KeyState, now_s: i64) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE signing_key SET state = ?, since_s = ?, wanted = 0 WHERE kid = ?",
        params![state.as_str(), now_s, kid],
    )?;
    Ok(())
}

/// Asks that the announced key sign as soon as it may.
pub(crate) fn want(tx: &Transaction<'_>) -> Result<(), StoreError> {
    tx.execute("UPDATE signing_key SET wanted = 1 WHERE state = 'announced'", [])?;
    Ok(())
}
