//! `call`, `schema`, `sql`, `logs` and `route`.

use super::World;
use super::ask::{Answer, Who, ask, get, post, send};
use super::page::Page;

pub(super) async fn rows(world: &World, page: &Page) {
    call(world, page).await;
    schema(world, page).await;
    super::sql::rows(world, page).await;
    logs(world, page).await;
    routes(world, page).await;
}

async fn call(world: &World, page: &Page) {
    page.section(
        "`POST /v1/database/:name_or_identity/call/:reducer`",
        "A call is made for the identity of its token; without one, for a new identity, which the answer's headers name.",
    );
    let url = |function: &str| format!("/v1/database/features/call/{function}");
    let promise = "200, no data (the pages are silent on the answer)";
    let headers = |it: &Answer| it.header("spacetime-identity").is_some();
    let ok = post(url("add_task")).by(Who::Owner).json("[\"one\"]");
    ask(world, page, ok, promise, |it| it.status(200) && it.body.is_empty()).await;
    let anonymous =
        post(url("add_task")).json("[\"two\"]").showing("spacetime-identity").showing("spacetime-identity-token");
    ask(world, page, anonymous, "200: treated as anonymous", |it| it.status(200) && headers(it)).await;
    let forged = post(url("add_task")).by(Who::Forger).json("[\"x\"]");
    ask(world, page, forged, "401", |it| it.status(401)).await;
    let by_name = post(url("add_task"))
        .by(Who::Owner)
        .json("{\"title\": \"three\"}")
        .note("not refused: the engine also reads arguments by their names");
    ask(world, page, by_name, "400: \"a JSON array of arguments\"", |it| it.status(400)).await;
    let procedure = post(url("add_up")).json("[40, 2]");
    ask(world, page, procedure, "200, the procedure's value as JSON", |it| it.with(200, "42")).await;
    for (function, args, promise, code) in [
        ("add_up", "[40]", "400: too few arguments for the procedure", 400),
        ("add_up", "[40, \"two\"]", "400: an argument of another type for the procedure", 400),
        ("add_task?confirmed=false", "[\"four\"]", "200, without waiting for the disk (the pages are silent)", 200),
        ("add_task?confirmed=maybe", "[\"five\"]", "400 (the pages are silent)", 400),
    ] {
        ask(world, page, post(url(function)).json(args), promise, |it| it.status(code)).await;
    }
    let identity = send(world, &get("/v1/database/features/identity")).await.body;
    let by_identity = post(format!("/v1/database/{identity}/call/add_up")).json("[1, 1]");
    ask(world, page, by_identity, "200, the same by identity", |it| it.with(200, "2")).await;
    let refused = post(url("announce_and_fail")).json("[1, \"x\"]");
    ask(world, page, refused, "530, the reducer's error (the pages are silent)", |it| it.with(530, "nothing happened"))
        .await;
    let panicked = post(url("panic_on_purpose")).json("[]");
    ask(world, page, panicked, "500 (the pages are silent)", |it| it.status(500)).await;
    for (function, args, promise, code) in [
        ("absent", "[]", "404: no such reducer or procedure", 404),
        ("add_task", "[]", "400: too few arguments", 400),
        ("add_task", "[1]", "400: an argument of another type", 400),
        ("add_task", "[\"a\", \"b\"]", "400: too many arguments", 400),
        ("add_task", "[\"open", "400: no JSON", 400),
        ("init", "[]", "400: the host calls lifecycle reducers, clients do not", 400),
    ] {
        ask(world, page, post(url(function)).json(args), promise, |it| it.status(code)).await;
    }
    let binary = post(url("add_task")).header("content-type", "application/json");
    let binary = binary.body(vec![b'[', b'"', 0xff, b'"', b']'], "a text that is no UTF-8");
    ask(world, page, binary, "400", |it| it.status(400)).await;
    let untyped = post(url("add_task")).text("[\"x\"]");
    ask(world, page, untyped, "415 without `content-type: application/json`", |it| it.status(415)).await;
    ask(world, page, get(url("add_task")), "405", |it| it.status(405)).await;
    let elsewhere = post("/v1/database/absent/call/x").json("[]");
    ask(world, page, elsewhere, "404", |it| it.status(404)).await;
}

async fn schema(world: &World, page: &Page) {
    page.section("`GET /v1/database/:name_or_identity/schema`", "");
    let url = |rest: &str| format!("/v1/database/notes/schema{rest}");
    let is_9 = |it: &Answer| it.with(200, "\"typespace\"") && it.body.contains("\"tables\":[{\"name\":\"comment\"");
    ask(world, page, get(url("?version=9")), "200, a `RawModuleDef` of version 9 as JSON", is_9).await;
    let echoed =
        get(url("?version=9")).by(Who::Owner).showing("spacetime-identity").showing("spacetime-identity-token");
    let promise = "200, with the headers `spacetime-identity` and `spacetime-identity-token` echoing the caller's";
    let (identity, token) = (world.owner_identity.clone(), world.owner.clone());
    ask(world, page, echoed, promise, |it| {
        it.header("spacetime-identity") == Some(&identity) && it.header("spacetime-identity-token") == Some(&token)
    })
    .await;
    let promise = "200, a `RawModuleDef` of version 10 as JSON (the page names 9 as an example)";
    ask(world, page, get(url("?version=10")), promise, |it| it.with(200, "\"sections\"")).await;
    let anonymous = get(url("?version=10")).showing("spacetime-identity").showing("spacetime-identity-token");
    let promise = "200: without a token, a new anonymous identity is allocated, which the headers name";
    let owner = world.owner_identity.clone();
    ask(world, page, anonymous, promise, |it| it.header("spacetime-identity").is_some_and(|it| it != owner)).await;
    let identity = send(world, &get("/v1/database/notes/identity")).await.body;
    let by_identity = get(format!("/v1/database/{identity}/schema?version=9"));
    ask(world, page, by_identity, "200, the same by identity", is_9).await;
    let fields = ["typespace", "tables", "reducers", "types", "misc_exports", "row_level_security"];
    let promise = "200, with `typespace`, `tables`, `reducers`, `types`, `misc_exports`, `row_level_security`";
    ask(world, page, get("/v1/database/features/schema?version=9"), promise, |it| {
        let schema: serde_json::Value = serde_json::from_str(&it.body).unwrap_or_default();
        it.status(200)
            && fields.iter().all(|field| {
                schema.get(field).is_some_and(serde_json::Value::is_array)
                    || *field == "typespace" && schema.get(field).is_some()
            })
    })
    .await;
    ask(world, page, get(url("?version=9")).by(Who::Forger), "401", |it| it.status(401)).await;
    ask(world, page, get(url("?version=nine")), "400", |it| it.status(400)).await;
    ask(world, page, post(url("?version=9")), "405", |it| it.status(405)).await;
    ask(world, page, get(url("?version=8")), "400", |it| it.status(400)).await;
    ask(world, page, get(url("")), "400: the version is required", |it| it.status(400)).await;
    ask(world, page, get("/v1/database/absent/schema?version=9"), "404", |it| it.status(404)).await;
}

async fn logs(world: &World, page: &Page) {
    page.section("`GET /v1/database/:name_or_identity/logs`", "");
    let url = |rest: &str| format!("/v1/database/notes/logs{rest}");
    let noted = post("/v1/database/features/call/log_at_every_level").by(Who::Owner).json("[\"said\"]");
    send(world, &noted).await;
    let few = get("/v1/database/features/logs?num_lines=1").by(Who::Owner).showing("content-type");
    ask(world, page, few, "200, text: that many of the newest lines", |it| {
        it.with(200, "said") && it.body.lines().count() == 1
    })
    .await;
    let all = get("/v1/database/features/logs").by(Who::Owner);
    let promise = "200, text, from the first line";
    ask(world, page, all, promise, |it| it.status(200) && it.body.lines().count() > 5).await;
    let follow = get("/v1/database/features/logs?num_lines=1&follow=true").by(Who::Owner);
    ask(world, page, follow, "200, streaming text", |it| it.with(200, "said")).await;
    ask(world, page, get(url("")), "rejected: treated as anonymous", |it| it.status(403)).await;
    ask(world, page, get(url("")).by(Who::Stranger), "rejected: logs are the owner's", |it| it.status(403)).await;
    ask(world, page, get(url("")).by(Who::Forger), "401", |it| it.status(401)).await;
    let none = get("/v1/database/features/logs?num_lines=0").by(Who::Owner);
    ask(world, page, none, "200, no lines", |it| it.status(200) && it.body.is_empty()).await;
    let not_followed = get("/v1/database/features/logs?num_lines=1&follow=false").by(Who::Owner);
    ask(world, page, not_followed, "200, text that ends", |it| it.with(200, "said")).await;
    let identity = send(world, &get("/v1/database/features/identity")).await.body;
    let by_identity = get(format!("/v1/database/{identity}/logs?num_lines=1")).by(Who::Owner);
    ask(world, page, by_identity, "200, the same by identity", |it| it.with(200, "said")).await;
    for query in ["?num_lines=many", "?num_lines=-1", "?follow=perhaps"] {
        ask(world, page, get(url(query)).by(Who::Owner), "400", |it| it.status(400)).await;
    }
    ask(world, page, post(url("")).by(Who::Owner), "405", |it| it.status(405)).await;
    ask(world, page, get("/v1/database/absent/logs").by(Who::Owner), "404", |it| it.status(404)).await;
}

async fn routes(world: &World, page: &Page) {
    page.section(
        "`ANY /v1/database/:name_or_identity/route/{*path}`",
        "The module `features` routes `/hello`, `/echo` (any method), `/ledger/book` (POST) and the root. \
         <https://spacetimedb.com/docs/functions/http-handlers>",
    );
    let url = |rest: &str| format!("/v1/database/features/route{rest}");
    ask(world, page, get(url("/hello")), "200, the handler's body", |it| it.with(200, "hello")).await;
    ask(world, page, get(url("")), "200: the root route", |it| it.with(200, "hello")).await;
    let echo = post(url("/echo?a=b")).header("x-test", "seen").text("body");
    let promise = "200: the handler gets method, path, headers and body";
    ask(world, page, echo, promise, |it| it.with(200, "seen") && it.body.contains("body")).await;
    let booked = post(url("/ledger/book")).text("5").showing("x-booked");
    ask(world, page, booked, "the handler's status and headers", |it| {
        it.status(201) && it.header("x-booked") == Some("yes")
    })
    .await;
    let refused = post(url("/ledger/book")).text("five");
    ask(world, page, refused, "400, as the handler says", |it| it.with(400, "whole number")).await;
    ask(world, page, get(url("/hello/")), "404: routing is strict, a trailing slash counts", |it| it.status(404)).await;
    ask(world, page, post(url("/hello")), "404 or 405: no such method on this route", |it| {
        [404, 405].contains(&it.code)
    })
    .await;
    ask(world, page, get(url("/absent")), "404", |it| it.status(404)).await;
    let crash = get(url("/crash"));
    ask(world, page, crash, "500: the handler panics", |it| it.status(500)).await;
    let none = get("/v1/database/notes/route/hello");
    ask(world, page, none, "404: a module without routes", |it| it.status(404)).await;
}
