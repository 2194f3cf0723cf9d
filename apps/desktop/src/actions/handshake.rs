//! The handshake of two clients, run by the `muster` program that lies beside this one or in the path.
//!
//! What always holds: the program is the one that people use by hand, so both say the same; it is ended when it takes too
//! long; the token, or where tokens are from, goes to it in its environment, never as an argument that others can read. The
//! clients come as the window does: with its token, or with tokens of its client of the token service.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use muster_panel::{Target, TokenChoice};
use muster_wire::Token;
use muster_wire::lease::{Credential, Source};
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
    for name in AS_WHOM {
        command.env_remove(name);
    }
    command.envs(as_whom(&target.token));
    let output = command.output().await.map_err(|error| {
        format!("the `muster` program cannot be run ({error}); install it beside muster-desktop or in the path")
    })?;
    serde_json::from_slice(&output.stdout).map_err(|_| {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing").to_string();
        said.chars().take(HANDSHAKE_SAID_CHARS_MAX).collect()
    })
}

/// The variables that say as whom.
const AS_WHOM: [&str; 5] = [TOKEN, URL, CLIENT_ID, SECRET_FILE, KEY_FILE];
const TOKEN: &str = "MUSTER_TOKEN";
const URL: &str = "MUSTER_CONTROL_URL";
const CLIENT_ID: &str = "MUSTER_CONTROL_CLIENT_ID";
const SECRET_FILE: &str = "MUSTER_CONTROL_CLIENT_SECRET_FILE";
const KEY_FILE: &str = "MUSTER_CONTROL_PRIVATE_KEY_FILE";

fn as_whom(choice: &TokenChoice) -> Vec<(&'static str, OsString)> {
    let token = |token: &Token| vec![(TOKEN, token.expose().into())];
    match choice {
        TokenChoice::Anonymous => Vec::new(),
        TokenChoice::Given(given) | TokenChoice::Renewed(Source::Static(given)) => token(given),
        TokenChoice::Renewed(Source::File(path)) => {
            let text = std::fs::read_to_string(path).ok();
            text.and_then(|text| Token::new(text.trim()).ok()).map(|read| token(&read)).unwrap_or_default()
        }
        TokenChoice::Renewed(Source::Control(control)) => {
            let proof = match control.credential() {
                Credential::SecretFile(path) => Some((SECRET_FILE, path.into())),
                Credential::PrivateKeyFile(path) => Some((KEY_FILE, path.into())),
                // One that is in no file cannot be handed on without being seen.
                Credential::Secret(_) => None,
            };
            [(URL, control.issuer().into()), (CLIENT_ID, control.client_id().into())].into_iter().chain(proof).collect()
        }
        TokenChoice::Kept(keeper) => keeper.held().map(|held| token(&held.token)).unwrap_or_default(),
    }
}

/// `muster`, beside this program if it is there.
fn program() -> PathBuf {
    let name = format!("muster{}", std::env::consts::EXE_SUFFIX);
    let beside = std::env::current_exe().ok().map(|own| own.with_file_name(&name)).filter(|path| path.is_file());
    std::env::var_os("MUSTER_BIN").map(PathBuf::from).or(beside).unwrap_or_else(|| name.into())
}

#[cfg(test)]
mod tests {
    use muster_wire::lease::Control;

    use super::*;

    #[test]
    fn the_clients_come_as_the_window_does() {
        let control = |credential| {
            let control = Control::new("http://127.0.0.1:9", "desk", credential).expect("a source");
            as_whom(&TokenChoice::Renewed(Source::Control(Box::new(control))))
        };
        let said = control(Credential::SecretFile("s".into()));
        let whom = [(URL, "http://127.0.0.1:9".into()), (CLIENT_ID, "desk".into())];
        assert_eq!(said, [&whom[..], &[(SECRET_FILE, "s".into())]].concat());
        assert_eq!(control(Credential::PrivateKeyFile("k".into())), [&whom[..], &[(KEY_FILE, "k".into())]].concat());
        assert_eq!(as_whom(&TokenChoice::Anonymous), []);
    }

    #[test]
    fn what_came_of_it_is_one_line() {
        let report =
            r#"{"schema":"muster.handshake.v1","passed":true,"baseline":2,"during":4,"final":2,"elapsed_ms":31}"#;
        let report: Report = serde_json::from_str(report).expect("a report");
        assert_eq!(told(&report), ("Handshake passed: 2 sessions before, 4 during, 2 after, in 31 ms".into(), false));
    }
}
