//! What these tests share: outboxes in folders of their own, and a look at what is in them that is not the crate's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use muster_contract::page::NewEvent;
use muster_publisher::{OutboxConfig, Publisher};
use spacetimedb_sats::bsatn;
use tempfile::TempDir;

/// How long a test waits for what should come at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Tells a re-executed test where to work.
pub(crate) const FOLDER: &str = "MUSTER_TEST_OUTBOX_FOLDER";

pub(crate) fn folder() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let outbox = folder.path().join("outbox");
    (folder, outbox)
}

pub(crate) fn open(outbox: &Path) -> Publisher {
    Publisher::open(OutboxConfig::new(outbox)).unwrap()
}

/// This test binary again, running one test alone, in another process.
pub(crate) fn again(test: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(FOLDER, folder);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// A process that is killed with its test.
pub(crate) struct Killed(pub(crate) Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Every event in the file, by stream and number. Read with SQLite and the official BSATN reader alone.
pub(crate) fn events(outbox: &Path) -> BTreeMap<(String, i64), NewEvent> {
    let connection = rusqlite::Connection::open(outbox).unwrap();
    let sql = "SELECT s.id, c.first, c.last, c.events FROM chunk c JOIN stream s ON s.no = c.stream";
    let mut statement = connection.prepare(sql).unwrap();
    let mut rows = statement.query([]).unwrap();
    let mut events = BTreeMap::new();
    while let Some(row) = rows.next().unwrap() {
        let (id, first, last): (String, i64, i64) = (row.get(0).unwrap(), row.get(1).unwrap(), row.get(2).unwrap());
        let chunk: Vec<u8> = row.get(3).unwrap();
        let mut rest = chunk.as_slice();
        for number in first..=last {
            let event: NewEvent = bsatn::from_reader(&mut rest).unwrap();
            assert_eq!(events.insert((id.clone(), number), event), None, "one number, two events");
        }
        assert!(rest.is_empty());
    }
    events
}
