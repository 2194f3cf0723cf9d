//! Revocation, introspection, the feed, and the outbox that tells the module.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use muster_control::limits::{DELIVERY_PAGE_MAX, DELIVERY_TIMEOUT_MS};
use muster_control::{Permission, Revocation, RevocationSink, RevokedKind, deliver_revocations};
use reqwest::Method;
use serde_json::json;

use crate::support::{Service, claims, eventually, refused, send};

#[tokio::test]
async fn a_client_looks_into_its_own_tokens_and_others_only_where_registered() {
    let service = Service::start().await;
    let one = service.client("one", "sync.read", "a.*", &[Permission::Refresh]);
    let other = service.client("other", "sync.read", "a.*", &[]);
    let watcher = service.client("watcher", "presence.read", "", &[Permission::Introspect]);
    let given = service.token(&one, &[]).await;
    let (access, refresh) = (given.field("access_token"), given.field("refresh_token"));
    for token in [&access, &refresh] {
        assert!(service.is_active(&one, token).await);
        assert!(!service.is_active(&other, token).await);
        assert!(service.is_active(&watcher, token).await);
    }
    let described = service.post_as(&one, "/oauth/introspect", &[("token", &access)]).await.json();
    let mut expected = claims(&access);
    expected["active"] = json!(true);
    expected["token_type"] = json!("Bearer");
    assert_eq!(described, expected);
    for bad in [format!("{access}x"), "x".into(), "..".into()] {
        assert!(!service.is_active(&one, &bad).await);
    }
    assert_eq!(
        service.post("/oauth/introspect", &[("token", &access)]).await.refusal(),
        refused(401, "invalid_client")
    );
    service.clock.advance(300);
    assert!(!service.is_active(&one, &access).await, "expired");
}

#[tokio::test]
async fn revoking_ends_a_token_its_family_and_all_that_came_of_it() {
    let service = Service::start().await;
    let one = service.client("one", "sync.read", "a.*", &[Permission::Refresh]);
    let agent = service.client("agent", "sync.read", "a.*", &[Permission::Exchange]);
    let given = service.token(&one, &[]).await;
    let (access, refresh) = (given.field("access_token"), given.field("refresh_token"));
    let next = service.refresh(&one, &refresh).await;
    let agents = service.exchange(&agent, &access, &[]).await.field("access_token");
    let agents_agents = service.exchange(&agent, &agents, &[]).await.field("access_token");

    assert_eq!(
        service.post_as(&agent, "/oauth/revoke", &[("token", &access)]).await.refusal(),
        refused(400, "unauthorized_client")
    );
    let revoked = service.post_as(&one, "/oauth/revoke", &[("token", &access)]).await;
    assert_eq!((revoked.status, revoked.text.as_str()), (200, ""));
    assert!(!service.is_active(&one, &access).await);
    assert!(!service.is_active(&agent, &agents).await && !service.is_active(&agent, &agents_agents).await);
    assert_eq!(
        service.exchange(&agent, &access, &[]).await.refusal(),
        refused(400, "invalid_grant"),
        "a revoked token"
    );
    assert!(service.is_active(&one, &next.field("access_token")).await, "the family lives");

    service.post_as(&one, "/oauth/revoke", &[("token", &next.field("refresh_token"))]).await;
    assert!(!service.is_active(&one, &next.field("access_token")).await, "now it does not");
    assert_eq!(service.refresh(&one, &next.field("refresh_token")).await.refusal(), refused(400, "invalid_grant"));
    for unknown in ["x", &access, &refresh] {
        assert_eq!(
            service.post_as(&one, "/oauth/revoke", &[("token", unknown)]).await.status,
            200,
            "no error (RFC 7009)"
        );
    }
    let kinds: Vec<_> =
        service.control.revocations_after(0, 10).unwrap().into_iter().map(|revocation| revocation.kind).collect();
    assert_eq!(kinds, [RevokedKind::Token, RevokedKind::Session, RevokedKind::Session, RevokedKind::Session]);
}

#[tokio::test]
async fn an_operator_ends_a_session_a_clients_sessions_or_a_client() {
    let service = Service::start().await;
    let one = service.client("one", "sync.read", "a.*", &[]);
    let first = service.token(&one, &[]).await.field("access_token");
    let second = service.token(&one, &[]).await.field("access_token");
    let sessions = service.control.sessions_list(Some("one")).unwrap();
    assert_eq!(sessions.len(), 2);
    assert!(service.control.sessions_list(Some("nobody")).unwrap().is_empty());
    service.control.session_revoke("test", claims(&first)["sid"].as_str().unwrap()).unwrap();
    assert!(!service.is_active(&one, &first).await && service.is_active(&one, &second).await);
    assert!(service.control.session_revoke("test", claims(&first)["sid"].as_str().unwrap()).is_err(), "it is over");
    assert_eq!(service.control.client_revoke_sessions("test", "one").unwrap(), 1);
    assert!(!service.is_active(&one, &second).await);
    let third = service.token(&one, &[]).await.field("access_token");
    assert!(service.is_active(&one, &third).await, "it may begin new ones");
    service.control.client_set_disabled("test", "one", true).unwrap();
    let watcher = service.client("watcher", "presence.read", "", &[Permission::Introspect]);
    assert!(!service.is_active(&watcher, &third).await);
    let feed = service.control.revocations_after(0, 100).unwrap();
    assert!(feed.iter().any(|revocation| revocation.kind == RevokedKind::Client
        && revocation.value == "one"
        && revocation.reason == "disabled"));

    // Whoever writes to the database beside it, after a restore for instance, revokes nothing.
    service.control.client_set_disabled("test", "one", false).unwrap();
    let fourth = service.token(&one, &[]).await.field("access_token");
    assert!(service.is_active(&watcher, &fourth).await);
    let database = rusqlite::Connection::open(service.dir.path().join("state/control.sqlite")).unwrap();
    database.execute("UPDATE client SET disabled = 1 WHERE id = 'one'", []).unwrap();
    assert!(!service.is_active(&watcher, &fourth).await, "a client that may not ask has nothing good");
}

#[tokio::test]
async fn the_feed_is_for_those_who_are_registered_for_it_and_goes_on_where_it_ended() {
    let service = Service::start().await;
    let one = service.client("one", "sync.read", "a.*", &[]);
    let module = service.client("module", "presence.read", "", &[Permission::Revocations]);
    for _ in 0..3 {
        let token = service.token(&one, &[]).await.field("access_token");
        service.post_as(&one, "/oauth/revoke", &[("token", &token)]).await;
    }
    let basic = |path: &str, who: &crate::support::Registered| {
        send(service.request(Method::GET, path).header("authorization", who.basic()))
    };
    let page = basic("/api/revocations", &module).await.json();
    assert_eq!(page["revocations"].as_array().unwrap().len(), 3);
    let next = page["next"].as_i64().unwrap();
    let rest = basic(&format!("/api/revocations?after={}", next - 1), &module).await.json();
    assert_eq!(rest["revocations"], json!([page["revocations"][2]]));
    let none = basic(&format!("/api/revocations?after={next}"), &module).await.json();
    assert_eq!(none, json!({ "revocations": [], "next": next }));

    assert_eq!(basic("/api/revocations", &one).await.refusal(), refused(400, "unauthorized_client"));
    assert_eq!(basic("/api/revocations?after=x", &module).await.refusal(), refused(400, "invalid_request"));
    assert_eq!(service.get("/api/revocations").await.refusal(), refused(401, "invalid_client"));
    let bearer = |token: String| send(service.request(Method::GET, "/api/revocations").bearer_auth(token));
    let token = service.token(&module, &[]).await.field("access_token");
    assert_eq!(bearer(token.clone()).await.status, 200);
    assert_eq!(bearer(format!("{token}x")).await.refusal(), refused(401, "invalid_token"));
    let agent = service.client("agent", "presence.read", "", &[Permission::Exchange]);
    let agents = service.exchange(&agent, &token, &[]).await.field("access_token");
    assert_eq!(
        bearer(agents).await.refusal(),
        refused(401, "invalid_token"),
        "who acts for a client is not the client"
    );
}

/// A sink that fails at first.
struct Sink {
    failures: Mutex<u32>,
    taken: Mutex<Vec<Revocation>>,
}

impl RevocationSink for Sink {
    async fn deliver(&self, revocations: &[Revocation]) -> Result<(), String> {
        let mut failures = self.failures.lock().unwrap();
        if *failures > 0 {
            *failures -= 1;
            return Err("not now".into());
        }
        self.taken.lock().unwrap().extend_from_slice(revocations);
        Ok(())
    }
}

#[tokio::test]
async fn a_revocation_reaches_the_sink_in_time_whoever_made_it_and_although_it_failed_at_first() {
    let service = Service::start().await;
    let one = service.client("one", "sync.read", "a.*", &[]);
    let sink = Sink { failures: Mutex::new(2), taken: Mutex::default() };
    let control = service.control.clone();
    let taken = || sink.taken.lock().unwrap().len();
    let test = async {
        let token = service.token(&one, &[]).await.field("access_token");
        let began = Instant::now();
        service.post_as(&one, "/oauth/revoke", &[("token", &token)]).await;
        eventually("the revocation is delivered", || taken() == 1).await;
        // As the command line does: another process over the same state directory.
        let elsewhere = muster_control::Control::open(control.config().clone()).unwrap();
        service.token(&one, &[]).await;
        elsewhere.client_revoke_sessions("operator", "one").unwrap();
        eventually("the other process's revocations are delivered", || taken() == 2).await;
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        eventually("they are marked", || service.control.revocations_waiting("", 10).unwrap().is_empty()).await;
    };
    tokio::select! {
        () = test => {}
        () = deliver_revocations(&control, &sink) => unreachable!("it delivers for ever"),
    }
    let order: Vec<_> = sink.taken.lock().unwrap().iter().map(|revocation| revocation.seq).collect();
    assert!(order.is_sorted(), "{order:?}");
}

#[tokio::test]
async fn revoking_a_client_is_one_revocation_however_many_sessions_it_has_and_one_for_each_that_others_made_of_them() {
    let service = Service::start().await;
    let one = service.client("one", "sync.read", "a.*", &[]);
    let agent = service.client("agent", "sync.read", "a.*", &[Permission::Exchange]);
    let mut agents = String::new();
    for _ in 0..20 {
        let token = service.token(&one, &[]).await.field("access_token");
        agents = service.exchange(&agent, &token, &[]).await.field("access_token");
    }
    assert_eq!(service.control.client_revoke_sessions("test", "one").unwrap(), 40);
    let feed = service.control.revocations_after(0, 100).unwrap();
    assert_eq!(feed.iter().filter(|it| it.kind == RevokedKind::Client).count(), 1);
    assert_eq!(feed.len(), 21);
    assert!(
        feed.iter().any(|it| it.value == claims(&agents)["sid"].as_str().unwrap()),
        "the agent's own sessions are named"
    );
}

/// Takes few at a time, and notes how many were offered at once.
struct SlowWay(Mutex<Vec<usize>>);

impl RevocationSink for SlowWay {
    async fn deliver(&self, revocations: &[Revocation]) -> Result<(), String> {
        self.0.lock().unwrap().push(revocations.len());
        if revocations.len() > 100 { std::future::pending().await } else { Ok(()) }
    }
}

#[tokio::test]
async fn a_burst_of_revocations_is_delivered_in_pages_that_a_slow_way_gets_through() {
    let service = Service::start().await;
    let one = service.client("one", "sync.read", "a.*", &[]);
    for _ in 0..150 {
        let token = service.token(&one, &[]).await.field("access_token");
        service.control.session_revoke("test", claims(&token)["sid"].as_str().unwrap()).unwrap();
        service.clock.advance(1);
    }
    let (sink, control) = (SlowWay(Mutex::default()), service.control.clone());
    tokio::select! {
        () = eventually("all are delivered", || control.revocations_waiting("", 1).unwrap().is_empty()) => {}
        () = deliver_revocations(&control, &sink) => unreachable!("it delivers for ever"),
    }
    assert_eq!(sink.0.lock().unwrap().iter().sum::<usize>(), 150);
}

/// Takes a page as a whole or not at all, and needs longer for it than the first attempt is given.
struct LongWay(Mutex<usize>);

impl RevocationSink for LongWay {
    async fn deliver(&self, revocations: &[Revocation]) -> Result<(), String> {
        tokio::time::sleep(Duration::from_millis(DELIVERY_TIMEOUT_MS + 500)).await;
        *self.0.lock().unwrap() += revocations.len();
        Ok(())
    }
}

#[tokio::test]
async fn a_page_that_takes_longer_than_its_first_attempt_is_given_longer_at_the_next_and_gets_through() {
    let service = Service::start().await;
    service.client("one", "sync.read", "a.*", &[]);
    for _ in 0..DELIVERY_PAGE_MAX {
        service.control.client_revoke_sessions("test", "one").unwrap();
    }
    let (sink, control) = (LongWay(Mutex::default()), service.control.clone());
    tokio::select! {
        () = eventually("all are delivered", || control.revocations_waiting("", 1).unwrap().is_empty()) => {}
        () = deliver_revocations(&control, &sink) => unreachable!("it delivers for ever"),
    }
    assert_eq!(*sink.0.lock().unwrap(), DELIVERY_PAGE_MAX, "once");
}

#[tokio::test]
async fn a_former_candidate_hears_of_revocations_until_no_token_that_was_good_there_lives() {
    let service = Service::start().await;
    let share: muster_control::Share = "5".parse().unwrap();
    let control = &service.control;
    control.cohort_set("test", "lane", "next", share).unwrap();
    control.cohort_set("test", "lane", "other", share).unwrap();
    control.cohort_clear("test", "lane").unwrap();
    control.revocations_delivered("next", 0).unwrap();
    control.prune().unwrap();
    assert_eq!(control.cohort_candidates("lane").unwrap(), ["next", "other"]);
    assert!(control.cohort_candidates("next").unwrap().is_empty());
    service.clock.advance(2 * 3_600);
    assert!(control.cohort_candidates("lane").unwrap().is_empty());
    control.prune().unwrap();
    assert!(!service.get("/metrics").await.text.contains(r#"database="next""#), "what it had heard is forgotten");
}

#[tokio::test]
async fn what_nobody_needs_any_more_is_forgotten_and_what_is_live_stays() {
    let service = Service::start().await;
    let one = service.client("one", "sync.read", "a.*", &[]);
    let family = service.client("family", "sync.read", "a.*", &[Permission::Refresh]);
    let refresh = service.token(&family, &[]).await.field("refresh_token");
    let token = service.token(&one, &[]).await.field("access_token");
    service.post_as(&one, "/oauth/revoke", &[("token", &token)]).await;
    let counts = || {
        let database = rusqlite::Connection::open(service.dir.path().join("state/control.sqlite")).unwrap();
        ["session", "access_token", "refresh_token", "revocation"].map(|table| {
            database.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, i64>(0)).unwrap()
        })
    };
    service.control.prune().unwrap();
    assert_eq!(counts(), [2, 2, 1, 1]);
    service.clock.advance(2 * 24 * 3_600);
    service.control.prune().unwrap();
    assert_eq!(counts(), [1, 0, 1, 0], "the family lives, its first access token is long over");
    let next = service.refresh(&family, &refresh).await;
    assert_eq!(next.status, 200, "{next:?}");
    service.clock.advance(31 * 24 * 3_600);
    service.control.prune().unwrap();
    assert_eq!(counts(), [0, 0, 0, 0]);
    let seq = service
        .control
        .client_revoke_sessions("test", "one")
        .and_then(|_| service.control.revocations_after(0, 1))
        .unwrap()[0]
        .seq;
    assert_eq!(seq, 2, "a place in the feed is never given twice");
}
