//! The official TypeScript SDK (npm `spacetimedb`) against the host, with Muster's own module: it connects, subscribes,
//! calls, sees a hot swap, and comes back with its saved token. The client is `crates/host/tests/typescript/`.
//!
//! Node 20 or newer and npm are required: without them this test fails and says so, because a test that quietly does
//! nothing would be taken for a pass.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;

use muster_wire::http::PublishOptions;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::support::{Published, printed_by, root, soon};

/// What the SDK and its peer for WebSockets on Node 20 need.
const NODE_MAJOR_MIN: u32 = 20;

/// What the module says to an empty name, and what it says after the swap: of one length, so that the one can be put in
/// the other's place in the compiled module.
const BEFORE: &str = "a name must not be empty: send at least one visible character";
const AFTER: &str = "a name must not be empty: so says the module after the swap!!";

#[tokio::test]
async fn the_official_typescript_sdk_lives_with_the_host() {
    let published = Published::with(muster_module().to_vec()).await;
    let mut client = Client::start(&published.host.url(), "foreign").await;

    let subscribed = client.event("subscribed").await;
    let identity = subscribed["identity"].clone();
    assert_eq!((&subscribed["people"], &subscribed["protocol"]), (&json!(0), &json!("spacetime.sync.v1")));
    assert_eq!(subscribed["connections"].as_array().map(Vec::len), Some(1), "it sees itself once: {subscribed}");
    assert_eq!(client.event("named").await["name"], "Ada");
    assert_eq!(client.event("refused").await["message"], BEFORE);

    published.owner.publish(swapped_module(), &PublishOptions::default()).await.unwrap();
    client.go_on().await;
    let swapped = client.event("swapped").await;
    assert_eq!(swapped["message"], AFTER, "the module that answers is the new one");
    assert_eq!(
        (&swapped["name"], &swapped["disconnects"]),
        (&json!("Ada Lovelace"), &json!(0)),
        "on the same connection"
    );

    let again = client.event("reconnected").await;
    assert_eq!((&again["identity"], &again["of"], &again["name"]), (&identity, &identity, &json!("Ada Lovelace")));
    let sessions = format!("SELECT * FROM active_connection WHERE identity = '{}'", identity.as_str().unwrap());
    soon("only the second connection is left", until_count(&published, &sessions, 1)).await;
    client.go_on().await;
    client.event("done").await;
    client.ended_well().await;
    soon("and then none", until_count(&published, &sessions, 0)).await;
}

async fn until_count(published: &Published, query: &str, count: usize) {
    while published.sql(query).await.len() != count {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// The client's process.
struct Client {
    process: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Client {
    async fn start(url: &str, database: &str) -> Self {
        let folder = tokio::task::spawn_blocking(installed).await.unwrap();
        let mut process = Command::new("node")
            .arg(folder.join("client.mjs"))
            .args([url, database])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let input = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, input, output }
    }

    /// The next event, which must be this one. What the SDK itself prints is passed over.
    async fn event(&mut self, name: &str) -> Value {
        loop {
            let line = soon(name, self.output.next_line()).await.unwrap();
            let line = line.unwrap_or_else(|| panic!("the client ended before it said `{name}`; its words are above"));
            match serde_json::from_str::<Value>(&line) {
                Ok(event) if event["event"].is_string() => {
                    assert_eq!(event["event"], name, "{event}");
                    return event;
                }
                _ => eprintln!("{line}"),
            }
        }
    }

    async fn go_on(&mut self) {
        self.input.write_all(b"\n").await.unwrap();
    }

    async fn ended_well(mut self) {
        let status = soon("its end", self.process.wait()).await.unwrap();
        assert!(status.success(), "{status}");
    }
}

/// A folder with the client and what it needs, installed once for each `package-lock.json`.
fn installed() -> PathBuf {
    require_node();
    let sources = root().join("crates/host/tests/typescript");
    let lock = std::fs::read(sources.join("package-lock.json")).unwrap();
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let hash = spacetimedb_lib::hash_bytes(&lock).to_hex();
    let folder = tmp.join(format!("typescript-{}", &hash.as_str()[..16]));
    if !folder.join("node_modules").exists() {
        // Made beside it and then renamed: two tests at once end with one whole folder.
        let making = tempfile::tempdir_in(tmp).unwrap();
        copy(&sources, making.path());
        let npm = std::process::Command::new("npm")
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"])
            .current_dir(making.path())
            .output()
            .unwrap();
        assert!(npm.status.success(), "npm ci: {}", String::from_utf8_lossy(&npm.stderr));
        let _ = std::fs::rename(making.keep(), &folder);
    }
    copy(&sources, &folder);
    folder
}

fn copy(from: &Path, to: &Path) {
    for file in ["package.json", "package-lock.json", "bindings.mjs", "client.mjs"] {
        std::fs::copy(from.join(file), to.join(file)).unwrap();
    }
}

fn require_node() {
    let remedy = "install Node 20 or newer with npm (scripts/toolchain says how), and run this again";
    for program in ["node", "npm"] {
        let output = std::process::Command::new(program).arg("--version").output();
        let output = output.unwrap_or_else(|e| panic!("{program} cannot be run ({e}): {remedy}"));
        let version = String::from_utf8_lossy(&output.stdout).trim().trim_start_matches('v').to_owned();
        let major: u32 = version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0);
        assert!(program == "npm" || major >= NODE_MAJOR_MIN, "this is Node {version}: {remedy}");
    }
}

/// Muster's own module, built once: `MUSTER_MODULE_WASM`, or what `scripts/build-module` prints.
pub(crate) fn muster_module() -> &'static [u8] {
    static MODULE: OnceLock<Vec<u8>> = OnceLock::new();
    MODULE.get_or_init(|| {
        let path = std::env::var_os("MUSTER_MODULE_WASM").filter(|path| !path.is_empty());
        std::fs::read(path.map_or_else(|| printed_by("build-module"), PathBuf::from)).unwrap()
    })
}

/// Muster's own module with one sentence changed: another program of the same schema.
fn swapped_module() -> Vec<u8> {
    let module = muster_module();
    let places: Vec<usize> =
        module.windows(BEFORE.len()).enumerate().filter(|(_, it)| *it == BEFORE.as_bytes()).map(|(at, _)| at).collect();
    assert_eq!((places.len(), BEFORE.len()), (1, AFTER.len()), "the sentence of module/src/people.rs, once");
    let mut swapped = module.to_vec();
    swapped[places[0]..places[0] + AFTER.len()].copy_from_slice(AFTER.as_bytes());
    swapped
}
