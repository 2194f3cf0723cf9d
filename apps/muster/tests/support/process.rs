//! Processes: run to their end, or followed while they go on.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Output};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take before a test fails. Long, because machines of CI are slow and shared.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// What a finished run of the program said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// Stdout, if it was done and said nothing else.
    #[track_caller]
    pub(crate) fn done(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }

    /// Stdout as one JSON document, if it was done.
    #[track_caller]
    pub(crate) fn json(self) -> serde_json::Value {
        let stdout = self.done();
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("not one JSON document ({error}): {stdout}"))
    }

    /// Stdout and stderr, if it was done.
    #[track_caller]
    pub(crate) fn done_with_talk(self) -> (String, String) {
        assert_eq!(self.code, Some(0), "{self:?}");
        (self.stdout, self.stderr)
    }

    /// The one line of an error, if that is all there was: nothing on stdout, exit code `code`, a single line on stderr.
    #[track_caller]
    pub(crate) fn error(self, code: i32) -> String {
        assert_eq!((self.code, self.stdout.as_str()), (Some(code), ""), "{}", self.stderr);
        let line = self.stderr.strip_suffix('\n').expect("a whole line");
        assert!(!line.contains('\n'), "more than one line: {line}");
        line.strip_prefix("error: ").expect("an error").to_string()
    }
}

/// Waits for a process and takes what it said.
#[track_caller]
pub(crate) fn finish(child: Child) -> Run {
    finish_within(child, PATIENCE)
}

/// The same for a process that may take longer, or must not take that long.
#[track_caller]
pub(crate) fn finish_within(child: Child, patience: Duration) -> Run {
    let id = child.id();
    let (sender, receiver) = channel();
    thread::spawn(move || sender.send(child.wait_with_output()));
    let Output { status, stdout, stderr } = match receiver.recv_timeout(patience) {
        Ok(output) => output.expect("the process can be waited for"),
        Err(_) => {
            signal(id, "KILL");
            panic!("the program did not end");
        }
    };
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Run { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

/// Sends a signal to a process.
pub(crate) fn signal(id: u32, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &id.to_string()]).status();
    assert!(sent.expect("kill runs").success(), "the process is there");
}

fn lines_of(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        // Read to the end also when nobody wants the lines any more.
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    lines
}

/// A program that goes on; killed when dropped.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    talk: Receiver<String>,
}

impl Running {
    pub(super) fn new(mut child: Child) -> Running {
        // Both are read all the time: nobody may block on a full pipe.
        let lines = lines_of(child.stdout.take().expect("piped"));
        let talk = lines_of(child.stderr.take().expect("piped"));
        Running { child, lines, talk }
    }

    /// The next line of stdout.
    #[track_caller]
    pub(crate) fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("another line comes")
    }

    /// The next line of stdout, as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.line()).expect("a JSON line")
    }

    /// Waits for a line on stderr that has `text` in it.
    #[track_caller]
    pub(crate) fn wait_for_talk(&self, text: &str) {
        while !self.talk.recv_timeout(PATIENCE).expect("the line comes").contains(text) {}
    }

    /// The lines on stderr up to the first that has `text` in it, and that one.
    #[track_caller]
    pub(crate) fn talk_until(&self, text: &str) -> Vec<String> {
        let mut lines = Vec::new();
        while !lines.last().is_some_and(|line: &String| line.contains(text)) {
            lines.push(self.talk.recv_timeout(PATIENCE).expect("the line comes"));
        }
        lines
    }

    /// What it said on stderr and nobody has read yet, to the end: it must have ended.
    pub(crate) fn rest_of_talk(&self) -> String {
        self.talk.iter().map(|line| line + "\n").collect()
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Waits until it has ended, and says how.
    #[track_caller]
    pub(crate) fn code(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("the process can be waited for") {
                return status.code();
            }
            assert!(Instant::now() < deadline, "the program did not end");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
