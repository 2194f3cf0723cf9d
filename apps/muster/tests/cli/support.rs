//! What the tests share: running the program to its end, following it, and a host.
//!
//! What always holds: nothing of the machine's own configuration reaches the program; every wait has a deadline, and
//! every process ends with its test.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

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

    /// The one line of an error, if that is all there was: nothing on stdout, exit code `code`, a single line on stderr.
    #[track_caller]
    pub(crate) fn error(self, code: i32) -> String {
        assert_eq!((self.code, self.stdout.as_str()), (Some(code), ""), "{}", self.stderr);
        let line = self.stderr.strip_suffix('\n').expect("a whole line");
        assert!(!line.contains('\n'), "more than one line: {line}");
        line.strip_prefix("error: ").expect("an error").to_string()
    }
}

/// A place of its own for the program: folders, and the variables that it may see.
pub(crate) struct Sandbox {
    folder: TempDir,
    variables: BTreeMap<String, String>,
}

impl Sandbox {
    pub(crate) fn new() -> Sandbox {
        Sandbox { folder: tempfile::tempdir().expect("a folder"), variables: BTreeMap::new() }
    }

    /// The same with a variable.
    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Sandbox {
        self.variables.insert(name.into(), value.into());
        self
    }

    /// A path in the sandbox's folder, which is also the program's current folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file and gives its path as text.
    pub(crate) fn file(&self, name: &str, contents: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(&path, contents).expect("written");
        #[cfg(unix)]
        if name.ends_with(".token") {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("for its owner alone");
        }
        path.to_str().expect("plain").into()
    }

    /// The program, ready to be started.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
        command.args(args).env_clear().current_dir(self.folder.path());
        command.env("HOME", self.folder.path()).env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.envs(&self.variables).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs the program to its end.
    #[track_caller]
    pub(crate) fn run(&self, args: &[&str]) -> Run {
        finish(self.command(args).spawn().expect("the program starts"))
    }

    /// Starts the program and lets it go on.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        Running::new(self.command(args).spawn().expect("the program starts"))
    }
}

/// Waits for a process and takes what it said.
#[track_caller]
pub(crate) fn finish(child: Child) -> Run {
    let id = child.id();
    let (sender, receiver) = channel();
    thread::spawn(move || sender.send(child.wait_with_output()));
    let Output { status, stdout, stderr } = match receiver.recv_timeout(PATIENCE) {
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
    fn new(mut child: Child) -> Running {
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

/// A `muster host`, and where it answers.
pub(crate) struct Host {
    pub(crate) process: Running,
    pub(crate) url: String,
    pub(crate) data_dir: PathBuf,
}

impl Host {
    /// One that keeps no data, on a free port.
    pub(crate) fn in_memory(sandbox: &Sandbox) -> Host {
        Host::start(sandbox, &["--in-memory"])
    }

    pub(crate) fn start(sandbox: &Sandbox, args: &[&str]) -> Host {
        let process = sandbox.start(&[&["host", "--listen", "127.0.0.1:0", "--json"], args].concat());
        let ready = process.json();
        let text = |name: &str| ready[name].as_str().expect("a text").to_string();
        Host { url: text("url"), data_dir: text("data_dir").into(), process }
    }

    /// Host and port.
    pub(crate) fn authority(&self) -> &str {
        self.url.strip_prefix("http://").expect("plain HTTP")
    }
}

/// Something that is no host and answers every request as it is told to, or, where it is told nothing, never.
pub(crate) struct Stub {
    pub(crate) url: String,
    asked: Receiver<String>,
}

/// `GET /v1/ping` to a status and a body.
type Answers = fn(&str) -> Option<(u16, &'static str)>;

impl Stub {
    pub(crate) fn start(answers: Answers) -> Stub {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let (sender, asked) = channel();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let sender = sender.clone();
                thread::spawn(move || answer(stream, answers, &sender));
            }
        });
        Stub { url, asked }
    }

    /// Waits until it was asked for something.
    #[track_caller]
    pub(crate) fn wait_until_asked(&self) -> String {
        self.asked.recv_timeout(PATIENCE).expect("somebody asks")
    }
}

/// Reads one request and answers it. A client that goes away ends it.
fn answer(stream: TcpStream, answers: Answers, asked: &Sender<String>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first).ok()?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse().ok()?,
            Some(_) => {}
            None => break,
        }
    }
    std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink()).ok()?;
    let what = first.rsplit_once(' ')?.0.to_owned();
    let told = answers(&what);
    asked.send(what).ok()?;
    match told {
        Some((status, body)) => {
            let head = format!("HTTP/1.1 {status} -\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
            (&stream).write_all(format!("{head}{body}").as_bytes()).ok()
        }
        // Held open until the client gives up.
        None => std::io::copy(&mut reader, &mut std::io::sink()).ok().map(drop),
    }
}

/// A sandbox whose commands go to a database on a host, by the variables.
pub(crate) fn sandbox_at(host: &Host, database: &str) -> Sandbox {
    Sandbox::new().with("MUSTER_SERVER", &host.url).with("MUSTER_DATABASE", database)
}

/// Muster's own module, compiled.
pub(crate) fn muster_module() -> String {
    if let Ok(path) = std::env::var("MUSTER_MODULE_WASM") {
        return path;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/build-module");
    let output = Command::new(script).stderr(Stdio::inherit()).output().expect("the script runs");
    assert!(output.status.success(), "the module builds");
    String::from_utf8(output.stdout).expect("a path").trim().into()
}
