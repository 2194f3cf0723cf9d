//! Whoever comes without a token of the lane: what is the owner's alone, and what is nobody's without a grant.

use muster_contract::Code;
use muster_contract::page::Page;
use muster_wire::ConnectError;
use muster_wire::http::HttpClient;

use super::doors::{refused, table_refused};
use super::{Ground, Lane};
use crate::gates::recorder::Recorder;
use crate::gates::session::{Session, SessionError};
use crate::gates::site::{Stage, words};
use crate::observation::Observation;

/// Tables that the owner alone reads.
const PRIVATE: [&str; 8] = [
    "lane_auth",
    "lane_owner",
    "session_grant",
    "sync_event",
    "sync_stream",
    "sync_snapshot",
    "sync_follow",
    "sync_producer",
];

/// What only the owner may, tried by somebody new, on any lane.
pub(super) async fn owners_doors(stage: &Stage, ground: &Ground, recorder: &Recorder, lane: Option<&Lane>) {
    let patience = stage.settings().patience();
    match HttpClient::new(stage.site.endpoint.clone(), None) {
        Ok(http) => {
            let http = http.with_timeout(patience);
            for table in PRIVATE {
                // A table that is not there refuses everybody: that says nothing.
                if let Err(error) = stage.http.sql(&format!("SELECT COUNT(*) AS n FROM {table}"), true).await {
                    recorder.undecided(&format!("stranger.sql.{table}"), words(&error));
                    continue;
                }
                table_refused(&http, table, &format!("stranger.sql.{table}"), recorder).await;
            }
        }
        Err(error) => recorder.undecided("stranger.sql", words(&error)),
    }
    let session = match Session::open(stage.site.endpoint.clone(), None, patience).await {
        Ok(session) => session,
        // On a closed lane that is what must happen; the doors of streams are tried below.
        Err(SessionError::Connect(ConnectError::Rejected { .. })) if lane.is_some_and(|lane| !lane.allow_anonymous) => {
            return recorder.observe(Observation::held("stranger.connect", "refused"));
        }
        Err(error) => return recorder.undecided("stranger.connect", words(&error)),
    };
    let why = "this lane lets nobody in without a token, and yet somebody is in";
    if lane.is_some_and(|lane| !lane.allow_anonymous) {
        recorder.observe(Observation::broken("stranger.connect", "let in", why));
    }
    // What would be refused for another reason, and do nothing, were the owner's check not there.
    let stream = ground.stream("ab.x");
    let lane_settings = (0u64, 0u64, 0u64, true, 0u64);
    let auth = ("nobody", "", false, false, None::<muster_wire::Identity>);
    for (name, told) in [
        ("delete_stream", session.call("delete_stream", &(stream.as_str(),)).await),
        ("configure_lane", session.call("configure_lane", &lane_settings).await),
        ("configure_auth", session.call("configure_auth", &auth).await),
    ] {
        refused(&format!("stranger.{name}"), told, Code::Unauthorized, "being the owner", recorder);
    }
    session.close().await;
}

/// What streams show to who has no token of this lane.
pub(super) async fn streams_doors(stage: &Stage, ground: &Ground, lane: &Lane, recorder: &Recorder) {
    let patience = stage.settings().patience();
    let host_token = match HttpClient::new(stage.site.endpoint.clone(), None) {
        Ok(http) => http.with_timeout(patience).create_identity().await.map(|identity| identity.token).ok(),
        Err(_) => None,
    };
    for (name, token) in [("anonymous", None), ("hosts_own_token", host_token)] {
        let session = match Session::open(stage.site.endpoint.clone(), token, patience).await {
            Ok(session) => session,
            Err(SessionError::Connect(ConnectError::Rejected { .. })) if !lane.allow_anonymous => {
                recorder.observe(Observation::held(format!("{name}.connect"), "refused"));
                continue;
            }
            Err(error) => {
                recorder.undecided(&format!("{name}.connect"), words(&error));
                continue;
            }
        };
        if !lane.allow_anonymous {
            let why = "this lane lets nobody in without a token of its issuer, and yet somebody is in";
            recorder.observe(Observation::broken(format!("{name}.connect"), "let in", why));
        }
        let stream = ground.stream("a.x");
        let told = session.ask::<_, Page>("read_page", &(stream.as_str(), 0u64, 0u64, 0u64, 10u32, 1_000u32)).await;
        refused(&format!("{name}.read_page"), told.map(drop), Code::Unauthorized, "any token", recorder);
        let told = session.call("follow", &(0u32, stream.as_str())).await;
        refused(&format!("{name}.follow"), told, Code::Unauthorized, "any token", recorder);
        session.close().await;
    }
}
