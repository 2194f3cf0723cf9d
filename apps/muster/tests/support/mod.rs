//! What the end-to-end tests share: the real program, a real host in a process of its own, and the module.
//!
//! What always holds: every test has its own home and its own host; a process started here is dead when its handle is
//! dropped; every wait has a deadline.
#![allow(dead_code, reason = "each test binary uses a part of this")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

/// The program under test.
pub(crate) const MUSTER: &str = env!("CARGO_BIN_EXE_muster");

/// The checkout.
pub(crate) fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the checkout is there")
}

/// The module's file, as `scripts/build-module` makes it: named by `MUSTER_MODULE_WASM`, as `make test` does, or built
/// here.
pub(crate) fn module() -> &'static Path {
    static MODULE: OnceLock<PathBuf> = OnceLock::new();
    MODULE.get_or_init(|| {
        if let Some(path) = std::env::var_os("MUSTER_MODULE_WASM").filter(|path| !path.is_empty()) {
            return path.into();
        }
        let output = Command::new(checkout().join("scripts/build-module")).output().expect("scripts/build-module runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("a path").trim().into()
    })
}

/// The program with arguments, in the home `home`, and with nothing of this process's own lanes and tokens.
pub(crate) fn muster(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(MUSTER);
    let ours = std::env::vars_os().map(|(name, _)| name).filter(|name| {
        name.to_str().is_some_and(|name| name.starts_with("OA_SPACETIME_") || name.starts_with("MUSTER_"))
    });
    for name in ours {
        command.env_remove(name);
    }
    command.args(args).env("HOME", home).env("XDG_CONFIG_HOME", home.join("config")).stdin(Stdio::null());
    command
}

/// Runs the program to its end.
pub(crate) fn run(home: &Path, args: &[&str]) -> Output {
    muster(home, args).output().expect("muster runs")
}

/// Runs the program, which must succeed, and returns what it printed.
pub(crate) fn done(home: &Path, args: &[&str]) -> String {
    let output = run(home, args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "muster {} ended with {}: {stderr}", args.join(" "), output.status);
    String::from_utf8(output.stdout).expect("text")
}

/// A host in a process of its own, killed at the latest when dropped.
pub(crate) struct Host {
    process: Child,
    /// Where it answers.
    pub(crate) url: String,
}

impl Host {
    /// Keeps its data in `folder`.
    pub(crate) fn on(folder: &Path) -> Host {
        Host::start(&["--data-dir", folder.to_str().expect("a path in UTF-8")])
    }

    /// Keeps no data.
    pub(crate) fn in_memory() -> Host {
        Host::start(&["--in-memory"])
    }

    fn start(args: &[&str]) -> Host {
        let mut process = Command::new(MUSTER)
            .args(["--quiet", "host", "--listen", "127.0.0.1:0", "--json"])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the host starts");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("a pipe")).read_line(&mut line).expect("the ready line");
        let ready: serde_json::Value = serde_json::from_str(&line).expect("the ready line is JSON");
        Host { process, url: ready["url"].as_str().expect("a URL").to_owned() }
    }

    /// Publishes the module as `database`, as whoever `home` is.
    pub(crate) fn publish(&self, home: &Path, database: &str) {
        self.publish_file(home, database, module());
    }

    /// Publishes any module as `database`.
    pub(crate) fn publish_file(&self, home: &Path, database: &str, module: &Path) {
        let module = module.to_str().expect("a path in UTF-8");
        done(home, &["publish", "--server", &self.url, "--database", database, "--module", module, "--yes"]);
    }

    /// SIGKILL, and waits until the process is gone.
    pub(crate) fn kill(mut self) {
        self.process.kill().expect("killed");
        self.process.wait().expect("gone");
    }

    /// SIGTERM, and how it ended.
    pub(crate) fn terminate(mut self) -> std::process::ExitStatus {
        let pid = nix::unistd::Pid::from_raw(self.process.id().try_into().expect("a pid"));
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("signalled");
        self.process.wait().expect("gone")
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // It may be gone already; either way it is afterwards.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
