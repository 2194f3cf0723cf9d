//! The client: how requests are made and answers read, and the routes that are about nobody's database.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use reqwest::{Method, Response, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::Value;
use spacetimedb_lib::Identity;
use url::Url;

use super::{HttpError, json};
use crate::endpoint::Endpoint;
use crate::error::{NetworkError, quote};
use crate::limits::{HTTP_BODY_BYTES_MAX, HTTP_CONNECT_MS_MAX, HTTP_MS_MAX, ms};
use crate::network::{classify, directed};
use crate::tls;
use crate::token::Token;

/// Talks to one database on one host. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub struct HttpClient {
    pub(super) endpoint: Arc<Endpoint>,
    token: Option<Token>,
    client: reqwest::Client,
    pub(super) timeout: Duration,
}

/// A new identity, and the token that proves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedIdentity {
    /// The identity.
    pub identity: Identity,
    /// Its token: a secret. Whoever loses it loses the identity.
    pub token: Token,
}

/// An answer whose status is a success, read whole.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: header::HeaderMap,
    pub(super) body: Bytes,
}

impl HttpClient {
    /// A client for `endpoint`, as whoever `token` says, or anonymously: then every request that needs an identity gets
    /// a new one from the host.
    ///
    /// # Errors
    /// [`HttpError::Local`], if the HTTP library cannot start.
    pub fn new(endpoint: Endpoint, token: Option<Token>) -> Result<HttpClient, HttpError> {
        let client = directed(reqwest::Client::builder(), &endpoint)
            .tls_backend_preconfigured(tls::client_config(false))
            .connect_timeout(ms(HTTP_CONNECT_MS_MAX))
            // A redirect would carry the token to another place, and no route of the API has one.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("muster/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| HttpError::Local(quote(&error.to_string())))?;
        Ok(HttpClient { endpoint: Arc::new(endpoint), token, client, timeout: ms(HTTP_MS_MAX) })
    }

    /// The same with another limit for one whole request. Default: [`HTTP_MS_MAX`]. Following logs has none.
    pub fn with_timeout(mut self, timeout: Duration) -> HttpClient {
        self.timeout = timeout;
        self
    }

    /// Where it talks to.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The same with at least `timeout`, for what takes a host long; a limit that was chosen longer stays.
    pub(super) fn patient(&self, timeout: Duration) -> HttpClient {
        HttpClient { timeout: self.timeout.max(timeout), ..self.clone() }
    }

    /// Asks the health path and says how long the answer took.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn ping(&self) -> Result<Duration, HttpError> {
        let began = Instant::now();
        self.ask(Method::GET, self.endpoint.health_url(), None, "asking whether the host is up").await?;
        Ok(began.elapsed())
    }

    /// Has the host make up a new identity (`POST /v1/identity`).
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn create_identity(&self) -> Result<IssuedIdentity, HttpError> {
        let context = "making an identity";
        let answer = self.ask(Method::POST, self.endpoint.url(&["v1", "identity"]), None, context).await?;
        let body: Value = self.parse(&answer.body, context)?;
        let identity = json::identity(&body["identity"]).map_err(|reason| self.malformed(context, reason))?;
        Ok(IssuedIdentity { identity, token: self.token_in(&body, context)? })
    }

    /// Exchanges this client's token for a short-lived one (`POST /v1/identity/websocket-token`).
    ///
    /// # Errors
    /// [`HttpError`]; status 401 without a token.
    pub async fn websocket_token(&self) -> Result<Token, HttpError> {
        let context = "asking for a short-lived token";
        let url = self.endpoint.url(&["v1", "identity", "websocket-token"]);
        let answer = self.ask(Method::POST, url, None, context).await?;
        let body: Value = self.parse(&answer.body, context)?;
        self.token_in(&body, context)
    }

    fn token_in(&self, body: &Value, context: &str) -> Result<Token, HttpError> {
        let text = body["token"].as_str().ok_or_else(|| self.malformed(context, "there is no `token` in it"))?;
        Token::new(text).map_err(|error| self.malformed(context, error))
    }

    /// Makes a request and reads the whole answer, all within the limit. A status that is no success is an error.
    pub(super) async fn ask(
        &self,
        method: Method,
        url: Url,
        body: Option<(&'static str, Bytes)>,
        context: &str,
    ) -> Result<Answer, HttpError> {
        let answer = self.ask_any(method, url, body, context).await?;
        if answer.status.is_success() { Ok(answer) } else { Err(self.refused(&answer, context)) }
    }

    /// The same, for those to whom every status is an answer.
    pub(super) async fn ask_any(
        &self,
        method: Method,
        url: Url,
        body: Option<(&'static str, Bytes)>,
        context: &str,
    ) -> Result<Answer, HttpError> {
        let whole = async {
            let response = self.send(method, url, body).await?;
            self.read(response, context).await
        };
        tokio::time::timeout(self.timeout, whole).await.unwrap_or_else(|_| Err(self.timed_out()))
    }

    /// Makes a request whose answer's body may have no end; only the wait for its head is limited.
    pub(super) async fn open(&self, method: Method, url: Url, context: &str) -> Result<Response, HttpError> {
        let response =
            tokio::time::timeout(self.timeout, self.send(method, url, None)).await.map_err(|_| self.timed_out())??;
        if response.status().is_success() {
            return Ok(response);
        }
        let answer = tokio::time::timeout(self.timeout, self.read(response, context));
        Err(self.refused(&answer.await.map_err(|_| self.timed_out())??, context))
    }

    async fn send(&self, method: Method, url: Url, body: Option<(&'static str, Bytes)>) -> Result<Response, HttpError> {
        let mut request = self.client.request(method, url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose());
        }
        if let Some((content_type, body)) = body {
            request = request.header(header::CONTENT_TYPE, content_type).body(body);
        }
        request.send().await.map_err(|error| self.network(&error))
    }

    async fn read(&self, mut response: Response, context: &str) -> Result<Answer, HttpError> {
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.network(&error))? {
            if body.len() + chunk.len() > HTTP_BODY_BYTES_MAX {
                return Err(HttpError::TooLarge { context: context.into(), bytes_max: HTTP_BODY_BYTES_MAX });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, headers, body: body.freeze() })
    }

    pub(super) fn parse<T: DeserializeOwned>(&self, body: &[u8], context: &str) -> Result<T, HttpError> {
        serde_json::from_slice(body).map_err(|error| self.malformed(context, error))
    }

    pub(super) fn network(&self, error: &reqwest::Error) -> HttpError {
        // Only connecting has a limit inside the library.
        HttpError::Network(classify(error, &self.endpoint.authority(), ms(HTTP_CONNECT_MS_MAX)))
    }

    pub(super) fn malformed(&self, context: &str, reason: impl ToString) -> HttpError {
        HttpError::Malformed {
            context: context.into(),
            authority: self.endpoint.authority(),
            reason: quote(&reason.to_string()),
        }
    }

    pub(super) fn refused(&self, answer: &Answer, context: &str) -> HttpError {
        HttpError::Status {
            context: context.into(),
            authority: self.endpoint.authority(),
            status: answer.status.as_u16(),
            said: quote(&String::from_utf8_lossy(&answer.body)),
        }
    }

    fn timed_out(&self) -> HttpError {
        NetworkError::Timeout { authority: self.endpoint.authority(), limit: self.timeout }.into()
    }
}
