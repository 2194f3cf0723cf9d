//! Many sessions' tokens end at once: each has nothing from then on, and all is well again with new ones.

use std::time::{Duration, Instant};

use futures::StreamExt;
use muster_contract::Code;
use muster_wire::lease::fetch;

use super::scene::{Scene, under_load};
use crate::gates::limits::{CONNECTING_AT_ONCE, TOKEN_LIFE_S};
use crate::gates::recorder::{Recorder, ms};
use crate::gates::session::{Session, SessionError};
use crate::gates::site::{Stage, words};
use crate::gates::tokens::{self, Wanted};
use crate::observation::{Observation, Quantity};

/// How often a session asks whether it still may.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// By how much a token may seem to end too early: the whole seconds of its claims, and the way to the service.
const EARLY: Duration = Duration::from_millis(1_500);

/// Runs.
pub(super) async fn run(stage: &Stage, recorder: &Recorder) {
    match crate::gates::security::lane_auth(stage).await {
        Ok(Some(_)) => {}
        Ok(None) => return recorder.undecided("token_expiry_storm", "this lane takes anybody: no token ends here"),
        Err(why) => return recorder.undecided("token_expiry_storm", why),
    }
    under_load(stage, recorder, "token_expiry_storm", async |scene: &Scene<'_>| {
        let count = stage.settings().load.expiry_clients;
        let stream = stage.stream("token_expiry_storm").as_str().to_owned();
        let members = enter_all(stage, &stream, count).await?;
        recorder.observe(Observation::noted("token_expiry_storm.sessions", count).unit("sessions"));
        let ended = futures::future::join_all(members.iter().map(|member| member.outlive(&stream))).await;
        let mut latest = 0.0_f64;
        for told in ended {
            let late = told?;
            if late < -ms(EARLY) {
                let why = "a session was refused before its token had ended";
                recorder.must("token_expiry_storm.early", false, late, why);
            }
            latest = latest.max(late);
        }
        let why = "a session went on reading after its token had ended";
        recorder.at_most("token_expiry_storm.late", latest, stage.settings().slo.expiry_ms, "ms", why);
        for member in members {
            member.session.close().await;
        }
        let began = Instant::now();
        let again = enter_all(stage, &stream, count).await?;
        let took = ms(began.elapsed());
        scene.recorder.push("token storm recovery", Quantity::Recovery, "ms", Instant::now(), took);
        let why = "with new tokens not every session was back in the time that the lane allows";
        recorder.at_most("token_expiry_storm.all_back", took, stage.settings().slo.reconnect_ms, "ms", why);
        for member in again {
            member.session.close().await;
        }
        Ok(())
    })
    .await;
}

struct Member {
    session: Session,
    ends: Instant,
}

/// Sessions with short tokens, each of which reads once: what must be refused later is let through now.
async fn enter_all(stage: &Stage, stream: &str, count: usize) -> Result<Vec<Member>, String> {
    let enter = |_| async {
        let life = Duration::from_secs(TOKEN_LIFE_S);
        let wanted = Wanted { scopes: &["sync.read"], streams: vec![stream.to_owned()], life: Some(life) };
        let asked = Instant::now();
        let granted = fetch(&tokens::source(stage, &wanted)?).await.map_err(|refused| words(&refused))?;
        let life = granted.expires_in.ok_or("the token service does not say how long a token is good")?;
        let patience = stage.settings().patience();
        let session = Session::open(stage.site.endpoint.clone(), Some(granted.token), patience).await;
        let session = session.map_err(|error| words(&error))?;
        session.page(stream, 0).await.map_err(|error| format!("a new token is refused: {}", words(&error)))?;
        Ok::<_, String>(Member { session, ends: asked + life })
    };
    let entered: Vec<_> = futures::stream::iter(0..count).map(enter).buffered(CONNECTING_AT_ONCE).collect().await;
    entered.into_iter().collect()
}

impl Member {
    /// Reads until it is refused, and says how long after the token's end that was, in milliseconds.
    async fn outlive(&self, stream: &str) -> Result<f64, String> {
        let deadline = self.ends + Duration::from_secs(TOKEN_LIFE_S);
        loop {
            match self.session.page(stream, 0).await {
                Ok(_) if Instant::now() >= deadline => return Ok(f64::INFINITY),
                Ok(_) => {}
                Err(SessionError::Refused(refusal)) if refusal.code == Code::Unauthorized => break,
                Err(error) => return Err(words(&error)),
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
        let now = Instant::now();
        Ok(ms(now.saturating_duration_since(self.ends)) - ms(self.ends.saturating_duration_since(now)))
    }
}
