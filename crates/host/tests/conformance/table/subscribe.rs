//! `subscribe`: the WebSocket in every protocol, its parameters, and what it refuses.

use spacetimedb_lib::bsatn;

use super::World;
use super::ask::{Who, ask, get};
use super::mask::mask;
use super::page::{Page, Row, code};
use super::socket::{Heard, Protocol, Say, Socket, dial, open, open_as};

const MEMBERS: &str = "SELECT * FROM member";

pub(super) async fn rows(world: &World, page: &Page) {
    for protocol in Protocol::ALL {
        let about = match protocol {
            Protocol::V1Json | Protocol::V1 => "",
            Protocol::V2 | Protocol::V3 => {
                "The page names `v1` alone. The messages are those of SpacetimeDB's client API crate, which its SDKs speak."
            }
        };
        page.section(&format!("`GET /v1/database/:name_or_identity/subscribe`: `{}`", protocol.name()), about);
        conversation(world, page, protocol).await;
    }
    page.section(
        "`GET /v1/database/:name_or_identity/subscribe`: parameters",
        "What SDKs add to the URL; the page has none of it.",
    );
    parameters(world, page).await;
    page.section("`GET /v1/database/:name_or_identity/subscribe`: refusals", "");
    refusals(world, page).await;
}

/// Says something and adds a row about what is heard.
async fn turn(
    page: &Page,
    socket: &mut Socket,
    say: Say,
    words: &str,
    promised: &str,
    kept: impl FnOnce(&Heard) -> bool,
) {
    socket.say(say).await;
    let heard = socket.hear().await;
    add(page, words, promised, &heard, kept(&heard), "");
}

fn add(page: &Page, sent: &str, promised: &str, heard: &Heard, kept: bool, note: &str) {
    let close = heard.name.starts_with("Close") && !heard.text.is_empty();
    let came = match close {
        true => format!("{} {}", heard.name, code(&heard.text)),
        false => format!("`{}`", heard.name),
    };
    page.add(Row { sent: sent.into(), promised: promised.into(), came, kept, note: note.into() });
}

async fn conversation(world: &World, page: &Page, protocol: Protocol) {
    let mut socket = open(world, protocol, "compression=None").await.unwrap_or_else(|refusal| panic!("{refusal:?}"));
    let first = socket.hear().await;
    let name = if protocol.is_v1() { "IdentityToken" } else { "InitialConnection" };
    let kept = first.name == name && first.text.contains("eyJ");
    add(
        page,
        "connect without a token",
        &format!("`{name}`: a new identity, its token, the connection's id"),
        &first,
        kept,
        "",
    );

    let applied = if protocol.is_v1() { "SubscribeMultiApplied" } else { "SubscribeApplied" };
    let promise = format!("`{applied}` with the rows that are there");
    turn(page, &mut socket, Say::Subscribe(MEMBERS), &code(MEMBERS), &promise, |it| it.name == applied).await;
    calls(page, &mut socket, protocol).await;
    questions(page, &mut socket, protocol).await;

    let gone = if protocol.is_v1() { "UnsubscribeMultiApplied" } else { "UnsubscribeApplied" };
    turn(page, &mut socket, Say::Unsubscribe, "unsubscribe", &format!("`{gone}`"), |it| it.name == gone).await;
    let wrong = Say::Subscribe("SELECT * FROM absent");
    let promise = "`SubscriptionError` that names the table";
    turn(page, &mut socket, wrong, "`SELECT * FROM absent`", promise, |it| {
        it.name == "SubscriptionError" && it.text.contains("absent")
    })
    .await;
    if protocol.is_v1() {
        let events = Say::Subscribe("SELECT * FROM announcement");
        let promise = "an error that says to upgrade: events need `v2`";
        turn(page, &mut socket, events, "`SELECT * FROM announcement`, an event table", promise, |it| {
            it.name == "SubscriptionError" && it.text.contains("v2")
        })
        .await;
    }
    let promise = "the connection is closed, with a reason";
    turn(page, &mut socket, Say::Garbage, "what is no message", promise, |it| it.name.starts_with("Close")).await;
}

async fn calls(page: &Page, socket: &mut Socket, protocol: Protocol) {
    let seat = protocol as u32 + 1;
    let email = format!("{}@example.org", protocol.name());
    let args = bsatn::to_vec(&(email.as_str(), seat, 30u8, "x", "x", 1u32)).unwrap();
    let add = Say::Call("add_member", format!("[\"{email}\", {seat}, 30, \"x\", \"x\", 1]"), args);
    let (name, part) = match protocol.is_v1() {
        true => ("TransactionUpdate", "Committed"),
        false => ("ReducerResult", "Ok("),
    };
    let promise = format!("`{name}`: done, with the change in what is subscribed to");
    turn(page, socket, add, "call `add_member`", &promise, |it| it.name == name && it.text.contains(part)).await;

    let refused = bsatn::to_vec(&(1u32, "x")).unwrap();
    let refused = Say::Call("announce_and_fail", "[1, \"x\"]".into(), refused);
    let promise = format!("`{name}`: failed, with the reducer's error");
    let part = if protocol.is_v1() { "Failed" } else { "Err(" };
    turn(page, socket, refused, "call `announce_and_fail`", &promise, |it| it.name == name && it.text.contains(part))
        .await;
    let absent = Say::Call("absent", "[]".into(), vec![]);
    let promise = format!("`{name}`: failed, no such reducer");
    turn(page, socket, absent, "call `absent`", &promise, |it| {
        it.name == name && (it.text.contains("absent") || it.text.contains("no such"))
    })
    .await;
    let sum = Say::Procedure("add_up", "[40, 2]".into(), bsatn::to_vec(&(40u64, 2u64)).unwrap());
    turn(page, socket, sum, "call the procedure `add_up`", "`ProcedureResult` with its value", |it| {
        it.name == "ProcedureResult" && it.text.contains("Returned")
    })
    .await;
}

async fn questions(page: &Page, socket: &mut Socket, protocol: Protocol) {
    let name = if protocol.is_v1() { "OneOffQueryResponse" } else { "OneOffQueryResult" };
    let promise = format!("`{name}` with the rows");
    turn(page, socket, Say::Query(MEMBERS), &format!("ask once {}", code(MEMBERS)), &promise, |it| it.name == name)
        .await;
    let promise = format!("`{name}` with an error");
    turn(page, socket, Say::Query("SELEKT"), "ask once `SELEKT`", &promise, |it| {
        it.name == name && it.text.to_lowercase().contains("expected")
    })
    .await;
}

async fn first(world: &World, protocol: Protocol, query: &str) -> (Option<Socket>, Heard) {
    match open(world, protocol, query).await {
        Ok(mut socket) => {
            let heard = socket.hear().await;
            (Some(socket), heard)
        }
        Err((code, body)) => (None, Heard { name: code.to_string(), text: body }),
    }
}

async fn parameters(world: &World, page: &Page) {
    let (_, heard) = first(world, Protocol::V2, &format!("compression=None&token={}", world.owner)).await;
    let kept = heard.text.contains(&world.owner_identity);
    add(page, "`?token=`, the owner's", "`InitialConnection` with the owner's identity", &heard, kept, "");

    let mut by_header = open_as(world, Protocol::V2, "compression=None", Some(&world.owner)).await.unwrap();
    let heard = by_header.hear().await;
    let kept = heard.text.contains(&world.owner_identity);
    let promise = "`InitialConnection` with the owner's identity (the page has this one)";
    add(page, "an `Authorization` header with the owner's token", promise, &heard, kept, "");

    let id = "0123456789abcdef0123456789abcdef";
    let (_, heard) = first(world, Protocol::V2, &format!("compression=None&connection_id={id}")).await;
    let kept = heard.text.contains(id);
    add(page, "`?connection_id=0123…`", "`InitialConnection` with that id", &heard, kept, "");

    for (name, tag) in [("None", 0), ("Brotli", 1), ("Gzip", 2)] {
        let (socket, _) = first(world, Protocol::V2, &format!("compression={name}")).await;
        let mut socket = socket.unwrap();
        // Large enough to be worth it, whatever the threshold.
        let question = "SELECT * FROM st_column";
        socket.say(Say::Query(question)).await;
        let heard = socket.hear().await;
        let sent = format!("`?compression={name}`, then a question with a large answer");
        let promise = format!("an answer whose first byte is {tag}");
        let came = Heard { name: format!("{}, first byte {}", heard.name, socket.tag), text: String::new() };
        add(page, &sent, &promise, &came, socket.tag == tag && heard.name == "OneOffQueryResult", "");
    }
    light(world, page).await;
    for confirmed in ["true", "false"] {
        let (socket, heard) = first(world, Protocol::V2, &format!("compression=None&confirmed={confirmed}")).await;
        let sent = format!("`?confirmed={confirmed}`");
        add(page, &sent, "`InitialConnection`", &heard, socket.is_some(), "");
    }
    session_id(world, page).await;
}

async fn light(world: &World, page: &Page) {
    let (socket, _) = first(world, Protocol::V1, "compression=None&light=true").await;
    let mut socket = socket.unwrap();
    socket.say(Say::Subscribe("SELECT * FROM ledger")).await;
    socket.hear().await;
    let insert = super::ask::post("/v1/database/features/call/book").json("[1]");
    super::ask::send(world, &insert).await;
    let heard = socket.hear().await;
    let kept = heard.name == "TransactionUpdateLight";
    let promise = "`TransactionUpdateLight`: the change without who called what";
    add(
        page,
        "`?light=true` on `v1.bsatn.spacetimedb`, then somebody changes what is subscribed to",
        promise,
        &heard,
        kept,
        "",
    );
}

async fn session_id(world: &World, page: &Page) {
    let query = format!("compression=None&token={}&session_id=0123456789abcdef0123456789abcdef", world.owner);
    let (held, _) = first(world, Protocol::V2, &query).await;
    let (_, heard) = first(world, Protocol::V2, &query).await;
    let kept = heard.name == "Close 4000" || heard.name == "InitialConnection";
    let promise = "one of the two holds the session; who may not is told with 4000";
    add(page, "`?session_id=`, of the same identity, twice", promise, &heard, kept, "");
    drop(held);
}

async fn refusals(world: &World, page: &Page) {
    let v2 = Protocol::V2.name();
    for (sent, database, protocols, query, promised, code_wanted) in [
        ("no `Sec-WebSocket-Protocol`", "features", None, "", "400: the header is required", 400),
        ("`Sec-WebSocket-Protocol: chat`", "features", Some("chat"), "", "400", 400),
        ("a database that does not exist", "absent", Some(v2), "", "404", 404),
        ("`?token=` that is none", "features", Some(v2), "token=x", "401", 401),
        (
            "`?connection_id=` of zeros",
            "features",
            Some(v2),
            "connection_id=00000000000000000000000000000000",
            "400: reserved",
            400,
        ),
        ("`?connection_id=x`", "features", Some(v2), "connection_id=x", "400", 400),
        ("`?compression=Zip`", "features", Some(v2), "compression=Zip", "400", 400),
    ] {
        let (code_came, body) = match dial(world, database, protocols, query).await {
            Ok(_) => (101, String::new()),
            Err(refusal) => refusal,
        };
        let came = format!("{code_came} {}", code(&mask(&body)));
        page.add(Row {
            sent: sent.into(),
            promised: promised.into(),
            came,
            kept: code_came == code_wanted,
            note: String::new(),
        });
    }
    let offers = format!("{}, {}, {}", Protocol::V1Json.name(), Protocol::V2.name(), Protocol::V3.name());
    let chosen = dial(world, "features", Some(&offers), "").await.map(|(_, chosen)| chosen.unwrap_or_default());
    let came = format!("101 {}", code(&chosen.unwrap_or_else(|(code, body)| format!("{code} {body}"))));
    let kept = came.contains(Protocol::V3.name());
    page.add(Row {
        sent: format!("{} offered", code(&offers)),
        promised: "101, the newest of them".into(),
        came,
        kept,
        note: String::new(),
    });
    let url = "/v1/database/features/subscribe";
    ask(world, page, get(url).by(Who::Owner), "400: not a WebSocket", |it| it.status(400)).await;
    let keyless = get(url)
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-protocol", Protocol::V2.name())
        .header("sec-websocket-version", "13");
    ask(world, page, keyless, "400: the header `Sec-WebSocket-Key` is required", |it| it.status(400)).await;
    let forged = get(url).by(Who::Forger);
    ask(world, page, forged, "401, by the header too", |it| it.status(401)).await;
    let short = get(url)
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-protocol", "v2.bsatn.spacetimedb")
        .header("sec-websocket-key", "abc")
        .header("sec-websocket-version", "13");
    ask(world, page, short, "400: a key that is not 16 bytes in base64 (RFC 6455 section 4.1)", |it| it.status(400))
        .await;
    let old = get(url)
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("sec-websocket-version", "8")
        .showing("sec-websocket-version");
    ask(world, page, old, "426 with `sec-websocket-version: 13` (RFC 6455 section 4.4)", |it| {
        it.status(426) && it.header("sec-websocket-version") == Some("13")
    })
    .await;
}
