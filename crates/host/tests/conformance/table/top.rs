//! Top-level routes, and what holds for all.

use http::Method;

use super::World;
use super::ask::{Ask, Who, ask, get, post};
use super::page::Page;

pub(super) async fn rows(world: &World, page: &Page) {
    page.section("Authorization and top level", "<https://spacetimedb.com/docs/http/authorization>");
    let empty = |it: &super::ask::Answer| it.status(200) && it.body.is_empty();
    ask(world, page, get("/v1/ping"), "200, no data", empty).await;
    ask(world, page, get("/v1/ping").by(Who::Owner), "200, no data", empty).await;
    let promise = "401 (the pages are silent on a bad token here)";
    ask(world, page, get("/v1/ping").by(Who::Forger), promise, |it| it.status(401)).await;
    let note =
        "401 instead, unless the host was told to trust the issuer: else a token could make it fetch any address";
    let foreign = get("/v1/ping").by(Who::Foreigner).note(note);
    let promise = "200: an identity derives from `iss` and `sub` of any OpenID Connect token";
    ask(world, page, foreign, promise, |it| it.status(200)).await;
    let basic = get("/v1/ping").header("authorization", "Basic dG9rZW46c2VjcmV0");
    ask(world, page, basic, "400: headers are of the form `Authorization: Bearer ${token}`", |it| it.status(400)).await;
    let two = get("/v1/ping?token=one&token=two");
    ask(world, page, two, "400: two tokens (the pages are silent)", |it| it.status(400)).await;
    ask(world, page, post("/v1/ping"), "405 (the pages are silent)", |it| it.status(405)).await;
    ask(world, page, get("/v1/health"), "200, JSON (the pages are silent)", |it| {
        it.with(200, "\"version\":\"2.14.0\"")
    })
    .await;
    let metrics = get("/v1/metrics");
    ask(world, page, metrics, "200, Prometheus text (the pages are silent)", |it| it.with(200, "# TYPE")).await;
    ask(world, page, get("/v1/absent"), "404 (the pages are silent)", |it| it.status(404)).await;
    ask(world, page, get("/"), "404 (the pages are silent)", |it| it.status(404)).await;
    cors(world, page).await;
}

async fn cors(world: &World, page: &Page) {
    let preflight = Ask::new(Method::OPTIONS, "/v1/database/features/sql")
        .header("origin", "https://app.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization")
        .showing("access-control-allow-origin")
        .showing("access-control-allow-headers");
    let promise = "200: any origin, and the headers `authorization`, `accept`, `content-type` (the pages are silent)";
    ask(world, page, preflight, promise, |it| {
        it.header("access-control-allow-origin") == Some("*")
            && it.header("access-control-allow-headers") == Some("authorization,accept,content-type")
    })
    .await;
    let note = "the host answers every `OPTIONS` itself, as a preflight: a module's handler does not hear of it";
    let module = Ask::new(Method::OPTIONS, "/v1/database/features/route/echo").note(note);
    let promise = "200, what the module's handler for any method says (the pages are silent)";
    ask(world, page, module, promise, |it| it.with(200, "OPTIONS")).await;
    let simple = get("/v1/database/features")
        .header("origin", "https://app.example")
        .showing("access-control-allow-origin")
        .showing("access-control-expose-headers");
    let promise = "200: any origin may read the answer, and which identity it was given (the pages are silent)";
    ask(world, page, simple, promise, |it| {
        it.header("access-control-allow-origin") == Some("*") && it.header("access-control-expose-headers") == Some("*")
    })
    .await;
}
