//! A disk that fills up under the outbox: a typed error, nothing acknowledged lost, and recovery when there is room.

use std::path::Path;
use std::process::{Command, Stdio};

use muster_publisher::PublishError;

use crate::support::{FOLDER, events, open};

/// Runs on a file system of 8 MiB, in a process of its own.
#[test]
fn an_outbox_on_a_small_disk() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let folder = Path::new(&folder);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (outbox, ballast) = (folder.join("outbox"), folder.join("ballast"));
        std::fs::write(&ballast, vec![1; 3 * 1_024 * 1_024]).unwrap();
        let publisher = open(&outbox);
        let mut taken = 0u64;
        let error = loop {
            let payload = format!("[{taken},\"{}\"]", "x".repeat(20_000));
            match publisher.publish("t", "k", &payload).await {
                Ok(receipt) => {
                    taken += 1;
                    assert_eq!(receipt.last, taken);
                }
                Err(error) => break error,
            }
            assert!(taken < 10_000, "the disk never fills up");
        };
        assert_eq!(error, PublishError::DiskFull);
        assert!(error.is_retryable());
        assert!(publisher.metrics().failed_commits > 0);
        let in_between = publisher.metrics().published;
        // It stays an error, and every one of them is typed.
        let large = format!("\"{}\"", "x".repeat(200_000));
        for _ in 0..5 {
            assert_eq!(publisher.publish("u", "k", &large).await, Err(PublishError::DiskFull));
        }
        std::fs::remove_file(&ballast).unwrap();
        publisher.publish("u", "k", &large).await.expect("there is room again");
        assert_eq!(publisher.metrics().depth_events, in_between + 1);
        publisher.close().await;
        let events = events(&outbox);
        assert_eq!(events.len() as u64, in_between + 1);
        for number in 0..taken {
            let event = &events[&("runtime.topic.t".to_string(), i64::try_from(number).unwrap() + 1)];
            assert!(event.payload.starts_with(&format!("[{number},")));
        }
        // And it opens again.
        open(&outbox).publish("t", "k", "{}").await.unwrap();
        println!("all of it held");
    });
}

#[test]
fn a_full_disk_is_an_error_and_loses_nothing() {
    let folder = tempfile::TempDir::new().unwrap();
    std::fs::create_dir(folder.path().join("small")).unwrap();
    let script = "mount -t tmpfs -o size=8m none small && echo mounted && exec \"$0\" --exact \
                  disk::an_outbox_on_a_small_disk --nocapture";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--map-root-user", "sh", "-c", script]).arg(std::env::current_exe().unwrap());
    command.current_dir(folder.path()).env(FOLDER, folder.path().join("small")).stdin(Stdio::null());
    let said = match command.output() {
        Ok(output) => format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)),
        Err(error) => error.to_string(),
    };
    if !said.contains("mounted") {
        println!("skipped: this user may not mount a small disk ({said})");
        return;
    }
    assert!(said.contains("all of it held"), "{said}");
}
