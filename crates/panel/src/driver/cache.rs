//! What a run writes down beside its store for the next one: when things were last known to be true, and the sessions as
//! they were.
//!
//! What always holds: the file is replaced whole, readable by its owner alone, and holds nothing secret. What cannot be read
//! is as good as absent: it only means that nothing is remembered.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use muster_wire::Endpoint;
use serde::{Deserialize, Serialize};

use crate::clock::At;
use crate::limits::{CACHE_BYTES_MAX, SESSIONS_CACHED_MAX};
use crate::model::Facts;
use crate::model::observation::Remembered;
use crate::model::sessions::SessionRow;

const SCHEMA: &str = "muster.panel.cache.v1";

#[derive(Serialize, Deserialize)]
struct Written {
    schema: String,
    server: String,
    database: String,
    sync_seen: Option<At>,
    sessions_seen: Option<At>,
    total: Option<u64>,
    by_role: Vec<(String, u64)>,
    rows: Vec<SessionRow>,
}

fn beside(store: &Path) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(".seen.json");
    name.into()
}

/// Reads what was written down about this database.
pub(super) fn read(store: &Path, endpoint: &Endpoint) -> Option<Remembered> {
    let mut text = String::new();
    File::open(beside(store)).ok()?.take(CACHE_BYTES_MAX).read_to_string(&mut text).ok()?;
    let written: Written = serde_json::from_str(&text).ok()?;
    let is_same =
        written.schema == SCHEMA && written.server == endpoint.base() && written.database == endpoint.database();
    is_same.then_some(Remembered {
        sync_seen: written.sync_seen,
        sessions_seen: written.sessions_seen,
        total: written.total,
        by_role: written.by_role,
        rows: written.rows,
    })
}

/// Writes down what is known.
pub(super) fn write(store: &Path, endpoint: &Endpoint, facts: &Facts) -> std::io::Result<()> {
    let written = Written {
        schema: SCHEMA.into(),
        server: endpoint.base().into(),
        database: endpoint.database().into(),
        sync_seen: facts.sync.source.seen,
        sessions_seen: facts.sessions.source.seen,
        total: facts.sessions.total,
        by_role: facts.sessions.by_role.to_vec(),
        rows: facts.sessions.rows.iter().take(SESSIONS_CACHED_MAX).cloned().collect(),
    };
    let path = beside(store);
    let new = path.with_extension("json.new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&new)?;
    file.write_all(serde_json::to_string(&written)?.as_bytes())?;
    fs::rename(new, path)
}
