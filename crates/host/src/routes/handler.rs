//! `/v1/database/{name_or_identity}/route/…`: what a module itself answers over HTTP, with any method (SpacetimeDB,
//! "HTTP Handlers").
//!
//! The path behind `route` must be one of the module's exactly, a slash at its end included. These routes belong to
//! clients that know nothing of SpacetimeDB, such as webhooks: an `Authorization` header is the module's to read and not
//! checked here, and each request has an identity of its own.

use axum::body::Body;
use axum::extract::{OriginalUri, Path, Request, State};
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use serde::Deserialize;
use spacetimedb::host::module_host::HttpHandlerCallError;
use spacetimedb_lib::http as st;

use crate::address::DatabaseAddress;
use crate::body;
use crate::http_error::{ApiError, without_backtrace};
use crate::state::AppState;

/// Headers that are about one connection (RFC 9110 section 7.6.1) or about how the body travels: ours to set.
const OURS: [HeaderName; 7] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

#[derive(Deserialize)]
pub(super) struct RoutePath {
    name_or_identity: String,
    path: String,
}

/// `…/route`.
pub(super) async fn root(
    state: State<AppState>,
    Path(name_or_identity): Path<String>,
    uri: OriginalUri,
    request: Request,
) -> Result<Response, ApiError> {
    handle(state, &name_or_identity, String::new(), uri, request).await
}

/// `…/route/`.
pub(super) async fn root_slash(
    state: State<AppState>,
    Path(name_or_identity): Path<String>,
    uri: OriginalUri,
    request: Request,
) -> Result<Response, ApiError> {
    handle(state, &name_or_identity, "/".into(), uri, request).await
}

/// `…/route/{*path}`.
pub(super) async fn below(
    state: State<AppState>,
    Path(RoutePath { name_or_identity, path }): Path<RoutePath>,
    uri: OriginalUri,
    request: Request,
) -> Result<Response, ApiError> {
    handle(state, &name_or_identity, format!("/{path}"), uri, request).await
}

async fn handle(
    State(state): State<AppState>,
    name_or_identity: &str,
    path: String,
    OriginalUri(uri): OriginalUri,
    request: Request,
) -> Result<Response, ApiError> {
    let identity = DatabaseAddress::parse(name_or_identity)?.resolve(&state)?;
    let module = state.engine.module(&state.find(identity)?).await?;
    let (parts, body) = request.into_parts();
    let method = method(&parts.method);
    let matched = module.info().module_def.match_http_route(&method, &path).map(|(id, ..)| id);
    let handler = matched.ok_or_else(no_such_route)?;
    let request = st::Request {
        method,
        uri: external_uri(state.scheme, &uri, &parts.headers),
        headers: parts
            .headers
            .iter()
            .map(|(name, value)| (Some(name.as_str().into()), value.as_bytes().into()))
            .collect(),
        timeout: None,
        version: version(parts.version),
    };
    let body = body::read(body, state.limits.call_bytes, state.limits.body_timeout).await?;
    let sender = state.auth.mint()?.connection_auth()?;
    match module.call_http_handler(sender, handler, request, body).await {
        Ok((head, body)) => answer(head, body),
        Err(HttpHandlerCallError::NoSuchHandler) => Err(no_such_route()),
        Err(HttpHandlerCallError::NoSuchModule(_)) => Err(ApiError::no_such_database()),
        Err(e @ HttpHandlerCallError::InternalError(_)) => {
            Err(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, without_backtrace(&e.to_string())))
        }
    }
}

/// 404, in the official server's words.
fn no_such_route() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "Database has not registered a handler for this route")
}

/// The answer as the module made it, without what is not the module's to say.
fn answer(head: st::Response, body: Bytes) -> Result<Response, ApiError> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(head.code)
        .ok()
        .filter(|status| !status.is_informational())
        .ok_or_else(|| ApiError::internal(format!("the module answered with the status {}", head.code)))?;
    for (name, value) in head.headers.into_iter() {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(ApiError::internal)?;
        let value = HeaderValue::from_bytes(&value).map_err(ApiError::internal)?;
        if !OURS.contains(&name) {
            response.headers_mut().append(name, value);
        }
    }
    Ok(response)
}

/// The whole URI as the client wrote it, also through a proxy that says so.
fn external_uri(scheme: &str, uri: &http::Uri, headers: &HeaderMap) -> String {
    if uri.scheme().is_some() && uri.authority().is_some() {
        return uri.to_string();
    }
    let first = |name: &str| {
        let value = headers.get(name)?.to_str().ok()?;
        value.split(',').next().map(str::trim).filter(|value| !value.is_empty())
    };
    let scheme = first("x-forwarded-proto").unwrap_or(scheme);
    let path = uri.path_and_query().map_or_else(|| uri.path(), |path| path.as_str());
    match first("x-forwarded-host").or_else(|| first(header::HOST.as_str())) {
        Some(authority) => format!("{scheme}://{authority}{path}"),
        None => uri.to_string(),
    }
}

fn method(method: &Method) -> st::Method {
    match *method {
        Method::GET => st::Method::Get,
        Method::HEAD => st::Method::Head,
        Method::POST => st::Method::Post,
        Method::PUT => st::Method::Put,
        Method::DELETE => st::Method::Delete,
        Method::CONNECT => st::Method::Connect,
        Method::OPTIONS => st::Method::Options,
        Method::TRACE => st::Method::Trace,
        Method::PATCH => st::Method::Patch,
        _ => st::Method::Extension(method.to_string()),
    }
}

fn version(version: Version) -> st::Version {
    match version {
        Version::HTTP_09 => st::Version::Http09,
        Version::HTTP_10 => st::Version::Http10,
        Version::HTTP_2 => st::Version::Http2,
        Version::HTTP_3 => st::Version::Http3,
        _ => st::Version::Http11,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handler_sees_the_uri_that_its_client_wrote() {
        let uri = "/v1/database/db/route/hook?a=b".parse().unwrap();
        let mut headers = HeaderMap::new();
        assert_eq!(external_uri("http", &uri, &headers), "/v1/database/db/route/hook?a=b");
        headers.insert("host", HeaderValue::from_static("127.0.0.1:3000"));
        assert_eq!(external_uri("http", &uri, &headers), "http://127.0.0.1:3000/v1/database/db/route/hook?a=b");
        headers.insert("x-forwarded-host", HeaderValue::from_static("hooks.example, inner"));
        headers.insert("x-forwarded-proto", HeaderValue::from_static("https"));
        assert_eq!(external_uri("http", &uri, &headers), "https://hooks.example/v1/database/db/route/hook?a=b");
    }

    #[test]
    fn a_module_cannot_break_the_connection_with_its_headers_or_its_status() {
        let headers = [("content-length", "7"), ("connection", "close"), ("x-own", "1"), ("x-own", "2")];
        let head = |code| st::Response {
            headers: headers.iter().map(|(name, value)| (Some((*name).into()), value.as_bytes().into())).collect(),
            version: st::Version::Http11,
            code,
        };
        let response = answer(head(418), Bytes::from_static(b"ab")).unwrap();
        assert_eq!(response.status().as_u16(), 418);
        assert_eq!(response.headers().len(), 2);
        assert_eq!(response.headers().get_all("x-own").iter().count(), 2);
        for code in [0, 101, 1000] {
            assert!(answer(head(code), Bytes::new()).is_err(), "{code}");
        }
    }
}
