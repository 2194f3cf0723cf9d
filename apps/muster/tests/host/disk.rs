//! A disk that fills up under `muster host`, as `muster call` tells of it.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use crate::support::variants::{Variant, module};
use crate::support::{MUSTER, PATIENCE, Sandbox};

/// A shell in a mount namespace of its own, where the folder `small` is a file system of 24 MiB. The shell ends with its
/// input, and its hosts with their shell.
struct SmallDisk {
    shell: Child,
    commands: ChildStdin,
    lines: Receiver<String>,
}

impl SmallDisk {
    /// `None`, with a word, where this user may not mount.
    fn new(folder: &Path) -> Option<Self> {
        std::fs::create_dir(folder.join("small")).expect("made");
        let script = "trap 'kill $(jobs -p) 2>/dev/null' EXIT; mount -t tmpfs -o size=24m none small && echo mounted && \
                      while read -r line; do eval \"$line\"; done";
        let mut command = Command::new("unshare");
        command.args(["--mount", "--map-root-user", "sh", "-c", script]).current_dir(folder);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut shell = command.spawn().ok()?;
        let commands = shell.stdin.take().expect("piped");
        let stdout = BufReader::new(shell.stdout.take().expect("piped"));
        let (sender, lines) = channel();
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let disk = Self { shell, commands, lines };
        let mounted = disk.lines.recv_timeout(PATIENCE).is_ok();
        if !mounted {
            println!("skipped: this user may not mount, or this machine has no `unshare`");
        }
        mounted.then_some(disk)
    }

    /// Has the shell run `command`, which prints one line.
    fn run(&mut self, command: &str) -> String {
        writeln!(self.commands, "{command}").expect("the shell reads");
        self.lines.recv_timeout(PATIENCE).expect("it answers")
    }

    /// Starts a host on the disk, and gives its address.
    fn start_host(&mut self) -> String {
        let ready = self.run(&format!("{MUSTER} -q host --data-dir small --listen 127.0.0.1:0 --json 2>>talk &"));
        let ready: serde_json::Value = serde_json::from_str(&ready).expect("the ready line");
        ready["url"].as_str().expect("a URL").to_owned()
    }

    /// Ends the host as an operator would, and waits until its process has ended.
    fn end_host(&mut self) {
        assert_eq!(self.run("kill $!; wait; echo ended"), "ended");
    }

    fn fill(&mut self) {
        assert_eq!(self.run("dd if=/dev/zero of=small/filler bs=4k 2>/dev/null; echo filled"), "filled");
    }

    fn free(&mut self) {
        assert_eq!(self.run("rm small/filler; echo freed"), "freed");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = writeln!(self.commands, "exit");
        let _ = self.shell.wait();
    }
}

#[test]
fn a_call_on_a_full_disk_says_what_to_do_and_everything_acknowledged_is_there_after() {
    let sandbox = Sandbox::new();
    let Some(mut disk) = SmallDisk::new(&sandbox.path("")) else {
        return;
    };
    let wasm = sandbox.file("module.wasm", module(Variant::Plain));
    let mut acknowledged = Vec::new();
    let url = disk.start_host();
    sandbox.run(&["publish", "-q", "--server", &url, "--database", "db", "--module", &wasm]).done();
    disk.end_host();
    for round in 0..ROUNDS {
        let url = disk.start_host();
        let call = |name: &str| {
            let name = format!("\"{name}\"");
            sandbox.run(&["call", "add", &name, "--anonymous", "--server", &url, "--database", "db"])
        };
        disk.fill();
        let refused = loop {
            let name = format!("{round} {:04} {}", acknowledged.len(), "x".repeat(1_500));
            match call(&name) {
                run if run.code == Some(0) => acknowledged.push(name),
                run => break run.error(2),
            }
            assert!(acknowledged.len() < 500, "the disk never got full");
        };
        assert!(refused.contains("free some space, then restart the host"), "round {round}: {refused}");
        // With space again, the database stays stopped: its log has failed.
        disk.free();
        let refused = call("too early").error(2);
        assert!(refused.contains("free some space, then restart the host"), "round {round}: {refused}");
        disk.end_host();
    }

    let url = disk.start_host();
    let rows = ["sql", "--json", "SELECT * FROM item", "--anonymous", "--server", &url, "--database", "db"];
    let rows = sandbox.run(&rows).json();
    let rows = rows["statements"][0]["rows"].as_array().expect("rows");
    let names: Vec<&str> = rows.iter().map(|row| row["name"].as_str().expect("a name")).collect();
    assert!(
        acknowledged.iter().all(|name| names.contains(&name.as_str())),
        "{} of {}",
        names.len(),
        acknowledged.len()
    );
    assert!(!names.contains(&"too early"));
    disk.end_host();
}

#[test]
fn a_publish_that_runs_out_of_space_half_way_is_told_so_and_harms_nobody() {
    let sandbox = Sandbox::new();
    let Some(mut disk) = SmallDisk::new(&sandbox.path("")) else {
        return;
    };
    let wasm = sandbox.file("module.wasm", module(Variant::Plain));
    let owner = Sandbox::new();
    let mut kept = 0;
    let url = disk.start_host();
    owner.run(&["publish", "-q", "--server", &url, "--database", "old", "--module", &wasm]).done();
    let token = saved_token(&owner);
    disk.end_host();
    // More and more room: each publish gets a step further, to the module's file, the catalogue, the log, `init`.
    for room_kib in (40..=136).step_by(8) {
        let url = disk.start_host();
        disk.fill();
        assert_eq!(disk.run(&format!("truncate -s -{room_kib}K small/filler; echo cut")), "cut");
        let name = format!("new-{room_kib}");
        let at = ["--server", &url, "--token-file", &token, "--database"];
        let publish = [&["publish", "-q", "--module", &wasm][..], &at, &[name.as_str()]].concat();
        let run = sandbox.run(&publish);
        if run.code == Some(0) {
            kept += 1;
        } else {
            assert!(run.stderr.contains("507") && run.stderr.contains("free some space"), "{room_kib} KiB: {run:?}");
        }
        disk.free();
        disk.end_host();
        let url = disk.start_host();
        let at = ["--server", &url, "--token-file", &token, "--database"];
        sandbox.run(&[&["call", "add", "\"x\""][..], &at, &["old"]].concat()).done();
        // Whatever was left of it, the name can be published to now.
        sandbox.run(&[&["publish", "-q", "--module", &wasm][..], &at, &[name.as_str()]].concat()).done();
        sandbox.run(&[&["call", "add", "\"x\""][..], &at, &[name.as_str()]].concat()).done();
        sandbox.run(&[&["delete", "--yes"][..], &at, &[name.as_str()]].concat()).done();
        disk.end_host();
    }
    assert!(kept < 13, "the disk was never full");
    let talk = std::fs::read_to_string(sandbox.path("talk")).expect("the hosts' stderr");
    assert!(!talk.contains("muster has a bug"), "{talk}");
}

/// The token that `publish` saved in a sandbox.
fn saved_token(sandbox: &Sandbox) -> String {
    let saved =
        std::fs::read_dir(sandbox.path(".config/muster/tokens")).expect("there").map(|entry| entry.expect("there"));
    let mut tokens = saved.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|it| it == "token"));
    tokens.next().expect("one").to_str().expect("plain").to_owned()
}

/// Which transaction is the first that finds no room differs, and what it is part of: a call, or the connection around it.
const ROUNDS: usize = 5;
