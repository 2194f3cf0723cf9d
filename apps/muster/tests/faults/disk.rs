//! Disks that fill up: under the outbox, under the subscriber's database, under the host.
//!
//! What always holds: the small disk is a file system of its own, seen by this test's own process alone and gone with it.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use muster_contract::state::ConnectionState;
use muster_contract::stream::StreamId;
use muster_publisher::{ConnectConfig, Draft, OutboxConfig, PublishError, Publisher};

use crate::desk::{Desk, numbered};
use crate::lane::{Lane, Place};
use crate::support::{Host, PATIENCE, Sandbox, muster_module};

/// Tells a re-executed test where the small disk is.
const DISK: &str = "MUSTER_FAULTS_DISK";
/// What it says when it got to its end.
const HELD: &str = "all of it held";
const STREAM: &str = "a.x";

/// A folder that is a small file system.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Leaves no room at all.
    fn fill(&self) {
        let mut file = std::fs::File::create(self.path("filler")).expect("made");
        let full = loop {
            if let Err(error) = file.write_all(&[7; 4_096]) {
                break error;
            }
        };
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    }

    fn free(&self) {
        std::fs::remove_file(self.path("filler")).expect("removed");
    }
}

/// Runs the test `name` again, in a process where `mib` MiB are mounted, and `body` in there.
fn on_a_small_disk(name: &str, mib: u32, body: impl AsyncFnOnce(SmallDisk)) {
    if let Some(folder) = std::env::var_os(DISK) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build();
        runtime.expect("a runtime").block_on(body(SmallDisk(folder.into())));
        println!("\n{HELD}");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("small")).expect("made");
    let script =
        format!("mount -t tmpfs -o size={mib}m none small && echo mounted && exec \"$0\" --exact {name} --nocapture");
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--map-root-user", "sh", "-c", &script])
        .arg(std::env::current_exe().expect("this binary"));
    command.current_dir(folder.path()).env(DISK, folder.path().join("small")).stdin(Stdio::null());
    let said = match command.output() {
        Ok(output) => format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)),
        Err(error) => error.to_string(),
    };
    if !said.contains("mounted") {
        println!("skipped: this user may not mount a small disk ({said})");
        return;
    }
    assert!(said.contains(HELD), "{said}");
}

/// The n-th payload, of some 300 bytes.
fn payload(n: u64) -> String {
    format!(r#"{{"n":{n},"text":"{}"}}"#, "x".repeat(280))
}

fn stream() -> StreamId {
    StreamId::parse(STREAM).expect("a stream id")
}

async fn publish(publisher: &Publisher, n: u64) -> Result<(), PublishError> {
    let payload = payload(n);
    publisher.publish_many(&stream(), [Draft::new("test", &payload)]).await.map(drop)
}

/// The n-th and following payloads, numbered as the only producer's events are.
fn rows_of(kept: &[u64]) -> Vec<(u64, String)> {
    numbered(1, kept.iter().map(|n| payload(*n)))
}

#[test]
fn a_full_disk_under_the_outbox_is_an_error_and_loses_nothing_on_its_way() {
    let name = "disk::a_full_disk_under_the_outbox_is_an_error_and_loses_nothing_on_its_way";
    on_a_small_disk(name, 8, async |disk| {
        let lane = Lane::start().await;
        let away = tempfile::tempdir().expect("a folder");
        let publisher = Publisher::open(OutboxConfig::new(disk.path("outbox"))).expect("the outbox opens");
        let desk = Desk::open(lane.place.endpoint(), &away.path().join("store"), STREAM).await;
        // Before the disk is full: whose token cannot be kept does not send.
        publisher.connect(ConnectConfig::new(lane.place.endpoint()));
        let mut kept = Vec::new();
        for n in 1..=200 {
            publish(&publisher, n).await.expect("there is room");
            kept.push(n);
        }
        publisher.flush(PATIENCE).await.expect("all confirmed");
        disk.fill();
        let mut errors = Vec::new();
        for n in 201..=2_000 {
            match publish(&publisher, n).await {
                Ok(()) => kept.push(n),
                Err(error) => errors.push(error),
            }
            if errors.len() == 20 {
                break;
            }
        }
        assert_eq!(errors.len(), 20, "the disk was never full");
        assert!(errors.iter().all(|error| *error == PublishError::DiskFull), "{errors:?}");
        assert!(errors[0].to_string().contains("free some space"), "{}", errors[0]);

        // With no room at all it still sends what it took; and forgets it once there is room to write that down.
        desk.until_rows(STREAM, &rows_of(&kept)).await;
        disk.free();
        for n in 3_001..=3_100 {
            publish(&publisher, n).await.expect("there is room again");
            kept.push(n);
        }
        publisher.flush(PATIENCE).await.expect("all confirmed");
        desk.until_rows(STREAM, &rows_of(&kept)).await;
        assert_eq!(publisher.metrics().depth_events, 0);
        publisher.close().await;
        desk.close().await;
    });
}

#[test]
fn a_full_disk_under_the_store_is_said_and_it_goes_on_by_itself_when_there_is_room() {
    let name = "disk::a_full_disk_under_the_store_is_said_and_it_goes_on_by_itself_when_there_is_room";
    on_a_small_disk(name, 8, async |disk| {
        let lane = Lane::start().await;
        let session = lane.join().await;
        let store = disk.path("store");
        let all = |last: u64| numbered(1, (1..=last).map(|n| format!(r#"{{"n":{n}}}"#)));
        session.emit(STREAM, 1..=100).await;
        let desk = Desk::open(lane.place.endpoint(), &store, STREAM).await;
        desk.until_rows(STREAM, &all(100)).await;
        desk.until(|status| status.state == ConnectionState::Live).await;
        for round in 0..3u64 {
            disk.fill();
            let before = 100 + round * 6_000;
            for first in (before + 1..=before + 6_000).step_by(1_000) {
                session.emit(STREAM, first..=first + 999).await;
            }
            let is_full = |text: &String| text.contains("disk of the store is full") && text.contains("make room");
            let status = desk.until(|status| status.last_error.as_ref().is_some_and(is_full)).await;
            assert_ne!(status.state, ConnectionState::Live);
            let applied = crate::desk::rows(&store, STREAM);
            assert!(applied.len() < (before + 6_000) as usize, "it was not full");
            assert_eq!(applied, all(applied.len() as u64), "readable, and right as far as it goes");
            disk.free();
            desk.until_rows(STREAM, &all(before + 6_000)).await;
            desk.until(|status| status.state == ConnectionState::Live && status.last_error.is_none()).await;
        }
        desk.close().await;
    });
}

#[test]
fn a_full_disk_under_the_host_is_said_and_nothing_acknowledged_is_lost_over_its_restart() {
    let name = "disk::a_full_disk_under_the_host_is_said_and_nothing_acknowledged_is_lost_over_its_restart";
    on_a_small_disk(name, 24, async |disk| {
        let sandbox = Sandbox::new();
        let data = disk.path("data");
        let start = |listen: &str| {
            let data = data.to_str().expect("plain");
            let process = sandbox.start(&["host", "--json", "--data-dir", data, "--listen", listen]);
            let url = process.json()["url"].as_str().expect("a URL").to_owned();
            Host { url, data_dir: data.into(), process }
        };
        let mut host = start("127.0.0.1:0");
        let address = host.authority().to_owned();
        let module = std::fs::read(muster_module()).expect("the module's file");
        let place = Place::publish(host.url.clone(), module).await;
        let publisher = Publisher::open(OutboxConfig::new(sandbox.path("outbox"))).expect("the outbox opens");
        publisher.connect(ConnectConfig::new(place.endpoint()));
        let desk = Desk::open(place.endpoint(), &sandbox.path("store"), STREAM).await;
        let mut kept = Vec::new();
        for round in 0..2u64 {
            let first = round * 100_000 + 1;
            for n in first..first + 100 {
                publish(&publisher, n).await.expect("the outbox has room");
                kept.push(n);
            }
            publisher.flush(PATIENCE).await.expect("all confirmed");
            let confirmed_before = publisher.metrics().sender.confirmed;
            disk.fill();
            // As much as the log may still have room for, and more.
            let mut n = first + 100;
            let mut status = publisher.status();
            loop {
                let is_told = |text: &String| text.contains("space");
                if status.borrow_and_update().last_error.as_ref().is_some_and(is_told) {
                    break;
                }
                assert!(n < first + 50_000, "the disk was never full: {:?}", publisher.status().borrow());
                let payloads: Vec<String> = (n..n + 100).map(payload).collect();
                let drafts = payloads.iter().map(|payload| Draft::new("test", payload));
                publisher.publish_many(&stream(), drafts).await.expect("the outbox has room");
                kept.extend(n..n + 100);
                n += 100;
                // The host is to keep up: what it takes in one go may be more than what fits.
                let _ = tokio::time::timeout(Duration::from_millis(100), status.changed()).await;
            }
            assert!(publisher.metrics().depth_events > 0, "the host confirmed what it could not keep");
            assert!(publisher.metrics().sender.confirmed >= confirmed_before);
            disk.free();
            host.process.signal("TERM");
            host.process.code();
            host = start(&address);
            publisher.flush(PATIENCE).await.expect("all confirmed");
            desk.until_rows(STREAM, &rows_of(&kept)).await;
        }
        publisher.close().await;
        desk.close().await;
    });
}
