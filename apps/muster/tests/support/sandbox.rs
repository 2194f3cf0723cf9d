//! Where the program runs: folders and variables of its own.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::{MUSTER, Run, Running, finish};

/// A place of its own for the program: folders, and the variables that it may see.
pub(crate) struct Sandbox {
    folder: TempDir,
    variables: BTreeMap<String, String>,
}

impl Sandbox {
    pub(crate) fn new() -> Sandbox {
        Sandbox { folder: tempfile::tempdir().expect("a folder"), variables: BTreeMap::new() }
    }

    /// The same with a variable.
    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Sandbox {
        self.variables.insert(name.into(), value.into());
        self
    }

    /// A path in the sandbox's folder, which is also the program's current folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file and gives its path as text.
    pub(crate) fn file(&self, name: &str, contents: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(&path, contents).expect("written");
        #[cfg(unix)]
        if name.ends_with(".token") {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("for its owner alone");
        }
        path.to_str().expect("plain").into()
    }

    /// The program, ready to be started.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(MUSTER);
        command.args(args).env_clear().current_dir(self.folder.path());
        command.env("HOME", self.folder.path()).env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.envs(&self.variables).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs the program to its end.
    #[track_caller]
    pub(crate) fn run(&self, args: &[&str]) -> Run {
        finish(self.command(args).spawn().expect("the program starts"))
    }

    /// Starts the program and lets it go on.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        Running::new(self.command(args).spawn().expect("the program starts"))
    }
}
