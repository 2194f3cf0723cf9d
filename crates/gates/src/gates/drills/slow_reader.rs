//! One reader's network is slow: nobody else feels it, and it loses nothing.

use muster_chaos::Weather;

use super::scene::{Scene, under_load};
use crate::gates::limits::SLOW_BYTES_PER_S;
use crate::gates::recorder::{Recorder, ms, quantile};
use crate::gates::site::Stage;
use crate::gates::traffic::{Traffic, Way};
use crate::observation::Observation;

/// Runs.
pub(super) async fn run(stage: &Stage, recorder: &Recorder) {
    under_load(stage, recorder, "slow_reader", async |scene: &Scene<'_>| {
        // A way of its own: what is slow here must not slow the others by our own doing.
        let (proxy, through) = stage.proxied().await?;
        let way = Way {
            publisher: through.clone(),
            subscriber: through,
            token: stage.site.token.clone(),
            patience: stage.settings().patience(),
        };
        let slow = Traffic::start(way, stage.stream("slow_reader")).await?;
        let before = scene.times.latencies().len();
        proxy.set_weather(Weather { bytes_per_second: Some(SLOW_BYTES_PER_S), ..Weather::CLEAR });
        tokio::time::sleep(stage.settings().fault()).await;
        let mut others: Vec<f64> = scene.times.latencies().iter().skip(before).map(|(_, took)| ms(*took)).collect();
        let limit = stage.settings().slo.append_to_apply_p95_ms;
        match quantile(&mut others, 0.95) {
            Some(p95) => {
                let why = "a slow reader held up the others";
                recorder.at_most("slow_reader.others_p95", p95, limit, "ms", why);
            }
            None => recorder.undecided("slow_reader.others_p95", "no event came through meanwhile"),
        }
        proxy.clear();
        // Everything that had been published when its network was well again.
        let wanted = scene.times.published();
        let caught_up = slow.reaches(wanted).await;
        let had = slow.applied()?.rows();
        slow.stop().await;
        let why = caught_up.as_ref().err().cloned().unwrap_or_default();
        recorder.must("slow_reader.caught_up_itself", caught_up.is_ok(), had, why);
        recorder.observe(Observation::noted("slow_reader.bytes_per_s", u64::from(SLOW_BYTES_PER_S)));
        Ok(())
    })
    .await;
}
