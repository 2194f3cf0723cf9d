//! The token service cannot be reached: who has a token goes on, also in new sessions, and all is well when it is back.
//!
//! What always holds: only this machine's way to the service is cut. The host's own is not this drill's to break; that a
//! host goes on with the keys that it has is seen in that new sessions come in with a token fetched before.

use std::time::{Duration, Instant};

use muster_chaos::Proxy;
use muster_wire::Endpoint;
use muster_wire::lease::Keeper;

use super::scene::{Scene, under_load};
use crate::gates::limits::TOKEN_LIFE_S;
use crate::gates::recorder::{Recorder, ms};
use crate::gates::session::Session;
use crate::gates::site::{Stage, words};
use crate::gates::tokens::{self, Wanted};
use crate::observation::Quantity;

/// Runs.
pub(super) async fn run(stage: &Stage, recorder: &Recorder) {
    match crate::gates::security::lane_auth(stage).await {
        Ok(Some(_)) => {}
        Ok(None) => return recorder.undecided("control_away", "this lane takes anybody: it needs no token service"),
        Err(why) => return recorder.undecided("control_away", why),
    }
    let Some(service) = stage.settings().tokens.clone() else {
        return recorder.undecided("control_away", "gates.toml names no `tokens` for this lane");
    };
    if !service.control.starts_with("http://") {
        let why = "the token service speaks TLS under its own name, which a proxy of ours cannot: run this drill where \
                   the service is on this machine";
        return recorder.undecided("control_away", why);
    }
    let proxy = match in_front_of(&service.control).await {
        Ok(proxy) => proxy,
        Err(why) => return recorder.undecided("control_away", why),
    };
    under_load(stage, recorder, "control_away", async |scene: &Scene<'_>| {
        let stream = stage.stream("control_away").as_str().to_owned();
        let life = Duration::from_secs(TOKEN_LIFE_S * 2);
        let wanted = Wanted { scopes: &["sync.read"], streams: vec![stream.clone()], life: Some(life) };
        let source = tokens::from(&service, &format!("http://{}", proxy.address()), &wanted)?;
        let keeper = Keeper::start(source);
        let patience = stage.settings().patience();
        let held = keeper.token(patience).await.map_err(|error| words(&error))?;
        let open = async || {
            let session = Session::open(stage.site.endpoint.clone(), Some(held.token.clone()), patience).await;
            let session = session.map_err(|error| words(&error))?;
            session.page(&stream, 0).await.map_err(|error| words(&error))?;
            Ok::<_, String>(session)
        };
        let before = open().await?;
        let began = Instant::now();
        proxy.refuse();
        proxy.cut();
        let goes_on = before.page(&stream, 0).await;
        let why = goes_on.as_ref().err().map(words).unwrap_or_default();
        recorder.must("control_away.session_goes_on", goes_on.is_ok(), goes_on.is_ok(), why);
        let new = open().await;
        recorder.must(
            "control_away.new_session",
            new.is_ok(),
            new.is_ok(),
            new.as_ref().err().cloned().unwrap_or_default(),
        );
        // Past the moment at which the next token was due, so that it was asked for in vain.
        let mut status = keeper.status();
        let asked = tokio::time::timeout(life + patience, status.wait_for(|status| status.attempts > 0));
        // What is found is borrowed: kept for longer, it would hold up the keeper.
        let tried = matches!(asked.await, Ok(Ok(_)));
        recorder.must("control_away.asked_in_vain", tried, tried, "nobody asked for the next token while it was due");
        proxy.clear();
        recorder.fault("control away", began);
        let back = Instant::now();
        let serial = held.serial;
        let renewed = tokio::time::timeout(patience, async {
            keeper.changes().wait_for(|held| held.as_ref().is_some_and(|held| held.serial != serial)).await.is_ok()
        });
        let renewed = matches!(renewed.await, Ok(true));
        let took = ms(back.elapsed());
        scene.recorder.push("token service back", Quantity::Recovery, "ms", Instant::now(), took);
        let limit = stage.settings().slo.reconnect_ms;
        let why = "with the token service back, no new token came in the time that the lane allows";
        recorder.at_most("control_away.renewed", if renewed { took } else { f64::INFINITY }, limit, "ms", why);
        before.close().await;
        if let Ok(new) = new {
            new.close().await;
        }
        Ok(())
    })
    .await;
}

async fn in_front_of(service: &str) -> Result<Proxy, String> {
    let authority = Endpoint::new(service, "none").map_err(|error| words(&error))?.authority();
    let mut found = tokio::net::lookup_host(&authority).await.map_err(|error| format!("{authority}: {error}"))?;
    let address = found.next().ok_or_else(|| format!("{authority} has no address"))?;
    Proxy::start(address).await.map_err(|error| format!("no port for the proxy ({error})"))
}
