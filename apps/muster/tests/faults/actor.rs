//! A process of this test binary: it says words on stdout, and is told words on stdin.
//!
//! What always holds: it is killed, also while it is stopped, at the latest when its handle is dropped; it ends by itself
//! when nobody is left to tell it anything.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::support::{PATIENCE, signal};

/// What marks a line that is meant for the one who started it: the test harness prints lines of its own.
const MARK: &str = "@ ";

/// Says a line, from within an actor.
pub(crate) fn say(words: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody to hear it is no reason to stop before stdin says so.
    let _ = writeln!(out, "\n{MARK}{words}").and_then(|()| out.flush());
}

/// Now, in milliseconds since 1970: the one clock that processes share.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// The running process.
pub(crate) struct Actor {
    child: Child,
    said: Receiver<String>,
    talk: PathBuf,
}

impl Actor {
    /// Runs the test `role` alone, in a process of its own.
    pub(crate) fn start<'v>(role: &str, variables: impl IntoIterator<Item = (&'v str, String)>, talk: &Path) -> Actor {
        let stderr = std::fs::OpenOptions::new().append(true).create(true).open(talk).expect("a file for its stderr");
        let mut command = Command::new(std::env::current_exe().expect("this binary"));
        command.args(["--exact", role, "--nocapture"]).envs(variables);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr);
        let mut child = command.spawn().expect("it starts");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, said) = channel();
        std::thread::spawn(move || {
            let words = stdout.lines().map_while(Result::ok);
            // Read to its end whether anybody listens or not.
            words
                .filter_map(|line| Some(line.strip_prefix(MARK)?.to_owned()))
                .for_each(|words| drop(sender.send(words)));
        });
        Actor { child, said, talk: talk.to_owned() }
    }

    pub(crate) fn tell(&mut self, word: &str) {
        writeln!(self.child.stdin.as_mut().expect("piped"), "{word}").expect("it lives");
    }

    /// Waits for a line that begins so, and passes over what comes before.
    #[track_caller]
    pub(crate) fn hear(&self, begins: &str) -> String {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            let words = self.said.recv_timeout(left);
            let words = words.unwrap_or_else(|error| panic!("never said `{begins}` ({error}):\n{}", self.last_talk()));
            if words.starts_with(begins) {
                return words;
            }
        }
    }

    /// The end of what it and its like wrote on stderr.
    fn last_talk(&self) -> String {
        let talk = std::fs::read_to_string(&self.talk).unwrap_or_default();
        let from = talk.lines().count().saturating_sub(20);
        talk.lines().skip(from).fold(String::new(), |all, line| all + line + "\n")
    }

    /// What it has said and nobody has heard yet.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.said.try_iter().collect()
    }

    /// Waits for the next line, but not for long.
    pub(crate) fn next_within(&self, wait: Duration) -> Option<String> {
        self.said.recv_timeout(wait).ok()
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// SIGKILL, and waits until it is gone. Fails if it had ended by itself.
    #[track_caller]
    pub(crate) fn kill(mut self) {
        let ended = self.child.try_wait().expect("the process can be waited for");
        assert!(ended.is_none(), "it ended by itself: {ended:?}");
        // The drop does the rest.
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
