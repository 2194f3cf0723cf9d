//! `/v1/identity`.

use super::World;
use super::ask::{Who, ask, get, post, send};
use super::page::Page;

pub(super) async fn rows(world: &World, page: &Page) {
    page.section("`/v1/identity`", "<https://spacetimedb.com/docs/http/identity>");
    let both = |it: &super::ask::Answer| it.with(200, "\"identity\":") && it.body.contains("\"token\":");
    ask(world, page, post("/v1/identity"), "200, `{\"identity\", \"token\"}`", both).await;
    ask(world, page, get("/v1/identity"), "405 (the pages are silent)", |it| it.status(405)).await;

    let route = "/v1/identity/websocket-token";
    let promise = "200, `{\"token\"}`: a short-lived JSON Web Token";
    ask(world, page, post(route).by(Who::Owner), promise, |it| it.with(200, "{\"token\":\"eyJ")).await;
    ask(world, page, post(route), "401: the header is required", |it| it.status(401)).await;
    ask(world, page, post(route).by(Who::Forger), "401", |it| it.status(401)).await;

    short_lived(world, page, route).await;

    let key = get("/v1/identity/public-key").showing("content-type");
    ask(world, page, key, "200, of type `application/pem-certificate-chain`", |it| {
        it.with(200, "BEGIN PUBLIC KEY") && it.header("content-type") == Some("application/pem-certificate-chain")
    })
    .await;
    databases(world, page).await;
    verify(world, page).await;
}

async fn short_lived(world: &World, page: &Page, route: &str) {
    let exchanged = send(world, &post(route).by(Who::Owner)).await;
    let exchanged: serde_json::Value = serde_json::from_str(&exchanged.body).unwrap();
    let verify = get(format!("/v1/identity/{}/verify", world.owner_identity));
    let verify = verify.bearer(exchanged["token"].as_str().unwrap(), "that token");
    ask(world, page, verify, "204: it is the same identity's", |it| it.status(204)).await;
    let note = "not taken: the authorization page, and every client, sends `Bearer`";
    let basic = post(route).header("authorization", "Basic dG9rZW46c2VjcmV0").note(note);
    ask(world, page, basic, "200: \"a Spacetime token encoded as Basic authorization\"", |it| it.status(200)).await;
}

async fn databases(world: &World, page: &Page) {
    let owner = &world.owner_identity;
    let note = "`identities` instead of `addresses`: so does the official server, and its clients read that";
    let owned = get(format!("/v1/identity/{owner}/databases")).note(note);
    ask(world, page, owned, "200, `{\"addresses\": array<string>}`", |it| it.with(200, "\"addresses\"")).await;
    let nobody = format!("c200{}", "0".repeat(60));
    let promise = "200, an empty array (field as above)";
    ask(world, page, get(format!("/v1/identity/{nobody}/databases")), promise, |it| it.with(200, ":[]")).await;
    let asked_by_another = get(format!("/v1/identity/{owner}/databases")).by(Who::Stranger);
    let promise = "200: anybody may ask (field as above)";
    ask(world, page, asked_by_another, promise, |it| it.status(200) && it.body.len() > 100).await;
    let promise = "400 (the pages are silent)";
    ask(world, page, get("/v1/identity/nonsense/databases"), promise, |it| it.status(400)).await;
}

async fn verify(world: &World, page: &Page) {
    let route = format!("/v1/identity/{}/verify", world.owner_identity);
    for (who, promise, code) in [
        (Who::Owner, "204: valid, and matches the identity", 204),
        (Who::Stranger, "400: valid, and does not match", 400),
        (Who::Forger, "401: invalid", 401),
        (Who::Nobody, "401: no header", 401),
    ] {
        ask(world, page, get(&route).by(who), promise, |it| it.status(code)).await;
    }
    let malformed = get("/v1/identity/nonsense/verify").by(Who::Owner);
    ask(world, page, malformed, "400 (the pages are silent)", |it| it.status(400)).await;
}
