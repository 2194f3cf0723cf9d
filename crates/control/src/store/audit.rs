//! The audit log: who changed what, append-only, each row sealed to the one before.
//!
//! What always holds: rows are never updated, deleted or replaced (triggers in `schema.sql`), and each row's hash covers
//! the hash before it, so that a row changed with other tools breaks every later hash. Cutting off the end does not show
//! from inside: compare [`Head`] with one that was written down elsewhere. No secret is ever part of a row.

use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::StoreError;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditEntry {
    /// Its place, from 1, without holes.
    pub seq: i64,
    /// When, in seconds since 1970.
    pub at_s: i64,
    /// Who: an administrator as the command line names them, a client, or `control` itself.
    pub actor: String,
    /// What, as words joined by dots: `client.add`, `key.activate`.
    pub action: String,
    /// Which client, key or session.
    pub subject: String,
    /// More, as JSON.
    pub detail: String,
    /// SHA-256 over the hash before and all of the above, in hex.
    pub hash: String,
}

/// The newest entry: write it down elsewhere to notice that the end was cut off.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Head {
    /// Its place; 0 where there is none.
    pub seq: i64,
    /// Its hash, in hex.
    pub hash: String,
}

/// Adds an entry, in the transaction of the change itself.
pub(crate) fn append(
    tx: &Transaction<'_>,
    at_s: i64,
    actor: &str,
    action: &str,
    subject: &str,
    detail: &serde_json::Value,
) -> Result<(), StoreError> {
    let previous: Option<(i64, Vec<u8>)> = tx
        .query_row("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (last, before) = previous.unwrap_or_default();
    let detail = detail.to_string();
    let hash = seal(&before, last + 1, at_s, [actor, action, subject, &detail]);
    tx.execute(
        "INSERT INTO audit (seq, at_s, actor, action, subject, detail, hash) VALUES (?, ?, ?, ?, ?, ?, ?)",
        params![last + 1, at_s, actor, action, subject, detail, hash],
    )?;
    Ok(())
}

/// Every part with its length before it: no two different entries have the same bytes.
fn seal(before: &[u8], seq: i64, at_s: i64, parts: [&str; 4]) -> Vec<u8> {
    let mut hasher = Sha256::new();
    hasher.update(before);
    hasher.update(seq.to_be_bytes());
    hasher.update(at_s.to_be_bytes());
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().to_vec()
}

/// Entries after `after`, oldest first.
pub(crate) fn list(connection: &Connection, after: i64, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT seq, at_s, actor, action, subject, detail, hash FROM audit WHERE seq > ? ORDER BY seq LIMIT ?",
    )?;
    let rows = statement.query_map(params![after, limit as i64], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn read(row: &Row<'_>) -> rusqlite::Result<AuditEntry> {
    let hash: Vec<u8> = row.get(6)?;
    Ok(AuditEntry {
        seq: row.get(0)?,
        at_s: row.get(1)?,
        actor: row.get(2)?,
        action: row.get(3)?,
        subject: row.get(4)?,
        detail: row.get(5)?,
        hash: hex(&hash),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Checks the whole chain. `Err` has the place of the first entry that does not follow from the one before.
pub(crate) fn verify(connection: &Connection) -> Result<Result<Head, i64>, StoreError> {
    let mut statement =
        connection.prepare("SELECT seq, at_s, actor, action, subject, detail, hash FROM audit ORDER BY seq")?;
    let mut rows = statement.query([])?;
    let (mut head, mut before) = (Head::default(), Vec::new());
    while let Some(row) = rows.next()? {
        let entry = read(row)?;
        let hash = seal(&before, entry.seq, entry.at_s, [&entry.actor, &entry.action, &entry.subject, &entry.detail]);
        if entry.seq != head.seq + 1 || hex(&hash) != entry.hash {
            return Ok(Err(entry.seq));
        }
        head = Head { seq: entry.seq, hash: entry.hash };
        before = hash;
    }
    Ok(Ok(head))
}
