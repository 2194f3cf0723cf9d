//! The conformance table, `docs/host-conformance.md`: what SpacetimeDB's HTTP API pages promise, what was sent, what came
//! back.
//!
//! What always holds: the committed page is what the host answers now, or the test fails. Whether a row is as promised is
//! judged here, by what came over the socket; a row that is not must say why, and one that says why must not be.

mod ask;
mod database;
mod functions;
mod identity;
mod mask;
mod page;
mod publish;
mod socket;
mod sql;
mod subscribe;
mod top;

use muster_host::{Host, RunningHost};

use self::ask::{Who, ask, put};
use self::page::Page;
use crate::support::{http, module, root};

/// Set to anything, the test writes the page instead of comparing it.
const WRITE: &str = "MUSTER_WRITE_CONFORMANCE";

/// Everybody and everything that the rows are about.
pub(super) struct World {
    /// The host.
    pub(super) host: RunningHost,
    /// Sends the requests.
    pub(super) http: reqwest::Client,
    /// The token of the owner of the databases `features` and `notes`.
    pub(super) owner: String,
    /// The owner's identity.
    pub(super) owner_identity: String,
    /// Somebody else's token.
    pub(super) stranger: String,
    /// That one's identity.
    pub(super) stranger_identity: String,
}

impl World {
    async fn new() -> Self {
        let host = Host::builder().in_memory().start().await.unwrap();
        let http = http();
        let (owner_identity, owner) = new_identity(&http, &host.url()).await;
        let (stranger_identity, stranger) = new_identity(&http, &host.url()).await;
        let world = Self { host, http, owner, owner_identity, stranger, stranger_identity };
        let given = Page::scratch();
        for (name, file) in [("features", "features"), ("notes", "notes_v2")] {
            let publish = put(format!("/v1/database/{name}")).by(Who::Owner).body(module(file), "a module");
            ask(&world, &given, publish, "200", |it| it.status(200)).await;
        }
        given.must_be_as_promised();
        world
    }
}

async fn new_identity(http: &reqwest::Client, url: &str) -> (String, String) {
    let response = http.post(format!("{url}/v1/identity")).send().await.unwrap();
    let body: serde_json::Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    (body["identity"].as_str().unwrap().into(), body["token"].as_str().unwrap().into())
}

#[tokio::test]
async fn the_conformance_page_is_what_the_host_answers() {
    let world = World::new().await;
    let page = Page::new();
    top::rows(&world, &page).await;
    identity::rows(&world, &page).await;
    functions::rows(&world, &page).await;
    database::rows(&world, &page).await;
    subscribe::rows(&world, &page).await;
    publish::rows(&world, &page).await;

    let path = root().join("docs/host-conformance.md");
    let text = page.markdown();
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, &text).unwrap();
        return;
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    if let Some((number, (now, then))) =
        lines(&text).zip(lines(&committed)).enumerate().find(|(_, (now, then))| now != then)
    {
        panic!(
            "docs/host-conformance.md is not what the host answers, from line {}:\n  page: {then}\n  host: {now}\n\
             If that is as it should be:  {WRITE}=1 scripts/cargo test -p muster-host --test conformance table::",
            number + 1
        );
    }
}

/// The lines of a text, and then no lines for ever, so that a text that ends early differs.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let count = text.lines().count() + 1;
    text.lines().chain(std::iter::repeat("(the end)")).take(count.max(1 << 12))
}
