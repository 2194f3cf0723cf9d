//! A drill's course: events flow, something breaks, it is mended, all is well again, and what arrived is compared.
//!
//! What always holds: events flow from before the fault until after everything is live again, so that recovery is measured
//! under load; the network is clear again whatever became of the fault.

use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_chaos::Proxy;
use muster_contract::ConnectionState;
use muster_contract::stream::StreamId;
use muster_sync::Status;
use muster_wire::Endpoint;
use muster_wire::http::HttpClient;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::gates::recorder::{Recorder, ms};
use crate::gates::replay;
use crate::gates::session::Session;
use crate::gates::site::{Stage, words};
use crate::gates::traffic::judge::{Held, note};
use crate::gates::traffic::{Times, Traffic, Way, told_to};
use crate::observation::Quantity;

/// How many events go out and arrive before anything breaks.
const BEFORE: u64 = 20;
/// How often the lag is looked at.
const LAG_EVERY: Duration = Duration::from_millis(250);

/// What a fault can reach.
pub(super) struct Scene<'a> {
    pub(super) recorder: &'a Recorder,
    /// Between both clients and the host.
    pub(super) proxy: &'a Proxy,
    pub(super) status: watch::Receiver<Status>,
    pub(super) times: Arc<Times>,
}

impl Scene<'_> {
    /// Waits until the subscriber is in a state, and says how long that took; `None` if it never was.
    pub(super) async fn until(&self, limit: Duration, mut is_it: impl FnMut(&Status) -> bool) -> Option<Duration> {
        let began = Instant::now();
        let mut status = self.status.clone();
        let reached = timeout(limit, status.wait_for(|status| is_it(status))).await;
        matches!(reached, Ok(Ok(_))).then(|| began.elapsed())
    }

    /// Waits until everything that was published up to now is applied and the subscriber is live.
    async fn well(&self, limit: Duration) -> Option<Duration> {
        let began = Instant::now();
        let wanted = self.times.published();
        let mut applied = self.times.applied();
        let reached = timeout(limit, applied.wait_for(|count| *count >= wanted)).await;
        if !matches!(reached, Ok(Ok(_))) {
            return None;
        }
        drop(reached);
        self.until(limit, |status| status.state == ConnectionState::Live).await.map(|_| began.elapsed())
    }
}

/// Where a drill takes place: the lane's database, or one of the gate's own.
pub(super) struct Place {
    pub(super) endpoint: Endpoint,
    pub(super) http: HttpClient,
}

impl Place {
    /// The lane's.
    pub(super) fn of_lane(stage: &Stage) -> Place {
        Place { endpoint: stage.site.endpoint.clone(), http: stage.http.clone() }
    }
}

/// Runs a drill on the lane's own database.
pub(super) async fn under_load(
    stage: &Stage,
    recorder: &Recorder,
    name: &str,
    fault: impl AsyncFnOnce(&Scene<'_>) -> Result<(), String>,
) {
    under_load_at(stage, recorder, name, &Place::of_lane(stage), fault).await;
}

/// Runs a drill: `fault` breaks something and mends it.
pub(super) async fn under_load_at(
    stage: &Stage,
    recorder: &Recorder,
    name: &str,
    place: &Place,
    fault: impl AsyncFnOnce(&Scene<'_>) -> Result<(), String>,
) {
    let (proxy, through) = match stage.proxied().await {
        Ok(proxied) => proxied,
        Err(why) => return recorder.undecided(&format!("{name}.network"), why),
    };
    let through = through.with_database(place.endpoint.database()).unwrap_or_else(|_| place.endpoint.clone());
    let patience = stage.settings().patience();
    let way = Way { publisher: through.clone(), subscriber: through, token: stage.site.token.clone(), patience };
    let prepared = async {
        let mut traffic = Traffic::start(way, stage.stream(name)).await?;
        traffic.send(BEFORE).await?;
        traffic.settle().await?;
        Ok::<_, String>(traffic)
    };
    let mut traffic = match prepared.await {
        Ok(traffic) => traffic,
        Err(why) => return recorder.undecided(&format!("{name}.start"), why),
    };
    let Some(status) = traffic.status() else {
        return recorder.undecided(&format!("{name}.start"), "the subscriber does not run");
    };
    let scene = Scene { recorder, proxy: &proxy, status, times: traffic.times.clone() };
    let (stop, stopped) = watch::channel(false);
    let lag = watch_lag(scene.times.clone(), recorder.clone(), format!("lag, {name}"), stopped.clone());
    let breaking = async {
        let began = Instant::now();
        let broken = fault(&scene).await;
        proxy.clear();
        recorder.fault(&name.replace('_', " "), began);
        let well = if broken.is_ok() { scene.well(patience).await } else { None };
        stop.send_replace(true);
        (broken, well)
    };
    let (flowed, (broken, well), ()) =
        tokio::join!(traffic.flow(stage.settings().load.events_per_s, stopped), breaking, lag);
    if let Err(why) = broken {
        recorder.undecided(&format!("{name}.fault"), why);
    } else {
        recovered(recorder, stage, name, well);
    }
    if let Err(why) = flowed {
        recorder.must(&format!("{name}.published"), false, false, why);
    }
    let flushed = traffic.flush().await;
    recorder.must(&format!("{name}.confirmed"), flushed.is_ok(), flushed.is_ok(), flushed.err().unwrap_or_default());
    let settled = traffic.settle().await;
    recorder.must(&format!("{name}.caught_up"), settled.is_ok(), settled.is_ok(), settled.err().unwrap_or_default());
    compare(stage, place, traffic, name, recorder).await;
}

/// How long it took until everything was well again.
fn recovered(recorder: &Recorder, stage: &Stage, name: &str, well: Option<Duration>) {
    let limit = stage.settings().slo.reconnect_ms;
    let name = format!("{name}.recovery");
    match well {
        Some(took) => {
            recorder.push("recovery", Quantity::Recovery, "ms", Instant::now(), ms(took));
            let why =
                "from the end of the fault until everything was applied and live took longer than the lane allows";
            recorder.at_most(&name, ms(took), limit, "ms", why);
        }
        None => {
            let why = format!("it never got well again within {} s", stage.settings().load.patience_s);
            recorder.must(&name, false, false, why);
        }
    }
}

/// The host's table and the subscriber's database, beside what was sent; and the times of it.
async fn compare(stage: &Stage, place: &Place, mut traffic: Traffic, name: &str, recorder: &Recorder) {
    for (at, took) in traffic.times.latencies() {
        recorder.push("append to apply", Quantity::Latency, "ms", at, ms(took));
    }
    traffic.pause().await;
    match replay::table(&place.http, &traffic.stream).await {
        Ok(held) => note(recorder, &format!("{name}.host"), "the host", &traffic.judge(&held)),
        Err(why) => recorder.undecided(&format!("{name}.host"), why),
    }
    match pages(stage, place, &traffic.stream, traffic.sent()).await {
        Ok(held) => note(recorder, &format!("{name}.pages"), "the host's pages", &traffic.judge(&held)),
        Err(why) => recorder.must(&format!("{name}.pages"), false, false, why),
    }
    replay::subscriber(traffic.applied(), &format!("{name}.subscriber"), recorder);
    traffic.stop().await;
}

async fn pages(stage: &Stage, place: &Place, stream: &StreamId, most: u64) -> Result<Vec<Held>, String> {
    let patience = stage.settings().patience();
    let session = Session::open(place.endpoint.clone(), stage.site.token.clone(), patience).await;
    let session = session.map_err(|error| words(&error))?;
    let all = session.everything(stream.as_str(), most).await;
    session.close().await;
    let all = all.map_err(|error| words(&error))?;
    Ok(all.into_iter().map(|(seq, event)| Held { seq, number: event.number, payload: event.payload }).collect())
}

/// How far the subscriber is behind, for the plot.
async fn watch_lag(times: Arc<Times>, recorder: Recorder, series: String, mut stop: watch::Receiver<bool>) {
    let applied = times.applied();
    loop {
        let behind = times.published().saturating_sub(*applied.borrow());
        recorder.push(&series, Quantity::Lag, "events", Instant::now(), behind as f64);
        if timeout(LAG_EVERY, told_to(&mut stop)).await.is_ok() {
            return;
        }
    }
}
