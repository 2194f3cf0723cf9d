//! Producers' clocks are a day ahead and a day behind: order is the host's, and times stay what the producers said.

use std::time::Duration;

use muster_wire::Timestamp;

use crate::gates::recorder::Recorder;
use crate::gates::session::{SessionError, event, new_producer};
use crate::gates::site::{Stage, words};
use crate::gates::traffic::KIND;

/// By how much the clocks are off.
const OFF: Duration = Duration::from_secs(24 * 3_600);
/// Events of each producer.
const EVENTS: u64 = 20;

/// Runs.
pub(super) async fn run(stage: &Stage, recorder: &Recorder) {
    match appended_and_read(stage).await {
        Ok(wrong) => {
            let why = wrong.clone().unwrap_or_default();
            recorder.must("clock_skew.order_and_times", wrong.is_none(), EVENTS * 2, why);
        }
        Err(error) => recorder.undecided("clock_skew", words(&error)),
    }
}

/// The first thing that is wrong, in words.
async fn appended_and_read(stage: &Stage) -> Result<Option<String>, SessionError> {
    let session = stage.session().await?;
    let stream = stage.stream("clock_skew");
    let now = Timestamp::now();
    let clocks = [now + OFF, now - OFF];
    let producers = [new_producer(), new_producer()];
    let mut sent = Vec::new();
    for n in 1..=EVENTS {
        for (producer, clock) in producers.iter().zip(clocks) {
            // Each clock also stands still and goes back by a little.
            let at = if n % 3 == 0 { clock - Duration::from_secs(n) } else { clock };
            let payload = format!(r#"{{"at":{},"n":{n}}}"#, at.to_micros_since_unix_epoch());
            session.append(stream.as_str(), producer, n, vec![event(KIND, payload.clone(), at)]).await?;
            sent.push((payload, at));
        }
    }
    let stored = session.everything(stream.as_str(), sent.len() as u64).await?;
    session.close().await;
    if stored.len() != sent.len() {
        return Ok(Some(format!("{} events were acknowledged, and {} are there", sent.len(), stored.len())));
    }
    let wrong =
        stored.iter().zip(&sent).find(|((_, stored), (payload, at))| stored.payload != *payload || stored.at != *at);
    Ok(wrong.map(|((seq, stored), (payload, _))| {
        format!("event {seq} is {} of {}, where {payload} was appended", stored.payload, stored.at)
    }))
}
