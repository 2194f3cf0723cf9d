//! Who comes in at all.

use muster_contract::Code;
use muster_contract::rows::{ContractInfo, PresenceSummary, Row};
use muster_wire::Protocol;
use serde_json::json;

use crate::lane::{payloads, refused};
use crate::plane::{Plane, code, turned_away};

const PROTOCOLS: [Protocol; 2] = [Protocol::V2, Protocol::V3];

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_the_service_issued_opens_what_it_grants_and_nothing_else() {
    let plane = Plane::closed().await;
    plane.filled().await;
    let client = plane.issuer.client("desk", "sync.read", "a.*");
    let token = plane.issuer.issue(&client, &[]).await;
    for protocol in PROTOCOLS {
        let session = plane.knock(Some(token.clone()), protocol).await.expect("let in");
        assert_eq!(payloads(&session.read("a.x", 0).await), [r#"{"n":1}"#, r#"{"n":2}"#]);
        assert_eq!(refused(session.page("ab.x", 0, 0).await).code, Code::ForbiddenStream);
        assert_eq!(code(session.append(crate::lane::Append::of("a.x", 1..=1)).await), Code::Unauthorized);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_good_token_comes_in_by_no_door() {
    let plane = Plane::closed().await;
    plane.filled().await;
    let nobody = [("none at all", None)];
    let stranger = plane.lane.place.http(None).create_identity().await.expect("an identity").token;
    let hosts_own = [("of the host itself", Some(stranger))];
    let bad = plane.issuer.bad_tokens().into_iter().map(|(what, token)| (what, Some(token)));
    for (what, token) in nobody.into_iter().chain(hosts_own).chain(bad) {
        for protocol in PROTOCOLS {
            let knocked = plane.knock(token.clone(), protocol).await;
            assert!(knocked.is_err(), "{what}, {protocol}");
        }
        let http = plane.lane.place.http(token);
        let sql = http.sql("SELECT * FROM contract_info", true).await;
        assert!(sql.is_err(), "{what}, SQL: {sql:?}");
        let page = http.call("read_page", &json!(["a.x", 0, 0, 0, 10, 1000])).await;
        assert!(turned_away(&page), "{what}, procedure: {page:?}");
        let name = http.call("set_name", &json!(["Eve"])).await;
        assert!(turned_away(&name), "{what}, reducer: {name:?}");
    }
    assert_eq!(plane.lane.place.count("person").await, 0);
    assert_eq!(plane.lane.place.count("session_grant").await, 0);
    // The same claims, unspoilt, come in: what was refused above was what it said.
    plane.join("eve", &["sync.read"], &["*"]).await.read("a.x", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_lane_lets_strangers_in_they_see_what_is_public_and_no_stream() {
    let plane = Plane::open().await;
    let owner = plane.filled().await;
    let epoch = owner.streams("a.x").await.streams[0].epoch;
    plane.close(true, None).await;
    let session = plane.lane.join().await;
    let rows = session.connection.one_off_query("SELECT * FROM contract_info").await.expect("an answer");
    assert_eq!(rows.rows::<ContractInfo>(ContractInfo::TABLE).expect("rows").len(), 1);
    let rows = session.connection.one_off_query("SELECT * FROM presence_summary").await.expect("an answer");
    assert_eq!(rows.rows::<PresenceSummary>(PresenceSummary::TABLE).expect("rows").len(), 1);
    crate::doors::all_refuse(&session, "a.x", epoch, Code::Unauthorized).await;
    assert_eq!(code(session.call("set_name", &("Eve",)).await), Code::Unauthorized);
    // A token of the issuer that is not good is not taken for none.
    for (what, token) in plane.issuer.bad_tokens() {
        if !what.contains("issuer") {
            assert!(plane.knock(Some(token), Protocol::V3).await.is_err(), "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_a_lane_ends_what_sessions_had_and_opening_it_gives_it_back() {
    let plane = Plane::open().await;
    let owner = plane.filled().await;
    let epoch = owner.streams("a.x").await.streams[0].epoch;
    let mut session = plane.lane.join().await;
    session.follow(3, "a.*").await;
    plane.close(false, None).await;
    assert_eq!(session.next_signal().await, (3, 0, muster_contract::rows::Signal::FollowEnded));
    crate::doors::all_refuse(&session, "a.x", epoch, Code::Unauthorized).await;
    let opened = (String::new(), String::new(), false, false, None::<muster_wire::Identity>);
    assert_eq!(code(session.call("configure_auth", &opened).await), Code::Unauthorized);
    owner.call("configure_auth", &opened).await.expect("opened");
    session.read("a.x", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_that_takes_other_tokens_ends_what_the_old_ones_granted() {
    let plane = Plane::closed().await;
    let owner = plane.filled().await;
    let epoch = owner.streams("a.x").await.streams[0].epoch;
    let mut session = plane.join("ada", &["sync.read", "sync.write", "sync.snapshot"], &["*"]).await;
    session.follow(0, "a.*").await;
    let other = (plane.issuer.url(), "another-lane", true, false, None::<muster_wire::Identity>);
    owner.call("configure_auth", &other).await.expect("configured");
    assert_eq!(session.next_signal().await, (0, 0, muster_contract::rows::Signal::FollowEnded));
    crate::doors::all_refuse(&session, "a.x", epoch, Code::Unauthorized).await;
}
