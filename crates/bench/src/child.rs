//! Servers in processes of their own.
//!
//! What always holds: a child is killed at the latest when its handle is dropped; it has printed that it is ready before
//! anybody gets the handle; it may open as many files as this process.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::error::BenchError;
use crate::limits::{OPEN_FILES, PATIENCE, READY_LINE_BYTES_MAX};
use crate::proc;

/// What a server says once it answers.
#[derive(Deserialize)]
struct Ready {
    url: String,
}

/// A server that runs.
pub(crate) struct Server {
    /// `http://` and the address.
    pub(crate) url: String,
    child: Child,
    /// Kept open: a server that writes must not find its pipe broken.
    _stdout: BufReader<ChildStdout>,
    /// Removed after the child is gone.
    data: Option<TempDir>,
}

/// How servers are started: the program `muster`.
#[derive(Clone, Debug)]
pub(crate) struct Program(pub(crate) PathBuf);

impl Program {
    /// A host on a new, empty data folder.
    pub(crate) async fn host(&self) -> Result<Server, BenchError> {
        self.host_on(data_folder()?).await
    }

    /// A host on this data folder, which is its from now on.
    pub(crate) async fn host_on(&self, data: TempDir) -> Result<Server, BenchError> {
        let mut command = Command::new(&self.0);
        command.args(["--quiet", "host", "--json", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data.path());
        self.start(command, Some(data)).await
    }

    /// An echo.
    pub(crate) async fn echo(&self) -> Result<Server, BenchError> {
        let mut command = Command::new(&self.0);
        command.args(["--quiet", "bench", "echo"]);
        self.start(command, None).await
    }

    async fn start(&self, mut command: Command, data: Option<TempDir>) -> Result<Server, BenchError> {
        let failed = |reason: String| BenchError::Child { command: self.0.display().to_string(), reason };
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout was asked to be a pipe"));
        let mut line = String::new();
        let reading = async { (&mut stdout).take(READY_LINE_BYTES_MAX).read_line(&mut line).await };
        match timeout(PATIENCE, reading).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(failed(error.to_string())),
            Err(_) => return Err(failed(format!("not ready within {} s", PATIENCE.as_secs()))),
        }
        let ready: Ready =
            serde_json::from_str(&line).map_err(|_| failed("it ended, or printed no ready line".into()))?;
        Ok(Server { url: ready.url, child, _stdout: stdout, data })
    }
}

impl Server {
    /// Its resident memory, in KiB.
    pub(crate) fn resident_kib(&self) -> Result<u64, BenchError> {
        proc::resident_kib(self.pid()?)
    }

    /// Bytes of the files in its data folder.
    pub(crate) fn disk_bytes(&self) -> Result<u64, BenchError> {
        let sum = |folder: &TempDir| bytes_below(folder.path());
        self.data.as_ref().map_or(Ok(0), sum).map_err(BenchError::io("the host's data folder"))
    }

    /// The processor time that it has used.
    pub(crate) fn cpu_time(&self) -> Result<Duration, BenchError> {
        proc::cpu_time(self.pid()?)
    }

    /// Kills it and waits until it is gone.
    pub(crate) async fn end(mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.child.kill().await;
    }

    /// Kills it, waits until it is gone, and gives back what it had.
    #[cfg_attr(not(feature = "peers"), allow(dead_code, reason = "only peers are started again on their data"))]
    pub(crate) async fn end_keeping(mut self) -> Option<TempDir> {
        // As above.
        let _ = self.child.kill().await;
        self.data.take()
    }

    pub(crate) fn pid(&self) -> Result<u32, BenchError> {
        let gone = || BenchError::Child { command: self.url.clone(), reason: "it has ended".into() };
        self.child.id().ok_or_else(gone)
    }
}

/// Bytes that files below a folder take on the disk. Files that vanish meanwhile count as nothing.
pub(crate) fn bytes_below(folder: &Path) -> std::io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        match entry.metadata() {
            Ok(meta) if meta.is_dir() => bytes += bytes_below(&entry.path())?,
            Ok(meta) => bytes += meta.blocks() * 512,
            Err(_) => {}
        }
    }
    Ok(bytes)
}

/// A new folder for data, on the file system of the temporary folder.
pub(crate) fn data_folder() -> Result<TempDir, BenchError> {
    tempfile::Builder::new().prefix("muster-bench-").tempdir().map_err(BenchError::io("a temporary folder"))
}

/// Where [`data_folder`]s are made.
pub(crate) fn data_parent() -> PathBuf {
    std::env::temp_dir().canonicalize().unwrap_or_else(|_| Path::new("/").into())
}

/// Lets this process, and the children that it starts from now on, open `needed` files, and more if it may.
pub(crate) fn allow_open_files(needed: u64) -> Result<(), BenchError> {
    let allowed =
        rlimit::increase_nofile_limit(OPEN_FILES.max(needed)).map_err(BenchError::io("the limit of open files"))?;
    if allowed < needed {
        return Err(BenchError::OpenFiles { wanted: needed, allowed });
    }
    Ok(())
}
