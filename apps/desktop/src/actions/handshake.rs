//! The handshake of two clients, run by the `muster` program that lies beside this one or in the path.
//!
//! What always holds: the program is the one that people use by hand, so both say the same; it is ended when it takes too
//! long; the token goes to it in its environment, never as an argument that others can read.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use muster_panel::{Target, TokenChoice};
use serde::Deserialize;
use tokio::process::Command;

use crate::limits::{HANDSHAKE_MS_MAX, HANDSHAKE_SAID_CHARS_MAX};

/// The part of its report that is told.
#[derive(Debug, Deserialize)]
struct Report {
    passed: bool,
    baseline: u64,
    during: u64,
    #[serde(alias = "final")]
    after: u64,
    elapsed_ms: u64,
}

/// Runs it; a line for a person, and whether it is bad news.
pub async fn run(target: &Target) -> (String, bool) {
    match tokio::time::timeout(Duration::from_millis(HANDSHAKE_MS_MAX), meet(target)).await {
        Ok(Ok(report)) => told(&report),
        Ok(Err(said)) => (said, true),
        Err(_) => (format!("the handshake took longer than {} s and was ended", HANDSHAKE_MS_MAX / 1_000), true),
    }
}

fn told(report: &Report) -> (String, bool) {
    let Report { passed, baseline, during, after, elapsed_ms } = report;
    let what = if *passed { "Handshake passed" } else { "Handshake failed" };
    (format!("{what}: {baseline} sessions before, {during} during, {after} after, in {elapsed_ms} ms"), !passed)
}

async fn meet(target: &Target) -> Result<Report, String> {
    let mut command = Command::new(program());
    command
        .args(["--quiet", "handshake", "--json", "--server", target.endpoint.base()])
        .args(["--database", target.endpoint.database()])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    match &target.token {
        TokenChoice::Given(token) => command.env("MUSTER_TOKEN", token.expose()),
        TokenChoice::Anonymous | TokenChoice::Renewed(_) | TokenChoice::Kept(_) => command.env_remove("MUSTER_TOKEN"),
    };
    let output = command.output().await.map_err(|error| {
        format!("the `muster` program cannot be run ({error}); install it beside muster-desktop or in the path")
    })?;
    serde_json::from_slice(&output.stdout).map_err(|_| {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing").to_string();
        said.chars().take(HANDSHAKE_SAID_CHARS_MAX).collect()
    })
}

/// `muster`, beside this program if it is there.
fn program() -> PathBuf {
    let name = format!("muster{}", std::env::consts::EXE_SUFFIX);
    let beside = std::env::current_exe().ok().map(|own| own.with_file_name(&name)).filter(|path| path.is_file());
    std::env::var_os("MUSTER_BIN").map(PathBuf::from).or(beside).unwrap_or_else(|| name.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_of_it_is_one_line() {
        let report =
            r#"{"schema":"muster.handshake.v1","passed":true,"baseline":2,"during":4,"final":2,"elapsed_ms":31}"#;
        let report: Report = serde_json::from_str(report).expect("a report");
        assert_eq!(told(&report), ("Handshake passed: 2 sessions before, 4 during, 2 after, in 31 ms".into(), false));
    }
}
