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

/// Deletes at most `limit` rows of what nobody needs any more: expired tokens, sessions a day after their end, assertions,
/// revocations. Returns how many: fewer than `limit` means that nothing is left. An expired token is refused for its time
/// before it is looked up.
pub(crate) fn prune(tx: &Transaction<'_>, now_s: i64, limit: usize) -> Result<usize, StoreError> {
    let kept_s = now_s - SESSION_KEPT_S;
    let mut room = limit;
    room -=
        delete(tx, "access_token WHERE rowid IN (SELECT rowid FROM access_token WHERE expires_s < ?1", kept_s, room)?;
    room -= prune_sessions(tx, kept_s, room)?;
    let used = "assertion WHERE (client_id, jti) IN (SELECT client_id, jti FROM assertion WHERE expires_s < ?1";
    room -= delete(tx, used, now_s, room)?;
    room -= delete(tx, "revocation WHERE seq IN (SELECT seq FROM revocation WHERE expires_s < ?1", now_s, room)?;
    Ok(limit - room)
}

/// Deletes what `which` selects for a time, at most `limit` rows.
fn delete(tx: &Transaction<'_>, which: &str, before_s: i64, limit: usize) -> Result<usize, StoreError> {
    let sql = format!("DELETE FROM {which} LIMIT ?2)");
    Ok(tx.prepare_cached(&sql)?.execute(params![before_s, limit as i64])?)
}

/// Deletes sessions that ended before a time, the longest over first, each after its refresh tokens, which may be many.
fn prune_sessions(tx: &Transaction<'_>, before_s: i64, limit: usize) -> Result<usize, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT id FROM session WHERE ends_s < ?1 \
         AND NOT EXISTS (SELECT 1 FROM access_token a WHERE a.session_id = session.id) ORDER BY ends_s LIMIT ?2",
    )?;
    let over: Vec<String> =
        statement.query_map(params![before_s, limit as i64], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let mut refresh_tokens = tx.prepare_cached(
        "DELETE FROM refresh_token WHERE rowid IN (SELECT rowid FROM refresh_token WHERE session_id = ?1 LIMIT ?2)",
    )?;
    let mut session = tx.prepare_cached("DELETE FROM session WHERE id = ?1")?;
    let mut room = limit;
    for id in over {
        room -= refresh_tokens.execute(params![id, room as i64])?;
        if room == 0 {
            break;
        }
        room -= session.execute([&id])?;
    }
    Ok(limit - room)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    const TABLES: [&str; 5] = ["access_token", "refresh_token", "session", "assertion", "revocation"];
    const DAY_S: i64 = 24 * 3_600;

    /// Sessions that ended at `ends_s`, each with an access token and this many refresh tokens; beside them as many
    /// assertions and revocations.
    fn fill(tx: &Transaction<'_>, name: &str, sessions: usize, refresh_tokens: usize, ends_s: i64) {
        for n in 0..sessions {
            let id = format!("{name}-{n}");
            let session = "INSERT INTO session VALUES (?1, 'one', 'one', '[]', NULL, NULL, '[]', '[]', NULL, 1, 1, ?2, NULL, NULL)";
            tx.execute(session, params![id, ends_s]).expect("a session");
            insert_access(tx, &id, &id, 1, ends_s).expect("an access token");
            for m in 0..refresh_tokens {
                let mut hash = [0; 32];
                let text = format!("{id}/{m}");
                hash[..text.len()].copy_from_slice(text.as_bytes());
                insert_refresh(tx, &hash, &id, 1).expect("a refresh token");
            }
            tx.execute("INSERT INTO assertion VALUES ('one', ?1, ?2)", params![id, ends_s]).expect("an assertion");
            revocations::append(tx, RevokedKind::Token, &id, 1, ends_s, "test").expect("a revocation");
        }
    }

    fn counts(tx: &Transaction<'_>) -> [i64; 5] {
        let count = |table| tx.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0));
        TABLES.map(|table| count(table).expect("a count"))
    }

    #[test]
    fn a_transaction_forgets_so_many_rows_and_no_more_and_all_together_forget_what_is_over_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&folder.path().join("control.sqlite")).expect("made");
        let now_s = 10 * DAY_S;
        let filled = store.write(|tx| {
            fill(tx, "over", 7, 5, now_s - 2 * DAY_S);
            fill(tx, "live", 2, 3, now_s + 1);
            Ok::<_, StoreError>(counts(tx))
        });
        assert_eq!(filled.expect("filled"), [9, 41, 9, 9, 9]);
        let once = || {
            store.write(|tx| {
                let before = counts(tx).iter().sum::<i64>();
                let pruned = prune(tx, now_s, 4)?;
                assert_eq!(before - counts(tx).iter().sum::<i64>(), pruned as i64, "as many as said");
                Ok::<_, StoreError>(pruned)
            })
        };
        let mut pruned = Vec::new();
        while pruned.last() != Some(&0) {
            pruned.push(once().expect("pruned"));
        }
        let (last, full) = pruned.split_last().and_then(|(_, most)| most.split_last()).expect("several");
        assert!(full.iter().all(|rows| *rows == 4) && *last <= 4, "{pruned:?}");
        assert_eq!(pruned.iter().sum::<usize>(), 7 * (1 + 5 + 1 + 1 + 1));
        assert_eq!(store.write(|tx| Ok::<_, StoreError>(counts(tx))).expect("counted"), [2, 6, 2, 2, 2]);
    }
}
