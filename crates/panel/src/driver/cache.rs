//! What a run writes down beside its store for the next one: whose store it is, when things were last known to be true, which
//! streams there were, and the sessions as they were.
//!
//! What always holds: the file is replaced whole, readable by its owner alone, and holds nothing secret. What cannot be read,
//! or is of another lane, is as good as absent: then nothing in the store is shown as this lane's before its host has spoken.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use muster_contract::stream::StreamId;
use muster_wire::Endpoint;
use serde::{Deserialize, Serialize};

use crate::clock::At;
use crate::limits::{CACHE_BYTES_MAX, SESSIONS_CACHED_MAX, STREAMS_CACHED_MAX};
use crate::model::Facts;
use crate::model::observation::Remembered;
use crate::model::sessions::SessionRow;

const SCHEMA: &str = "muster.panel.cache.v1";

#[derive(Serialize, Deserialize)]
struct Written {
    schema: String,
    server: String,
    /// The lane's.
    database: String,
    /// The one that the token service named, where that was another.
    #[serde(default)]
    at_database: Option<String>,
    /// `None`: there were too many to name.
    #[serde(default)]
    streams: Option<BTreeSet<StreamId>>,
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

/// What was written down about a lane.
#[derive(Debug)]
pub(super) struct Noted {
    pub(super) remembered: Remembered,
    pub(super) at_database: Option<String>,
    streams: Option<BTreeSet<StreamId>>,
}

impl Noted {
    /// Whether the host had the stream.
    pub(super) fn had(&self, stream: &StreamId) -> bool {
        self.streams.as_ref().is_none_or(|streams| streams.contains(stream))
    }
}

/// Reads what was written down about this lane.
pub(super) fn read(store: &Path, endpoint: &Endpoint) -> Option<Noted> {
    let mut text = String::new();
    File::open(beside(store)).ok()?.take(CACHE_BYTES_MAX).read_to_string(&mut text).ok()?;
    let written: Written = serde_json::from_str(&text).ok()?;
    let is_same =
        written.schema == SCHEMA && written.server == endpoint.base() && written.database == endpoint.database();
    is_same.then_some(Noted {
        remembered: Remembered {
            sync_seen: written.sync_seen,
            sessions_seen: written.sessions_seen,
            total: written.total,
            by_role: written.by_role,
            rows: written.rows,
        },
        at_database: written.at_database,
        streams: written.streams,
    })
}

/// Writes down what is known of the lane whose own database is the endpoint's.
pub(super) fn write(store: &Path, endpoint: &Endpoint, facts: &Facts) -> std::io::Result<()> {
    let at_database = facts.lane.as_ref().map(|lane| lane.database.clone());
    let rows = &facts.sync.streams;
    let there = rows.iter().filter(|row| !row.word.is_gone()).map(|row| row.word.stream.clone());
    let written = Written {
        schema: SCHEMA.into(),
        server: endpoint.base().into(),
        database: endpoint.database().into(),
        at_database: at_database.filter(|database| database != endpoint.database()),
        streams: (rows.len() <= STREAMS_CACHED_MAX).then(|| there.collect()),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{LaneFacts, Model, Observation};

    #[test]
    fn what_was_written_down_about_another_lane_is_not_this_ones() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = folder.path().join("x.db");
        let endpoint = |url, database| Endpoint::new(url, database).expect("an endpoint");
        let ours = endpoint("http://127.0.0.1:1", "lane");
        assert!(read(&store, &ours).is_none());
        let mut model = Model::new();
        let lane = LaneFacts { server: ours.base().into(), database: "candidate".into(), ..LaneFacts::default() };
        model.on(At(1), Observation::Lane(lane));
        write(&store, &ours, model.facts()).expect("written");
        let noted = read(&store, &ours).expect("ours");
        assert_eq!(noted.at_database.as_deref(), Some("candidate"));
        let gone = StreamId::parse("runtime.run.1.events").expect("an id");
        assert!(!noted.had(&gone), "a stream that the host does not have is not shown because the store still has it");
        for other in [endpoint("http://127.0.0.1:2", "lane"), endpoint("http://127.0.0.1:1", "other")] {
            assert!(read(&store, &other).is_none());
        }
    }
}
