//! A diagnostics bundle: what the window knows, its log, its versions, in one `.tar.gz`.
//!
//! What always holds: no token and no event's payload is in it; the file is new and readable by its owner alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use muster_panel::report::Report;
use serde_json::json;

use crate::frames::Frames;

/// What goes into it.
pub struct Content<'a> {
    /// What the window shows.
    pub report: &'a Report,
    /// Its log.
    pub log: &'a str,
    /// Its frame times.
    pub frames: &'a Frames,
}

/// Writes a bundle into `folder`, made if missing, and returns its path.
///
/// # Errors
/// What the disk says.
pub fn write(folder: &Path, content: &Content<'_>) -> io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let stamp = jiff::Zoned::now().strftime("%Y%m%d-%H%M%S").to_string();
    let (path, file) = create(folder, &stamp)?;
    let name = format!("muster-diagnostics-{stamp}");
    let mut tar = tar::Builder::new(GzEncoder::new(file, Compression::default()));
    let mut add = |file: &str, text: &str| {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or(0));
        header.set_cksum();
        tar.append_data(&mut header, format!("{name}/{file}"), text.as_bytes())
    };
    add("state.json", &pretty(content.report)?)?;
    add("log.txt", content.log)?;
    add("versions.json", &pretty(&versions(content.frames))?)?;
    add("README.txt", README)?;
    let mut file = tar.into_inner()?.finish()?;
    file.flush()?;
    file.sync_all()?;
    Ok(path)
}

const README: &str = "\
What muster-desktop knew when this was exported.

state.json     what each pane showed, and how fresh it was (schema muster.panel.v1)
log.txt        the newest lines of its log
versions.json  builds, and how long frames took

It holds no token and no event's payload. Identities of sessions and names of streams are in it.
";

fn create(folder: &Path, stamp: &str) -> io::Result<(PathBuf, File)> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut number = 0;
    loop {
        let suffix = if number == 0 { String::new() } else { format!("-{number}") };
        let path = folder.join(format!("muster-diagnostics-{stamp}{suffix}.tar.gz"));
        match options.open(&path) {
            Ok(file) => return Ok((path, file)),
            // Two in one second.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < 100 => number += 1,
            Err(error) => return Err(error),
        }
    }
}

fn pretty(value: &impl serde::Serialize) -> io::Result<String> {
    serde_json::to_string_pretty(value).map_err(io::Error::other)
}

fn versions(frames: &Frames) -> serde_json::Value {
    let ms = |share| frames.quantile(share).map(|time| time.as_secs_f64() * 1e3);
    json!({
        "schema": "muster.desktop.versions.v1",
        "muster_desktop": env!("CARGO_PKG_VERSION"),
        "protocol": muster_contract::PROTOCOL_ID,
        "schema_version": muster_contract::SCHEMA_VERSION,
        "build": muster_contract::BUILD,
        "system": std::env::consts::OS,
        "architecture": std::env::consts::ARCH,
        "frames": { "count": frames.count, "p50_ms": ms(0.5), "p99_ms": ms(0.99), "longest_ms": frames.longest.as_secs_f64() * 1e3 },
    })
}
