//! A host with a foreign module on it, and what tests need to talk to it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use muster_host::{Host, RunningHost};
use muster_wire::http::{HttpClient, PublishOptions};
use muster_wire::sats::Deserialize;
use muster_wire::{
    CallOutcome, ConnectOptions, Connection, Endpoint, Incoming, TableChange, Transaction, Update, args, connect,
};
use serde_json::Value;

/// How long a test waits for a state that must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How long a test waits to see that something does not come: long next to what a loaded machine needs to bring it.
pub(crate) const QUIET: Duration = Duration::from_millis(500);

/// Waits for what must come.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}

/// The bytes of a module under `crates/host/tests/modules`.
pub(crate) fn module(name: &str) -> Vec<u8> {
    let path = folder().join(format!("{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}; run scripts/build-test-modules", path.display()))
}

/// Where the modules lie, built once: `MUSTER_TEST_MODULES`, or what `scripts/build-test-modules` prints.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| match std::env::var_os("MUSTER_TEST_MODULES").filter(|folder| !folder.is_empty()) {
        Some(folder) => folder.into(),
        None => printed_by("build-test-modules"),
    })
}

/// The path that a script prints.
pub(crate) fn printed_by(script: &str) -> PathBuf {
    let script = root().join("scripts").join(script);
    let output = Command::new(&script).output().unwrap_or_else(|e| panic!("{}: {e}", script.display()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

/// The project's folder.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A host in memory with one database, and its owner.
pub(crate) struct Published {
    pub(crate) host: RunningHost,
    pub(crate) owner: HttpClient,
    endpoint: Endpoint,
}

impl Published {
    /// Publishes the module of that name to a new host.
    pub(crate) async fn new(name: &str) -> Self {
        Self::with(module(name)).await
    }

    /// Publishes these bytes to a new host.
    pub(crate) async fn with(wasm: Vec<u8>) -> Self {
        let host = Host::builder().in_memory().start().await.unwrap();
        let endpoint = Endpoint::new(&host.url(), "foreign").unwrap();
        let nobody = HttpClient::new(endpoint.clone(), None).unwrap();
        let token = nobody.create_identity().await.unwrap().token;
        let owner = HttpClient::new(endpoint.clone(), Some(token)).unwrap();
        owner.publish(wasm, &PublishOptions::default()).await.unwrap();
        Self { host, owner, endpoint }
    }

    /// A session of somebody new.
    pub(crate) async fn connect(&self) -> Session {
        let (connection, incoming) = connect(ConnectOptions::new(self.endpoint.clone())).await.unwrap();
        Session { connection, incoming }
    }

    /// The rows that the owner gets for a statement, as SATS-JSON.
    pub(crate) async fn sql(&self, statement: &str) -> Vec<Value> {
        sql(&self.owner, statement).await
    }

    /// The URL of a path below this database.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}/v1/database/foreign{path}", self.host.url())
    }
}

/// A plain HTTP client, for what `muster-wire` would not send.
pub(crate) fn http() -> reqwest::Client {
    // Installed twice is installed once: every test asks.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().timeout(PATIENCE).build().unwrap()
}

/// The rows that this client gets for a statement, as SATS-JSON.
pub(crate) async fn sql(client: &HttpClient, statement: &str) -> Vec<Value> {
    let answer = client.sql(statement, true).await.unwrap();
    let row = |cells: &Vec<Box<serde_json::value::RawValue>>| {
        cells.iter().map(|cell| serde_json::from_str::<Value>(cell.get()).unwrap()).collect()
    };
    answer.statements[0].rows.iter().map(row).collect()
}

/// One connection and what comes on it.
pub(crate) struct Session {
    pub(crate) connection: Connection,
    pub(crate) incoming: Incoming,
}

impl Session {
    /// Calls a reducer that must succeed.
    pub(crate) async fn call<T: muster_wire::sats::Serialize>(&self, reducer: &str, arguments: &T) {
        let outcome = self.outcome(reducer, arguments).await;
        assert!(outcome.is_ok(), "{reducer}: {outcome:?}");
    }

    /// Calls a reducer, whatever comes of it.
    pub(crate) async fn outcome<T: muster_wire::sats::Serialize>(&self, reducer: &str, arguments: &T) -> CallOutcome {
        self.connection.call_reducer(reducer, args(arguments)).await.unwrap().outcome
    }

    /// Calls a procedure that must return, and reads its value.
    pub(crate) async fn ask<T, R>(&self, procedure: &str, arguments: &T) -> R
    where
        T: muster_wire::sats::Serialize,
        R: for<'de> Deserialize<'de>,
    {
        let outcome = self.connection.call_procedure(procedure, args(arguments)).await.unwrap().outcome;
        let CallOutcome::Returned(bytes) = outcome else { panic!("{procedure}: {outcome:?}") };
        muster_wire::sats::bsatn::from_slice(&bytes).unwrap()
    }

    /// Subscribes to one query and decodes the rows of `table` that are there.
    pub(crate) async fn subscribe<R: for<'de> Deserialize<'de>>(&self, query: &str, table: &str) -> Vec<R> {
        self.connection.subscribe(&[query]).await.unwrap().rows(table).unwrap()
    }

    /// The next transaction that changed something subscribed to.
    pub(crate) async fn next(&mut self) -> Transaction {
        match soon("a transaction", self.incoming.next()).await {
            Some(Update::Transaction(transaction)) => transaction,
            other => panic!("{other:?} instead of a transaction"),
        }
    }

    /// What the next transaction changed in `table`.
    pub(crate) async fn next_change(&mut self, table: &str) -> TableChange {
        let transaction = self.next().await;
        let mut changes = transaction.query_sets.into_iter().flat_map(|set| set.tables);
        changes.find(|change| change.table == table).unwrap_or_else(|| panic!("nothing of {table}"))
    }

    /// The rows that the next transaction put into `table`.
    pub(crate) async fn next_rows<R: for<'de> Deserialize<'de>>(&mut self, table: &str) -> Vec<R> {
        self.next_change(table).await.inserted.decode().unwrap()
    }

    /// Panics if anything comes for a while.
    pub(crate) async fn hears_nothing(&mut self) {
        if let Ok(update) = tokio::time::timeout(QUIET, self.incoming.next()).await {
            panic!("{update:?} instead of silence");
        }
    }
}
