//! Who tries what, as a table.

use std::time::Duration;

use muster_contract::page::{Answer, StreamList};
use muster_control::Permission;
use muster_wire::{Protocol, Token};
use serde_json::json;

use super::doors::{Door, Needs, Way};
use super::knock::Visitor;
use crate::issuer::now_s;
use crate::lane::PATIENCE;
use crate::plane::Plane;

/// Every scope.
const ALL: [&str; 4] = ["sync.read", "sync.write", "sync.snapshot", "presence.read"];
/// Every scope that is about streams.
const SYNC: [&str; 3] = ["sync.read", "sync.write", "sync.snapshot"];

/// One attempt, at every door that it concerns.
pub(super) struct Attempt {
    /// A heading of the page.
    pub(super) group: &'static str,
    pub(super) name: String,
    pub(super) visitor: std::sync::Arc<Visitor>,
    /// What is asked for instead of `a.x`.
    pub(super) stream: Option<String>,
    /// What is said instead of what is behind the door.
    pub(super) statement: Option<String>,
    pub(super) concerns: fn(&Door) -> bool,
}

impl Attempt {
    fn new(group: &'static str, name: impl Into<String>, visitor: Visitor, concerns: fn(&Door) -> bool) -> Attempt {
        Attempt { group, name: name.into(), visitor: visitor.into(), stream: None, statement: None, concerns }
    }
}

/// Sessions that may.
pub(super) struct Good {
    pub(super) session: Visitor,
    pub(super) owner: Visitor,
}

pub(super) async fn good(plane: &Plane) -> Good {
    let session = Visitor::come(plane, Some(plane.issuer.token("good", &ALL, &["a.*"]))).await;
    Good { session, owner: Visitor::come(plane, Some(plane.lane.place.owner.clone())).await }
}

/// On a lane that lets strangers in.
pub(super) async fn stranger(plane: &Plane) -> Attempt {
    let visitor = Visitor::come(plane, None).await;
    visitor.session(Protocol::V3);
    Attempt::new(GRANTS, "no token, where strangers may connect", visitor, |door| door.needs != Needs::Admission)
}

const CREDENTIALS: &str = "Tokens that are not good";
const ENDED: &str = "Grants that ended while the session stays connected";
const GRANTS: &str = "Tokens that grant something else";
const SPELLINGS: &str = "A token for `a.*`, and another spelling of a stream";
const STATEMENTS: &str = "SQL of a session that has every scope and `*`";
const DISCREET: &str = "SQL of a session that has everything but `presence.read`";
const OWNERS: &str = "The owner's rights from a session that has every scope and `*`";

pub(super) async fn all(plane: &Plane) -> Vec<Attempt> {
    let mut all = credentials(plane).await;
    all.extend(ended(plane).await);
    all.extend(grants(plane).await);
    all.extend(spellings(plane).await);
    all.extend(statements(plane).await);
    all
}

async fn credentials(plane: &Plane) -> Vec<Attempt> {
    let stranger = plane.lane.place.http(None).create_identity().await.expect("an identity").token;
    let mut tokens = vec![("no token", None), ("a token of the host's own", Some(stranger))];
    tokens.extend(plane.issuer.bad_tokens().into_iter().map(|(what, token)| (what, Some(token))));
    tokens.push(("a revoked token", Some(revoked(plane).await)));
    tokens.push(("a narrowed token with the claims of the wide one", Some(widened(plane).await)));
    let mut attempts = Vec::new();
    for (what, token) in tokens {
        attempts.push(Attempt::new(CREDENTIALS, what, Visitor::come(plane, token).await, |_| true));
    }
    attempts
}

async fn revoked(plane: &Plane) -> Token {
    let claims = plane.issuer.claims("gone", &ALL, &["*"]);
    let jti = claims["jti"].as_str().expect("a text");
    plane.lane.owner().await.call("revoke_grants", &("token", jti, now_s())).await.expect("revoked");
    plane.issuer.sign(&claims)
}

async fn widened(plane: &Plane) -> Token {
    let (wide, narrow) = wide_and_narrow(plane, "widened").await;
    let part = |token: &Token, index: usize| token.expose().split('.').nth(index).expect("a part").to_owned();
    Token::new(format!("{}.{}.{}", part(&narrow, 0), part(&wide, 1), part(&narrow, 2))).expect("a token")
}

/// A token of everything, and one that the service made of it by an exchange.
async fn wide_and_narrow(plane: &Plane, id: &str) -> (Token, Token) {
    let user = plane.issuer.client(id, &ALL.join(" "), "*");
    let agent = plane.issuer.client_with(&format!("{id}-agent"), &ALL.join(" "), "*", &[Permission::Exchange]);
    let wide = plane.issuer.issue(&user, &[]).await;
    let more = [("scope", "sync.read sync.write sync.snapshot"), ("oa_sync_streams", "ab.*")];
    let narrow = plane.issuer.exchange(&agent, &wide, &more).await.text("access_token");
    (wide, Token::new(narrow).expect("a token"))
}

fn concerns_grants(door: &Door) -> bool {
    !matches!(door.needs, Needs::Admission | Needs::Owner)
}

async fn ended(plane: &Plane) -> Vec<Attempt> {
    let owner = plane.lane.owner().await;
    let mut attempts = Vec::new();
    let mut claims = plane.issuer.claims("timed", &ALL, &["*"]);
    claims["exp"] = json!(now_s() + 4);
    let timed = Visitor::come(plane, Some(plane.issuer.sign(&claims))).await;
    until_ended(&timed).await;
    attempts.push(Attempt::new(ENDED, "expired", timed, concerns_grants));
    for (kind, claim) in [("token", "jti"), ("session", "sid"), ("client", "client_id")] {
        let claims = plane.issuer.claims(kind, &ALL, &["*"]);
        let visitor = Visitor::come(plane, Some(plane.issuer.sign(&claims))).await;
        let value = claims[claim].as_str().expect("a text").to_owned();
        owner.call("revoke_grants", &(kind, value, now_s())).await.expect("revoked");
        until_ended(&visitor).await;
        attempts.push(Attempt::new(ENDED, format!("revoked by its {kind}"), visitor, concerns_grants));
    }
    attempts
}

async fn until_ended(visitor: &Visitor) {
    let session = visitor.session(Protocol::V2).lock().await;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !matches!(session.ask::<_, StreamList>("list_streams", &("*", 0u64)).await, Answer::Refused(_)) {
        assert!(tokio::time::Instant::now() < deadline, "the grant never ended");
        // Between two looks of a deadline-bound wait; nothing depends on its length.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn grants(plane: &Plane) -> Vec<Attempt> {
    let mut attempts = Vec::new();
    type Concerns = fn(&Door) -> bool;
    let without: [(&str, Concerns); 4] = [
        ("sync.read", |door| door.needs == Needs::Read),
        ("sync.write", |door| door.needs == Needs::Write),
        ("sync.snapshot", |door| door.needs == Needs::Snapshot),
        ("presence.read", |door| door.needs == Needs::Presence),
    ];
    for (scope, concerns) in without {
        let others: Vec<_> = ALL.into_iter().filter(|other| *other != scope).collect();
        let token = plane.issuer.token(&format!("without-{scope}"), &others, &["*"]);
        attempts.push(Attempt::new(GRANTS, format!("no `{scope}`"), Visitor::come(plane, Some(token)).await, concerns));
    }
    for scopes in [&["SYNC.READ", "sync.write ", "sync.*", "*", "Presence.Read"][..], &[]] {
        let token = plane.issuer.token("no-scope", scopes, &["*"]);
        let name = if scopes.is_empty() { "no scope".to_owned() } else { format!("scopes `{}`", scopes.join("`, `")) };
        let visitor = Visitor::come(plane, Some(token)).await;
        attempts.push(Attempt::new(GRANTS, name, visitor, |door| door.needs.stream() || door.needs == Needs::Presence));
    }
    for streams in [&[][..], &["ab.*"], &["a.x.*"], &["A.*"], &["a.X"], &["a"], &["a%2Ex"], &["x.a.x"]] {
        let token = plane.issuer.token("elsewhere", &SYNC, streams);
        let name = if streams.is_empty() { "no stream".to_owned() } else { format!("only `{}`", streams[0]) };
        attempts.push(Attempt::new(GRANTS, name, Visitor::come(plane, Some(token)).await, |door| door.needs.stream()));
    }
    let (wide, narrow) = wide_and_narrow(plane, "user").await;
    // The wide one is connected for as long as the attempts last, under the same identity.
    let narrow = Visitor::come(plane, Some(narrow)).await.beside(Visitor::come(plane, Some(wide)).await);
    attempts.push(Attempt::new(GRANTS, "narrowed to `ab.*` by an exchange", narrow, |door| {
        door.needs.stream() || door.needs == Needs::Presence
    }));
    attempts
}

async fn spellings(plane: &Plane) -> Vec<Attempt> {
    let visitor = Visitor::come(plane, Some(plane.issuer.token("speller", &SYNC, &["a.*"]))).await;
    let visitor = std::sync::Arc::new(visitor);
    let others = [
        "ab.x",
        "a",
        "A.x",
        "x.a.x",
        "a%2Ex",
        "a.x.",
        ".a.x",
        "a..x",
        "a.%78",
        "a%2ex",
        "a.x ",
        "a/x",
        "a.x' OR '1'='1",
        "",
        "a.x\u{0}",
        "а.x",
    ];
    let mut attempts = Vec::new();
    for stream in others {
        // The last begins with a Cyrillic letter.
        let name = if stream.is_empty() { "no name".into() } else { format!("`{}`", stream.escape_default()) };
        attempts.push(Attempt {
            group: SPELLINGS,
            name,
            visitor: visitor.clone(),
            stream: Some(stream.into()),
            statement: None,
            concerns: |door| door.needs.stream(),
        });
    }
    attempts
}

fn a_statement(door: &Door) -> bool {
    // One of each way that takes statements.
    door.name() == "contract_info"
}

async fn statements(plane: &Plane) -> Vec<Attempt> {
    let full = std::sync::Arc::new(Visitor::come(plane, Some(plane.issuer.token("full", &ALL, &["*"]))).await);
    let discreet = std::sync::Arc::new(Visitor::come(plane, Some(plane.issuer.token("discreet", &SYNC, &["*"]))).await);
    let mut attempts = Vec::new();
    let mut add = |group, visitor: &std::sync::Arc<Visitor>, statements: &[&str], concerns: fn(&Door) -> bool| {
        for statement in statements {
            attempts.push(Attempt {
                group,
                name: format!("`{statement}`"),
                visitor: visitor.clone(),
                stream: None,
                statement: Some((*statement).into()),
                concerns,
            });
        }
    };
    add(STATEMENTS, &full, &PRIVATE, a_statement);
    add(DISCREET, &discreet, &DISCREETLY, a_statement);
    add(OWNERS, &full, &WRITES, |door| a_statement(door) && door.way == Way::Http);
    attempts.push(Attempt {
        group: OWNERS,
        name: "calls what is the owner's".into(),
        visitor: full,
        stream: None,
        statement: None,
        concerns: |door| door.needs == Needs::Owner,
    });
    attempts
}

const PRIVATE: [&str; 20] = [
    "SELECT * FROM sync_event",
    "SELECT * FROM \"sync_event\"",
    "SELECT * FROM Sync_Event",
    "SELECT payload FROM sync_event WHERE stream = 1",
    "SELECT COUNT(*) AS n FROM sync_event",
    "SELECT e.* FROM person p JOIN sync_event e ON p.name = e.kind",
    "SELECT p.* FROM person p JOIN sync_event e ON p.name = e.kind",
    "SELECT * FROM person UNION SELECT * FROM sync_event",
    "SELECT * FROM person UNION ALL SELECT * FROM sync_event",
    "SELECT * FROM person WHERE name = (SELECT payload FROM sync_event)",
    "SELECT * FROM person WHERE name = '' OR name IN (SELECT payload FROM sync_event)",
    "SELECT * FROM (SELECT * FROM sync_event) e",
    "SELECT * FROM person; SELECT * FROM sync_event",
    "SELECT * FROM person WHERE name = ''; SELECT * FROM sync_event --'",
    "SELECT * FROM sync_stream",
    "SELECT * FROM sync_snapshot",
    "SELECT * FROM session_grant",
    "SELECT * FROM lane_auth",
    "SELECT * FROM lane_owner",
    "SELECT * FROM revoked_grant",
];

const DISCREETLY: [&str; 9] = [
    "SELECT * FROM active_connection WHERE seen_by = 1",
    "SELECT * FROM person WHERE name = '' OR '1' = '1'",
    "SELECT * FROM person WHERE name = 'Ada' OR seen_by = 1",
    "SELECT a.* FROM active_connection a JOIN person p ON a.seen_by = p.seen_by",
    "SELECT a.* FROM presence_reader r JOIN active_connection a ON r.reads = a.seen_by",
    "SELECT r.* FROM active_connection a JOIN presence_reader r ON a.seen_by = r.reads",
    "SELECT c.* FROM contract_info c JOIN person p ON c.module_version = p.name",
    "SELECT * FROM contract_info UNION SELECT * FROM person",
    "SELECT * FROM presence_reader",
];

const WRITES: [&str; 8] = [
    "INSERT INTO lane_owner (id, identity) VALUES (1, 0x00)",
    "UPDATE lane_owner SET identity = 0x00",
    "UPDATE lane_auth SET allow_anonymous = true",
    "DELETE FROM lane_auth",
    "DELETE FROM revoked_grant",
    "UPDATE session_grant SET ended = NULL",
    "INSERT INTO presence_reader (identity, reads) VALUES (0x00, 1)",
    "UPDATE active_connection SET seen_by = 0",
];
