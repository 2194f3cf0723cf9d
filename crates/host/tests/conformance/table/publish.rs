//! Publishing, updating, planning, resetting; and deleting, because it comes last.

use super::World;
use super::ask::{Answer, Who, ask, post, put, send};
use super::page::Page;
use crate::support::module;

pub(super) async fn rows(world: &World, page: &Page) {
    page.section(
        "`POST /v1/database` and `PUT /v1/database/:name_or_identity`: publishing",
        "`notes` holds a module of its owner's; `v1` and `v2` are two modules of the same tables, made with SpacetimeDB 1.12 \
         and 2.14.",
    );
    let (v1, v2) = (module("notes_v1"), module("notes_v2"));
    let created = |it: &Answer| it.with(200, "\"Success\"") && it.body.contains("\"op\":\"created\"");
    let nameless = post("/v1/database").by(Who::Owner).body(v1.clone(), "`v1`");
    ask(world, page, nameless, "200, `{\"Success\": {\"database_identity\", \"op\": \"created\"}}`", created).await;
    let theirs = post("/v1/database").body(v1.clone(), "`v1`").showing("spacetime-identity");
    let promise = "200: a new anonymous identity owns it, which the headers name";
    let owner = world.owner_identity.clone();
    ask(world, page, theirs, promise, |it| {
        created(it) && it.header("spacetime-identity").is_some_and(|it| it != owner)
    })
    .await;
    let anonymous = put("/v1/database/anonymous").body(v1.clone(), "`v1`").showing("spacetime-identity");
    let promise = "200: a new anonymous identity owns it";
    ask(world, page, anonymous, promise, |it| created(it) && it.header("spacetime-identity").is_some()).await;
    let named = put("/v1/database/moving").by(Who::Owner).body(v1.clone(), "`v1`");
    let promise = "200, `{\"Success\": {\"domain\", \"database_identity\", \"op\": \"created\"}}`";
    ask(world, page, named, promise, |it| created(it) && it.body.contains("\"domain\":\"moving\"")).await;
    let fresh = put("/v1/database/fresh?clear=true").by(Who::Owner).body(v1.clone(), "`v1`");
    ask(world, page, fresh, "200: there is nothing to clear, so it is created", created).await;
    let described = |answer: Answer| serde_json::from_str::<serde_json::Value>(&answer.body).unwrap();
    let first = described(send(world, &super::ask::get("/v1/database/moving")).await)["initial_program"].clone();
    plan(world, page, &v1, &v2).await;
    let updated = |it: &Answer| it.with(200, "\"op\":\"updated\"");
    let update = put("/v1/database/moving").by(Who::Owner).body(v2.clone(), "`v2`");
    ask(world, page, update, "200, `\"op\": \"updated\"`", updated).await;
    let still = super::ask::get("/v1/database/moving");
    let promise = "200, `initial_program`: the module with which the database was initialized, also after an update";
    ask(world, page, still, promise, |it| it.with(200, first.as_str().unwrap())).await;
    let identity = send(world, &super::ask::get("/v1/database/moving/identity")).await.body;
    let by_identity = put(format!("/v1/database/{identity}")).by(Who::Owner).body(v2.clone(), "`v2`");
    let promise = "200, by identity: `\"domain\": null`";
    ask(world, page, by_identity, promise, |it| updated(it) && it.body.contains("\"domain\":null")).await;
    let breaking = put("/v1/database/moving").by(Who::Owner).body(v1.clone(), "`v1`, which has a table less");
    ask(world, page, breaking, "400: the change cannot be migrated, or breaks clients", |it| it.status(400)).await;
    let note = "403 in words instead: the official server's own answer to an update by another, and the page's is of an older one";
    for who in [Who::Stranger, Who::Nobody] {
        let theirs = put("/v1/database/moving").by(who).body(v2.clone(), "`v2`").note(note);
        let promise = "401, `{\"PermissionDenied\": {\"name\"}}`: not the owner";
        ask(world, page, theirs, promise, |it| it.with(401, "PermissionDenied")).await;
    }
    let cleared = put("/v1/database/moving?clear=true").by(Who::Owner).body(v1.clone(), "`v1`");
    ask(world, page, cleared, "200, and all data is gone first", updated).await;
    refusals(world, page, &v1).await;
    beside_the_pages(world, page, &v1).await;
    super::database::end(world, page).await;
}

async fn plan(world: &World, page: &Page, v1: &[u8], v2: &[u8]) {
    let url = "/v1/database/moving/pre_publish?style=NoColor";
    let plan = post(url).by(Who::Owner).body(v2, "`v2`");
    let promise =
        "200, the plan, its token, and that it is a move from 1.x to 2.x (the pages are silent; the CLI asks)";
    ask(world, page, plan, promise, |it| {
        it.with(200, "\"AutoMigrate\"") && it.body.contains("\"major_version_upgrade\":true")
    })
    .await;
    let same = post(url).by(Who::Owner).body(v1, "`v1`");
    let promise = "200, nothing to do (the pages are silent)";
    ask(world, page, same, promise, |it| it.with(200, "\"break_clients\":false")).await;
    let theirs = post(url).by(Who::Stranger).body(v2, "`v2`");
    ask(world, page, theirs, "403 (the pages are silent)", |it| it.status(403)).await;
    let absent = post("/v1/database/absent/pre_publish").by(Who::Owner).body(v2, "`v2`");
    ask(world, page, absent, "404 (the pages are silent)", |it| it.status(404)).await;
}

async fn refusals(world: &World, page: &Page, v1: &[u8]) {
    let garbage = put("/v1/database/broken").by(Who::Owner).body(b"MZ no module".to_vec(), "text that is no module");
    ask(world, page, garbage, "400", |it| it.status(400)).await;
    let empty_wasm =
        put("/v1/database/broken").by(Who::Owner).body(b"\0asm\x01\0\0\0".to_vec(), "WebAssembly that is no module");
    ask(world, page, empty_wasm, "400", |it| it.status(400)).await;
    let empty = put("/v1/database/broken").by(Who::Owner);
    ask(world, page, empty, "400: no module", |it| it.status(400)).await;
    let js = put("/v1/database/script?host_type=Js").by(Who::Owner).body(b"export {}".to_vec(), "a JavaScript module");
    let note = "not supported by this host: it has no JavaScript engine, and says so";
    ask(world, page, js.note(note), "200 (the pages are silent; the official server takes them)", |it| it.status(200))
        .await;
    let named = put("/v1/database/Not_A_Name").by(Who::Owner).body(v1, "`v1`");
    ask(world, page, named, "400: no database name", |it| it.status(400)).await;
    let forged = put("/v1/database/moving").by(Who::Forger).body(v1, "`v1`");
    ask(world, page, forged, "401", |it| it.status(401)).await;
    let clear = put("/v1/database/moving?clear=perhaps").by(Who::Owner).body(v1, "`v1`");
    ask(world, page, clear, "400: a boolean", |it| it.status(400)).await;
    for who in [Who::Stranger, Who::Nobody] {
        let cleared = put("/v1/database/moving?clear=true").by(who).body(v1, "`v1`");
        ask(world, page, cleared, "rejected: the token must be the owner's", |it| [401, 403].contains(&it.code)).await;
    }
    let forged = post("/v1/database").by(Who::Forger).body(v1, "`v1`");
    ask(world, page, forged, "401", |it| it.status(401)).await;
    let nothing = post("/v1/database").by(Who::Owner);
    ask(world, page, nothing, "400: no module", |it| it.status(400)).await;
    let policy = put("/v1/database/moving?policy=BreakClients").by(Who::Owner).body(v1, "`v1`");
    let promise = "400: breaking clients takes the token of a plan (the pages are silent)";
    ask(world, page, policy, promise, |it| it.status(400)).await;
}

async fn beside_the_pages(world: &World, page: &Page, v1: &[u8]) {
    page.section(
        "`PUT /v1/database/:name_or_identity/reset`",
        "The pages do not have it; the official server and its CLI do.",
    );
    let url = "/v1/database/moving/reset";
    send(world, &post("/v1/database/moving/call/write").json("[\"gone\"]")).await;
    let reset = put(url).by(Who::Owner);
    ask(world, page, reset, "200, empty, and the module is the same", |it| it.with(200, "\"op\":\"updated\"")).await;
    let rows = post("/v1/database/moving/sql").text("SELECT * FROM note");
    ask(world, page, rows, "200, no rows", |it| it.with(200, "\"rows\":[]")).await;
    let other = put(url).by(Who::Owner).body(v1, "`v1`");
    ask(world, page, other, "200, with this module", |it| it.status(200)).await;
    ask(world, page, put(url).by(Who::Stranger), "403", |it| it.status(403)).await;
    ask(world, page, put("/v1/database/absent/reset").by(Who::Owner), "404", |it| it.status(404)).await;
}
