//! Clients: who may ask for tokens, how they prove who they are, and the most they may get.

use std::collections::BTreeSet;

use rusqlite::{Connection, Row, Transaction, params};
use serde::{Deserialize, Serialize};

use super::keys::PublicKey;
use super::{StoreError, from_json, to_json};
use crate::grant::Grant;
use crate::limits::CREDENTIALS_MAX;

/// What a client may do beside getting tokens of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Permission {
    /// Get refresh tokens.
    Refresh,
    /// Exchange other clients' tokens for narrower ones (RFC 8693).
    Exchange,
    /// Look into other clients' tokens (RFC 7662).
    Introspect,
    /// Read the feed of revocations.
    Revocations,
}

impl Permission {
    /// Every permission.
    pub const ALL: [Permission; 4] =
        [Permission::Refresh, Permission::Exchange, Permission::Introspect, Permission::Revocations];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Permission::Refresh => "refresh",
            Permission::Exchange => "exchange",
            Permission::Introspect => "introspect",
            Permission::Revocations => "revocations",
        }
    }
}

/// A client, without its credentials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Client {
    /// Its id, which is also the `sub` of its own tokens.
    pub id: String,
    /// What people call it.
    pub description: String,
    /// Whether it may not ask for anything.
    pub disabled: bool,
    /// The most that a token of it may do.
    pub grant: Grant,
    /// The `oa_role` of its tokens: a label and no permission.
    pub role: Option<String>,
    /// It may name another subject than itself that begins with one of these.
    pub subject_prefixes: Vec<String>,
    /// What else it may do.
    pub permissions: BTreeSet<Permission>,
    /// The longest life of its access tokens, in seconds.
    pub access_lifetime_s: i64,
    /// The longest life of its refresh families, in seconds.
    pub session_lifetime_s: i64,
    /// When it was added, in seconds since 1970.
    pub created_s: i64,
}

const COLUMNS: &str = "id, description, disabled, scopes, streams, role, subject_prefixes, permissions, \
                       access_lifetime_s, session_lifetime_s, created_s";

fn read(row: &Row<'_>) -> Result<Client, StoreError> {
    let text = |column: usize| -> Result<String, StoreError> { Ok(row.get(column)?) };
    Ok(Client {
        id: text(0)?,
        description: text(1)?,
        disabled: row.get(2)?,
        grant: Grant { scopes: from_json(&text(3)?, "client")?, streams: from_json(&text(4)?, "client")? },
        role: row.get(5)?,
        subject_prefixes: from_json(&text(6)?, "client")?,
        permissions: from_json(&text(7)?, "client")?,
        access_lifetime_s: row.get(8)?,
        session_lifetime_s: row.get(9)?,
        created_s: row.get(10)?,
    })
}

/// The client with this id.
pub(crate) fn find(connection: &Connection, id: &str) -> Result<Option<Client>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM client WHERE id = ?"))?;
    let mut rows = statement.query([id])?;
    rows.next()?.map(read).transpose()
}

/// All clients, by id.
pub(crate) fn all(connection: &Connection) -> Result<Vec<Client>, StoreError> {
    let mut statement = connection.prepare(&format!("SELECT {COLUMNS} FROM client ORDER BY id"))?;
    let mut rows = statement.query([])?;
    let mut clients = Vec::new();
    while let Some(row) = rows.next()? {
        clients.push(read(row)?);
    }
    Ok(clients)
}

/// Adds a client. `false` if there is one with this id.
pub(crate) fn insert(tx: &Transaction<'_>, client: &Client) -> Result<bool, StoreError> {
    let sql = format!("INSERT INTO client ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING");
    let added = tx.execute(
        &sql,
        params![
            client.id,
            client.description,
            client.disabled,
            to_json(&client.grant.scopes),
            to_json(&client.grant.streams),
            client.role,
            to_json(&client.subject_prefixes),
            to_json(&client.permissions),
            client.access_lifetime_s,
            client.session_lifetime_s,
            client.created_s,
        ],
    )?;
    Ok(added == 1)
}

/// Gives a client another grant.
pub(crate) fn set_grant(tx: &Transaction<'_>, id: &str, grant: &Grant) -> Result<(), StoreError> {
    let streams = to_json(&grant.streams);
    tx.execute("UPDATE client SET scopes = ?, streams = ? WHERE id = ?", params![to_json(&grant.scopes), streams, id])?;
    Ok(())
}

/// Lets a client ask, or not.
pub(crate) fn set_disabled(tx: &Transaction<'_>, id: &str, disabled: bool) -> Result<(), StoreError> {
    tx.execute("UPDATE client SET disabled = ? WHERE id = ?", params![disabled, id])?;
    Ok(())
}

/// The hashes of the secrets that are good now, newest first.
pub(crate) fn secrets(connection: &Connection, id: &str, now_s: i64) -> Result<Vec<String>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT phc FROM client_secret WHERE client_id = ? AND (expires_s IS NULL OR expires_s > ?) \
         ORDER BY rowid DESC LIMIT ?",
    )?;
    let rows = statement.query_map(params![id, now_s, CREDENTIALS_MAX as i64], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Adds a secret; those that are there end at `others_end_s`.
pub(crate) fn add_secret(
    tx: &Transaction<'_>,
    id: &str,
    phc: &str,
    now_s: i64,
    others_end_s: i64,
) -> Result<(), StoreError> {
    tx.execute("DELETE FROM client_secret WHERE client_id = ? AND expires_s IS NOT NULL", [id])?;
    tx.execute("UPDATE client_secret SET expires_s = ? WHERE client_id = ?", params![others_end_s, id])?;
    tx.execute("INSERT INTO client_secret (client_id, phc, created_s) VALUES (?, ?, ?)", params![id, phc, now_s])?;
    Ok(())
}

/// A client's public keys, with their ids.
pub(crate) fn public_keys(connection: &Connection, id: &str) -> Result<Vec<(String, PublicKey)>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT kid, x, y FROM client_key WHERE client_id = ? ORDER BY rowid")?;
    let rows = statement.query_map([id], |row| Ok((row.get(0)?, PublicKey { x: row.get(1)?, y: row.get(2)? })))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Adds a public key. `false` if it is there, or there are [`CREDENTIALS_MAX`] already.
pub(crate) fn add_public_key(
    tx: &Transaction<'_>,
    id: &str,
    kid: &str,
    key: &PublicKey,
    now_s: i64,
) -> Result<bool, StoreError> {
    if public_keys(tx, id)?.len() >= CREDENTIALS_MAX {
        return Ok(false);
    }
    let added = tx.execute(
        "INSERT INTO client_key (client_id, kid, x, y, created_s) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        params![id, kid, key.x, key.y, now_s],
    )?;
    Ok(added == 1)
}

/// Removes a public key. `false` if it was not there.
pub(crate) fn remove_public_key(tx: &Transaction<'_>, id: &str, kid: &str) -> Result<bool, StoreError> {
    Ok(tx.execute("DELETE FROM client_key WHERE client_id = ? AND kid = ?", [id, kid])? == 1)
}

/// Remembers that this assertion was used. `false` if it was used before.
pub(crate) fn use_assertion(tx: &Transaction<'_>, id: &str, jti: &str, expires_s: i64) -> Result<bool, StoreError> {
    let added = tx
        .prepare_cached("INSERT INTO assertion (client_id, jti, expires_s) VALUES (?, ?, ?) ON CONFLICT DO NOTHING")?
        .execute(params![id, jti, expires_s])?;
    Ok(added == 1)
}
