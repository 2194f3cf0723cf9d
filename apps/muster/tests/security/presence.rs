//! Who sees who is connected, on a lane that asks for `presence.read`.

use std::collections::BTreeSet;
use std::time::Duration;

use muster_contract::rows::{ActiveConnection, Person, PresenceSummary, Row};
use muster_control::Permission;
use muster_wire::{ConnectionId, Identity, Token, Update};
use serde_json::json;

use crate::issuer::now_s;
use crate::lane::{PATIENCE, Session};
use crate::plane::Plane;

const SESSIONS: &str = "SELECT * FROM active_connection";
const PEOPLE: &str = "SELECT * FROM person";
const READ: [&str; 1] = ["presence.read"];

impl Plane {
    /// A lane where presence needs its scope, with one person whom the owner named.
    async fn discreet() -> Plane {
        let plane = Plane::open().await;
        plane.configure(false, true, None).await;
        plane.lane.owner().await.call("set_name", &("Ada",)).await.expect("named");
        plane
    }
}

/// What a session sees of others, by the subscription that it took.
struct Watch {
    session: Session,
    seen: BTreeSet<ConnectionId>,
}

impl Watch {
    async fn begin(session: Session) -> Watch {
        let first = session.connection.subscribe(&[SESSIONS]).await.expect("subscribed");
        let rows: Vec<ActiveConnection> = first.rows(ActiveConnection::TABLE).expect("rows");
        Watch { session, seen: rows.into_iter().map(|row| row.connection_id).collect() }
    }

    /// Waits until what is seen is as wanted.
    async fn until(&mut self, wanted: impl Fn(&BTreeSet<ConnectionId>) -> bool) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !wanted(&self.seen) {
            match tokio::time::timeout_at(deadline, self.session.incoming.next()).await.expect("in time") {
                Some(Update::Transaction(transaction)) => {
                    let tables = || transaction.query_sets.iter().flat_map(|set| &set.tables);
                    for row in tables().flat_map(|table| table.deleted.decode::<ActiveConnection>().expect("rows")) {
                        self.seen.remove(&row.connection_id);
                    }
                    for row in tables().flat_map(|table| table.inserted.decode::<ActiveConnection>().expect("rows")) {
                        self.seen.insert(row.connection_id);
                    }
                }
                other => panic!("no rows, but {other:?}"),
            }
        }
    }

    fn own(&self) -> ConnectionId {
        self.session.connection.connection_id()
    }
}

async fn asked(session: &Session) -> (usize, usize) {
    let sessions = session.connection.one_off_query(SESSIONS).await.expect("an answer");
    let people = session.connection.one_off_query(PEOPLE).await.expect("an answer");
    let sessions = sessions.rows::<ActiveConnection>(ActiveConnection::TABLE).expect("rows").len();
    (sessions, people.rows::<Person>(Person::TABLE).expect("rows").len())
}

async fn asked_over_http(plane: &Plane, token: &Token) -> Vec<String> {
    let http = plane.lane.place.http(Some(token.clone()));
    let mut cells = Vec::new();
    for sql in ["SELECT COUNT(*) AS n FROM active_connection", "SELECT COUNT(*) AS n FROM person"] {
        let answer = http.sql(sql, true).await.expect("an answer");
        cells.push(answer.statements[0].rows[0][0].get().to_owned());
    }
    cells
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_reach_who_may_read_presence_and_nobody_else_by_subscription_and_by_sql() {
    let plane = Plane::discreet().await;
    let reads = plane.issuer.token("reader", &READ, &[]);
    let not = plane.issuer.token("other", &["sync.read", "sync.write", "sync.snapshot"], &["*"]);
    let mut reader = Watch::begin(plane.enter(reads.clone()).await).await;
    let other = Watch::begin(plane.enter(not.clone()).await).await;
    let both = BTreeSet::from([reader.own(), other.own()]);
    reader.until(|seen| *seen == both).await;
    assert_eq!(other.seen, BTreeSet::new());
    assert_eq!(asked(&reader.session).await, (2, 1));
    assert_eq!(asked(&other.session).await, (0, 0));
    // The request is a session too.
    assert_eq!(asked_over_http(&plane, &reads).await, ["3", "1"]);
    assert_eq!(asked_over_http(&plane, &not).await, ["0", "0"]);
    // With a condition of the client's own, too.
    let whose =
        |watch: &Watch| format!("{SESSIONS} WHERE identity = 0x{}", watch.session.connection.identity().to_hex());
    for (asker, rows) in [(&reader, 1), (&other, 0)] {
        let first = asker.session.connection.subscribe(&[whose(&other)]).await.expect("subscribed");
        assert_eq!(first.rows::<ActiveConnection>(ActiveConnection::TABLE).expect("rows").len(), rows);
    }
    // Counts are for everybody.
    let summary = other.session.connection.one_off_query("SELECT * FROM presence_summary").await.expect("an answer");
    assert_eq!(summary.rows::<PresenceSummary>(PresenceSummary::TABLE).expect("rows").len(), 1);
    // The owner sees all, and one who comes and goes is seen to.
    assert_eq!(asked(&plane.lane.owner().await).await.1, 1);
    let third = plane.join("third", &[], &[]).await;
    let third_id = third.connection.connection_id();
    reader.until(|seen| seen.contains(&third_id)).await;
    third.connection.close().await;
    reader.until(|seen| !seen.contains(&third_id)).await;
    let mut other = other;
    other.session.hears_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_to_presence_empties_when_its_grant_ends_and_stays_empty() {
    let plane = Plane::discreet().await;
    let owner = plane.lane.owner().await;
    let mut claims = plane.issuer.claims("timed", &READ, &[]);
    let exp = now_s() + 6;
    claims["exp"] = json!(exp);
    let mut timed = Watch::begin(plane.enter(plane.issuer.sign(&claims)).await).await;
    let claims = plane.issuer.claims("revoked", &READ, &[]);
    let mut revoked = Watch::begin(plane.enter(plane.issuer.sign(&claims)).await).await;
    let ids = [timed.own(), revoked.own()];
    for watch in [&mut timed, &mut revoked] {
        watch.until(|seen| ids.iter().all(|id| seen.contains(id))).await;
    }
    let jti = claims["jti"].as_str().expect("a text");
    owner.call("revoke_grants", &("token", jti, now_s())).await.expect("revoked");
    tokio::time::timeout(Duration::from_secs(5), revoked.until(BTreeSet::is_empty)).await.expect("within five seconds");
    timed.until(BTreeSet::is_empty).await;
    assert!((exp..=exp + 5).contains(&now_s()), "on time");
    plane.join("new", &READ, &[]).await;
    owner.call("set_name", &("Ada Lovelace",)).await.expect("named");
    for watch in [&mut timed, &mut revoked] {
        assert_eq!(asked(&watch.session).await, (0, 0));
        watch.session.hears_nothing().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_whose_time_is_over_shows_nobody_also_where_no_schedule_ended_it() {
    let plane = Plane::discreet().await;
    let mut late = Watch::begin(plane.join("late", &READ, &[]).await).await;
    let own = late.own();
    late.until(|seen| seen.contains(&own)).await;
    let passed = "UPDATE session_grant SET expires_s = 1";
    plane.lane.place.http(Some(plane.lane.place.owner.clone())).sql(passed, true).await.expect("changed");
    // When a session of an identity comes or goes, all of them are looked at anew.
    let next = plane.join("late", &READ, &[]).await;
    late.until(BTreeSet::is_empty).await;
    assert_eq!(asked(&next).await, (0, 0));
}

/// A lane need not ask for the scope to be closed: who has nothing any more sees nobody come.
#[tokio::test(flavor = "multi_thread")]
async fn a_closed_lane_that_asks_for_no_scope_shows_presence_to_live_grants_alone() {
    let plane = Plane::open().await;
    plane.configure(true, false, None).await;
    let mut stranger = Watch::begin(plane.lane.join().await).await;
    let claims = plane.issuer.claims("revoked", &["sync.read"], &["a.*"]);
    let mut revoked = Watch::begin(plane.enter(plane.issuer.sign(&claims)).await).await;
    let ids = [stranger.own(), revoked.own()];
    for watch in [&mut stranger, &mut revoked] {
        watch.until(|seen| ids.iter().all(|id| seen.contains(id))).await;
    }
    plane.configure(false, false, None).await;
    stranger.until(BTreeSet::is_empty).await;
    revoked.until(|seen| seen.contains(&ids[1])).await;
    let jti = claims["jti"].as_str().expect("a text");
    plane.lane.owner().await.call("revoke_grants", &("token", jti, now_s())).await.expect("revoked");
    revoked.until(BTreeSet::is_empty).await;
    plane.join("new", &["sync.read"], &["a.*"]).await;
    for watch in [&mut stranger, &mut revoked] {
        assert_eq!(asked(&watch.session).await.0, 0);
        watch.session.hears_nothing().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_narrowed_token_sees_nothing_although_it_has_the_identity_of_a_wider_one() {
    let plane = Plane::discreet().await;
    let user = plane.issuer.client("user", "presence.read sync.read", "*");
    let agent = plane.issuer.client_with("agent", "presence.read sync.read", "*", &[Permission::Exchange]);
    let wide = plane.issuer.issue(&user, &[]).await;
    let narrow = plane.issuer.exchange(&agent, &wide, &[("scope", "sync.read")]).await.text("access_token");
    let narrow = Token::new(narrow).expect("a token");
    let mut users = Watch::begin(plane.enter(wide).await).await;
    let own = users.own();
    users.until(|seen| seen.contains(&own)).await;
    let agents = Watch::begin(plane.enter(narrow.clone()).await).await;
    assert_eq!(users.session.connection.identity(), agents.session.connection.identity());
    assert_eq!((agents.seen.len(), asked(&agents.session).await), (0, (0, 0)));
    assert_eq!(asked_over_http(&plane, &narrow).await, ["0", "0"]);
    // SpacetimeDB filters by identity: the user has it back when the agent has gone.
    users.until(BTreeSet::is_empty).await;
    agents.session.connection.close().await;
    users.until(|seen| *seen == BTreeSet::from([own])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_that_begins_to_ask_and_ends_asking_is_obeyed_by_open_subscriptions() {
    let plane = Plane::open().await;
    plane.configure(true, false, None).await;
    let mut stranger = Watch::begin(plane.lane.join().await).await;
    let mut reader = Watch::begin(plane.join("reader", &READ, &[]).await).await;
    let both = BTreeSet::from([stranger.own(), reader.own()]);
    for watch in [&mut stranger, &mut reader] {
        watch.until(|seen| seen.is_superset(&both)).await;
    }
    plane.configure(true, true, None).await;
    stranger.until(BTreeSet::is_empty).await;
    reader.until(|seen| seen.is_superset(&both)).await;
    assert_eq!(asked(&stranger.session).await, (0, 0));
    plane.configure(true, false, None).await;
    stranger.until(|seen| seen.is_superset(&both)).await;
    plane.configure(true, true, None).await;
    stranger.until(BTreeSet::is_empty).await;
    // Opened altogether.
    let open = (String::new(), String::new(), false, false, None::<Identity>);
    plane.lane.owner().await.call("configure_auth", &open).await.expect("opened");
    stranger.until(|seen| seen.is_superset(&both)).await;
    assert_eq!(plane.lane.place.count("presence_reader").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_learns_who_else_may_read_presence() {
    let plane = Plane::discreet().await;
    let reader = plane.join("reader", &READ, &[]).await;
    let other = plane.join("other", &["sync.read"], &["*"]).await;
    let seen_by = async |session: &Session| {
        let first = session.connection.subscribe(&["SELECT * FROM presence_reader"]).await.expect("subscribed");
        first.rows::<(Identity, u8)>("presence_reader").expect("rows")
    };
    assert_eq!(seen_by(&reader).await, [(reader.connection.identity(), 1)]);
    assert_eq!(seen_by(&other).await, []);
    let second = plane.join("second", &READ, &[]).await;
    assert_eq!(seen_by(&second).await, [(second.connection.identity(), 1)]);
    assert_eq!(plane.lane.place.count("presence_reader").await, 2);
    second.connection.close().await;
    plane.lane.place.until_count("presence_reader", 1).await;
}
