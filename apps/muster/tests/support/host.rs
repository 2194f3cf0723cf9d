//! A host in a process of its own.

use std::path::PathBuf;

use super::{Running, Sandbox};

/// A `muster host`, and where it answers.
pub(crate) struct Host {
    pub(crate) process: Running,
    pub(crate) url: String,
    pub(crate) data_dir: PathBuf,
}

impl Host {
    /// One that keeps no data, on a free port.
    pub(crate) fn in_memory(sandbox: &Sandbox) -> Host {
        Host::start(sandbox, &["--in-memory"])
    }

    pub(crate) fn start(sandbox: &Sandbox, args: &[&str]) -> Host {
        let process = sandbox.start(&[&["host", "--listen", "127.0.0.1:0", "--json"], args].concat());
        let ready = process.json();
        let text = |name: &str| ready[name].as_str().expect("a text").to_string();
        Host { url: text("url"), data_dir: text("data_dir").into(), process }
    }

    /// Publishes the module in `file` as `database`, as whoever `sandbox` is.
    #[track_caller]
    pub(crate) fn publish(&self, sandbox: &Sandbox, database: &str, file: &str) {
        sandbox.run(&["publish", "-q", "--server", &self.url, "--database", database, "--module", file]).done();
    }

    /// SIGKILL, and waits until the process is gone.
    pub(crate) fn kill(mut self) {
        self.process.signal("KILL");
        assert_eq!(self.process.code(), None, "ended by a signal");
    }

    /// Host and port.
    pub(crate) fn authority(&self) -> &str {
        self.url.strip_prefix("http://").expect("plain HTTP")
    }
}

/// A sandbox whose commands go to a database on a host, by the variables.
pub(crate) fn sandbox_at(host: &Host, database: &str) -> Sandbox {
    Sandbox::new().with("MUSTER_SERVER", &host.url).with("MUSTER_DATABASE", database)
}
