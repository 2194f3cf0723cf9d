//! One HTTP request of the table, and its answer.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::{HeaderMap, Method};

use super::World;
use super::mask::{mask, mask_words_of_url};
use super::page::{Page, Row, code};
use crate::support::soon;

/// Whose token a request carries.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// None.
    Nobody,
    /// The databases' owner.
    Owner,
    /// Somebody else.
    Stranger,
    /// One that nobody signed.
    Forger,
    /// One of an issuer elsewhere, which the host was not told to trust.
    Foreigner,
}

/// A request to be sent, in words and in fact.
pub(super) struct Ask {
    method: Method,
    path: String,
    who: Who,
    token: Option<(String, String)>,
    headers: Vec<(&'static str, &'static str)>,
    body: Option<(Vec<u8>, String)>,
    shown: Vec<&'static str>,
    note: String,
}

pub(super) fn get(path: impl Into<String>) -> Ask {
    Ask::new(Method::GET, path)
}

pub(super) fn post(path: impl Into<String>) -> Ask {
    Ask::new(Method::POST, path)
}

pub(super) fn put(path: impl Into<String>) -> Ask {
    Ask::new(Method::PUT, path)
}

pub(super) fn delete(path: impl Into<String>) -> Ask {
    Ask::new(Method::DELETE, path)
}

impl Ask {
    pub(super) fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            who: Who::Nobody,
            token: None,
            headers: vec![],
            body: None,
            shown: vec![],
            note: String::new(),
        }
    }

    pub(super) fn by(mut self, who: Who) -> Self {
        self.who = who;
        self
    }

    pub(super) fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }

    /// A token that is described instead of shown.
    pub(super) fn bearer(mut self, token: &str, described: &str) -> Self {
        self.token = Some((token.into(), described.into()));
        self
    }

    /// A body that is described instead of shown.
    pub(super) fn body(mut self, body: impl Into<Vec<u8>>, described: &str) -> Self {
        self.body = Some((body.into(), described.into()));
        self
    }

    /// A body that is shown.
    pub(super) fn text(self, body: &str) -> Self {
        let shown = code(body);
        self.body(body, &shown)
    }

    /// JSON, said to be JSON.
    pub(super) fn json(self, body: &str) -> Self {
        self.header("content-type", "application/json").text(body)
    }

    /// Shows this header of the answer.
    pub(super) fn showing(mut self, header: &'static str) -> Self {
        self.shown.push(header);
        self
    }

    /// Why the promise is not kept, or what a reader should know.
    pub(super) fn note(mut self, note: &str) -> Self {
        self.note = note.into();
        self
    }

    fn words(&self) -> String {
        let mut words = code(&format!("{} {}", self.method, mask_words_of_url(&self.path)));
        match self.who {
            Who::Nobody => {}
            Who::Owner => words.push_str(", the owner's token"),
            Who::Stranger => words.push_str(", another's token"),
            Who::Forger => words.push_str(", a token that nobody signed"),
            Who::Foreigner => words.push_str(", a token of `https://issuer.example`"),
        }
        if let Some((_, described)) = &self.token {
            words.push_str(&format!(", {described}"));
        }
        for (name, value) in &self.headers {
            words.push_str(&format!(", {}", code(&format!("{name}: {value}"))));
        }
        if let Some((_, described)) = &self.body {
            words.push_str(&format!("; {described}"));
        }
        words
    }
}

/// What came back.
pub(super) struct Answer {
    pub(super) code: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn status(&self, code: u16) -> bool {
        self.code == code
    }

    /// The status, and a body that has this in it.
    pub(super) fn with(&self, code: u16, part: &str) -> bool {
        self.code == code && self.body.contains(part)
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn words(&self, shown: &[&str]) -> String {
        let mut words = self.code.to_string();
        for name in shown {
            words.push_str(&match self.header(name) {
                Some(value) => format!(", {}", code(&format!("{name}: {}", mask(value)))),
                None => format!(", no `{name}`"),
            });
        }
        if !self.body.is_empty() {
            words.push_str(&format!(" {}", code(&mask(&self.body))));
        }
        words
    }
}

/// Sends a request and adds its row to the page; `kept` judges what came.
pub(super) async fn ask(
    world: &World,
    page: &Page,
    ask: Ask,
    promised: &str,
    kept: impl FnOnce(&Answer) -> bool,
) -> Answer {
    let sent = ask.words();
    let answer = send(world, &ask).await;
    let came = answer.words(&ask.shown);
    page.add(Row { sent, promised: promised.into(), came, kept: kept(&answer), note: ask.note });
    answer
}

/// Sends a request.
pub(super) async fn send(world: &World, ask: &Ask) -> Answer {
    let mut request = world.http.request(ask.method.clone(), format!("{}{}", world.host.url(), ask.path));
    request = match ask.who {
        Who::Nobody => request,
        Who::Owner => request.bearer_auth(&world.owner),
        Who::Stranger => request.bearer_auth(&world.stranger),
        Who::Forger => request.bearer_auth(forged(&world.owner)),
        Who::Foreigner => request.bearer_auth(foreign()),
    };
    if let Some((token, _)) = &ask.token {
        request = request.bearer_auth(token);
    }
    for (name, value) in &ask.headers {
        request = request.header(*name, *value);
    }
    if let Some((body, _)) = &ask.body {
        request = request.body(body.clone());
    }
    let mut response = soon(&ask.path, request.send()).await.unwrap();
    let (code, headers) = (response.status().as_u16(), response.headers().clone());
    let mut body = Vec::new();
    // A log that is followed does not end; one piece of it is enough.
    let endless = ask.path.contains("follow=true");
    while let Some(chunk) = soon(&ask.path, response.chunk()).await.unwrap() {
        body.extend_from_slice(&chunk);
        if endless && code == 200 {
            break;
        }
    }
    Answer { code, headers, body: String::from_utf8_lossy(&body).into_owned() }
}

/// A token whose signature is another's.
fn forged(token: &str) -> String {
    let (signed, _) = token.rsplit_once('.').unwrap();
    format!("{signed}.{}", "A".repeat(86))
}

/// A token of another issuer.
fn foreign() -> String {
    let part = |json: &str| BASE64_URL_SAFE_NO_PAD.encode(json);
    let header = part(r#"{"alg":"ES256","typ":"JWT"}"#);
    let claims = part(r#"{"iss":"https://issuer.example","sub":"somebody","iat":1,"exp":4102444800}"#);
    format!("{header}.{claims}.{}", "A".repeat(86))
}
