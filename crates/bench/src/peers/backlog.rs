//! A long stream: replay, catching up after an hour away, starting cold, and what it takes of memory and disk.
//!
//! What always holds: the hour is not waited for; the subscriber is gone while its events are published. A cold start
//! begins with a server that was killed. Beside the replay, the store alone is given the same events from memory.

use std::time::Instant;

use super::results::Samples;
use super::run::{Size, rate};
use super::scene::{Scene, Way, verify};
use super::servers::Servers;
use super::words::{Applied, Load, Published, Wait, now_us};
use crate::child::data_folder;
use crate::error::BenchError;
use crate::limits::APPEND_EVENTS;

/// What repeats these rows.
const COMMAND: &str = "muster bench peers backlog";

pub(crate) async fn measure(servers: &Servers, way: Way, size: &Size, samples: &mut Samples) -> Result<(), BenchError> {
    let who = (way.name(), way.system.durability(way.outbox));
    let mut add = |workload: String, unit, value| samples.add(&workload, COMMAND, who, unit, value);
    let known = size.replay / 20;
    let part = |first, each| {
        let batch = APPEND_EVENTS as u64;
        Load { prefix: "long".into(), streams: 1, first, each, batch, bytes: 256, rate: 0 }
    };
    let mut scene = Scene::set(servers, way, &part(0, 0), 1).await?;
    let (empty_kib, empty_bytes) = (scene.server.memory_kib()?, scene.server.disk_bytes()?);
    let mut publisher = scene.publisher().await?;

    // Somebody who was here before, and goes.
    let gone = data_folder()?;
    let mut subscriber = scene.subscriber(gone.path(), "away").await?;
    scene.send(&mut publisher, &mut subscriber, &part(0, known)).await?;
    // What it has acknowledged is on its way.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    subscriber.finish().await?;
    let _: Published = publisher.ask(&part(known, size.away)).await?;

    let began_us = now_us();
    let mut subscriber = scene.subscriber(gone.path(), "away").await?;
    let back: Applied = subscriber.ask(&Wait { goal: known + size.away }).await?;
    add(format!("catch-up, {} events of an hour away", size.away), "events/s", rate(size.away, began_us, back.at_us));
    add(
        format!("catch-up, {} events of an hour away, time until applied", size.away),
        "s",
        seconds(began_us, back.at_us),
    );
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    subscriber.finish().await?;
    verify(gone.path(), 0, &part(known, size.away))?;

    let stored = known + size.away;
    let _: Published = publisher.ask(&part(stored, size.replay - stored)).await?;
    let all = part(0, size.replay);
    let millions = size.replay as f64 / 1e6;
    let kib = scene.server.memory_kib()?.saturating_sub(empty_kib);
    let bytes = scene.server.disk_bytes()?.saturating_sub(empty_bytes);
    add("memory of the server for a million events".into(), "MiB", kib as f64 / 1_024.0 / millions);
    add("disk of the server for a million events".into(), "MiB", bytes as f64 / 1_048_576.0 / millions);

    let folder = data_folder()?;
    let began_us = now_us();
    let mut subscriber = scene.subscriber(folder.path(), "new").await?;
    let replayed: Applied = subscriber.ask(&Wait { goal: size.replay }).await?;
    replay_rows(size.replay, began_us, &replayed, &mut add);
    add(
        format!("subscriber's memory at most, replay of {}", size.replay),
        "MiB",
        subscriber.peak_kib()? as f64 / 1_024.0,
    );
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    subscriber.finish().await?;
    verify(folder.path(), 0, &all)?;

    drop(publisher);
    let began = Instant::now();
    let (server, killed) = servers.restart(way.system, scene.server).await?;
    add("cold start on a million events, until the server answers".into(), "ms", killed.elapsed().as_secs_f64() * 1e3);
    scene.server = server;
    scene.folders[0] = data_folder()?;
    let mut subscriber = scene.subscriber(folder.path(), "new").await?;
    let mut publisher = scene.publisher().await?;
    let one = Load { batch: 1, ..part(size.replay, 1) };
    scene.send(&mut publisher, &mut subscriber, &one).await?;
    let stopping = killed.into_std().saturating_duration_since(began);
    let took = began.elapsed().saturating_sub(stopping);
    add("cold start on a million events, until the first new event is applied".into(), "ms", took.as_secs_f64() * 1e3);
    drop((publisher, subscriber));
    scene.server.end().await
}

/// The bound of every replay: the store alone, given what others replay.
pub(crate) async fn alone(servers: &Servers, way: Way, size: &Size, samples: &mut Samples) -> Result<(), BenchError> {
    let who = (way.name(), way.system.durability(way.outbox));
    let batch = APPEND_EVENTS as u64;
    let all = Load { prefix: "long".into(), streams: 1, first: 0, each: size.replay, batch, bytes: 256, rate: 0 };
    let mut scene = Scene::set(servers, way, &all, 1).await?;
    scene.given = vec![all.clone()];
    let folder = data_folder()?;
    let mut subscriber = scene.subscriber(folder.path(), "new").await?;
    let began_us = now_us();
    let replayed: Applied = subscriber.ask(&Wait { goal: size.replay }).await?;
    replay_rows(size.replay, began_us, &replayed, &mut |workload, unit, value| {
        samples.add(&workload, COMMAND, who, unit, value);
    });
    subscriber.finish().await?;
    verify(folder.path(), 0, &all)?;
    scene.server.end().await
}

fn replay_rows(events: u64, began_us: u64, replayed: &Applied, add: &mut impl FnMut(String, &'static str, f64)) {
    add(format!("replay of {events} events"), "events/s", rate(events, began_us, replayed.at_us));
    // The first commit that has a quarter may have more, and of few events it has all.
    let quarter = replayed.commits.iter().find(|(count, _)| (events / 4..events).contains(count));
    if let Some(&(count, at_us)) = quarter {
        let rest = rate(events - count, at_us, replayed.at_us);
        add(format!("replay of {events} events, after its first quarter"), "events/s", rest);
    }
}

fn seconds(began_us: u64, until_us: u64) -> f64 {
    until_us.saturating_sub(began_us) as f64 / 1e6
}
