//! A service on a port of its own, and a client that speaks plain HTTP to it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use muster_contract::StreamPattern;
use muster_control::{Clock, Config, Control, Grant, NewClient, Permission, Scope, Secret};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) const AUDIENCE: &str = "muster-test";
pub(crate) const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
pub(crate) const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// A running service.
pub(crate) struct Service {
    pub(crate) control: Control,
    pub(crate) clock: Clock,
    pub(crate) address: SocketAddr,
    pub(crate) dir: tempfile::TempDir,
    http: reqwest::Client,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<Result<(), muster_control::ControlError>>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub(crate) fn field(&self, name: &str) -> String {
        self.json()[name].as_str().unwrap_or_else(|| panic!("no {name}: {self:?}")).to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The refusal's status and word.
    pub(crate) fn refusal(&self) -> (u16, String) {
        assert_eq!(self.header("cache-control"), "no-store", "{self:?}");
        (self.status, self.field("error"))
    }
}

pub(crate) fn refused(status: u16, word: &str) -> (u16, String) {
    (status, word.to_owned())
}

impl Service {
    pub(crate) async fn start() -> Service {
        Service::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Service {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::new(dir.path().join("state"), format!("http://{address}"), AUDIENCE);
        config.clock = Clock::manual();
        change(&mut config);
        let clock = config.clock.clone();
        let control = Control::open(config).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = control.clone();
        let served = tokio::spawn(async move { serving.serve(listener, async { drop(stopped.await) }).await });
        Service { control, clock, address, dir, http: http_client(), stop: Some(stop), served }
    }

    pub(crate) async fn stop(mut self) {
        drop(self.stop.take());
        self.served.await.unwrap().unwrap();
    }

    pub(crate) fn issuer(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.issuer()))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        send(self.request(Method::GET, path)).await
    }

    /// Posts a form, authenticated with HTTP Basic.
    pub(crate) async fn post_as(&self, who: &Registered, path: &str, form: &[(&str, &str)]) -> Answer {
        send(self.request(Method::POST, path).header("authorization", who.basic()).form_body(form)).await
    }

    pub(crate) async fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        send(self.request(Method::POST, path).form_body(form)).await
    }

    /// A token by `client_credentials`.
    pub(crate) async fn token(&self, who: &Registered, more: &[(&str, &str)]) -> Answer {
        let form = [&[("grant_type", "client_credentials")], more].concat();
        self.post_as(who, "/oauth/token", &form).await
    }

    /// The same question, not asked yet.
    pub(crate) fn token_request(&self, who: &Registered) -> RequestBuilder {
        let form = [("grant_type", "client_credentials")];
        self.request(Method::POST, "/oauth/token").header("authorization", who.basic()).form_body(&form)
    }

    pub(crate) async fn refresh(&self, who: &Registered, token: &str) -> Answer {
        self.post_as(who, "/oauth/token", &[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    }

    pub(crate) async fn exchange(&self, who: &Registered, token: &str, more: &[(&str, &str)]) -> Answer {
        let form = [("grant_type", EXCHANGE), ("subject_token", token), ("subject_token_type", ACCESS_TOKEN)];
        self.post_as(who, "/oauth/token", &[&form, more].concat()).await
    }

    /// Whether a token is active, as its own client hears.
    pub(crate) async fn is_active(&self, who: &Registered, token: &str) -> bool {
        let answer = self.post_as(who, "/oauth/introspect", &[("token", token)]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["active"].as_bool().unwrap()
    }

    /// A client with a secret.
    pub(crate) fn client(&self, id: &str, scopes: &str, streams: &str, permissions: &[Permission]) -> Registered {
        let new = NewClient { permissions: set(permissions), ..NewClient::new(id, grant(scopes, streams)) };
        self.register(new)
    }

    pub(crate) fn register(&self, new: NewClient) -> Registered {
        let added = self.control.client_add("test", new).unwrap();
        Registered { id: added.client.id, secret: added.secret.unwrap() }
    }
}

/// A client with its secret.
#[derive(Clone)]
pub(crate) struct Registered {
    pub(crate) id: String,
    pub(crate) secret: Secret,
}

impl Registered {
    pub(crate) fn basic(&self) -> String {
        format!("Basic {}", BASE64_STANDARD.encode(format!("{}:{}", self.id, self.secret.expose())))
    }
}

pub(crate) trait FormBody {
    fn form_body(self, form: &[(&str, &str)]) -> Self;
}

impl FormBody for RequestBuilder {
    fn form_body(self, form: &[(&str, &str)]) -> Self {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        self.header("content-type", "application/x-www-form-urlencoded").body(body)
    }
}

pub(crate) fn http_client() -> reqwest::Client {
    let tls = rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().build().unwrap()
}

pub(crate) async fn send(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answer { status, headers, text: response.text().await.unwrap() }
}

pub(crate) fn set(permissions: &[Permission]) -> BTreeSet<Permission> {
    permissions.iter().copied().collect()
}

pub(crate) fn grant(scopes: &str, streams: &str) -> Grant {
    let scopes = scopes.split_whitespace().map(|scope| scope.parse::<Scope>().unwrap());
    let streams = streams.split_whitespace().map(|stream| StreamPattern::parse(stream).unwrap());
    Grant::new(scopes, streams).unwrap()
}

/// What a token says, unverified.
pub(crate) fn claims(token: &str) -> Value {
    part(token, 1)
}

pub(crate) fn header(token: &str) -> Value {
    part(token, 0)
}

fn part(token: &str, index: usize) -> Value {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(index).unwrap()).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

/// Waits until `condition` holds, at most ten seconds.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within ten seconds");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
