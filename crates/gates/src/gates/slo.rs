//! The gate `slo`: as quick and as reliable as the lane says that it must be.
//!
//! What always holds: limits are the lane's own (`slo` in `gates.toml`); what was measured stands beside them, also where
//! nothing is demanded; without traffic there is no figure, and no pass.

use std::time::{Duration, Instant};

use muster_contract::ConnectionState;
use muster_contract::limits::BATCH_EVENTS_MAX;
use muster_wire::Timestamp;
use tokio::sync::watch;
use tokio::time::timeout;

use super::limits::{SLO_CALLS, SLO_CUTS};
use super::recorder::{Recorder, ms, quantile};
use super::session::{Session, SessionError, event, new_producer};
use super::site::{Stage, words};
use super::traffic::judge::note;
use super::traffic::{KIND, Traffic, Way};
use crate::observation::{Observation, Quantity};

/// Runs.
pub(crate) async fn run(stage: &Stage, recorder: &Recorder) {
    if let Err(why) = stage.may_write() {
        return recorder.undecided("traffic", why);
    }
    let slo = &stage.settings().slo;
    for (name, limit) in [
        ("append_to_apply_p95_ms", slo.append_to_apply_p95_ms),
        ("reconnect_ms", slo.reconnect_ms),
        ("error_rate", slo.error_rate),
        ("append_events_per_s", slo.append_events_per_s),
    ] {
        recorder.configure(name, limit);
    }
    let load = &stage.settings().load;
    recorder.configure("events_per_s", load.events_per_s);
    recorder.configure("slo_s", load.slo_s);
    if let Err(why) = paced(stage, recorder).await {
        recorder.undecided("append_to_apply", why);
    }
    if let Err(error) = burst(stage, recorder).await {
        recorder.undecided("append_rate", words(&error));
    }
    calls(stage, recorder).await;
}

/// Events at the lane's own pace: how long each takes, and how long a cut.
async fn paced(stage: &Stage, recorder: &Recorder) -> Result<(), String> {
    let (proxy, through) = stage.proxied().await?;
    let patience = stage.settings().patience();
    let way = Way { publisher: through.clone(), subscriber: through, token: stage.site.token.clone(), patience };
    let mut traffic = Traffic::start(way, stage.stream("slo")).await?;
    let load = &stage.settings().load;
    let (stop, stopped) = watch::channel(false);
    let clock = async {
        tokio::time::sleep(Duration::from_secs(load.slo_s)).await;
        stop.send_replace(true);
    };
    recorder.tell("events at the lane's pace");
    let (flowed, ()) = tokio::join!(traffic.flow(load.events_per_s, stopped), clock);
    flowed?;
    traffic.flush().await?;
    traffic.settle().await?;
    let measured = traffic.times.latencies();
    for (at, took) in &measured {
        recorder.push("append to apply", Quantity::Latency, "ms", *at, ms(*took));
    }
    let mut all: Vec<f64> = measured.iter().map(|(_, took)| ms(*took)).collect();
    let Some(p95) = quantile(&mut all, 0.95) else { return Err("no event came through".into()) };
    recorder.observe(Observation::noted("append_to_apply.events", all.len()).unit("events"));
    let limit = stage.settings().slo.append_to_apply_p95_ms;
    let why = "from publish to the subscriber's database takes longer than the lane allows";
    recorder.at_most("append_to_apply.p95", p95, limit, "ms", why);
    for (name, part) in [("append_to_apply.p50", 0.5), ("append_to_apply.p99", 0.99)] {
        recorder.observe(Observation::noted(name, quantile(&mut all, part).unwrap_or(f64::NAN)).unit("ms"));
    }
    let worst = reconnects(&proxy, &mut traffic, stage, recorder).await?;
    let why = "after a cut it takes longer than the lane allows until everything is applied and live again";
    recorder.at_most("reconnect", worst, stage.settings().slo.reconnect_ms, "ms", why);
    traffic.pause().await;
    match traffic.applied() {
        Ok(tally) => note(recorder, "delivered", "the subscriber", &tally),
        Err(why) => recorder.undecided("delivered", why),
    }
    traffic.stop().await;
    Ok(())
}

/// The longest time that it took, of several cuts, until everything was applied and live again.
async fn reconnects(
    proxy: &muster_chaos::Proxy,
    traffic: &mut Traffic,
    stage: &Stage,
    recorder: &Recorder,
) -> Result<f64, String> {
    let mut worst = 0.0_f64;
    for _ in 0..SLO_CUTS {
        let mut status = traffic.status().ok_or("the subscriber does not run")?;
        let began = Instant::now();
        proxy.cut();
        let left = status.wait_for(|status| status.state != ConnectionState::Live);
        if !matches!(timeout(stage.settings().patience(), left).await, Ok(Ok(_))) {
            return Err("a cut connection was not noticed".into());
        }
        traffic.send(stage.settings().load.events_per_s.clamp(1, 100)).await?;
        traffic.settle().await?;
        let took = ms(began.elapsed());
        recorder.fault("every connection cut", began);
        recorder.push("reconnect", Quantity::Recovery, "ms", Instant::now(), took);
        worst = worst.max(took);
    }
    Ok(worst)
}

/// Full batches one after the other: how many events a second the module takes from one appender.
async fn burst(stage: &Stage, recorder: &Recorder) -> Result<(), SessionError> {
    let session = stage.session().await?;
    let (stream, producer) = (stage.stream("slo-burst"), new_producer());
    recorder.tell("full batches, one after the other");
    let batch = BATCH_EVENTS_MAX as u64;
    let (mut took, mut events) = (Duration::ZERO, 0);
    // The first makes the stream and warms up.
    for index in 0..=stage.settings().load.burst_batches {
        let first = index * batch + 1;
        let payload = |n| format!(r#"{{"fill":"{n:0200x}"}}"#);
        let batch: Vec<_> = (first..first + batch).map(|n| event(KIND, payload(n), Timestamp::now())).collect();
        let began = Instant::now();
        session.append(stream.as_str(), &producer, first, batch).await?;
        if index > 0 {
            took += began.elapsed();
            events += BATCH_EVENTS_MAX as u64;
            recorder.push("batch appended", Quantity::Latency, "ms", Instant::now(), ms(began.elapsed()));
        }
    }
    session.close().await;
    let rate = events as f64 / took.as_secs_f64();
    let limit = stage.settings().slo.append_events_per_s;
    if limit == 0.0 {
        recorder.observe(Observation::noted("append_rate", rate).unit("events/s"));
        return Ok(());
    }
    let seen = Observation::at_least("append_rate", rate, limit, "events/s");
    let why = "the module is slower at appending than the lane allows";
    recorder.observe(if rate >= limit { seen } else { seen.note(why) });
    Ok(())
}

/// Calls of each kind, and how many of them fail.
async fn calls(stage: &Stage, recorder: &Recorder) {
    let session: Session = match stage.session().await {
        Ok(session) => session,
        Err(error) => return recorder.undecided("error_rate", words(&error)),
    };
    let (stream, producer) = (stage.stream("slo-calls"), new_producer());
    let (mut failed, mut first) = (0_u32, None);
    for n in 0..SLO_CALLS / 2 {
        let number = u64::from(n) + 1;
        let events = vec![event(KIND, format!(r#"{{"n":{n}}}"#), Timestamp::now())];
        let appended = session.append(stream.as_str(), &producer, number, events).await;
        let read = session.page(stream.as_str(), u64::from(n)).await.map(drop);
        for error in [appended.err(), read.err()].into_iter().flatten() {
            failed += 1;
            first.get_or_insert_with(|| words(&error));
        }
    }
    session.close().await;
    recorder.observe(Observation::noted("calls", u64::from(SLO_CALLS / 2 * 2)));
    let rate = f64::from(failed) / f64::from(SLO_CALLS / 2 * 2);
    let why = format!("calls fail that must not; the first: {}", first.unwrap_or_default());
    recorder.at_most("error_rate", rate, stage.settings().slo.error_rate, "of calls", &why);
}
