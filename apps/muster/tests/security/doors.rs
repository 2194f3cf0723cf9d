//! What a session gets at each door.

use muster_contract::Code;
use muster_contract::page::{Page, ProducerState, Snapshot, StreamList};
use muster_wire::sats::bsatn;
use muster_wire::{CallError, Protocol};
use serde_json::json;

use crate::lane::{ADA, Append, BOB, Session, event, hash_of, ok, refused};
use crate::plane::{Plane, code, turned_away};

const ALL: [&str; 4] = ["sync.read", "sync.write", "sync.snapshot", "presence.read"];

/// Tables that the owner alone reads.
const PRIVATE: [&str; 8] = [
    "lane_auth",
    "session_grant",
    "grant_expiry",
    "revoked_grant",
    "sync_event",
    "sync_stream",
    "sync_snapshot",
    "sync_follow",
];

/// Every door that leads to the stream refuses the session with this code.
pub(crate) async fn all_refuse(session: &Session, stream: &str, epoch: u64, wanted: Code) {
    reading_refused(session, stream, epoch, wanted).await;
    writing_refused(session, stream, epoch, wanted).await;
}

async fn reading_refused(session: &Session, stream: &str, epoch: u64, wanted: Code) {
    let page = session.ask::<_, Page>("read_page", &(stream, 0u64, 0u64, 0u64, 10u32, 1_000u32)).await;
    assert_eq!(refused(page).code, wanted, "read_page {stream}");
    let list = session.ask::<_, StreamList>("list_streams", &(stream, 0u64)).await;
    assert_eq!(refused(list).code, wanted, "list_streams {stream}");
    let snapshot = session.ask::<_, Option<Snapshot>>("read_snapshot", &(stream, 0u64)).await;
    assert_eq!(refused(snapshot).code, wanted, "read_snapshot {stream}");
    assert_eq!(code(session.call("follow", &(0u32, stream)).await), wanted, "follow {stream}");
    assert_eq!(code(session.call("ack_checkpoint", &(stream, epoch, 1u64, "desk")).await), wanted, "ack {stream}");
}

/// An event as `append_encoded` takes it.
pub(crate) fn encoded(n: u64) -> Vec<u8> {
    bsatn::to_vec(&vec![event(n)]).expect("bytes")
}

/// Bytes as SATS-JSON has them.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

// As a producer that nobody has used, so that nothing but the grant stands in the way.
async fn writing_refused(session: &Session, stream: &str, epoch: u64, wanted: Code) {
    let append = Append { producer: BOB, ..Append::of(stream, 1..=1) };
    assert_eq!(code(session.append(append).await), wanted, "append {stream}");
    let append = (stream, 0u64, BOB, 1u64, 0u64, encoded(1));
    assert_eq!(code(session.call("append_encoded", &append).await), wanted, "append_encoded {stream}");
    let snapshot = (stream, epoch, 2u64, "{}", hash_of("{}"), BOB);
    assert_eq!(code(session.call("put_snapshot", &snapshot).await), wanted, "put_snapshot {stream}");
    let states = session.ask::<_, Vec<ProducerState>>("producer_state", &(BOB, vec![stream.to_owned()])).await;
    assert_eq!(refused(states).code, wanted, "producer_state {stream}");
}

#[tokio::test(flavor = "multi_thread")]
async fn neighbours_and_other_spellings_of_a_stream_stay_closed() {
    let plane = Plane::closed().await;
    let owner = plane.filled().await;
    let token = plane.issuer.token("desk", &ALL, &["a.*", "one"]);
    for protocol in [Protocol::V2, Protocol::V3] {
        let session = plane.knock(Some(token.clone()), protocol).await.expect("let in");
        for stream in ["ab.x", "a", "A.x", "one.x", "ones", "One", "x.a.x"] {
            let epoch = owner.streams(stream).await.streams.first().map_or(1, |stream| stream.epoch);
            all_refuse(&session, stream, epoch, Code::ForbiddenStream).await;
        }
        for trick in ["a.x.", ".a.x", "a..x", "a%2Ex.%61", "%61.x", "a.%78", "a/x", "a.x ", "a.x' OR '1'='1", ""] {
            all_refuse_as_no_stream(&session, trick).await;
        }
        for wider in ["*", "ab.*", "one.*", "A.*"] {
            assert_eq!(code(session.call("follow", &(0u32, wider)).await), Code::ForbiddenStream, "{wider}");
            let list = session.ask::<_, StreamList>("list_streams", &(wider, 0u64)).await;
            assert_eq!(refused(list).code, Code::ForbiddenStream, "{wider}");
        }
        let listed = session.streams("a.*").await.streams;
        assert_eq!(listed.iter().map(|stream| stream.id.as_str()).collect::<Vec<_>>(), ["a.x"]);
    }
    // Over HTTP each request is a session of its own, with the same grants.
    let http = plane.lane.place.http(Some(token));
    let page = |stream: &str| json!([stream, 0, 0, 0, 10, 1000]);
    let inside = http.call("read_page", &page("a.x")).await.expect("an answer");
    let outside = http.call("read_page", &page("ab.x")).await.expect("an answer");
    assert!(format!("{inside:?}").len() > format!("{outside:?}").len(), "{inside:?} {outside:?}");
    assert!(turned_away(&http.call("follow", &json!([0, "ab.x"])).await));
    let list = json!([{"kind": "k", "payload": "{}", "hash": 0, "at": 0}]);
    assert!(turned_away(&http.call("append_events", &json!(["ab.x", 0, ADA, 1, 0, list])).await));
    assert!(turned_away(&http.call("append_encoded", &json!(["ab.x", 0, ADA, 1, 0, hex(&encoded(1))])).await));
    assert_eq!(plane.lane.place.events().await, 6, "nothing was written");
}

async fn all_refuse_as_no_stream(session: &Session, trick: &str) {
    let page = session.ask::<_, Page>("read_page", &(trick, 0u64, 0u64, 0u64, 10u32, 1_000u32)).await;
    assert_eq!(refused(page).code, Code::BadStreamId, "{trick}");
    assert_eq!(code(session.append(Append::of(trick, 1..=1)).await), Code::BadStreamId, "{trick}");
    assert_eq!(code(session.put_snapshot(trick, 1, 1, "{}").await), Code::BadStreamId, "{trick}");
    assert_eq!(code(session.call("follow", &(0u32, trick)).await), Code::BadSubscription, "{trick}");
    let list = session.ask::<_, StreamList>("list_streams", &(trick, 0u64)).await;
    assert_eq!(refused(list).code, Code::BadSubscription, "{trick}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_door_wants_its_scope() {
    let plane = Plane::closed().await;
    let owner = plane.filled().await;
    let epoch = owner.streams("a.x").await.streams[0].epoch;
    let without = |scope: &str| ALL.into_iter().filter(|other| *other != scope).collect::<Vec<_>>();
    let session = plane.join("no-read", &without("sync.read"), &["*"]).await;
    reading_refused(&session, "a.x", epoch, Code::Unauthorized).await;
    let session = plane.join("no-write", &without("sync.write"), &["*"]).await;
    assert_eq!(code(session.append(Append::of("a.x", 1..=1)).await), Code::Unauthorized);
    for streams in [vec!["a.x".to_owned()], vec![]] {
        let states = session.ask::<_, Vec<ProducerState>>("producer_state", &(ADA, streams)).await;
        assert_eq!(refused(states).code, Code::Unauthorized);
    }
    let session = plane.join("no-snapshot", &without("sync.snapshot"), &["*"]).await;
    assert_eq!(code(session.put_snapshot("a.x", epoch, 2, "{}").await), Code::Unauthorized);
    let session = plane.join("nothing", &[], &["*"]).await;
    all_refuse(&session, "a.x", epoch, Code::Unauthorized).await;
    let session = plane.join("no-stream", &ALL, &[]).await;
    all_refuse(&session, "a.x", epoch, Code::ForbiddenStream).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sessions_of_one_identity_have_each_their_own_grant() {
    let plane = Plane::closed().await;
    let owner = plane.filled().await;
    let epoch = owner.streams("ab.x").await.streams[0].epoch;
    let wide = plane.join("ada", &ALL, &["*"]).await;
    let narrow = plane.join("ada", &["sync.read"], &["a.x"]).await;
    assert_eq!(wide.connection.identity(), narrow.connection.identity());
    reading_refused(&narrow, "ab.x", epoch, Code::ForbiddenStream).await;
    writing_refused(&narrow, "a.x", epoch, Code::Unauthorized).await;
    narrow.read("a.x", 0).await;
    assert_eq!(ok(wide.page("ab.x", 0, 0).await).events.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_grant_opens_a_private_table_or_an_owners_reducer() {
    let plane = Plane::closed().await;
    plane.filled().await;
    let token = plane.issuer.token("desk", &ALL, &["*"]);
    let http = plane.lane.place.http(Some(token.clone()));
    for protocol in [Protocol::V2, Protocol::V3] {
        let session = plane.knock(Some(token.clone()), protocol).await.expect("let in");
        for table in PRIVATE {
            let join = format!("SELECT p.* FROM person p JOIN {table} t ON p.name = t.id");
            for sql in [format!("SELECT * FROM {table}"), join] {
                let subscribed = session.connection.subscribe(&[sql.as_str()]).await;
                assert!(matches!(subscribed, Err(CallError::Refused { .. })), "{protocol}: {sql}: {subscribed:?}");
                let asked = session.connection.one_off_query(&sql).await;
                assert!(matches!(asked, Err(CallError::Refused { .. })), "{protocol}: {sql}: {asked:?}");
                assert!(http.sql(&sql, true).await.is_err(), "{sql}");
            }
            assert!(http.sql(&format!("DELETE FROM {table}"), true).await.is_err(), "{table}");
        }
        let nobody = None::<muster_wire::Identity>;
        let open = (String::new(), String::new(), true, false, nobody);
        assert_eq!(code(session.call("configure_auth", &open).await), Code::Unauthorized);
        assert_eq!(code(session.call("revoke_grants", &("client", "client-ada", 1i64)).await), Code::Unauthorized);
        assert_eq!(code(session.call("delete_stream", &("a.x",)).await), Code::Unauthorized);
        assert_eq!(code(session.call("renew_epochs", &()).await), Code::Unauthorized);
    }
    for sql in ["INSERT INTO lane_owner (id, identity) VALUES (1, 0x00)", "DELETE FROM lane_auth", "SELECT 1; SELECT 2"]
    {
        assert!(http.sql(sql, true).await.is_err(), "{sql}");
    }
    assert_eq!(plane.lane.place.count("lane_auth").await, 1);
}
