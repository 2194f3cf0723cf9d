//! Publishers, and what a lane holds of what they published.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use muster_contract::stream::StreamId;
use muster_publisher::{ConnectConfig, Draft, OutboxConfig, Publisher, PublisherStatus};
use muster_wire::Endpoint;
use tempfile::TempDir;

use crate::lane::{PATIENCE, Session};
use crate::support::{Host, Sandbox};

/// How long a flush may take: hosts are started and killed meanwhile, on a machine that does other things too.
pub(crate) const FLUSH: Duration = Duration::from_secs(120);

pub(crate) fn folder() -> (TempDir, PathBuf) {
    let folder = TempDir::new().expect("a folder");
    let outbox = folder.path().join("outbox");
    (folder, outbox)
}

pub(crate) fn open(outbox: &Path) -> Publisher {
    Publisher::open(OutboxConfig::new(outbox)).expect("the outbox opens")
}

pub(crate) fn stream(id: &str) -> StreamId {
    StreamId::parse(id).expect("a stream id")
}

/// The payload of a publisher's n-th event.
pub(crate) fn payload(by: &str, n: u64) -> String {
    format!(r#"{{"by":"{by}","n":{n}}}"#)
}

/// Publishes events that say who they are by.
pub(crate) async fn publish(publisher: &Publisher, id: &str, by: &str, numbers: std::ops::RangeInclusive<u64>) {
    let payloads: Vec<String> = numbers.map(|n| payload(by, n)).collect();
    let drafts = payloads.iter().map(|payload| Draft::new("test", payload));
    publisher.publish_many(&stream(id), drafts).await.expect("published");
}

pub(crate) fn payloads(by: &str, numbers: std::ops::RangeInclusive<u64>) -> Vec<String> {
    numbers.map(|n| payload(by, n)).collect()
}

pub(crate) fn config(endpoint: Endpoint) -> ConnectConfig {
    ConnectConfig::new(endpoint)
}

/// Waits until the sender's status is as wanted.
pub(crate) async fn until(publisher: &Publisher, wanted: impl FnMut(&PublisherStatus) -> bool) -> PublisherStatus {
    let mut status = publisher.status();
    let found = tokio::time::timeout(PATIENCE, status.wait_for(wanted)).await;
    found.unwrap_or_else(|_| panic!("it never comes: {:?}", publisher.status().borrow())).expect("it lives").clone()
}

/// The payloads of everything that a stream holds.
pub(crate) async fn stored(session: &Session, id: &str) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let page = session.read(id, all.len() as u64).await;
        if page.events.is_empty() {
            return all;
        }
        all.extend(page.events.into_iter().map(|event| event.payload));
    }
}

/// A port that nobody uses just now, for a host that is to come back at the same address: below those that the system
/// gives to outgoing connections (Linux: from 32,768 on), one of which could take it while the host is away.
pub(crate) fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let random = RandomState::new().build_hasher().finish();
        let port = 20_000 + u16::try_from(random % 10_000).expect("below 10,000");
        let is_free = std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
        if is_free && GIVEN.lock().expect("no test panics in here").insert(port) {
            return port;
        }
    }
}

/// A host in a process of its own, on the sandbox's folder `data`, at this port.
pub(crate) fn host_at(sandbox: &Sandbox, port: u16) -> Host {
    let listen = format!("127.0.0.1:{port}");
    let process = sandbox.start(&["host", "--listen", &listen, "--json", "--data-dir", "data"]);
    let ready = process.json();
    let text = |name: &str| ready[name].as_str().expect("a text").to_string();
    Host { url: text("url"), data_dir: text("data_dir").into(), process }
}
