//! From the service to the module: what is revoked here ends there, although the service was killed in between.

use std::time::{Duration, Instant};

use muster_wire::{ConnectOptions, Connection, Endpoint, Incoming, Token, args, connect};

use crate::lane::Lane;
use crate::service::{Place, eventually};
use crate::support::PATIENCE;

/// What the promise is.
const SOON: Duration = Duration::from_secs(5);

impl Lane {
    async fn join(&self, database: &str, token: &str) -> Joined {
        let mut options = ConnectOptions::new(Endpoint::new(&self.host.url, database).expect("an endpoint"));
        options.token = Some(Token::new(token).expect("a token"));
        (options.timeouts.connect, options.timeouts.call) = (PATIENCE, PATIENCE);
        let (connection, incoming) = connect(options).await.expect("let in");
        let joined = Joined { connection, _incoming: incoming };
        assert_eq!(joined.refusal().await, None, "granted");
        joined
    }
}

/// A session that stays.
struct Joined {
    connection: Connection,
    _incoming: Incoming,
}

impl Joined {
    /// What the module says to what the token granted.
    async fn refusal(&self) -> Option<String> {
        let reply = self.connection.call_reducer("follow", args(&(0u32, "a.*"))).await.expect("answered");
        reply.outcome.message()
    }

    async fn ends_within(&self, limit: Duration) {
        let began = Instant::now();
        let said = loop {
            if let Some(said) = self.refusal().await {
                break said;
            }
            assert!(began.elapsed() < limit, "the grant lives on after {limit:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        assert!(said.contains("revoked"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_revoked_ends_open_sessions_within_five_seconds_whoever_revoked_it() {
    let lane = Lane::new();
    let _service = lane.serve();
    let who = lane.place.client("desk", &[]);
    // By the client itself, over HTTP. Only this token ends.
    let token = lane.place.token(&who);
    let session = lane.join("lane", &token).await;
    revoke_over_http(&lane.place, &who, &token);
    session.ends_within(SOON).await;
    // By the command line, in another process. All that the client has been given ends.
    let session = lane.join("lane", &lane.place.token(&who)).await;
    lane.place.control(&["clients", "revoke", "desk"]).done();
    session.ends_within(SOON).await;
    eventually("all of it is confirmed", PATIENCE, || {
        lane.place.metric("muster_control_revocations_waiting{database=\"lane\"}") == Some(0)
    });
    assert!(lane.place.metric("muster_control_revocations_delivered_total{database=\"lane\"}") >= Some(2));
}

fn revoke_over_http(place: &Place, who: &str, token: &str) {
    let who = format!("Basic {who}");
    let headers = [("authorization", who.as_str()), ("content-type", "application/x-www-form-urlencoded")];
    let (status, said) = place.ask("POST", "/oauth/revoke", &headers, &format!("token={token}"));
    assert_eq!(status, 200, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_killed_between_revoking_and_telling_tells_when_it_is_back() {
    let lane = Lane::new();
    let mut service = lane.serve();
    let who = lane.place.client("desk", &[]);
    let token = lane.place.token(&who);
    let session = lane.join("lane", &token).await;
    // The host hears nothing while it is stopped, so what is revoked cannot have been told.
    lane.host.process.signal("STOP");
    revoke_over_http(&lane.place, &who, &token);
    service.signal("KILL");
    assert_eq!(service.code(), None, "ended by a signal");
    lane.host.process.signal("CONT");
    assert_eq!(session.refusal().await, None, "nobody has told it");
    let _service = lane.serve();
    session.ends_within(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_hears_all_that_is_remembered_and_one_that_is_not_there_holds_up_nobody() {
    let lane = Lane::new();
    let _service = lane.serve();
    let who = lane.place.client("desk", &[]);
    lane.place.control(&["cohort", "set", "--candidate", "not-there", "--percent", "1"]).done();
    let old = lane.place.token(&who);
    let session = lane.join("lane", &old).await;
    revoke_over_http(&lane.place, &who, &old);
    session.ends_within(SOON).await;
    // Made after the revocation: it must still refuse the token.
    let issuer = lane.place.issuer();
    let made =
        lane.place.control(&["init", "--issuer", &issuer, "--audience", "muster-test", "--database", "lane", "--json"]);
    lane.open("next", made.json()["revoker"].as_str().expect("an identity"));
    lane.place.control(&["cohort", "set", "--candidate", "next", "--percent", "1"]).done();
    let told = "muster_control_revocations_delivered_total{database=\"next\"}";
    eventually("the candidate has heard", PATIENCE, || lane.place.metric(told) == Some(1));
    let endpoint = Endpoint::new(&lane.host.url, "next").expect("an endpoint");
    let options = ConnectOptions::new(endpoint).token(Some(Token::new(old).expect("a token")));
    let refused = connect(options).await.err().map(|error| error.to_string());
    assert!(refused.as_ref().is_some_and(|why| why.contains("revoked")), "{refused:?}");
    // What is no candidate any more has sessions still.
    let late = lane.place.token(&who);
    let session = lane.join("next", &late).await;
    lane.place.control(&["cohort", "clear"]).done();
    eventually("the service knows", PATIENCE, || {
        let (_, said) = lane.place.mint(&who, "");
        said["database"] == "lane"
    });
    revoke_over_http(&lane.place, &who, &late);
    session.ends_within(SOON).await;
}
