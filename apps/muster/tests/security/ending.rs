//! How grants end.

use std::time::Duration;

use muster_contract::Code;
use muster_contract::rows::Signal;
use muster_control::{Revocation, RevocationSink, deliver_revocations};
use muster_wire::{Protocol, Token};
use serde_json::json;

use crate::issuer::now_s;
use crate::lane::{Append, PATIENCE, Session, refused};
use crate::plane::{Plane, code};

const SOON: Duration = Duration::from_secs(5);

async fn told(session: &mut Session, within: Duration) {
    let signal = tokio::time::timeout(within, session.next_signal()).await.expect("told in time");
    assert_eq!(signal, (0, 0, Signal::FollowEnded));
}

/// The session has nothing any more, and hears why.
async fn has_ended(session: &Session, epoch: u64, why: &str) {
    crate::doors::all_refuse(session, "a.x", epoch, Code::Unauthorized).await;
    let said = refused(session.page("a.x", 0, 0).await).message;
    assert!(said.contains(why), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_ends_on_time_while_its_session_stays_connected() {
    let plane = Plane::closed().await;
    let owner = plane.filled().await;
    let epoch = owner.streams("a.x").await.streams[0].epoch;
    let mut claims = plane.issuer.claims("ada", &["sync.read"], &["a.*"]);
    let exp = now_s() + 6;
    claims["exp"] = json!(exp);
    let mut session = plane.enter(plane.issuer.sign(&claims)).await;
    session.follow(0, "a.*").await;
    session.read("a.x", 0).await;
    told(&mut session, PATIENCE).await;
    assert!((exp..=exp + 5).contains(&now_s()), "on time");
    has_ended(&session, epoch, "expired").await;
    owner.emit("a.x", 3..=3).await;
    session.hears_nothing().await;
    assert_eq!(plane.lane.place.count("sync_follow").await, 0);
    assert_eq!(plane.lane.place.count("grant_expiry").await, 0);
    session.connection.close().await;
    plane.lane.place.until_count("session_grant", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_is_over_at_every_door_also_where_no_schedule_ended_it() {
    let plane = Plane::closed().await;
    let owner = plane.filled().await;
    let epoch = owner.streams("a.x").await.streams[0].epoch;
    let scopes = ["sync.read", "sync.write", "sync.snapshot"];
    let session = plane.join("ada", &scopes, &["a.*"]).await;
    session.read("a.x", 0).await;
    // The schedule knows another time: only the doors can see that this one has passed.
    let passed = "UPDATE session_grant SET expires_s = 1";
    plane.lane.place.http(Some(plane.lane.place.owner.clone())).sql(passed, true).await.expect("changed");
    has_ended(&session, epoch, "expired").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_ends_while_it_follows_and_does_not_come_back() {
    let plane = Plane::closed().await;
    let owner = plane.filled().await;
    let epoch = owner.streams("a.x").await.streams[0].epoch;
    for kind in ["token", "session", "client"] {
        let claims = plane.issuer.claims(kind, &["sync.read"], &["a.*"]);
        let token = plane.issuer.sign(&claims);
        let mut session = plane.enter(token.clone()).await;
        let mut other = plane.join("other", &["sync.read"], &["a.*"]).await;
        session.follow(0, "a.*").await;
        other.follow(0, "a.*").await;
        let claim = match kind {
            "token" => "jti",
            "session" => "sid",
            _ => "client_id",
        };
        let value = claims[claim].as_str().expect("a text").to_owned();
        owner.call("revoke_grants", &(kind, value, now_s())).await.expect("revoked");
        told(&mut session, SOON).await;
        has_ended(&session, epoch, "revoked").await;
        for protocol in [Protocol::V2, Protocol::V3] {
            assert!(plane.knock(Some(token.clone()), protocol).await.is_err(), "{kind} came back");
        }
        assert!(plane.lane.place.http(Some(token)).sql("SELECT * FROM contract_info", true).await.is_err());
        other.read("a.x", 0).await;
        other.hears_nothing().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_gets_after_its_revocation_is_good_and_an_exchange_at_the_host_makes_nothing_younger() {
    let plane = Plane::closed().await;
    let owner = plane.filled().await;
    let mut claims = plane.issuer.claims("ada", &["sync.read"], &["a.*"]);
    (claims["iat"], claims["nbf"]) = (json!(now_s() - 20), json!(now_s() - 20));
    let old = plane.issuer.sign(&claims);
    // The host's exchange writes a new `iat`.
    let exchanged = plane.lane.place.http(Some(old.clone())).websocket_token().await.expect("exchanged");
    plane.knock(Some(exchanged.clone()), Protocol::V3).await.expect("good before");
    owner.call("revoke_grants", &("client", "client-ada", now_s() - 10)).await.expect("revoked");
    for token in [old, exchanged] {
        assert!(plane.knock(Some(token), Protocol::V3).await.is_err());
    }
    plane.join("ada", &["sync.read"], &["a.*"]).await.read("a.x", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_and_a_revoker_revoke_and_a_revoker_does_nothing_else() {
    let plane = Plane::closed().await;
    let revoker = plane.lane.place.http(None).create_identity().await.expect("an identity");
    plane.close(false, Some(revoker.identity)).await;
    let session = plane.enter(revoker.token).await;
    session.call("revoke_grants", &("token", "any", now_s())).await.expect("revoked");
    session.call("revoke_grants", &("token", "any", now_s() - 1)).await.expect("twice is once");
    assert_eq!(plane.lane.place.count("revoked_grant").await, 1);
    assert_eq!(code(session.call("revoke_grants", &("all", "any", 1i64)).await), Code::InvalidRequest);
    assert_eq!(refused(session.page("a.x", 0, 0).await).code, Code::Unauthorized);
    assert_eq!(code(session.append(Append::of("a.x", 1..=1)).await), Code::Unauthorized);
    assert_eq!(code(session.call("delete_stream", &("a.x",)).await), Code::Unauthorized);
}

/// The way from the token service to the module.
struct Sink(Session);

impl RevocationSink for Sink {
    async fn deliver(&self, revocations: &[Revocation]) -> Result<(), String> {
        for Revocation { kind, value, at_s, .. } in revocations {
            let arguments = (kind.as_str(), value.as_str(), *at_s);
            self.0.call("revoke_grants", &arguments).await.map_err(|refusal| refusal.to_string())?;
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_service_revokes_ends_within_five_seconds() {
    let plane = Plane::closed().await;
    plane.filled().await;
    let client = plane.issuer.client("desk", "sync.read", "a.*");
    let token: Token = plane.issuer.issue(&client, &[]).await;
    let mut session = plane.enter(token.clone()).await;
    session.follow(0, "a.*").await;
    let sink = Sink(plane.lane.owner().await);
    let control = plane.issuer.control.clone();
    let delivering = tokio::spawn(async move { deliver_revocations(&control, &sink).await });
    plane.issuer.control.client_revoke_sessions("test", "desk").expect("revoked");
    told(&mut session, SOON).await;
    assert!(plane.knock(Some(token), Protocol::V3).await.is_err());
    delivering.abort();
}
