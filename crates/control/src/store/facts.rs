//! What the state directory knows of itself: its issuer and audience, its lane's database, and the service that runs.
//!
//! What always holds: the issuer is written once and stays, because hosts make identities of it.

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::schedule::Phases;

/// The name of the issuer's fact.
pub(crate) const ISSUER: &str = "issuer";
/// The name of the audience's.
pub(crate) const AUDIENCE: &str = "audience";
/// The name of the lane's database's; absent where the service was not told.
pub(crate) const DATABASE: &str = "database";
const SERVICE: &str = "service";

/// The service that serves the key set, as it says of itself when it begins. It counts only while its lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServiceFacts {
    /// Since when, in seconds since 1970.
    pub(crate) since_s: i64,
    /// How long it announces keys.
    pub(crate) phases: Phases,
}

/// A fact, if it is known.
pub(crate) fn get(connection: &Connection, name: &str) -> Result<Option<String>, StoreError> {
    let row = connection.query_row("SELECT value FROM fact WHERE name = ?", [name], |row| row.get(0));
    Ok(row.optional()?)
}

/// Writes a fact, or forgets it.
pub(crate) fn set(tx: &Transaction<'_>, name: &str, value: Option<&str>) -> Result<(), StoreError> {
    match value {
        Some(value) => tx.execute("INSERT OR REPLACE INTO fact (name, value) VALUES (?, ?)", params![name, value])?,
        None => tx.execute("DELETE FROM fact WHERE name = ?", [name])?,
    };
    Ok(())
}

/// The service that last began to serve.
pub(crate) fn service(connection: &Connection) -> Result<Option<ServiceFacts>, StoreError> {
    let text = get(connection, SERVICE)?;
    text.map(|text| serde_json::from_str(&text).map_err(|_| StoreError::Corrupt("service"))).transpose()
}

/// Notes which service begins to serve.
pub(crate) fn set_service(tx: &Transaction<'_>, service: ServiceFacts) -> Result<(), StoreError> {
    set(tx, SERVICE, Some(&serde_json::to_string(&service).expect("numbers have a JSON form")))
}
