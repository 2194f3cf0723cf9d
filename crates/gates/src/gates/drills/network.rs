//! The network goes away, with and without a word.

use std::time::Duration;

use muster_contract::ConnectionState;

use super::scene::{Scene, under_load};
use crate::gates::limits::{DRILL_IDLE_MS, LIVE_LIE_MS_MAX};
use crate::gates::recorder::{Recorder, ms};
use crate::gates::site::Stage;
use crate::gates::traffic::until;

/// Every connection is reset and none is let through, for a while.
pub(super) async fn partition(stage: &Stage, recorder: &Recorder) {
    under_load(stage, recorder, "partition", async |scene: &Scene<'_>| {
        scene.proxy.refuse();
        scene.proxy.cut();
        label_goes(scene, "partition").await;
        tokio::time::sleep(stage.settings().fault()).await;
        Ok(())
    })
    .await;
}

/// Connections stay open and carry nothing, until the client has noticed by itself.
pub(super) async fn half_open(stage: &Stage, recorder: &Recorder) {
    under_load(stage, recorder, "half_open", async |scene: &Scene<'_>| {
        let before = scene.proxy.traffic().accepted;
        scene.proxy.freeze();
        label_goes(scene, "half_open").await;
        let limit = Duration::from_millis(DRILL_IDLE_MS) + stage.settings().patience();
        let noticed = until(limit, async || scene.proxy.traffic().accepted > before).await;
        let why = "no client ever gave up a connection that carried nothing";
        recorder.must("half_open.noticed", noticed, noticed, why);
        // What was frozen is dead for good; what comes now is new.
        scene.proxy.cut();
        Ok(())
    })
    .await;
}

/// `live` must not be said over a network that is gone.
async fn label_goes(scene: &Scene<'_>, name: &str) {
    let limit = Duration::from_millis(LIVE_LIE_MS_MAX);
    let left = scene.until(limit * 2, |status| status.state != ConnectionState::Live).await;
    let why = "the subscriber went on saying `live` while the network was gone";
    scene.recorder.at_most(&format!("{name}.live_is_true"), left.map_or(f64::INFINITY, ms), ms(limit), "ms", why);
}
