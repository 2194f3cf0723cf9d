//! A host in a process of its own, a network that can be broken, a publisher, and a window without a screen.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use eframe::egui::accesskit::Role;
use eframe::egui::vec2;
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};
use muster_chaos::Proxy;
use muster_desktop::app::App;
use muster_desktop::log::Lines;
use muster_desktop::theme;
use muster_panel::{Pane, Panel, Target, TokenChoice};
use muster_publisher::{ConnectConfig, Draft, OutboxConfig, Publisher};
use muster_wire::Endpoint;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// How long a state may take to come about, on a machine with a lot to do.
const PATIENCE: Duration = Duration::from_secs(90);

/// The `muster` program: of MUSTER_BIN, or beside this test's.
fn muster() -> PathBuf {
    if let Some(path) = std::env::var_os("MUSTER_BIN") {
        return path.into();
    }
    let own = std::env::current_exe().expect("a test is a program");
    let beside = own.ancestors().nth(2).expect("…/debug/deps/test").join("muster");
    assert!(
        beside.is_file(),
        "no {}: build it with `scripts/cargo build -p muster`, or set MUSTER_BIN",
        beside.display()
    );
    beside
}

fn module() -> &'static str {
    static MODULE: OnceLock<String> = OnceLock::new();
    MODULE.get_or_init(|| {
        if let Ok(path) = std::env::var("MUSTER_MODULE_WASM") {
            return path;
        }
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/build-module");
        let built = Command::new(script).stderr(Stdio::inherit()).output().expect("scripts/build-module runs");
        String::from_utf8(built.stdout).expect("a path").trim().into()
    })
}

/// Everything that a window needs, and what breaks it.
pub(crate) struct Plane {
    pub(crate) runtime: Runtime,
    pub(crate) proxy: Proxy,
    pub(crate) url: String,
    pub(crate) folder: TempDir,
    publisher: Option<Publisher>,
    host: Child,
}

impl Drop for Plane {
    fn drop(&mut self) {
        let _ = self.host.kill();
        let _ = self.host.wait();
    }
}

fn command(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(muster());
    command.args(args).env("HOME", home).env("XDG_STATE_HOME", home.join("state"));
    command.env_remove("MUSTER_TOKEN").env_remove("MUSTER_SERVER").env_remove("MUSTER_DATABASE");
    command
}

/// A machine with a lot to do may need more than the host's 45 s for the first module.
fn publish(home: &Path, url: &str, database: &str) {
    let published = (0..5).any(|_| {
        let mut publish = command(home, &["--quiet", "publish", "--yes", "--server", url, "--database", database]);
        publish.args(["--module", module()]).stdout(Stdio::null());
        publish.status().expect("muster publish runs").success()
    });
    assert!(published, "the module is published");
}

impl Plane {
    /// A host with our module in the database `streams`, and nothing in it.
    pub(crate) fn start() -> Plane {
        let folder = TempDir::new().expect("a folder");
        let mut host = command(folder.path(), &["--quiet", "host", "--in-memory", "--listen", "127.0.0.1:0", "--json"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the host starts");
        let mut ready = String::new();
        let stdout = host.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut ready).expect("it says where it is");
        let ready: serde_json::Value = serde_json::from_str(&ready).expect("as JSON");
        let url = ready["url"].as_str().expect("a URL").trim_end_matches('/').to_string();
        publish(folder.path(), &url, "streams");
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
        let upstream = url.trim_start_matches("http://").parse().expect("an address");
        let proxy = runtime.block_on(Proxy::start(upstream)).expect("a free port");
        Plane { runtime, proxy, url, folder, publisher: None, host }
    }

    /// Publishes our module to another database of the same host.
    pub(crate) fn another_database(&self, name: &str) {
        publish(self.folder.path(), &self.url, name);
    }

    /// The database, through the network that can be broken.
    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::new(&format!("http://{}", self.proxy.address()), "streams").expect("an endpoint")
    }

    pub(crate) fn target(&self) -> Target {
        let mut target = Target::new(self.endpoint(), self.folder.path().join("desktop.db"));
        target.outbox = Some(self.folder.path().join("publisher.outbox"));
        target
    }

    /// Publishes events to a stream, past the network that can be broken, and waits until the host has them.
    pub(crate) fn publish(&mut self, topic: &str, payloads: &[String]) {
        let path = self.folder.path().join("publisher.outbox");
        let direct = Endpoint::new(&self.url, "streams").expect("an endpoint");
        let publisher = self.publisher.get_or_insert_with(|| {
            let publisher = Publisher::open(OutboxConfig::new(path)).expect("an outbox");
            let _guard = self.runtime.enter();
            publisher.connect(ConnectConfig::new(direct));
            publisher
        });
        let stream = muster_contract::topic::Topic::parse(topic).expect("a topic").stream().clone();
        self.runtime.block_on(async {
            for some in payloads.chunks(500) {
                let drafts = some.iter().map(|payload| Draft::new("step", payload));
                publisher.publish_many(&stream, drafts).await.expect("kept");
            }
            publisher.flush(PATIENCE).await.expect("confirmed");
        });
    }

    /// A window that shows `target`.
    pub(crate) fn window(&self, target: Target) -> Window<'static> {
        let panel = {
            let _guard = self.runtime.enter();
            Panel::start(|| {})
        };
        let exports = self.folder.path().join("exports");
        let ctx = eframe::egui::Context::default();
        let mut app = App::new(&ctx, panel, self.runtime.handle().clone(), Lines::default(), exports);
        app.open(target);
        let harness = Harness::builder()
            .with_size(vec2(1_180.0, 760.0))
            .with_context_setup(theme::install)
            .build_ui_state(|ui, app: &mut App| app.frame(ui), app);
        Window { harness }
    }

    /// Closes a window, so that its store is free again.
    pub(crate) fn close(&self, window: Window<'_>) {
        self.runtime.block_on(window.harness.into_state().shutdown());
    }
}

/// A window, known only by what a screen reader could read.
pub(crate) struct Window<'a> {
    pub(crate) harness: Harness<'a, App>,
}

impl Window<'_> {
    pub(crate) fn step(&mut self) {
        self.harness.step();
    }

    /// What the list of panes says of each: `live`, `cached 3 s`, `refused`, …
    pub(crate) fn said(&self) -> Vec<String> {
        Pane::ALL.iter().map(|pane| self.said_of(*pane)).collect()
    }

    pub(crate) fn said_of(&self, pane: Pane) -> String {
        let begin = format!("{}, ", pane.title());
        let node = self.harness.get_by(|node| node.label().is_some_and(|label| label.starts_with(&begin)));
        let label = node.accesskit_node().label().expect("it was found by it");
        label[begin.len()..].to_string()
    }

    /// Whether a text that has this stands anywhere.
    pub(crate) fn shows(&self, text: &str) -> bool {
        self.harness
            .query_all_by(|node| {
                let has = |found: Option<String>| found.is_some_and(|found| found.contains(text));
                has(node.label()) || has(node.value())
            })
            .next()
            .is_some()
    }

    /// Draws until it is so.
    #[track_caller]
    pub(crate) fn wait(&mut self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.step();
            if is_so(self) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "not within {PATIENCE:?}: {what}; it says {:?}\n{:?}",
                self.said(),
                self.harness.root()
            );
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    #[track_caller]
    pub(crate) fn wait_until_all_are_live(&mut self) {
        self.wait("every pane is live", |window| window.said().iter().all(|said| said == "live"));
    }

    pub(crate) fn press(&mut self, label: &str) {
        // A button's name ends with its shortcut.
        let is_it = |found: &str| found == label || found.strip_prefix(label).is_some_and(|rest| rest.starts_with(' '));
        self.harness
            .get_by(|node| node.role() == Role::Button && node.label().is_some_and(|found| is_it(&found)))
            .click();
        self.step();
        self.step();
    }

    pub(crate) fn show(&mut self, pane: Pane) {
        self.harness.state_mut().view.pane = pane;
        self.step();
    }
}

/// A token that no host takes.
pub(crate) fn forged() -> TokenChoice {
    let token = muster_wire::Token::new("eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4IiwiaXNzIjoieSJ9.c2lnbmF0dXJl");
    TokenChoice::Given(token.expect("it looks like one"))
}
