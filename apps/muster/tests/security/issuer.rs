//! The token service on a port of its own, and tokens of it: issued, and made up with its very key.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use muster_contract::StreamPattern;
use muster_control::{Config, Control, Grant, NewClient, Permission, Scope, Secret};
use muster_wire::Token;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::pkcs8::{EncodePrivateKey as _, EncodePublicKey as _, LineEnding};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
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
        // Thousands of attempts from one address: what is tried here is the doors, not the patience.
        config.rates.address.burst = 1_000_000;
        config.rates.client.burst = 1_000_000;
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
        self.client_with(id, scopes, streams, &[])
    }

    /// The same, with permissions.
    pub(crate) fn client_with(&self, id: &str, scopes: &str, streams: &str, permissions: &[Permission]) -> String {
        let scopes = scopes.split_whitespace().map(|scope| scope.parse::<Scope>().expect("a scope"));
        let streams = streams.split_whitespace().map(|stream| StreamPattern::parse(stream).expect("a pattern"));
        let grant = Grant::new(scopes, streams).expect("a grant");
        let new = NewClient { permissions: permissions.iter().copied().collect(), ..NewClient::new(id, grant) };
        let added = self.control.client_add("test", new).expect("added");
        BASE64_STANDARD.encode(format!("{id}:{}", added.secret.expect("a secret").expose()))
    }

    /// A token by `client_credentials`.
    pub(crate) async fn issue(&self, client: &str, more: &[(&str, &str)]) -> Token {
        let form = [&[("grant_type", "client_credentials")], more].concat();
        let answer = self.post("/oauth/token", Some(client), &form).await;
        Token::new(answer.text("access_token")).expect("a token")
    }

    /// A token for the same subject with `client` as the one who acts (RFC 8693).
    pub(crate) async fn exchange(&self, client: &str, token: &Token, more: &[(&str, &str)]) -> Answer {
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token", token.expose()),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ];
        self.post("/oauth/token", Some(client), &[&form, more].concat()).await
    }

    /// Posts a form.
    pub(crate) async fn post(&self, path: &str, client: Option<&str>, form: &[(&str, &str)]) -> Answer {
        let body: Vec<_> = form.iter().map(|(name, value)| format!("{name}={}", percent(value))).collect();
        let kind = [("content-type", "application/x-www-form-urlencoded")];
        self.send(path, client, &kind, &body.join("&")).await
    }

    /// Posts anything.
    pub(crate) async fn send(&self, path: &str, client: Option<&str>, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut head = format!("POST {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.address);
        if let Some(client) = client {
            head += &format!("authorization: Basic {client}\r\n");
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
        let mut socket = TcpStream::connect(self.address).await.expect("connected");
        socket.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.expect("read");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a body");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Answer { status, json: serde_json::from_str(body).unwrap_or_default() }
    }

    /// Claims as the service writes them, of a token that is good for longer than a slow machine takes.
    pub(crate) fn claims(&self, sub: &str, scopes: &[&str], streams: &[&str]) -> Value {
        let id = format!("{sub}-{:x}", rand_id());
        json!({
            "iss": self.url(), "sub": sub, "aud": AUDIENCE, "iat": now_s(), "nbf": now_s(), "exp": now_s() + 3_000,
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
        let said = format!("{}.{}", encode(&header("HS256", &self.kid)), parts[1]);
        let mac = |secret: &[u8]| Token::new(format!("{said}.{}", hmac_sha256(secret, &said))).expect("a token");
        let public = self.key.verifying_key();
        let pem = public.to_public_key_pem(LineEnding::LF).expect("PEM");
        let point = public.to_encoded_point(false);
        let trick = |pattern: &'static str| with("oa_sync_streams", json!(["fine", pattern]));
        vec![
            // Hosts take a token for another minute.
            ("expired 5 s ago", with("exp", json!(now_s() - 5))),
            ("expired 500 s ago", with("exp", json!(now_s() - 500))),
            ("not yet valid (`nbf`)", with("nbf", json!(now_s() + 1_000))),
            ("not yet valid (`iat`)", with("iat", json!(now_s() + 1_000))),
            ("wrong audience", with("aud", json!("muster-test2"))),
            ("the audience in capitals", with("aud", json!("MUSTER-TEST"))),
            ("no audience", with("aud", json!([]))),
            ("wrong issuer", with("iss", json!("http://127.0.0.1:1"))),
            ("the issuer with a slash", with("iss", json!(format!("{}/", self.url())))),
            ("lives a day", with("exp", json!(now_s() + 86_400))),
            ("no `jti`", with("jti", json!(null))),
            ("empty `sid`", with("sid", json!(""))),
            ("`client_id` a number", with("client_id", json!(7))),
            ("streams: `a.`", trick("a.")),
            ("streams: `.a.x`", trick(".a.x")),
            ("streams: `a..x`", trick("a..x")),
            ("streams: `a.%78`", trick("a.%78")),
            ("streams: `a%2ex`", trick("a%2ex")),
            ("streams: `*.x`", trick("*.x")),
            ("streams: `a*`", trick("a*")),
            ("streams: `a.x' OR '1'='1`", trick("a.x' OR '1'='1")),
            ("a client build that is too old", with("oa_client_build", json!("0.0.1"))),
            ("wrong key under the known `kid`", self.sign_as(&header("ES256", &self.kid), &good, &stranger)),
            ("unknown `kid`", self.sign_as(&header("ES256", "unknown"), &good, &stranger)),
            ("ES256, and `alg` says HS256", self.sign_as(&header("HS256", &self.kid), &good, &self.key)),
            ("HMAC with the public key in PEM", mac(pem.as_bytes())),
            ("HMAC with the public key's point", mac(point.as_bytes())),
            ("tampered claims", Token::new(tampered).expect("a token")),
            ("`alg` none", Token::new(unsigned).expect("a token")),
        ]
    }

    fn sign_as(&self, header: &Value, claims: &Value, key: &SigningKey) -> Token {
        let said = format!("{}.{}", encode(header), encode(claims));
        let signature: Signature = key.sign(said.as_bytes());
        Token::new(format!("{said}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature.to_bytes()))).expect("a token")
    }
}

/// What the service answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The body; null where it is no JSON.
    pub(crate) json: Value,
}

impl Answer {
    pub(crate) fn text(&self, name: &str) -> String {
        self.json[name].as_str().unwrap_or_else(|| panic!("no {name}: {self:?}")).into()
    }
}

/// A form's value, every byte but letters, digits and `-._~` encoded (RFC 3986 section 2.3).
fn percent(value: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    value.bytes().map(byte).collect()
}

/// RFC 2104 over SHA-256, in base64url: what a verifier computes that takes a public key for a shared secret.
fn hmac_sha256(secret: &[u8], said: &str) -> String {
    let mut block = [0u8; 64];
    let short: Vec<u8> = if secret.len() > 64 { Sha256::digest(secret).to_vec() } else { secret.to_vec() };
    block[..short.len()].copy_from_slice(&short);
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(said).finalize();
    BASE64_URL_SAFE_NO_PAD
        .encode(Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize())
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
