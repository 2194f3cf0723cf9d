//! The token service on a port of its own, and tokens of it: issued, and made up with its very key.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use muster_contract::StreamPattern;
use muster_control::{Config, Control, Grant, NewClient, Scope, Secret};
use muster_wire::Token;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::pkcs8::{EncodePrivateKey as _, LineEnding};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub(crate) const AUDIENCE: &str = "muster-test";

/// A running token service. Its signing key is known here, so that anything can be signed with it.
pub(crate) struct Issuer {
    pub(crate) control: Control,
    address: SocketAddr,
    key: SigningKey,
    kid: String,
    serving: JoinHandle<()>,
    _dir: tempfile::TempDir,
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Issuer {
    pub(crate) async fn start() -> Issuer {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let dir = tempfile::tempdir().expect("a folder");
        let key = SigningKey::from_slice(&[7; 32]).expect("a key");
        let pem = key.to_pkcs8_pem(LineEnding::LF).expect("PEM");
        let mut config = Config::new(dir.path().join("state"), format!("http://{address}"), AUDIENCE);
        config.first_signing_key = Some(Secret::new(pem.as_str()));
        let control = Control::open(config).expect("the service opens");
        let serving = control.clone();
        let serving = tokio::spawn(async move {
            serving.serve(listener, std::future::pending()).await.expect("the service serves");
        });
        let mut issuer = Issuer { control, address, key, kid: String::new(), serving, _dir: dir };
        let token = issuer.issue(&issuer.client("first", "sync.read", "*"), &[]).await;
        issuer.kid = header(token.expose())["kid"].as_str().expect("a key id").into();
        issuer
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A registered client: its id and secret, as HTTP Basic writes them.
    pub(crate) fn client(&self, id: &str, scopes: &str, streams: &str) -> String {
        let scopes = scopes.split_whitespace().map(|scope| scope.parse::<Scope>().expect("a scope"));
        let streams = streams.split_whitespace().map(|stream| StreamPattern::parse(stream).expect("a pattern"));
        let grant = Grant::new(scopes, streams).expect("a grant");
        let added = self.control.client_add("test", NewClient::new(id, grant)).expect("added");
        BASE64_STANDARD.encode(format!("{id}:{}", added.secret.expect("a secret").expose()))
    }

    /// A token by `client_credentials`.
    pub(crate) async fn issue(&self, client: &str, more: &[(&str, &str)]) -> Token {
        let more: String = more.iter().map(|(name, value)| format!("&{name}={value}")).collect();
        let body = format!("grant_type=client_credentials{more}");
        let request = format!(
            "POST /oauth/token HTTP/1.1\r\nhost: {}\r\nauthorization: Basic {client}\r\nconnection: close\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        let mut socket = TcpStream::connect(self.address).await.expect("connected");
        socket.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.expect("read");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        let body: Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("no JSON: {answer}"));
        Token::new(body["access_token"].as_str().unwrap_or_else(|| panic!("no token: {answer}"))).expect("a token")
    }

    /// Claims as the service writes them, of a token that is good for five minutes.
    pub(crate) fn claims(&self, sub: &str, scopes: &[&str], streams: &[&str]) -> Value {
        let id = format!("{sub}-{:x}", rand_id());
        json!({
            "iss": self.url(), "sub": sub, "aud": AUDIENCE, "iat": now_s(), "nbf": now_s(), "exp": now_s() + 300,
            "jti": format!("jti-{id}"), "sid": format!("sid-{id}"), "client_id": format!("client-{sub}"),
            "oa_sync_scopes": scopes, "oa_sync_streams": streams,
        })
    }

    /// Any claims, signed with the service's key.
    pub(crate) fn sign(&self, claims: &Value) -> Token {
        self.sign_as(&json!({"typ": "at+jwt", "alg": "ES256", "kid": self.kid}), claims, &self.key)
    }

    /// A token of [`Issuer::claims`].
    pub(crate) fn token(&self, sub: &str, scopes: &[&str], streams: &[&str]) -> Token {
        self.sign(&self.claims(sub, scopes, streams))
    }

    /// Tokens that nobody may take, each with what is wrong with it.
    pub(crate) fn bad_tokens(&self) -> Vec<(&'static str, Token)> {
        let good = self.claims("eve", &["sync.read", "sync.write", "sync.snapshot", "presence.read"], &["*"]);
        let with = |name: &str, value: Value| {
            let mut claims = good.clone();
            claims[name] = value;
            self.sign(&claims)
        };
        let header = |alg: &str, kid: &str| json!({"typ": "at+jwt", "alg": alg, "kid": kid});
        let stranger = SigningKey::from_slice(&[9; 32]).expect("a key");
        let taken = self.sign(&good);
        let parts: Vec<_> = taken.expose().split('.').collect();
        let mut wider = good.clone();
        wider["sub"] = json!("owner");
        let tampered = format!("{}.{}.{}", parts[0], encode(&wider), parts[2]);
        let unsigned = format!("{}.{}.", encode(&header("none", &self.kid)), parts[1]);
        vec![
            // Hosts take a token for another minute.
            ("expired a moment ago", with("exp", json!(now_s() - 5))),
            ("expired long ago", with("exp", json!(now_s() - 500))),
            ("not valid yet", with("nbf", json!(now_s() + 120))),
            ("from the future", with("iat", json!(now_s() + 120))),
            ("for another audience", with("aud", json!("muster-test2"))),
            ("for the audience in capitals", with("aud", json!("MUSTER-TEST"))),
            ("for nobody", with("aud", json!([]))),
            ("of another issuer", with("iss", json!("http://127.0.0.1:1"))),
            ("of an issuer with a slash", with("iss", json!(format!("{}/", self.url())))),
            ("that lives a day", with("exp", json!(now_s() + 86_400))),
            ("without an id", with("jti", json!(null))),
            ("without a session", with("sid", json!(""))),
            ("without a client", with("client_id", json!(7))),
            ("with a trick among its streams", with("oa_sync_streams", json!(["fine", "a."]))),
            ("of a client that is too old", with("oa_client_build", json!("0.0.1"))),
            ("of another key under the known id", self.sign_as(&header("ES256", &self.kid), &good, &stranger)),
            ("of a key that nobody knows", self.sign_as(&header("ES256", "unknown"), &good, &stranger)),
            ("with HMAC in its header", self.sign_as(&header("HS256", &self.kid), &good, &self.key)),
            ("tampered with", Token::new(tampered).expect("a token")),
            ("unsigned", Token::new(unsigned).expect("a token")),
        ]
    }

    fn sign_as(&self, header: &Value, claims: &Value, key: &SigningKey) -> Token {
        let said = format!("{}.{}", encode(header), encode(claims));
        let signature: Signature = key.sign(said.as_bytes());
        Token::new(format!("{said}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature.to_bytes()))).expect("a token")
    }
}

fn encode(part: &Value) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(part.to_string())
}

fn header(token: &str) -> Value {
    let part = token.split('.').next().expect("a header");
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).expect("base64")).expect("JSON")
}

/// The time, in seconds since 1970.
pub(crate) fn now_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("before the end of time")
}

/// Another number at each call.
fn rand_id() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
