//! The token service's own doors: what gives tokens, tells of them, and ends them.

use muster_control::Permission;
use muster_wire::Token;
use serde_json::{Value, json};

use crate::issuer::{Answer, Issuer};

/// The columns of the page.
pub(super) const ENDPOINTS: [&str; 6] = ["token", "refresh", "exchange", "introspect", "revoke", "mint"];

/// One attempt at one of them, which came to nothing.
pub(super) struct Tried {
    pub(super) name: String,
    pub(super) endpoint: &'static str,
    /// What the service said.
    pub(super) said: String,
}

/// A service with a client for each way to go wrong, and tokens that are good.
struct Bench {
    issuer: Issuer,
    tried: Vec<Tried>,
}

const CLIENT: &str = "sync.read sync.write presence.read";

/// Tries everything, and in the end what is right.
pub(super) async fn try_all() -> Vec<Tried> {
    let mut bench = Bench { issuer: Issuer::start().await, tried: Vec::new() };
    bench.without_a_good_credential().await;
    bench.with_tokens_that_are_not_good().await;
    bench.with_refresh_tokens_that_are_not_good().await;
    bench.asking_for_more().await;
    bench.what_is_right().await;
    bench.tried
}

impl Bench {
    fn client(&self, id: &str) -> String {
        self.issuer.client_with(id, CLIENT, "a.*", &[Permission::Refresh, Permission::Exchange])
    }

    async fn given(&self, client: &str) -> Answer {
        let given = self.issuer.post("/oauth/token", Some(client), &[("grant_type", "client_credentials")]).await;
        assert_eq!(given.status, 200, "{given:?}");
        given
    }

    /// Says a request of the endpoint that would be right with a good credential.
    async fn ask(&self, endpoint: &str, client: Option<&str>, given: &Answer, more: &[(&str, &str)]) -> Answer {
        let (access, refresh) = (given.text("access_token"), given.text("refresh_token"));
        let kind = "urn:ietf:params:oauth:token-type:access_token";
        let exchange = "urn:ietf:params:oauth:grant-type:token-exchange";
        let (path, form) = match endpoint {
            "token" => ("/oauth/token", vec![("grant_type", "client_credentials")]),
            "refresh" => ("/oauth/token", vec![("grant_type", "refresh_token"), ("refresh_token", refresh.as_str())]),
            "exchange" => (
                "/oauth/token",
                vec![("grant_type", exchange), ("subject_token", access.as_str()), ("subject_token_type", kind)],
            ),
            "introspect" => ("/oauth/introspect", vec![("token", access.as_str())]),
            "revoke" => ("/oauth/revoke", vec![("token", access.as_str())]),
            _ => return self.mint(client, &json!({})).await,
        };
        let mut form: Vec<_> =
            form.into_iter().filter(|(name, _)| more.iter().all(|(other, _)| other != name)).collect();
        form.extend(more);
        self.issuer.post(path, client, &form).await
    }

    async fn mint(&self, client: Option<&str>, body: &Value) -> Answer {
        let headers = [
            ("content-type", "application/json"),
            ("oa-client-build", muster_contract::BUILD),
            ("oa-protocol-id", muster_contract::PROTOCOL_ID),
            ("oa-schema-version", "1"),
        ];
        self.issuer.send("/api/sync/token", client, &headers, &body.to_string()).await
    }

    async fn is_active(&self, client: &str, token: &str) -> bool {
        let answer = self.issuer.post("/oauth/introspect", Some(client), &[("token", token)]).await;
        answer.json["active"].as_bool().unwrap_or_else(|| panic!("{answer:?}"))
    }

    /// A refusal with one of these words, and nothing else in the answer that could be a token.
    #[track_caller]
    fn refused(&mut self, name: &str, endpoint: &'static str, answer: &Answer, words: &[&str]) {
        let said = answer.json["error"].as_str().unwrap_or_default();
        assert!(answer.status >= 400 && words.contains(&said), "{name}, {endpoint}: {answer:?}");
        assert!(answer.json.get("access_token").is_none() && answer.json.get("token").is_none(), "{answer:?}");
        self.note(name, endpoint, format!("{} {said}", answer.status));
    }

    fn note(&mut self, name: &str, endpoint: &'static str, said: String) {
        self.tried.push(Tried { name: name.into(), endpoint, said });
    }

    async fn without_a_good_credential(&mut self) {
        use base64::Engine as _;
        use base64::prelude::BASE64_STANDARD;
        let other = self.client("another");
        let others_secret = BASE64_STANDARD.decode(&other).expect("base64");
        let others_secret =
            String::from_utf8(others_secret).expect("text").split_once(':').expect("a colon").1.to_owned();
        for (number, endpoint) in ENDPOINTS.into_iter().enumerate() {
            // A client of its own for each: failed attempts are limited, and must not be what closes the next door.
            let id = format!("victim-{number}");
            let client = self.client(&id);
            let given = self.given(&client).await;
            let access = given.text("access_token");
            let basic = |secret: &str| Some(BASE64_STANDARD.encode(format!("{id}:{secret}")));
            let unknown = Some(BASE64_STANDARD.encode(format!("nobody-{number}:{others_secret}")));
            for (name, credential) in [
                ("no credential", None),
                ("no secret", basic("")),
                ("another client's secret", basic(&others_secret)),
                ("its own access token as the secret", basic(&access)),
                ("an unknown client", unknown),
            ] {
                let answer = self.ask(endpoint, credential.as_deref(), &given, &[]).await;
                self.refused(name, endpoint, &answer, &["invalid_client", "unauthorized", "invalid_request"]);
            }
            assert!(self.is_active(&client, &access).await, "{endpoint} ended it");
        }
    }

    async fn with_tokens_that_are_not_good(&mut self) {
        let client = self.client("holder");
        let given = self.given(&client).await;
        let revoked = self.given(&client).await.text("access_token");
        self.issuer.post("/oauth/revoke", Some(&client), &[("token", &revoked)]).await;
        let spent = self.given(&client).await.text("refresh_token");
        self.issuer
            .post("/oauth/token", Some(&client), &[("grant_type", "refresh_token"), ("refresh_token", &spent)])
            .await;
        let mut tokens: Vec<(&str, String)> =
            self.issuer.bad_tokens().iter().map(|(what, token)| (*what, token.expose().to_owned())).collect();
        // Signed with the service's very key, and never given by it.
        let forged = self.issuer.token("holder", &["sync.read"], &["a.*"]);
        tokens.push(("a token that it never gave, with its own signature", forged.expose().into()));
        tokens.push(("a revoked token", revoked));
        tokens.push(("a spent refresh token", spent));
        for (name, token) in tokens {
            let answer = self.ask("exchange", Some(&client), &given, &[("subject_token", &token)]).await;
            self.refused(name, "exchange", &answer, &["invalid_grant", "invalid_request"]);
            let answer = self.ask("refresh", Some(&client), &given, &[("refresh_token", &token)]).await;
            self.refused(name, "refresh", &answer, &["invalid_grant", "invalid_request"]);
            assert!(!self.is_active(&client, &token).await, "{name}");
            self.note(name, "introspect", "200 not active".into());
        }
        let theirs = self.client("neighbour");
        let stolen = self.given(&theirs).await;
        let name = "another client's tokens";
        let answer = self.ask("refresh", Some(&client), &stolen, &[]).await;
        self.refused(name, "refresh", &answer, &["invalid_grant"]);
        assert!(!self.is_active(&client, &stolen.text("access_token")).await, "another's token was told of");
        self.note(name, "introspect", "200 not active".into());
        let answer = self.ask("revoke", Some(&client), &stolen, &[]).await;
        assert!(self.is_active(&theirs, &stolen.text("access_token")).await, "another's token was ended: {answer:?}");
        self.note(name, "revoke", "no effect".into());
    }

    async fn with_refresh_tokens_that_are_not_good(&mut self) {
        let client = self.client("family");
        let first = self.given(&client).await;
        let second = self.ask("refresh", Some(&client), &first, &[]).await;
        assert_eq!(second.status, 200, "{second:?}");
        let again = self.ask("refresh", Some(&client), &first, &[]).await;
        self.refused("a refresh token for the second time", "refresh", &again, &["invalid_grant"]);
        let name = "what came of a family whose spent token was shown";
        let answer = self.ask("refresh", Some(&client), &second, &[]).await;
        self.refused(name, "refresh", &answer, &["invalid_grant"]);
        let answer = self.ask("exchange", Some(&client), &second, &[]).await;
        self.refused(name, "exchange", &answer, &["invalid_grant"]);
        assert!(!self.is_active(&client, &second.text("access_token")).await);
        self.note(name, "introspect", "200 not active".into());
    }

    async fn asking_for_more(&mut self) {
        let client = self.client("modest");
        let streams = ["*", "a", "ab.*", "A.*", "a*", "a.x.", "a..x", "a.%78", "a%2Ex", "a.* b", "a.x' OR '1'='1"];
        let mut asks: Vec<(String, (&str, &str))> = vec![
            ("more scopes".into(), ("scope", "sync.read sync.snapshot")),
            ("a scope in capitals".into(), ("scope", "SYNC.READ")),
            ("a scope that does not exist".into(), ("scope", "sync.*")),
        ];
        asks.extend(streams.map(|stream| (format!("streams `{stream}`"), ("oa_sync_streams", stream))));
        for (name, ask) in &asks {
            for endpoint in ["token", "refresh", "exchange"] {
                let given = self.given(&client).await;
                let answer = self.ask(endpoint, Some(&client), &given, &[*ask]).await;
                self.refused(name, endpoint, &answer, &["invalid_scope", "invalid_request"]);
            }
            let body = match *ask {
                ("scope", scopes) => json!({"scopes": scopes.split(' ').collect::<Vec<_>>()}),
                (_, stream) => json!({"streams": [stream]}),
            };
            let answer = self.mint(Some(&client), &body).await;
            self.refused(name, "mint", &answer, &["invalid_scope", "invalid_request"]);
        }
        let name = "another's name as the subject";
        let given = self.given(&client).await;
        for endpoint in ["token", "exchange"] {
            let answer = self.ask(endpoint, Some(&client), &given, &[("subject", "holder")]).await;
            self.refused(name, endpoint, &answer, &["unauthorized_client", "invalid_request"]);
        }
        let narrow = self.ask("exchange", Some(&client), &given, &[("oa_sync_streams", "a.x")]).await;
        assert_eq!(narrow.status, 200, "{narrow:?}");
        let narrow = narrow.text("access_token");
        for wider in ["a.*", "a.y", "*"] {
            let more = [("subject_token", narrow.as_str()), ("oa_sync_streams", wider)];
            let answer = self.ask("exchange", Some(&client), &given, &more).await;
            self.refused(
                &format!("a token narrowed to `a.x` widened to `{wider}`"),
                "exchange",
                &answer,
                &["invalid_scope"],
            );
        }
    }

    /// A good credential and a good token come through each of them, or what was refused above proves nothing.
    async fn what_is_right(&self) {
        let client = self.client("good");
        for endpoint in ["token", "introspect", "exchange", "refresh", "mint", "revoke"] {
            let given = self.given(&client).await;
            let answer = self.ask(endpoint, Some(&client), &given, &[]).await;
            assert_eq!(answer.status, 200, "{endpoint}: {answer:?}");
            let token = match endpoint {
                "mint" => Some(answer.text("token")),
                "introspect" => {
                    assert_eq!(answer.json["active"], true, "{answer:?}");
                    None
                }
                "revoke" => {
                    assert!(!self.is_active(&client, &given.text("access_token")).await, "{answer:?}");
                    None
                }
                _ => Some(answer.text("access_token")),
            };
            if let Some(token) = token {
                assert!(self.is_active(&client, Token::new(token).expect("a token").expose()).await, "{endpoint}");
            }
        }
    }
}
