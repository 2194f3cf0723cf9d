//! A token service on an address that stays, a host process that trusts it, a lane that takes only its tokens, and clients.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use muster_contract::StreamPattern;
use muster_control::schedule::Phases;
use muster_control::{Config, Control, Credential as Registered, Grant, NewClient, Scope};
use muster_publisher::{ConnectConfig, OutboxConfig, Publisher};
use muster_sync::{EventLog, StartAt, Subscriber};
use muster_wire::http::HttpClient;
use muster_wire::lease::{Control as Service, Credential, Secret};
use muster_wire::{ConnectOptions, Endpoint, Keeper, Source, Token, args, connect};
use p256::SecretKey;
use p256::elliptic_curve::sec1::ToEncodedPoint as _;
use p256::pkcs8::{EncodePrivateKey as _, LineEnding};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::host::Host;

/// How long any state may take to come about before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
const AUDIENCE: &str = "muster-test";
const DATABASE: &str = "lane";

/// A number from the environment.
pub(crate) fn seconds(variable: &str, short: u64) -> u64 {
    std::env::var(variable).ok().map_or(short, |text| text.parse().expect("a number of seconds"))
}

/// A token service that can be stopped, and started again where it was.
pub(crate) struct Issuer {
    address: SocketAddr,
    state: PathBuf,
    running: Option<(Control, oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Issuer {
    async fn start(state: PathBuf) -> Issuer {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let mut issuer = Issuer { address, state, running: None };
        issuer.serve(listener);
        issuer
    }

    fn serve(&mut self, listener: TcpListener) {
        let mut config = Config::new(&self.state, self.url(), AUDIENCE);
        let announce_s = i64::try_from(seconds("MUSTER_LEASE_ANNOUNCE_S", 5)).expect("small");
        config.phases = Phases { announce_s, ..Phases::default() };
        let control = Control::open(config).expect("the service opens");
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = control.clone();
        let task = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            serving.serve(listener, stopped).await.expect("the service serves");
        });
        self.running = Some((control, stop, task));
    }

    /// It ends, and nobody listens any more.
    pub(crate) async fn stop(&mut self) {
        let (control, stop, task) = self.running.take().expect("it runs");
        let _ = stop.send(());
        task.await.expect("it ended");
        drop(control);
    }

    /// It comes back on the same address, from what it has on disk.
    pub(crate) async fn start_again(&mut self) {
        let listener = TcpListener::bind(self.address).await.expect("the same port");
        self.serve(listener);
    }

    pub(crate) fn control(&self) -> &Control {
        &self.running.as_ref().expect("it runs").0
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The id of the key that signs.
    pub(crate) fn active_key(&self) -> String {
        let keys = self.control().keys_list().expect("keys");
        let active = keys.iter().find(|key| key.facts.state.as_str() == "active").expect("one signs");
        active.facts.kid.clone()
    }
}

/// The id of the key that signed a token.
pub(crate) fn key_of(token: &Token) -> String {
    let head = token.expose().split('.').next().expect("a header");
    let head = BASE64_URL_SAFE_NO_PAD.decode(head).expect("base64");
    let head: serde_json::Value = serde_json::from_slice(&head).expect("JSON");
    head["kid"].as_str().expect("a key id").into()
}

/// Everything.
pub(crate) struct Plane {
    pub(crate) issuer: Issuer,
    host: Host,
    owner: Token,
    folder: tempfile::TempDir,
}

impl Plane {
    pub(crate) async fn start() -> Plane {
        let folder = tempfile::tempdir().expect("a folder");
        let issuer = Issuer::start(folder.path().join("control")).await;
        let host = Host::trusting(&folder.path().join("host"), Some(&issuer.url()));
        let owner = host.publish(DATABASE).await;
        let plane = Plane { issuer, host, owner, folder };
        plane.close().await;
        plane
    }

    /// The lane takes only what the issuer's tokens grant.
    async fn close(&self) {
        let options = ConnectOptions::new(self.endpoint()).token(Some(self.owner.clone()));
        let (owner, _) = connect(options).await.expect("connected");
        let revoker: Option<muster_wire::Identity> = None;
        let arguments = args(&(self.issuer.url(), AUDIENCE, false, false, revoker));
        let reply = owner.call_reducer("configure_auth", arguments).await.expect("answered");
        assert!(reply.outcome.is_ok(), "{:?}", reply.outcome.message());
        owner.close().await;
    }

    /// The host's address.
    pub(crate) fn url(&self) -> String {
        self.host.url.clone()
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::new(&self.host.url, DATABASE).expect("an endpoint")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn registration(id: &str, scopes: &[Scope], lifetime_s: u64) -> NewClient {
        let streams = [StreamPattern::parse("drill.*").expect("a pattern")];
        let mut client = NewClient::new(id, Grant::new(scopes.iter().copied(), streams).expect("a grant"));
        client.access_lifetime_s = i64::try_from(lifetime_s).expect("small");
        client
    }

    /// The tokens of a client that proves itself by a secret in a file.
    pub(crate) fn with_secret(&self, id: &str, scopes: &[Scope], lifetime_s: u64) -> Keeper {
        let client = Plane::registration(id, scopes, lifetime_s);
        let added = self.issuer.control().client_add("test", client).expect("added");
        let path = self.path(id);
        write_private(&path, added.secret.expect("a secret").expose());
        self.keeper(id, Credential::SecretFile(path))
    }

    /// The tokens of a client that proves itself by signing.
    pub(crate) fn with_key(&self, id: &str, scopes: &[Scope], lifetime_s: u64) -> Keeper {
        let key = SecretKey::from_slice(&[11; 32]).expect("a key");
        let point = key.public_key().to_encoded_point(false);
        let number = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let jwk = serde_json::json!({
            "kty": "EC", "crv": "P-256", "x": number(point.x().expect("x")), "y": number(point.y().expect("y")),
        });
        let mut client = Plane::registration(id, scopes, lifetime_s);
        client.credential = Registered::PublicKey(jwk.to_string());
        self.issuer.control().client_add("test", client).expect("added");
        let path = self.path(id);
        write_private(&path, &key.to_pkcs8_pem(LineEnding::LF).expect("PEM"));
        self.keeper(id, Credential::PrivateKeyFile(path))
    }

    /// The tokens of a client that only claims to be one.
    pub(crate) fn pretender(&self, id: &str) -> Keeper {
        self.keeper(id, Credential::Secret(Secret::new("mcs_guessed")))
    }

    fn keeper(&self, id: &str, credential: Credential) -> Keeper {
        let service = Service::new(&self.issuer.url(), id, credential).expect("a service");
        Keeper::start(Source::Control(Box::new(service)))
    }

    pub(crate) async fn subscriber(&self, keeper: &Keeper) -> Subscriber {
        let follow = StreamPattern::parse("drill.*").expect("a pattern");
        Subscriber::builder(self.endpoint(), self.path("store.sqlite"))
            .tokens(keeper.clone())
            .follow(follow, StartAt::Start)
            .apply(EventLog)
            .await
            .expect("it starts")
    }

    pub(crate) fn publisher(&self, keeper: &Keeper) -> Publisher {
        let publisher = Publisher::open(OutboxConfig::new(self.path("outbox.sqlite"))).expect("it opens");
        publisher.connect(ConnectConfig::new(self.endpoint()).tokens(keeper.clone()));
        publisher
    }

    /// How many events the host has.
    pub(crate) async fn stored(&self) -> u64 {
        let http = HttpClient::new(self.endpoint(), Some(self.owner.clone())).expect("a client");
        let answer = http.sql("SELECT events FROM sync_event", true).await.expect("an answer");
        let rows = answer.statements.into_iter().next().expect("one statement").rows;
        rows.iter().map(|row| row[0].get().parse::<u64>().expect("a number")).sum()
    }
}

fn write_private(path: &Path, text: &str) {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).expect("made");
    file.write_all(text.as_bytes()).expect("written");
}
