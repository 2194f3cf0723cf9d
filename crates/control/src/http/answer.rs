//! What every refusal looks like: OAuth's JSON (RFC 6749 section 5.2), never cached.
//!
//! What always holds: an answer repeats nothing of what was sent, so no secret comes back, and its text has only the
//! characters that RFC 6749 allows.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use muster_contract::Code;
use serde::Serialize;

use crate::compat::{Incompatible, SupportWindow};
use crate::grant::GrantError;
use crate::issue::IssueError;
use crate::store::StoreError;

/// A refusal.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    status: StatusCode,
    error: &'static str,
    description: String,
    code: Code,
    retry_after_s: Option<u64>,
    window: Option<Box<SupportWindow>>,
}

/// Goes with a refusal's answer: what it is counted by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused(pub(crate) Code);

#[derive(Serialize)]
struct Body<'a> {
    error: &'a str,
    error_description: &'a str,
    /// The contract's code, beside OAuth's word.
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<&'a SupportWindow>,
}

impl Refusal {
    fn new(status: StatusCode, error: &'static str, code: Code, description: impl Into<String>) -> Refusal {
        // RFC 6749 section 5.2: %x20-21 / %x23-5B / %x5D-7E.
        let allowed = |c: char| matches!(c, ' '..='~') && c != '"' && c != '\\';
        let description = description.into().chars().map(|c| if allowed(c) { c } else { '?' }).collect();
        Refusal { status, error, description, code, retry_after_s: None, window: None }
    }

    /// The request itself is wrong.
    pub(crate) fn invalid_request(description: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, "invalid_request", Code::InvalidRequest, description)
    }

    /// Who asks is not who they say, or nobody we know. One answer for both.
    pub(crate) fn invalid_client() -> Refusal {
        let description = "client authentication failed; check the client id and its secret or key";
        Refusal::new(StatusCode::UNAUTHORIZED, "invalid_client", Code::Unauthorized, description)
    }

    /// A bearer token that is not good (RFC 6750 section 3.1).
    pub(crate) fn invalid_token() -> Refusal {
        let description = "the access token is not good; get a new one";
        Refusal::new(StatusCode::UNAUTHORIZED, "invalid_token", Code::Unauthorized, description)
    }

    /// The proof of the grant is not good.
    pub(crate) fn invalid_grant(description: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, "invalid_grant", Code::Unauthorized, description)
    }

    /// The client may not do this.
    pub(crate) fn unauthorized_client(description: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, "unauthorized_client", Code::Unauthorized, description)
    }

    /// No such grant type.
    pub(crate) fn unsupported_grant_type() -> Refusal {
        let description = "the grant types are client_credentials, refresh_token and token exchange";
        Refusal::new(StatusCode::BAD_REQUEST, "unsupported_grant_type", Code::InvalidRequest, description)
    }

    /// Another audience than the lane's (RFC 8693 section 2.2.2).
    pub(crate) fn invalid_target() -> Refusal {
        let description = "tokens are for this lane's audience alone; leave resource and audience out";
        Refusal::new(StatusCode::BAD_REQUEST, "invalid_target", Code::Unauthorized, description)
    }

    /// Too many requests.
    pub(crate) fn rate_limited(retry_after_s: u64) -> Refusal {
        let description = "too many requests; wait as long as Retry-After says";
        let refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", Code::RateLimited, description);
        Refusal { retry_after_s: Some(retry_after_s), ..refusal }
    }

    /// Too much to do at the moment.
    pub(crate) fn busy() -> Refusal {
        let description = "the service is busy; try again";
        let refusal =
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", Code::RateLimited, description);
        Refusal { retry_after_s: Some(1), ..refusal }
    }

    /// A body that is too long, or did not come.
    pub(crate) fn body(status: StatusCode) -> Refusal {
        let description = "the body is too long, or did not come in time; send one of at most 32 KiB";
        Refusal::new(status, "invalid_request", Code::InvalidRequest, description)
    }

    /// Nothing is here.
    pub(crate) fn not_found() -> Refusal {
        let description = "nothing is here; /.well-known/openid-configuration lists what is";
        Refusal::new(StatusCode::NOT_FOUND, "invalid_request", Code::InvalidRequest, description)
    }

    /// Not this method.
    pub(crate) fn method_not_allowed() -> Refusal {
        let description = "this address does not take this method";
        Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "invalid_request", Code::InvalidRequest, description)
    }

    /// The service failed. What happened is in its log.
    pub(crate) fn internal() -> Refusal {
        let description = "the token service failed; its log says why, and trying again is safe";
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", Code::Internal, description)
    }

    /// A client that the lane does not serve.
    pub(crate) fn incompatible(reason: Incompatible, window: &SupportWindow) -> Refusal {
        match reason {
            Incompatible::Malformed(header) => Refusal::invalid_request(format!(
                "the header {header} is missing or malformed; send it as the client's own"
            )),
            Incompatible::Outside(code) => {
                let refusal = Refusal::new(StatusCode::UPGRADE_REQUIRED, code.as_str(), code, code.remedy());
                Refusal { window: Some(window.clone().into()), ..refusal }
            }
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Refusal {
        tracing::error!(%error, "the store failed");
        Refusal::internal()
    }
}

impl From<IssueError> for Refusal {
    fn from(error: IssueError) -> Refusal {
        let description = error.to_string();
        match error {
            IssueError::Store(error) => error.into(),
            IssueError::Grant(grant) => {
                let code = match grant {
                    GrantError::StreamNotGranted => Code::ForbiddenStream,
                    GrantError::UnknownScope | GrantError::BadPattern | GrantError::TooManyPatterns => {
                        Code::InvalidRequest
                    }
                    GrantError::ScopeNotGranted(_) | GrantError::Nothing => Code::Unauthorized,
                };
                Refusal::new(StatusCode::BAD_REQUEST, "invalid_scope", code, description)
            }
            IssueError::InvalidGrant(_) => Refusal::invalid_grant(description),
            IssueError::Unauthorized(_) => Refusal::unauthorized_client(description),
            IssueError::Invalid(_) => Refusal::invalid_request(description),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = Body {
            error: self.error,
            error_description: &self.description,
            code: self.code.as_str(),
            window: self.window.as_deref(),
        };
        let mut response = (self.status, Json(body)).into_response();
        response.extensions_mut().insert(Refused(self.code));
        let headers = response.headers_mut();
        no_store(headers);
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = if self.error == "invalid_token" {
                "Bearer error=\"invalid_token\""
            } else {
                "Basic realm=\"muster control\""
            };
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
        }
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if let Some(window) = &self.window {
            // RFC 9110 section 15.5.22: a 426 names what to upgrade to.
            if let Ok(protocol) = HeaderValue::from_str(&window.protocol_id) {
                headers.insert(header::UPGRADE, protocol);
                headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            }
        }
        response
    }
}

/// RFC 6749 section 5.1: nothing here may be kept by a cache.
pub(crate) fn no_store(headers: &mut http::HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
}
