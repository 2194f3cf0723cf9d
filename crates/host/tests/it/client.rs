//! A client of a host, for tests: an identity and the few requests that tests make.

use std::time::Duration;

use muster_host::{Host, RunningHost};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;

/// How long a test waits for a state that must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A host in memory.
pub(crate) async fn host() -> RunningHost {
    Host::builder().in_memory().start().await.unwrap()
}

/// Somebody with a token, or nobody.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
    pub(crate) identity: String,
    pub(crate) token: Option<String>,
}

impl Client {
    /// A client with a new identity.
    pub(crate) async fn new(url: String) -> Self {
        let mut client = Self::nobody(url);
        let created = client.post("/v1/identity").send().await.unwrap();
        let created: Value = created.json().await.unwrap();
        client.identity = text(&created["identity"]);
        client.token = Some(text(&created["token"]));
        client
    }

    /// A client without a token.
    pub(crate) fn nobody(url: String) -> Self {
        // Installed twice is installed once: every test asks.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().timeout(PATIENCE).build().unwrap();
        Self { http, url, identity: String::new(), token: None }
    }

    /// The same client with another token.
    pub(crate) fn with_token(&self, token: impl Into<String>) -> Self {
        Self { token: Some(token.into()), ..self.clone() }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.request(Method::POST, path)
    }

    pub(crate) fn put(&self, path: &str) -> RequestBuilder {
        self.request(Method::PUT, path)
    }

    pub(crate) fn delete(&self, path: &str) -> RequestBuilder {
        self.request(Method::DELETE, path)
    }

    /// Publishes to `name` and expects it to work; returns the database's identity.
    pub(crate) async fn publish(&self, name: &str, module: Vec<u8>) -> String {
        let published = json(self.put(&format!("/v1/database/{name}")).body(module)).await;
        text(&published["Success"]["database_identity"])
    }

    /// Calls a function with JSON arguments.
    pub(crate) async fn call(&self, database: &str, function: &str, args: Value) -> (StatusCode, String) {
        answer(self.post(&format!("/v1/database/{database}/call/{function}")).json(&args)).await
    }

    /// The rows of one statement.
    pub(crate) async fn rows(&self, database: &str, statement: &str) -> Vec<Value> {
        let results = json(self.post(&format!("/v1/database/{database}/sql")).body(statement.to_owned())).await;
        results[0]["rows"].as_array().unwrap_or_else(|| panic!("no rows in {results}")).clone()
    }

    /// The names in the table `item`, sorted.
    pub(crate) async fn items(&self, database: &str) -> Vec<String> {
        let mut names: Vec<String> =
            self.rows(database, "SELECT name FROM item").await.iter().map(|row| text(&row[0])).collect();
        names.sort();
        names
    }

    /// Runs statements that may fail.
    pub(crate) async fn sql(&self, database: &str, statements: &str) -> (StatusCode, String) {
        answer(self.post(&format!("/v1/database/{database}/sql")).body(statements.to_owned())).await
    }
}

/// Sends a request that must succeed, and reads its JSON.
pub(crate) async fn json(request: RequestBuilder) -> Value {
    let (status, body) = answer(request).await;
    assert!(status.is_success(), "{status}: {body}");
    serde_json::from_str(&body).unwrap_or_else(|e| panic!("{e} in {body}"))
}

/// Sends a request and reads whatever comes. No answer ever spans lines with an error in it.
pub(crate) async fn answer(request: RequestBuilder) -> (StatusCode, String) {
    let response: Response = request.send().await.unwrap();
    let server = response.headers()["server"].to_str().unwrap().to_owned();
    assert!(server.starts_with("muster-host/") && server.contains("spacetimedb/2.14.0"), "{server}");
    let status = response.status();
    let body = response.text().await.unwrap();
    if status.is_client_error() || status.is_server_error() {
        assert!(!body.contains('\n') && !body.contains("stack backtrace"), "{status}: {body}");
    }
    (status, body)
}

/// The text of a JSON string.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no string")).to_owned()
}
