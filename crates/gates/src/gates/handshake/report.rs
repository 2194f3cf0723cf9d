//! What a handshake leaves behind: one JSON object for scripts, and the same with every detail as evidence.
//!
//! What always holds: the field names of `muster.handshake.v1` are frozen; a report is written whether the handshake
//! passed or not, and never claims more than was counted.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::verdict::Observations;

/// The schema of [`Report`].
pub(crate) const SCHEMA: &str = "muster.handshake.v1";

/// The one object on stdout.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Always [`SCHEMA`].
    pub schema: &'static str,
    /// The lane, if one was named.
    pub lane: Option<String>,
    /// The host's base URL.
    pub server: String,
    /// The database's identity, hexadecimal.
    pub database: String,
    /// The hash of the module that runs, as the host keeps it (Keccak-256, hexadecimal).
    pub module_hash: String,
    /// How many clients met.
    pub clients: u64,
    /// Sessions before, over SQL, the asker's own left out.
    pub baseline: u64,
    /// Sessions while all clients held their subscriptions.
    pub during: u64,
    /// Sessions after all had closed.
    #[serde(rename = "final")]
    pub after: u64,
    /// Whether everything was as it must be.
    pub passed: bool,
    /// When it began, RFC 3339 in UTC with six digits of a second, by this machine's clock: its texts sort as its times.
    pub started_at: String,
    /// How long it took, in milliseconds.
    pub elapsed_ms: u64,
}

/// The report with everything it rests on.
#[derive(Clone, Debug, Serialize)]
pub struct Evidence {
    /// The report.
    #[serde(flatten)]
    pub report: Report,
    /// What the host calls itself (its `Server` header), if it says.
    pub host: Option<String>,
    /// Where the module hash comes from.
    pub module_hash_source: &'static str,
    /// The program that wrote this.
    pub written_by: String,
    /// How sessions were counted.
    pub rule: String,
    /// As whom the clients came.
    pub clients_come_as: &'static str,
    /// Every count.
    pub observations: Observations,
    /// What was not as it must be; empty if it passed.
    pub problems: Vec<String>,
    /// The clients, in the order they were started.
    pub sessions: Vec<Session>,
}

/// One client of the handshake.
#[derive(Clone, Debug, Serialize)]
pub struct Session {
    /// The identity the host gave it.
    pub identity: String,
    /// Its connection, the key of its row.
    pub connection_id: String,
    /// The WebSocket protocol agreed on.
    pub protocol: String,
    /// From the first packet to the host's greeting, in milliseconds.
    pub connect_ms: f64,
    /// From there to the first rows of its subscription, in milliseconds.
    pub subscribe_ms: f64,
    /// From there until it saw every client, in milliseconds; absent if it never did.
    pub complete_ms: Option<f64>,
    /// How the session ended.
    pub ended: String,
}

/// A time as [`Report::started_at`] has it, always of the same width.
pub(crate) fn at(time: jiff::Timestamp) -> String {
    format!("{time:.6}")
}

/// Makes `folder` if missing, and sees that a file can be written there: one that is gone again afterwards.
///
/// # Errors
/// If the folder cannot be made or written to.
pub(crate) fn prepare(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let probe = folder.join(format!("handshake-{}.unfinished", std::process::id()));
    // With a byte in it: a full disk has room for an empty file.
    std::fs::write(&probe, b"\n").and_then(|()| std::fs::remove_file(&probe))
}

/// Writes the evidence as `handshake-<time>-<database>.json` into `folder`, made if missing, and returns the path.
///
/// # Errors
/// If the folder cannot be made or the file cannot be written.
pub(crate) fn write(folder: &Path, evidence: &Evidence) -> io::Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    let at: String = evidence.report.started_at.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    let database: String = evidence.report.database.chars().take(12).collect();
    let path = folder.join(format!("handshake-{at}-{database}.json"));
    let mut text = serde_json::to_string_pretty(evidence).map_err(io::Error::other)?;
    text.push('\n');
    // Whole or not at all: a half-written file must not look like evidence.
    let unfinished = path.with_extension("json.unfinished");
    std::fs::write(&unfinished, text)?;
    std::fs::rename(&unfinished, &path)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_for_evidence_is_made_and_tried_and_nothing_is_left_in_it() {
        let place = tempfile::tempdir().expect("a folder");
        let folder = place.path().join("a/b");
        prepare(&folder).expect("made");
        assert_eq!(std::fs::read_dir(&folder).expect("there").count(), 0);
        std::fs::write(place.path().join("file"), "x").expect("written");
        prepare(&place.path().join("file")).expect_err("a file is no folder");
    }

    #[test]
    fn times_sort_as_texts_whatever_their_fraction() {
        let micros = [1_700_000_000_000_000, 1_700_000_000_000_001, 1_700_000_000_100_000, 1_700_000_001_000_000];
        let texts = micros.map(|it| at(jiff::Timestamp::from_microsecond(it).expect("a time")));
        assert_eq!(texts[2], "2023-11-14T22:13:20.100000Z");
        assert!(texts.is_sorted() && texts.iter().all(|text| text.len() == texts[0].len()), "{texts:?}");
    }
}
