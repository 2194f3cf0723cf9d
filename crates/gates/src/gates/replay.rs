//! The gate `replay`: what is written is read again byte for byte, by who was there, who was cut off and who comes late.
//!
//! What always holds: four parties are compared with what was sent, each by itself: the host's table, the host's pages,
//! the subscriber that was cut and stopped on the way, and a subscriber that begins when all is over.

use muster_contract::stream::StreamId;
use muster_wire::http::HttpClient;

use super::recorder::Recorder;
use super::site::{Stage, words};
use super::traffic::judge::{Held, Tally, note};
use super::traffic::{Traffic, Way};
use crate::observation::Quantity;

/// In how many parts the events go out: something happens after each but the last.
const PARTS: u64 = 5;
/// How many go out at once.
const CHUNK: u64 = 50;

/// Runs.
pub(crate) async fn run(stage: &Stage, recorder: &Recorder) {
    if let Err(why) = stage.may_write() {
        return recorder.undecided("events", why);
    }
    let events = stage.settings().load.replay_events;
    recorder.configure("events", events);
    let (proxy, through) = match stage.proxied().await {
        Ok(proxied) => proxied,
        Err(why) => return recorder.undecided("network", why),
    };
    let way = Way {
        publisher: through.clone(),
        subscriber: through,
        token: stage.site.token.clone(),
        patience: stage.settings().patience(),
    };
    let stream = stage.stream("replay");
    let mut traffic = match Traffic::start(way.clone(), stream.clone()).await {
        Ok(traffic) => traffic,
        Err(why) => return recorder.undecided("start", why),
    };
    let before = proxy.traffic().accepted;
    let written = write(&mut traffic, events, &proxy, recorder).await;
    recorder.must("confirmed", written.is_ok(), traffic.sent(), written.err().unwrap_or_default());
    let settled = traffic.settle().await;
    recorder.must("caught_up", settled.is_ok(), settled.is_ok(), settled.err().unwrap_or_default());
    // Stopped and started once, and both ends cut at the last: fewer would mean that nothing was cut.
    let again = proxy.traffic().accepted - before;
    recorder.must("connections.again", again >= 3, again, "nothing was cut, so nothing was resumed");
    for (at, took) in traffic.times.latencies() {
        recorder.push("append to apply", Quantity::Latency, "ms", at, super::recorder::ms(took));
    }
    traffic.pause().await;

    match table(&stage.http, &stream).await {
        Ok(held) => note(recorder, "table", "the host's table", &traffic.judge(&held)),
        Err(why) => recorder.undecided("table", why),
    }
    pages(stage, &traffic, "pages", recorder).await;
    subscriber(traffic.applied(), "subscriber", recorder);
    late(&way, &stream, &traffic, recorder).await;
    traffic.stop().await;
}

/// Writes in parts, and cuts, stops and resumes in between: what comes before the last events of a part is confirmed when
/// they go out, so that the host sees many batches, and they are on their way when something happens.
async fn write(
    traffic: &mut Traffic,
    events: u64,
    proxy: &muster_chaos::Proxy,
    recorder: &Recorder,
) -> Result<(), String> {
    for part in 0..PARTS {
        let until = events * (part + 1) / PARTS;
        while traffic.sent() < until {
            let left = until - traffic.sent();
            if left <= CHUNK {
                traffic.flush().await?;
            }
            traffic.send(left.min(CHUNK)).await?;
        }
        let began = std::time::Instant::now();
        match part {
            0 | 3 => {
                proxy.cut();
                recorder.fault("every connection cut", began);
            }
            1 => {
                traffic.pause().await;
                recorder.fault("subscriber stopped", began);
            }
            2 => {
                traffic.resume().await?;
                recorder.fault("subscriber started again", began);
            }
            _ => {}
        }
    }
    traffic.flush().await
}

/// The rows of the host's own table, which only the owner reads: the numbers are not counted, they are read.
pub(crate) async fn table(http: &HttpClient, stream: &StreamId) -> Result<Vec<Held>, String> {
    let cells = async |sql: String| {
        let answer = http.sql(&sql, true).await.map_err(|error| words(&error))?;
        let rows = answer.statements.into_iter().next().map(|it| it.rows).unwrap_or_default();
        let rows = rows.iter().map(|row| row.iter().map(|cell| cell.get().to_owned()).collect::<Vec<_>>());
        Ok::<_, String>(rows.collect::<Vec<_>>())
    };
    let found = cells(format!("SELECT no FROM sync_stream WHERE id = '{stream}'")).await?;
    let Some(no) = found.first().and_then(|row| row.first()) else { return Ok(Vec::new()) };
    let rows = cells(format!("SELECT seq, number, events, payloads FROM sync_event WHERE stream = {no}")).await?;
    let mut held = Vec::new();
    for row in rows {
        let [seq, number, events, payloads] = row.as_slice() else { return Err("SQL answered other columns".into()) };
        let number_of = |text: &String| text.parse::<u64>().map_err(|_| format!("`{text}` is no number"));
        let payloads: String = serde_json::from_str(payloads).map_err(|_| "payloads are no text".to_owned())?;
        let (seq, number, events) = (number_of(seq)?, number_of(number)?, number_of(events)?);
        let lines: Vec<_> = payloads.lines().collect();
        if lines.len() as u64 != events {
            return Err(format!("the row of event {seq} has {events} events and {} payloads", lines.len()));
        }
        let each = lines.into_iter().zip(seq..).zip(number..);
        held.extend(each.map(|((payload, seq), number)| Held { seq, number, payload: payload.into() }));
    }
    held.sort_by_key(|event| event.seq);
    Ok(held)
}

/// The host's pages, read from the beginning.
pub(crate) async fn pages(stage: &Stage, traffic: &Traffic, name: &str, recorder: &Recorder) {
    let read = async {
        let session = stage.session().await?;
        let all = session.everything(traffic.stream.as_str(), traffic.sent()).await;
        session.close().await;
        all
    };
    match read.await {
        Ok(all) => {
            let held = all.into_iter().map(|(seq, event)| Held { seq, number: event.number, payload: event.payload });
            note(recorder, name, "the host's pages", &traffic.judge(&held.collect::<Vec<_>>()));
        }
        Err(error) => recorder.must(&format!("{name}.readable"), false, false, words(&error)),
    }
}

/// What a subscriber's database holds.
pub(crate) fn subscriber(applied: Result<Tally, String>, name: &str, recorder: &Recorder) {
    match applied {
        Ok(tally) => note(recorder, name, "the subscriber", &tally),
        Err(why) => recorder.undecided(name, why),
    }
}

/// A subscriber that begins when all is over.
async fn late(way: &Way, stream: &StreamId, traffic: &Traffic, recorder: &Recorder) {
    match Traffic::late(way.clone(), stream.clone(), traffic).await {
        Ok(tally) => note(recorder, "late", "a subscriber that comes late", &tally),
        Err(why) => recorder.must("late.caught_up", false, false, why),
    }
}
