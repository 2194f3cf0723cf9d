//! `muster up` with everything that it starts: real processes, real tokens, events that flow, and how it ends.
//!
//! What always holds: each test has a folder of its own, and leaves no process behind.
#![cfg(all(unix, feature = "host"))]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{PATIENCE, Running, Sandbox, muster_module};

#[path = "../support/mod.rs"]
mod support;

/// A plane that runs.
struct Up {
    process: Running,
    said: Value,
}

impl Up {
    /// Starts it without a screen, and waits until everything runs.
    fn start(sandbox: &Sandbox) -> Up {
        let module = muster_module();
        let process =
            sandbox.start(&["up", "--no-ui", "--json", "--data-dir", "plane", "--rate", "50", "--module", &module]);
        let said = process.json();
        assert_eq!(said["schema"], "muster.up.v1");
        Up { process, said }
    }

    fn text(&self, pointer: &str) -> &str {
        self.said.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{pointer} in {}", self.said))
    }

    /// The processes of host and token service.
    fn parts(&self) -> [u64; 2] {
        ["/host/pid", "/control/pid"]
            .map(|pointer| self.said.pointer(pointer).and_then(Value::as_u64).expect("a process"))
    }

    /// Where to, and as the owner.
    fn as_owner<'a>(&'a self, command: &[&'a str]) -> Vec<&'a str> {
        let (server, token) = (self.text("/host/url"), self.text("/owner_token_file"));
        [command, &["--server", server, "--database", "muster", "--token-file", token]].concat()
    }

    /// Where to, and as the client that the screen is.
    fn as_screen<'a>(&'a self, command: &[&'a str]) -> Vec<&'a str> {
        let (server, control) = (self.text("/host/url"), self.text("/control/url"));
        let secret = self.text("/client_secret_file");
        let place = ["--server", server, "--database", "muster", "--control", control];
        [command, &place, &["--client-id", "desktop", "--client-secret-file", secret]].concat()
    }

    /// How many events the host has.
    fn stored(&self, sandbox: &Sandbox) -> u64 {
        let answer = sandbox.run(&self.as_owner(&["sql", "--json", "SELECT head FROM sync_stream"])).json();
        let rows = answer["statements"][0]["rows"].as_array().unwrap_or_else(|| panic!("rows in {answer}"));
        let head = |row: &serde_json::Value| {
            let head = row.get(0).or_else(|| row.get("head")).unwrap_or_else(|| panic!("a head in {answer}"));
            head.as_u64().or_else(|| head.as_str()?.parse().ok()).unwrap_or_else(|| panic!("a number in {answer}"))
        };
        rows.iter().map(head).sum()
    }

    fn wait_for_more_than(&self, sandbox: &Sandbox, events: u64) -> u64 {
        let mut stored = 0;
        wait(|| {
            stored = self.stored(sandbox);
            stored > events
        });
        stored
    }
}

fn is_alive(process: u64) -> bool {
    let state = Command::new("ps").args(["-o", "state=", "-p", &process.to_string()]).output().expect("ps runs").stdout;
    // One that nobody has waited for yet is as good as gone.
    state.iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|state| *state != b'Z')
}

#[track_caller]
fn wait(mut until: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !until() {
        assert!(Instant::now() < deadline, "it does not come about");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn nothing_is_left_of(parts: [u64; 2]) {
    wait(|| parts.iter().all(|part| !is_alive(*part)));
}

#[test]
fn events_flow_one_ctrl_c_ends_everything_and_a_second_start_goes_on_with_the_same() {
    let sandbox = Sandbox::new();
    let mut up = Up::start(&sandbox);
    let first = up.wait_for_more_than(&sandbox, 0);
    let more = up.wait_for_more_than(&sandbox, first + 50);
    assert!(up.parts().iter().all(|part| is_alive(*part)));

    // What is secret is for this user alone.
    for file in [up.text("/owner_token_file"), up.text("/client_secret_file")] {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(Path::new(file)).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{file}");
    }
    // The lane is closed: without a token nothing is to be had.
    let server = up.text("/host/url").to_string();
    let stranger =
        ["tail", "--until-idle", "--anonymous", "--server", &server, "--database", "muster", "--store", "x.db", "*"];
    assert_eq!(sandbox.run(&stranger).code, Some(2));

    // The screen's client sees everything live, and who is there.
    let seen =
        sandbox.run(&up.as_screen(&["top", "--once", "--json", "--patience", "60", "--outbox", up.text("/outbox")]));
    let seen = seen.json();
    for pane in ["sessions", "sync", "token", "events", "outbox"] {
        assert_eq!(seen[pane]["badge"]["state"], "live", "{pane}: {seen}");
    }
    let roles: Vec<_> =
        seen["sessions"]["by_role"].as_array().expect("roles").iter().map(|role| role[0].clone()).collect();
    assert!(roles.contains(&"runtime".into()) && roles.contains(&"desktop".into()), "{roles:?}");
    assert!(seen["sync"]["streams"].as_array().is_some_and(|streams| streams.len() > 1), "{seen}");

    // The folder has one owner at a time.
    let module = muster_module();
    let refused = sandbox.run(&["up", "--no-ui", "--data-dir", "plane", "--module", &module]).error(2);
    assert!(refused.starts_with("another `muster up` runs"), "{refused}");

    up.process.signal("INT");
    let talk = up.process.talk_until("stopping the token service");
    let stops: Vec<_> = talk.iter().filter(|line| line.starts_with("stopping")).cloned().collect();
    assert_eq!(stops, ["stopping the runtime …", "stopping the host …", "stopping the token service …"]);
    assert_eq!(up.process.code(), Some(0));
    nothing_is_left_of(up.parts());

    let again = Up::start(&sandbox);
    for what in ["/host/url", "/control/url", "/data_dir"] {
        assert_eq!(again.text(what), up.text(what));
    }
    again.wait_for_more_than(&sandbox, more);

    // Nobody can handle this signal; the guards notice.
    again.process.signal("KILL");
    nothing_is_left_of(again.parts());
}

#[test]
fn a_window_that_cannot_be_opened_is_said_and_everything_else_goes_on() {
    use std::os::unix::fs::PermissionsExt;
    let sandbox = Sandbox::new();
    // Where the window is not installed beside the program, this one is found; a display with this number is nowhere.
    let fake = sandbox.path("bin/muster-desktop");
    std::fs::create_dir_all(fake.parent().expect("a folder")).expect("made");
    std::fs::write(&fake, "#!/bin/sh\necho 'the window cannot be opened' >&2\nexit 2\n").expect("written");
    std::fs::set_permissions(&fake, std::fs::Permissions::from_mode(0o755)).expect("a program");
    let path = format!("{}:{}", sandbox.path("bin").display(), std::env::var("PATH").unwrap_or_default());
    let sandbox = sandbox.with("PATH", path).with("DISPLAY", ":64999").with("WAYLAND_DISPLAY", "");
    let module = muster_module();
    let process =
        sandbox.start(&["up", "--ui", "window", "--json", "--data-dir", "plane", "--rate", "50", "--module", &module]);
    let mut up = Up { said: process.json(), process };
    let talk = up.process.talk_until("everything else goes on");
    assert!(talk.last().is_some_and(|line| line.contains("the window ended by itself (exit code 2)")), "{talk:?}");
    up.wait_for_more_than(&sandbox, 0);
    up.process.signal("INT");
    assert_eq!(up.process.code(), Some(0));
    nothing_is_left_of(up.parts());
}

#[test]
fn a_part_that_dies_is_named_and_ends_the_others() {
    let sandbox = Sandbox::new();
    for (which, name) in [(0, "the host ended by itself"), (1, "the token service ended by itself")] {
        let mut up = Up::start(&sandbox);
        let parts = up.parts();
        support::signal(u32::try_from(parts[which]).expect("a process id"), "KILL");
        assert_eq!(up.process.code(), Some(2));
        let talk = up.process.rest_of_talk();
        let errors: Vec<_> = talk.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(errors.len(), 1, "{talk}");
        assert!(errors[0].contains(name) && errors[0].contains("killed by signal 9"), "{talk}");
        assert!(errors[0].contains(".log"), "{talk}");
        nothing_is_left_of(parts);
    }
}
