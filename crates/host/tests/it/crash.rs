//! SIGKILL: the host runs in a process of its own, which is this test binary again.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use muster_host::Host;
use reqwest::StatusCode;
use serde_json::json;

use crate::client::{Client, PATIENCE, answer, connect, goodbyes};
use crate::module::{Variant, module};

pub(crate) const FOLDER: &str = "MUSTER_HOST_TEST_FOLDER";

/// Not a test: the host that the others kill. Does nothing unless one of them started it.
#[test]
fn a_host_to_be_killed() {
    let Ok(folder) = std::env::var(FOLDER) else {
        return;
    };
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let host = Host::builder().data_dir(folder).start().await.unwrap();
        println!("\nlistening {}", host.url());
        // Told to end, it ends; and with it, at once, the process.
        let told = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
        told.await.unwrap().unwrap();
        host.shutdown().await;
        std::process::exit(0);
    });
}

/// A host in a process of its own; killed, at the latest, when dropped.
struct Victim {
    process: Child,
    url: String,
}

impl Victim {
    fn start(folder: &Path) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::a_host_to_be_killed", "--nocapture"])
            .env(FOLDER, folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let url = output
            .lines()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("listening ").map(str::to_owned))
            .expect("the host says where it listens");
        Self { process, url }
    }

    /// Tells the host to end, and waits until its process has.
    fn end(mut self) {
        drop(self.process.stdin.take());
        assert!(self.process.wait().unwrap().success());
    }

    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn a_killed_host_comes_back_with_its_data_and_without_ghosts() {
    let folder = tempfile::tempdir().unwrap();
    let victim = Victim::start(folder.path());
    let owner = Client::new(victim.url.clone()).await;
    owner.publish("survivor", module(Variant::Plain)).await;
    for n in 0..20 {
        assert_eq!(owner.call("survivor", "add", json!([format!("{n:02}")])).await.0, StatusCode::OK);
    }
    let sockets: Vec<TcpStream> = (0..5).map(|_| connect(&victim.url, "survivor")).collect();
    assert_eq!(owner.rows("survivor", "SELECT * FROM session").await.len(), 6);
    victim.kill();
    drop(sockets);

    let before = goodbyes(folder.path());
    let victim = Victim::start(folder.path());
    // Before anybody asks: whoever is told that the host is ready finds no ghost.
    let disconnected = async {
        while goodbyes(folder.path()) < before + 5 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, disconnected).await.expect("databases are launched at start");
    let owner = Client::nobody(victim.url.clone()).with_token(owner.token.unwrap());
    assert_eq!(owner.rows("survivor", "SELECT * FROM session").await.len(), 1, "only the asker is connected");
    assert_eq!(owner.items("survivor").await.len(), 20, "every acknowledged call is there");
    victim.kill();
}

#[tokio::test]
async fn an_acknowledged_update_or_delete_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let victim = Victim::start(folder.path());
    let owner = Client::new(victim.url.clone()).await;
    owner.publish("updated", module(Variant::Plain)).await;
    owner.publish("deleted", module(Variant::Plain)).await;
    owner.publish("updated", module(Variant::WithNotes)).await;
    assert_eq!(answer(owner.delete("/v1/database/deleted")).await.0, StatusCode::OK);
    victim.kill();

    let victim = Victim::start(folder.path());
    let owner = Client::nobody(victim.url.clone()).with_token(owner.token.unwrap());
    assert!(owner.rows("updated", "SELECT * FROM note").await.is_empty());
    assert_eq!(answer(owner.get("/v1/database/deleted")).await.0, StatusCode::NOT_FOUND);
    victim.kill();
}

#[tokio::test]
async fn the_folder_of_a_killed_host_is_not_locked() {
    let folder = tempfile::tempdir().unwrap();
    Victim::start(folder.path()).kill();
    Host::builder().data_dir(folder.path()).start().await.unwrap().shutdown().await;
}

#[tokio::test]
async fn what_nobody_waited_for_is_on_disk_when_a_host_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    let victim = Victim::start(folder.path());
    let owner = Client::new(victim.url.clone()).await;
    owner.publish("hasty", module(Variant::Plain)).await;
    for n in 0..100 {
        let call = owner.post("/v1/database/hasty/call/add?confirmed=false").json(&json!([format!("{n:03}")]));
        assert_eq!(answer(call).await.0, StatusCode::OK);
    }
    victim.end();

    let victim = Victim::start(folder.path());
    let owner = Client::nobody(victim.url.clone()).with_token(owner.token.unwrap());
    assert_eq!(owner.items("hasty").await.len(), 100);
    victim.end();
}
