//! A host in a process of its own that comes back on the same data.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use muster_wire::http::{HttpClient, PublishOptions};
use muster_wire::{Endpoint, Token};

use crate::support::{MUSTER, muster_module};

/// Killed at the latest when dropped.
pub(crate) struct Host {
    process: Child,
    pub(crate) url: String,
}

impl Host {
    /// One that keeps its data in `folder`, on a free port.
    pub(crate) fn on(folder: &Path) -> Host {
        Host::trusting(folder, None)
    }

    /// The same, which also takes tokens of an issuer.
    pub(crate) fn trusting(folder: &Path, issuer: Option<&str>) -> Host {
        let mut process = Command::new(MUSTER)
            .args(["--quiet", "host", "--listen", "127.0.0.1:0", "--json", "--data-dir"])
            .arg(folder)
            .args(issuer.into_iter().flat_map(|issuer| ["--trust-issuer", issuer]))
            .env("HOME", folder.parent().expect("a folder"))
            .env_remove("XDG_CONFIG_HOME")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the host starts");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("a pipe")).read_line(&mut line).expect("the ready line");
        let ready: serde_json::Value = serde_json::from_str(&line).expect("the ready line is JSON");
        Host { process, url: ready["url"].as_str().expect("a URL").to_owned() }
    }

    /// Publishes Muster's module as somebody new, whose token it gives.
    pub(crate) async fn publish(&self, database: &str) -> Token {
        let endpoint = Endpoint::new(&self.url, database).expect("an endpoint");
        let stranger = HttpClient::new(endpoint.clone(), None).expect("a client");
        let owner = stranger.create_identity().await.expect("an identity").token;
        let http = HttpClient::new(endpoint, Some(owner.clone())).expect("a client");
        let module = std::fs::read(muster_module()).expect("the module's file");
        // A host compiles the module within its own limit, which a machine that runs many tests at once may miss.
        let mut attempts = 0;
        while let Err(error) = http.publish(module.clone(), &PublishOptions::default()).await {
            attempts += 1;
            assert!(attempts < 4, "{error}");
        }
        owner
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.url.strip_prefix("http://").expect("http").trim_end_matches('/').parse().expect("an address")
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
