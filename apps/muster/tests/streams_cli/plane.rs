//! A host with the module, which can be killed and come back, and a person who goes there.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;

use crate::support::{Host, MUSTER, Run, Running, Sandbox, finish, muster_module};

/// The database's name.
pub(crate) const DATABASE: &str = "events";

/// A host on a folder, and a sandbox whose commands go to it.
pub(crate) struct Plane {
    /// Whoever owns the database.
    pub(crate) owner: Sandbox,
    /// Whoever emits and tails; the host does not know them.
    pub(crate) person: Sandbox,
    pub(crate) url: String,
    host: Option<Running>,
}

/// A host's folder with the module published, and the owner's token: made once for a build of the program and of the
/// module, because to publish is the most work in these tests, and to copy is none.
struct Template {
    host: PathBuf,
    token: String,
}

impl Template {
    fn get() -> Template {
        let mut key = DefaultHasher::new();
        fs::read(muster_module()).expect("the module").hash(&mut key);
        fs::metadata(MUSTER).and_then(|data| data.modified()).expect("the program").hash(&mut key);
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("plane-{:016x}", key.finish()));
        // One at a time: to compile the module several times at once takes too long on a busy machine.
        let lock = fs::File::create(folder.with_extension("lock")).expect("a lock");
        lock.lock().expect("locked");
        if !folder.is_dir() {
            Template::make(&folder);
        }
        let token = fs::read_to_string(folder.join("token")).expect("the owner's token");
        Template { host: folder.join("host"), token: token.trim().into() }
    }

    fn make(folder: &Path) {
        let owner = Sandbox::new();
        let data = owner.path("host");
        let mut host = Host::start(&owner, &["--data-dir", data.to_str().expect("plain")]);
        publish(&owner, &host.url, &muster_module());
        host.process.signal("TERM");
        assert_eq!(host.process.code(), Some(0));
        let tokens = owner.path(".config/muster/tokens");
        let mut tokens = fs::read_dir(tokens).expect("saved").map(|entry| entry.expect("an entry").path());
        let token = tokens.find(|path| path.extension().is_some_and(|kind| kind == "token")).expect("a token");
        let made = folder.with_extension(std::process::id().to_string());
        copy(&data, &made.join("host"));
        fs::copy(token, made.join("token")).expect("copied");
        fs::rename(&made, folder).expect("renamed");
    }
}

/// Publishes a module. A busy machine may miss the host's limit for compiling it, and then make it the next time.
#[track_caller]
pub(crate) fn publish(owner: &Sandbox, url: &str, module: &str) {
    let publish = || owner.run(&["publish", "-q", "--server", url, "--database", DATABASE, "--module", module]);
    let mut run = publish();
    for _ in 0..5 {
        if run.code == Some(0) || !run.stderr.contains("did not describe and initialise itself within") {
            break;
        }
        run = publish();
    }
    run.done();
}

/// Copies a file, or a folder with all in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).expect("a folder");
        for entry in fs::read_dir(from).expect("a readable folder") {
            let entry = entry.expect("an entry");
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::copy(from, to).expect("copied");
    }
}

impl Plane {
    /// With the module published.
    pub(crate) fn new() -> Plane {
        let template = Template::get();
        let owner = Sandbox::new().with("MUSTER_TOKEN", &template.token);
        let data = owner.path("host");
        copy(&template.host, &data);
        let host = Host::start(&owner, &["--data-dir", data.to_str().expect("plain")]);
        let url = host.url.clone();
        let at = |sandbox: Sandbox| sandbox.with("MUSTER_SERVER", &url).with("MUSTER_DATABASE", DATABASE);
        Plane { owner: at(owner), person: at(Sandbox::new()), host: Some(host.process), url: url.clone() }
    }

    /// The owner's token.
    pub(crate) fn token(&self) -> String {
        Template::get().token
    }

    /// SIGKILL for the host.
    pub(crate) fn kill(&mut self) {
        let mut host = self.host.take().expect("it runs");
        host.signal("KILL");
        assert_eq!(host.code(), None, "ended by a signal");
    }

    /// The host comes back: same address, same data.
    pub(crate) fn restart(&mut self) {
        let authority = self.url.strip_prefix("http://").expect("plain HTTP");
        let data = self.owner.path("host");
        let args = ["host", "--listen", authority, "--json", "--data-dir", data.to_str().expect("plain")];
        let host = self.owner.start(&args);
        assert_eq!(host.json()["url"], self.url.as_str());
        self.host = Some(host);
    }

    /// Emits these lines from stdin and waits until they are confirmed.
    #[track_caller]
    pub(crate) fn emit(&self, lines: &str) -> Value {
        emit(&self.person, &["--flush"], lines).json()
    }

    /// The events of a stream, as `tail --json` shows them.
    #[track_caller]
    pub(crate) fn events(&self, stream: &str) -> Vec<Value> {
        json_lines(&self.person.run(&["tail", "-q", "--json", "--until-idle", "0.2", stream]).done())
    }
}

/// A run of `emit` with this on stdin.
pub(crate) fn emit(sandbox: &Sandbox, args: &[&str], lines: impl AsRef<[u8]>) -> Run {
    let mut child = sandbox.command(&[&["emit"], args].concat()).stdin(Stdio::piped()).spawn().expect("starts");
    let mut stdin = child.stdin.take().expect("piped");
    let lines = lines.as_ref().to_vec();
    // A run that refuses its arguments does not read.
    std::thread::spawn(move || drop(stdin.write_all(&lines)));
    finish(child)
}

/// Events of a topic with the payloads `numbers`, as lines.
pub(crate) fn lines(topic: &str, numbers: std::ops::Range<u64>) -> String {
    numbers.map(|n| format!("{{\"topic\":\"{topic}\",\"kind\":\"k\",\"payload\":{{\"n\":{n}}}}}\n")).collect()
}

/// One JSON object a line.
#[track_caller]
pub(crate) fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// The numbers in the payloads of events made by [`lines`].
pub(crate) fn numbers(events: &[Value]) -> Vec<u64> {
    events.iter().map(|event| event["payload"]["n"].as_u64().expect("a number")).collect()
}

/// The numbers that a store holds of a stream, in the order of their `seq`, which must count from 1.
#[track_caller]
pub(crate) fn stored(store: &Path, stream: &str) -> Vec<u64> {
    let reader = muster_sync::Reader::open(store).expect("a store");
    let stream = muster_contract::stream::StreamId::parse(stream).expect("an id");
    let events = reader.events(&stream, 0, usize::MAX).expect("read");
    assert!(events.iter().zip(1..).all(|(event, seq)| event.seq == seq), "seq counts from 1 without holes");
    let payload = |text: &str| serde_json::from_str::<Value>(text).expect("JSON")["n"].as_u64().expect("a number");
    events.iter().map(|event| payload(&event.payload)).collect()
}
