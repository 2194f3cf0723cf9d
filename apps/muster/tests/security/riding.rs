//! Pages that ride on signals: an identity's signals are seen by all of its sessions, so what rides is granted to each.

use muster_contract::rows::{Signal, SyncSignal};
use serde_json::json;

use crate::issuer::now_s;
use crate::lane::{Session, payloads};
use crate::plane::Plane;

/// The one signal that comes next.
async fn next(session: &mut Session) -> SyncSignal {
    let mut signals = session.next_signals().await;
    assert_eq!(signals.len(), 1, "{signals:?}");
    assert_eq!(signals[0].what, Signal::Ahead);
    signals.remove(0)
}

/// Whether what the owner appends to `a.x` as its `n`th event reaches the session with its signal.
async fn rides(owner: &Session, session: &mut Session, n: u64) -> bool {
    owner.emit("a.x", n..=n).await;
    let signal = next(session).await;
    let page = signal.riding();
    assert_eq!(page.is_some(), !signal.page.is_empty(), "what rides can be read");
    let asked = session.read("a.x", n - 1).await;
    assert_eq!(payloads(&asked).len(), 1);
    page.inspect(|page| assert_eq!(page, &asked, "it is the page that would have been asked for")).is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_rides_where_all_of_an_identitys_sessions_may_read_the_stream_and_nowhere_else() {
    let plane = Plane::closed().await;
    let owner = plane.filled().await;
    let mut ada = plane.join("ada", &["sync.read"], &["a.*"]).await;
    ada.follow(0, "a.*").await;
    assert!(rides(&owner, &mut ada, 3).await, "alone");
    let also = plane.join("ada", &["sync.read"], &["*"]).await;
    assert!(rides(&owner, &mut ada, 4).await, "with one that may read more");
    let elsewhere: [(&[&str], &[&str]); 4] = [
        (&["sync.read"], &["ab.*"]),
        (&["sync.read"], &["a"]),
        (&["sync.write", "sync.snapshot", "presence.read"], &["*"]),
        (&[], &[]),
    ];
    let mut n = 5;
    for (scopes, streams) in elsewhere {
        let narrow = plane.join("ada", scopes, streams).await;
        assert_eq!(narrow.connection.identity(), ada.connection.identity());
        narrow.connection.subscribe(&["SELECT * FROM sync_signal"]).await.expect("subscribed");
        assert!(!rides(&owner, &mut ada, n).await, "beside {scopes:?} {streams:?}");
        let grants = plane.lane.place.count("session_grant").await;
        narrow.connection.close().await;
        plane.lane.place.until_count("session_grant", grants - 1).await;
        assert!(rides(&owner, &mut ada, n + 1).await, "once it is gone");
        n += 2;
    }
    drop(also);
    // Somebody else's sessions do not matter.
    let _bob = plane.join("bob", &[], &[]).await;
    assert!(rides(&owner, &mut ada, n).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_rides_beside_a_session_whose_grant_is_over() {
    let plane = Plane::closed().await;
    let owner = plane.filled().await;
    let mut ada = plane.join("ada", &["sync.read"], &["a.*"]).await;
    ada.follow(0, "a.*").await;
    let other = plane.join("ada", &["sync.read"], &["a.*"]).await;
    assert!(rides(&owner, &mut ada, 3).await);
    // No schedule ends it: only whoever looks can see that its time has passed.
    let connection = other.connection.connection_id().to_hex();
    let passed = format!("UPDATE session_grant SET expires_s = 1 WHERE connection_id = 0x{connection}");
    plane.lane.place.http(Some(plane.lane.place.owner.clone())).sql(&passed, true).await.expect("changed");
    assert!(!rides(&owner, &mut ada, 4).await);
    other.connection.close().await;
    plane.lane.place.until_count("session_grant", 1).await;
    assert!(rides(&owner, &mut ada, 5).await);
    // One that was revoked stays connected, and sees the identity's signals as before.
    let mut claims = plane.issuer.claims("ada", &["sync.read"], &["a.*"]);
    claims["jti"] = json!("to-be-revoked");
    let revoked = plane.enter(plane.issuer.sign(&claims)).await;
    owner.call("revoke_grants", &("token", "to-be-revoked", now_s() + 600)).await.expect("revoked");
    assert!(!rides(&owner, &mut ada, 6).await);
    drop(revoked);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_rides_beside_a_session_from_before_the_lane_was_closed() {
    let plane = Plane::open().await;
    let owner = plane.filled().await;
    let mut early = plane.join("ada", &["sync.read"], &["a.*"]).await;
    early.follow(0, "a.*").await;
    assert!(rides(&owner, &mut early, 3).await, "on an open lane all may read all");
    plane.close(false, None).await;
    // What it followed has ended with that, and its token was never looked at; one that comes now has a grant.
    let mut late = plane.join("ada", &["sync.read"], &["a.*"]).await;
    late.follow(0, "a.*").await;
    let of_ada = format!("active_connection WHERE identity = 0x{}", late.connection.identity().to_hex());
    assert_eq!(plane.lane.place.count(&of_ada).await, 2, "the early one is still there");
    assert!(!rides(&owner, &mut late, 4).await);
}
