//! A part of the plane that is a process of its own.
//!
//! What always holds: it runs behind a guard, in a process group of its own (so that a Ctrl-C of the terminal reaches only
//! `muster up`, which then ends the parts in order), unless it draws on the terminal; how it ended is said with its own
//! last words.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::Folder;
use crate::limits::{DEMO_HOST_READY_MS_MAX, UP_STOP_MS_MAX};
use crate::outcome::{Failure, one_line};

/// How much of the end of a log is looked at for its last line, in bytes.
const LAST_WORDS_BYTES: u64 = 4_096;

/// A running part.
#[derive(Debug)]
pub(crate) struct Part {
    /// What it is, for people.
    name: &'static str,
    child: Child,
    log: Option<PathBuf>,
}

impl Part {
    /// Starts a part in the background, with its log in `folder` under a name of its own.
    ///
    /// # Errors
    /// [`Failure::CouldNot`] if it does not start.
    pub(crate) fn start(
        name: &'static str,
        log_name: &str,
        folder: &Folder,
        program: &Path,
        arguments: &[OsString],
    ) -> Result<Part, Failure> {
        let (file, log) = folder.log(log_name)?;
        let mut command = behind_guard(program, arguments)?;
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file);
        let child = command.spawn().map_err(|error| cannot_start(name, &error.to_string()))?;
        Ok(Part { name, child, log: Some(log) })
    }

    /// Starts a part that draws on this terminal, and reads its keys.
    ///
    /// # Errors
    /// [`Failure::CouldNot`] if it does not start.
    pub(crate) fn start_on_terminal(
        name: &'static str,
        program: &Path,
        arguments: &[OsString],
    ) -> Result<Part, Failure> {
        let child = behind_guard(program, arguments)?.spawn();
        let child = child.map_err(|error| cannot_start(name, &error.to_string()))?;
        Ok(Part { name, child, log: None })
    }

    /// What it says once it is ready: one line of JSON.
    ///
    /// # Errors
    /// [`Failure::CouldNot`] if it ends before, or takes too long.
    pub(crate) async fn ready<T: DeserializeOwned>(&mut self) -> Result<T, Failure> {
        let stdout = self.child.stdout.take().expect("it is a pipe, and read once");
        let mut lines = BufReader::new(stdout).lines();
        let limit = Duration::from_millis(DEMO_HOST_READY_MS_MAX);
        match timeout(limit, lines.next_line()).await {
            Ok(Ok(Some(line))) => {
                serde_json::from_str(&line).map_err(|error| cannot_start(self.name, &error.to_string()))
            }
            Ok(Ok(None)) => Err(self.ended().await),
            Ok(Err(error)) => Err(cannot_start(self.name, &error.to_string())),
            Err(_) => Err(Failure::could_not(
                format!("the {} was not ready within {} s", self.name, limit.as_secs()),
                "try again on a machine with less to do",
            )),
        }
    }

    /// Waits until it has ended by itself.
    ///
    /// # Errors
    /// Never: [`std::io::Error`] only where the system cannot wait for a child.
    pub(crate) async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Whether it has ended.
    pub(crate) fn is_gone(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until it has ended by itself, and says how.
    pub(crate) async fn ended(&mut self) -> Failure {
        match self.wait().await {
            Ok(status) => self.said(status),
            Err(error) => cannot_start(self.name, &error.to_string()),
        }
    }

    /// How it ended by itself.
    pub(crate) fn said(&self, status: ExitStatus) -> Failure {
        let how = match status.code() {
            Some(code) if code > 128 => format!("killed by signal {}", code - 128),
            Some(code) => format!("exit code {code}"),
            None => status.to_string(),
        };
        let words = self.log.as_deref().and_then(last_words).map(|words| format!(": {words}")).unwrap_or_default();
        let cause = format!("the {} ended by itself ({how}){words}", self.name);
        match &self.log {
            Some(log) => Failure::could_not(cause, format!("its log is {}", log.display())),
            None => Failure::could_not(cause, "see what it said above, or start without it: --no-ui"),
        }
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Errors
    /// [`Failure::CouldNot`] if it does not end well or in time.
    pub(crate) async fn stop(mut self) -> Result<(), Failure> {
        if let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) {
            // If it is gone already, the wait says how.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        // A guard that hangs ends with its part as soon as this process is gone.
        match timeout(Duration::from_millis(UP_STOP_MS_MAX), self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(self.said(status)),
            Ok(Err(error)) => Err(cannot_start(self.name, &error.to_string())),
            Err(_) => Err(Failure::could_not(format!("the {} did not stop in time", self.name), "please report this")),
        }
    }
}

/// This program as the guard of another. What the environment says of hosts and services is meant for others.
fn behind_guard(program: &Path, arguments: &[OsString]) -> Result<Command, Failure> {
    let own = std::env::current_exe().map_err(|error| cannot_start("guard", &error.to_string()))?;
    let mut command = Command::new(own);
    command.args(["up", "guard", "--parent", &std::process::id().to_string(), "--"]);
    command.arg(program).args(arguments);
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_configuration(name)) {
        command.env_remove(name);
    }
    Ok(command)
}

/// Whether a variable configures a part, or says where to or as whom.
fn is_configuration(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with("MUSTER_") && name != "MUSTER_LOG")
}

fn last_words(log: &Path) -> Option<String> {
    let mut file = File::open(log).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LAST_WORDS_BYTES))).ok()?;
    let mut bytes = Vec::new();
    file.take(LAST_WORDS_BYTES).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let line = text.lines().rev().find(|line| !line.trim().is_empty())?;
    Some(one_line(line.strip_prefix("error: ").unwrap_or(line)))
}

fn cannot_start(name: &str, why: &str) -> Failure {
    Failure::could_not(format!("the {name} cannot be run as a process of its own ({why})"), "try it by itself")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_are_the_last_line_that_says_something() {
        let place = tempfile::tempdir().expect("a folder");
        let log = place.path().join("x.log");
        assert_eq!(last_words(&log), None);
        std::fs::write(&log, format!("{}\nerror: the disk is full; free some\n\n", "x".repeat(10_000)))
            .expect("written");
        assert_eq!(last_words(&log).as_deref(), Some("the disk is full; free some"));
    }

    #[test]
    fn parts_are_configured_by_their_flags_alone() {
        let is = |name: &str| is_configuration(OsStr::new(name));
        assert!(is("MUSTER_HOST_LISTEN") && is("MUSTER_TOKEN") && !is("MUSTER_LOG") && !is("PATH"));
    }
}
