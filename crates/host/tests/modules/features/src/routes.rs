//! HTTP handlers below `/v1/database/{database}/route`.

use spacetimedb::Table;
use spacetimedb::http::{Body, HandlerContext, Request, Response, Router, handler, router};

use crate::procedures::{Ledger, ledger};

/// A constant.
#[handler]
fn greeting(_ctx: &mut HandlerContext, _request: Request) -> Response {
    Response::new(Body::from_bytes("hello"))
}

/// Says back what it was asked: method, path with query, a header, and the body.
#[handler]
fn echo(_ctx: &mut HandlerContext, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let header = parts.headers.get("x-test").map_or("", |value| value.to_str().unwrap_or("not text"));
    let path = parts.uri.path_and_query().map_or("", |it| it.as_str());
    let said = format!("{} {path}\nx-test: {header}\n{}", parts.method, body.into_string_lossy());
    Response::new(Body::from_bytes(said))
}

/// Books the amount in the body.
#[handler]
fn book_over_http(ctx: &mut HandlerContext, request: Request) -> Response {
    let Ok(amount) = request.into_body().into_string_lossy().trim().parse::<i64>() else {
        return with_status(400, "the body must be a whole number");
    };
    let id = ctx.with_tx(|tx| tx.db.ledger().insert(Ledger { id: 0, amount }).id);
    let mut response = with_status(201, &id.to_string());
    response.headers_mut().insert("x-booked", "yes".parse().expect("a header value"));
    response
}

/// Panics.
#[handler]
fn crash(_ctx: &mut HandlerContext, _request: Request) -> Response {
    panic!("on purpose");
}

fn with_status(status: u16, body: &str) -> Response {
    let mut response = Response::new(Body::from_bytes(body.to_owned()));
    *response.status_mut() = status.try_into().expect("a status code");
    response
}

/// All routes.
#[router]
fn all() -> Router {
    let books = Router::new().post("/book", book_over_http);
    Router::new()
        .get("", greeting)
        .get("/hello", greeting)
        .any("/echo", echo)
        .get("/crash", crash)
        .nest("/ledger", books)
}
