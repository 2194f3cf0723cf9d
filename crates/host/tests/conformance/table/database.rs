//! What a database is called, what it is, and its end.

use super::World;
use super::ask::{Who, ask, delete, get, post, put, send};
use super::page::Page;

pub(super) async fn rows(world: &World, page: &Page) {
    page.section("`/v1/database/:name_or_identity`: what it is", "<https://spacetimedb.com/docs/http/database>");
    let promise = "200, `{\"database_identity\", \"owner_identity\", \"host_type\": \"wasm\", \"initial_program\"}`";
    let note = "SATS-JSON instead of plain strings: the answer is a SATS value on the official server too";
    ask(world, page, get("/v1/database/notes").note(note), promise, |it| {
        ["database_identity", "owner_identity", "host_type", "wasm", "initial_program"]
            .iter()
            .all(|f| it.body.contains(f))
    })
    .await;
    let identity = send(world, &get("/v1/database/notes/identity")).await.body;
    ask(world, page, get(format!("/v1/database/{identity}")), "200, the same by identity", |it| {
        it.with(200, &identity)
    })
    .await;
    let promise = "200, the identity in hexadecimal digits";
    ask(world, page, get("/v1/database/notes/identity"), promise, |it| it.status(200) && it.body.len() == 64).await;
    ask(world, page, get("/v1/database/absent"), "404", |it| it.status(404)).await;
    ask(world, page, get("/v1/database/absent/identity"), "404", |it| it.status(404)).await;
    let by_identity = get(format!("/v1/database/{identity}/identity"));
    ask(world, page, by_identity, "200, the same", |it| it.with(200, &identity)).await;
    let malformed = get("/v1/database/Not_A_Name/identity");
    ask(world, page, malformed, "400 (the pages are silent)", |it| it.status(400)).await;
    let unknown = format!("/v1/database/c200{}", "0".repeat(60));
    ask(world, page, get(unknown), "404", |it| it.status(404)).await;
    ask(world, page, get("/v1/database/Not_A_Name"), "400 (the pages are silent)", |it| it.status(400)).await;
    ask(world, page, get("/v1/database/notes").by(Who::Forger), "401", |it| it.status(401)).await;
    ask(world, page, post("/v1/database/notes"), "405", |it| it.status(405)).await;
    names(world, page).await;
}

async fn names(world: &World, page: &Page) {
    page.section("`/v1/database/:name_or_identity/names`", "");
    let url = "/v1/database/notes/names";
    ask(world, page, get(url), "200, `{\"names\": array<string>}`", |it| it.with(200, "{\"names\":[\"notes\"]}")).await;
    let identity = send(world, &get("/v1/database/notes/identity")).await.body;
    let by_identity = get(format!("/v1/database/{identity}/names"));
    ask(world, page, by_identity, "200, the same by identity", |it| it.with(200, "{\"names\":[\"notes\"]}")).await;
    ask(world, page, get("/v1/database/absent/names"), "404", |it| it.status(404)).await;
    ask(world, page, get(url).by(Who::Forger), "401", |it| it.status(401)).await;
    let added =
        post(url).by(Who::Owner).text("more-notes").note("with `database_identity` for the page's `database_result`");
    let promise = "200, `{\"Success\": {\"domain\", …}}`";
    ask(world, page, added, promise, |it| it.with(200, "{\"Success\":{\"domain\":\"more-notes\"")).await;
    let by_new_name = get("/v1/database/more-notes/identity");
    ask(world, page, by_new_name, "200: the name leads to the database", |it| it.with(200, &identity)).await;
    let again = post(url).by(Who::Owner).text("more-notes");
    let promise = "200: it has that name already (the pages are silent)";
    ask(world, page, again, promise, |it| it.with(200, "{\"Success\":")).await;
    for (who, promise, code) in
        [(Who::Nobody, "denied: treated as anonymous, who does not own it", 401), (Who::Forger, "401", 401)]
    {
        ask(world, page, post(url).by(who).text("third-notes"), promise, |it| it.status(code)).await;
    }
    let elsewhere = post("/v1/database/absent/names").by(Who::Owner).text("third-notes");
    ask(world, page, elsewhere, "404", |it| it.status(404)).await;
    let nameless = post(url).by(Who::Owner).text("");
    ask(world, page, nameless, "400: no name (the pages are silent)", |it| it.status(400)).await;
    let promise = "`{\"PermissionDenied\": {\"domain\"}}`: the name is another database's";
    let owner_less = post(url).by(Who::Stranger).text("third-notes");
    let denied = |it: &super::ask::Answer| it.with(401, "PermissionDenied");
    ask(world, page, owner_less, "`{\"PermissionDenied\": {\"domain\"}}`: the database is another's", denied).await;
    ask(world, page, post(url).by(Who::Owner).text("features"), promise, |it| it.with(401, "PermissionDenied")).await;
    ask(world, page, post(url).by(Who::Owner).text("Not A Name"), "400 (the pages are silent)", |it| it.status(400))
        .await;

    let set = put(url).by(Who::Owner).json("[\"notes\", \"other-notes\"]");
    let note = "`\"Success\"` instead of an object: the official types write the variant alone";
    ask(world, page, set.note(note), "200, `{\"Success\": null}`", |it| it.with(200, "{\"Success\"")).await;
    ask(world, page, get(url), "200, these names and no others", |it| it.body.contains("[\"notes\",\"other-notes\"]"))
        .await;
    let dropped = get("/v1/database/more-notes");
    ask(world, page, dropped, "404: a name that is no longer set", |it| it.status(404)).await;
    let promise = "401: setting names requires ownership";
    ask(world, page, put(url).json("[\"mine\"]"), promise, |it| it.status(401)).await;
    ask(world, page, put(url).by(Who::Stranger).json("[\"mine\"]"), promise, |it| it.status(401)).await;
    let taken = put(url).by(Who::Owner).json("[\"notes\", \"features\"]").note(TAKEN);
    let promise = "401, `{\"PermissionDenied\": null}`: a name that is another database's";
    ask(world, page, taken, promise, |it| it.with(401, "PermissionDenied")).await;
    for (body, promise) in [
        ("notes", "400: a JSON array of strings"),
        ("[1]", "400: an array of strings"),
        ("{\"names\": [\"notes\"]}", "400: an array"),
        ("[\"Not A Name\"]", "400: no database name (the pages are silent)"),
    ] {
        ask(world, page, put(url).by(Who::Owner).text(body), promise, |it| it.status(400)).await;
    }
    let names = "200, as before: a refusal changes nothing";
    ask(world, page, get(url), names, |it| it.body.contains("[\"notes\",\"other-notes\"]")).await;
    ask(world, page, put(url).by(Who::Forger).json("[\"notes\"]"), "401", |it| it.status(401)).await;
    let elsewhere = put("/v1/database/absent/names").by(Who::Owner).json("[\"notes\"]");
    ask(world, page, elsewhere, "404", |it| it.status(404)).await;
    ask(world, page, delete(url).by(Who::Owner), "405", |it| it.status(405)).await;
}

const TAKEN: &str =
    "400 and `OtherError` with the name instead: `PermissionDenied` would not say which of the names it is";

/// What must come last, because the database goes.
pub(super) async fn end(world: &World, page: &Page) {
    page.section("`DELETE /v1/database/:name_or_identity`", "");
    let url = "/v1/database/notes";
    ask(world, page, delete(url), "rejected: treated as anonymous", |it| it.status(403)).await;
    ask(world, page, delete(url).by(Who::Stranger), "rejected: deleting requires ownership", |it| it.status(403)).await;
    ask(world, page, delete(url).by(Who::Forger), "401", |it| it.status(401)).await;
    let before = send(world, &get("/v1/database/notes/identity")).await.body;
    ask(world, page, delete(url).by(Who::Owner), "200", |it| it.status(200)).await;
    let by_identity = get(format!("/v1/database/{before}"));
    ask(world, page, by_identity, "404: also by its identity", |it| it.status(404)).await;
    ask(world, page, get(url), "404: it is gone", |it| it.status(404)).await;
    ask(world, page, delete(url).by(Who::Owner), "404: its name is gone", |it| it.status(404)).await;
}
