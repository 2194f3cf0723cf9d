//! Which share of a lane's clients is sent to a candidate database.

use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};
use serde::Serialize;

use super::StoreError;
use crate::cohort::Share;

/// A share of a database's clients, and where it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cohort {
    /// The lane's database.
    pub database: String,
    /// The database that the share is sent to.
    pub candidate: String,
    /// How large the share is, in percent.
    #[serde(rename = "percent")]
    pub share: Share,
    /// Since when it is so, in seconds since 1970.
    pub since_s: i64,
}

fn read(row: &Row<'_>) -> rusqlite::Result<Cohort> {
    let share = Share::of_hundredths(row.get(2)?);
    Ok(Cohort { database: row.get(0)?, candidate: row.get(1)?, share, since_s: row.get(3)? })
}

/// The cohort of a database.
pub(crate) fn find(connection: &Connection, database: &str) -> Result<Option<Cohort>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT database, candidate, hundredths, since_s FROM cohort WHERE database = ?")?;
    Ok(statement.query_row([database], read).optional()?)
}

/// All cohorts, by database.
pub(crate) fn all(connection: &Connection) -> Result<Vec<Cohort>, StoreError> {
    let mut statement =
        connection.prepare("SELECT database, candidate, hundredths, since_s FROM cohort ORDER BY database")?;
    let rows = statement.query_map([], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Sets a database's cohort.
pub(crate) fn set(tx: &Transaction<'_>, cohort: &Cohort) -> Result<(), StoreError> {
    tx.execute(
        "INSERT OR REPLACE INTO cohort (database, candidate, hundredths, since_s) VALUES (?, ?, ?, ?)",
        params![cohort.database, cohort.candidate, cohort.share.hundredths(), cohort.since_s],
    )?;
    Ok(())
}

/// Clears a database's cohort. `false` if there was none.
pub(crate) fn clear(tx: &Transaction<'_>, database: &str) -> Result<bool, StoreError> {
    Ok(tx.execute("DELETE FROM cohort WHERE database = ?", [database])? == 1)
}

/// Notes that a database's clients are no more sent to `candidate`, where tokens may live until `until_s`.
pub(crate) fn left(tx: &Transaction<'_>, database: &str, candidate: &str, until_s: i64) -> Result<(), StoreError> {
    tx.execute(
        "INSERT OR REPLACE INTO former_candidate (database, candidate, until_s) VALUES (?, ?, ?)",
        params![database, candidate, until_s],
    )?;
    Ok(())
}

/// The candidates of a database, the present one and those where tokens may still live.
pub(crate) fn candidates(connection: &Connection, database: &str, now_s: i64) -> Result<Vec<String>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT candidate FROM cohort WHERE database = ?1 \
         UNION SELECT candidate FROM former_candidate WHERE database = ?1 AND until_s > ?2 ORDER BY 1",
    )?;
    let rows = statement.query_map(params![database, now_s], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Forgets candidates where no token lives any more, and how far they have heard of revocations.
pub(crate) fn prune(tx: &Transaction<'_>, now_s: i64) -> Result<(), StoreError> {
    let over: Vec<String> = tx
        .prepare("SELECT DISTINCT candidate FROM former_candidate WHERE until_s <= ?")?
        .query_map([now_s], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    tx.execute("DELETE FROM former_candidate WHERE until_s <= ?", [now_s])?;
    for candidate in over {
        tx.execute(
            "DELETE FROM delivery WHERE target = ?1 AND NOT EXISTS (SELECT 1 FROM cohort \
             WHERE candidate = ?1 OR database = ?1) AND NOT EXISTS (SELECT 1 FROM former_candidate WHERE candidate = ?1)",
            [&candidate],
        )?;
    }
    Ok(())
}
