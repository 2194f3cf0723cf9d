//! A disk that fills up under a running host: nothing acknowledged is lost, and everybody hears why.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use reqwest::StatusCode;
use serde_json::json;

use crate::client::{Client, PATIENCE, answer};
use crate::crash::FOLDER;
use crate::module::{Variant, module};

/// A shell in a mount namespace of its own, where the folder `small` is a file system of 24 MiB. At the end of its input it ends, and with it,
/// by the end of theirs, the hosts.
struct SmallDisk {
    shell: Child,
    commands: ChildStdin,
    lines: Receiver<String>,
}

impl SmallDisk {
    /// `None`, with a word, where this user may not mount.
    fn new(folder: &Path) -> Option<Self> {
        std::fs::create_dir(folder.join("small")).unwrap();
        let script = "mount -t tmpfs -o size=24m none small && echo mounted && while read -r line; \
                      do eval \"$line\"; done";
        let mut command = Command::new("unshare");
        command.args(["--mount", "--map-root-user", "sh", "-c", script]).current_dir(folder);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut shell = command.spawn().ok()?;
        let commands = shell.stdin.take().expect("piped");
        let stdout = BufReader::new(shell.stdout.take().expect("piped"));
        let (sender, lines) = channel();
        thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let disk = Self { shell, commands, lines };
        match disk.lines.recv_timeout(PATIENCE) {
            Ok(line) => {
                assert_eq!(line, "mounted");
                Some(disk)
            }
            Err(_) => None,
        }
    }

    /// Has the shell run `command`, which prints one line.
    fn run(&mut self, command: &str) -> String {
        writeln!(self.commands, "{command}").expect("the shell reads");
        self.lines.recv_timeout(PATIENCE).expect("it answers")
    }

    /// Starts a host on the disk, which is this test binary again, and gives its address.
    fn start_host(&mut self) -> String {
        let program = std::env::current_exe().unwrap();
        let host = format!("{} --exact crash::a_host_to_be_killed --nocapture", program.display());
        self.run(&format!(
            "rm -f input; mkfifo input; {FOLDER}=small {host} <input 2>>talk | grep --line-buffered '^listening ' & \
             exec 7>input"
        ))
        .strip_prefix("listening ")
        .unwrap()
        .to_owned()
    }

    /// Ends the host, and waits until its process has ended.
    fn end_host(&mut self) {
        assert_eq!(self.run("exec 7>&-; wait; echo ended"), "ended");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = writeln!(self.commands, "exit");
        let _ = self.shell.wait();
    }
}

#[tokio::test]
async fn a_disk_that_fills_up_loses_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut disk) = SmallDisk::new(folder.path()) else {
        println!("skipped: this user may not mount, or this machine has no `unshare`");
        return;
    };
    let mut owner = Client::new(disk.start_host()).await;
    owner.publish("db", module(Variant::Plain)).await;
    assert_eq!(disk.run("dd if=/dev/zero of=small/filler bs=4k 2>/dev/null; echo filled"), "filled");
    let mut acknowledged = Vec::new();
    let (status, body) = loop {
        let name = format!("{:04} {}", acknowledged.len(), "x".repeat(1500));
        let (status, body) = owner.call("db", "add", json!([name])).await;
        if status != StatusCode::OK {
            break (status, body);
        }
        acknowledged.push(name);
        assert!(acknowledged.len() < 500, "the disk never got full");
    };
    assert_eq!(status, StatusCode::INSUFFICIENT_STORAGE, "{body}");
    assert!(body.contains("free some space, then restart the host"), "{body}");

    // With space again, the database stays stopped: its log has failed.
    assert_eq!(disk.run("rm small/filler; echo freed"), "freed");
    for _ in 0..3 {
        let (status, body) = owner.call("db", "add", json!(["too early"])).await;
        assert_eq!(status, StatusCode::INSUFFICIENT_STORAGE, "{body}");
    }
    disk.end_host();

    let token = owner.token.take().unwrap();
    for restart in 0..3 {
        let owner = Client::nobody(disk.start_host()).with_token(&token);
        let items = owner.items("db").await;
        assert!(acknowledged.iter().all(|name| items.contains(name)), "restart {restart}: only {} items", items.len());
        assert!(!items.contains(&"too early".to_owned()));
        let name = format!("restart {restart}");
        assert_eq!(owner.call("db", "add", json!([name])).await.0, StatusCode::OK);
        acknowledged.push(name);
        disk.end_host();
    }
}

#[tokio::test]
async fn a_module_that_finds_no_space_is_refused_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut disk) = SmallDisk::new(folder.path()) else {
        println!("skipped: this user may not mount, or this machine has no `unshare`");
        return;
    };
    let owner = Client::new(disk.start_host()).await;
    assert_eq!(disk.run("dd if=/dev/zero of=small/filler bs=4k 2>/dev/null; echo filled"), "filled");
    let (status, body) = answer(owner.put("/v1/database/db").body(module(Variant::Plain))).await;
    assert_eq!(status, StatusCode::INSUFFICIENT_STORAGE, "{body}");
    assert_eq!(disk.run("rm small/filler; echo freed"), "freed");
    owner.publish("db", module(Variant::Plain)).await;
    disk.end_host();
}
