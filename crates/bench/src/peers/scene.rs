//! One measurement's processes: a server or, where nothing is between the ends, an engine or nothing; a publisher, a subscriber.
//!
//! What always holds: folders are new unless a measurement is about coming back; what a store has in the end is compared
//! byte for byte with what was published.

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::Command;

use super::engine::Engine;
use super::roles::store_of;
use super::servers::{Server, Servers};
use super::system::System;
use super::words::{Applied, Load, Place, Published, Wait, now_us, payload};
use crate::child::data_folder;
use crate::error::BenchError;
use crate::streams::actors::Actor;
use crate::streams::words::Appended;

/// Who is measured, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) system: System,
    pub(crate) outbox: bool,
}

impl Way {
    pub(crate) fn name(self) -> &'static str {
        self.system.name(self.outbox)
    }
}

/// Processor time of each process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cpu {
    pub(crate) server: Duration,
    pub(crate) publisher: Duration,
    pub(crate) subscriber: Duration,
}

/// What sending a load through everything gave.
pub(crate) struct Took {
    pub(crate) published: Published,
    pub(crate) applied: Applied,
    /// When the clock began and the engine was done, where one appends beside the ends.
    beside: Option<(u64, u64)>,
    pub(crate) cpu: Cpu,
}

impl Took {
    /// When the clock began: with the publisher, or before any of those that go at the same time was told to.
    pub(crate) fn began_us(&self) -> u64 {
        self.beside.map_or(self.published.began_us, |(began_us, _)| began_us)
    }

    /// When the server had confirmed the last, or the engine beside the ends.
    pub(crate) fn confirmed_us(&self) -> u64 {
        self.beside.map_or(self.published.confirmed_us, |(_, done_us)| done_us)
    }

    /// How long all of it took.
    pub(crate) fn lasted_us(&self) -> u64 {
        self.done_us().saturating_sub(self.began_us())
    }

    /// When all of it was done: kept by the publisher, appended by the engine beside it, and applied by the last subscriber,
    /// which are not one after the other where no server is between them.
    pub(crate) fn done_us(&self) -> u64 {
        let ends = self.applied.at_us.max(self.published.kept_us);
        self.beside.map_or(ends, |(_, done_us)| ends.max(done_us))
    }
}

/// The processes.
pub(crate) struct Scene {
    pub(crate) way: Way,
    pub(crate) server: Server,
    /// The publisher's, the subscriber's.
    pub(crate) folders: [TempDir; 2],
    prefix: String,
    streams: usize,
    readers: usize,
    /// What the subscriber is given where there is no server.
    pub(crate) given: Vec<Load>,
    /// What appends beside the two ends, where that is measured.
    pub(crate) engine: Option<Engine>,
    /// How many events it appends at a time.
    pub(crate) append: u64,
}

impl Scene {
    /// A server with nothing in it.
    pub(crate) async fn set(servers: &Servers, way: Way, load: &Load, readers: usize) -> Result<Scene, BenchError> {
        let server = servers.start(way.system).await?;
        let folders = [data_folder()?, data_folder()?];
        let prefix = load.prefix.clone();
        Ok(Scene {
            way,
            server,
            folders,
            prefix,
            streams: load.streams,
            readers,
            given: Vec::new(),
            engine: None,
            append: 1,
        })
    }

    fn place(&self, folder: &Path, group: &str) -> Place {
        Place {
            system: self.way.system,
            address: self.server.address.clone(),
            folder: folder.to_string_lossy().into_owned(),
            prefix: self.prefix.clone(),
            streams: self.streams,
            group: group.into(),
            readers: self.readers,
            outbox: self.way.outbox,
            given: self.given.clone(),
        }
    }

    /// Starts its publisher.
    pub(crate) async fn publisher(&self) -> Result<Actor, BenchError> {
        actor("publisher", &self.place(self.folders[0].path(), "")).await
    }

    /// Starts its subscriber on the folder that it has, or on another one.
    pub(crate) async fn subscriber(&self, folder: &Path, group: &str) -> Result<Actor, BenchError> {
        actor("subscriber", &self.place(folder, group)).await
    }

    /// Sends a load all the way. An engine beside the ends has its calls before the clock begins.
    pub(crate) async fn send(
        &mut self,
        publisher: &mut Actor,
        subscriber: &mut Actor,
        load: &Load,
    ) -> Result<Took, BenchError> {
        if let Some(engine) = &mut self.engine {
            engine.prepare(&Load { batch: self.append, ..load.clone() }).await?;
        }
        let before = self.cpu(publisher, subscriber)?;
        let goal = load.events() + load.first * load.streams as u64;
        let wait = Wait { goal };
        let began_us = now_us();
        let appending = appended(self.engine.as_mut());
        let (published, applied, appended) = tokio::try_join!(publisher.ask(load), subscriber.ask(&wait), appending)?;
        let beside = appended.map(|appended| (began_us, appended.done_us));
        let after = self.cpu(publisher, subscriber)?;
        let cpu = Cpu {
            server: after.server.saturating_sub(before.server),
            publisher: after.publisher.saturating_sub(before.publisher),
            subscriber: after.subscriber.saturating_sub(before.subscriber),
        };
        Ok(Took { published, applied, beside, cpu })
    }

    fn cpu(&self, publisher: &Actor, subscriber: &Actor) -> Result<Cpu, BenchError> {
        let server = match &self.engine {
            Some(engine) => engine.cpu_time()?,
            None => self.server.cpu_time()?,
        };
        Ok(Cpu { server, publisher: publisher.cpu_time()?, subscriber: subscriber.cpu_time()? })
    }
}

async fn appended(engine: Option<&mut Engine>) -> Result<Option<Appended>, BenchError> {
    match engine {
        Some(engine) => engine.go().await.map(Some),
        None => Ok(None),
    }
}

async fn actor(role: &str, place: &Place) -> Result<Actor, BenchError> {
    let what = format!("muster-bench-peers {role}");
    let failed = |reason: String| BenchError::Child { command: what.clone(), reason };
    let program = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
    let place = serde_json::to_string(place).map_err(|error| failed(error.to_string()))?;
    let mut command = Command::new(program);
    command.args(["role", role, &place]);
    Actor::spawn(command, what).await
}

/// Compares a reader's store with the first `each` events of every stream.
///
/// # Errors
/// [`BenchError::Wrong`] where they differ: then the figures are worth nothing.
pub(crate) fn verify(folder: &Path, reader: usize, load: &Load) -> Result<(), BenchError> {
    let unreadable = |error: rusqlite::Error| BenchError::Wrong(error.to_string());
    let connection = rusqlite::Connection::open(store_of(folder, reader)).map_err(unreadable)?;
    let mut select =
        connection.prepare("SELECT seq, payload FROM event WHERE stream = ?1 ORDER BY seq").map_err(unreadable)?;
    for name in load.names() {
        let mut rows = select.query((&name,)).map_err(unreadable)?;
        let mut expected = 0..load.first + load.each;
        while let Some(row) = rows.next().map_err(unreadable)? {
            let n = expected.next();
            let seq = row.get::<_, i64>(0).map_err(unreadable)?.cast_unsigned();
            let stored = row.get_ref(1).map_err(unreadable)?;
            let same = n.is_some_and(|n| seq == n + 1 && stored.as_str() == Ok(&payload(n, load.bytes)));
            if !same {
                return Err(BenchError::Wrong(format!("event {seq} of {name} is not the one that was published")));
            }
        }
        if !expected.is_empty() {
            return Err(BenchError::Wrong(format!("{name} ends at {} of {}", expected.start, expected.end)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_of_those_that_go_at_the_same_time_ends_with_the_last_of_them() {
        let published = Published { began_us: 10, kept_us: 50, confirmed_us: 60 };
        let cpu = Cpu { server: Duration::ZERO, publisher: Duration::ZERO, subscriber: Duration::ZERO };
        let took = |at_us, beside| Took { published, applied: Applied { at_us, commits: Vec::new() }, beside, cpu };
        let of = |took: Took| (took.began_us(), took.confirmed_us(), took.done_us());
        assert_eq!(of(took(70, None)), (10, 60, 70));
        assert_eq!(of(took(40, None)), (10, 60, 50), "kept last");
        assert_eq!(of(took(70, Some((5, 55)))), (5, 55, 70), "applied last");
        assert_eq!(of(took(40, Some((5, 45)))), (5, 45, 50), "kept last");
        assert_eq!(of(took(40, Some((5, 90)))), (5, 90, 90), "appended last");
    }

    #[test]
    fn a_store_that_lacks_repeats_or_changes_an_event_is_found_out() {
        let folder = TempDir::new().expect("a folder");
        let load = Load { prefix: "p".into(), streams: 1, first: 0, each: 3, batch: 1, bytes: 64, rate: 0 };
        let connection = rusqlite::Connection::open(store_of(folder.path(), 0)).expect("a store");
        connection.execute_batch(super::super::store::TABLES).expect("made");
        let put = |seq: i64, n: u64| {
            let row = ("p.s0", seq, payload(n, 64));
            connection.execute("INSERT OR REPLACE INTO event VALUES (?1, ?2, ?3)", row).expect("written");
        };
        (0..2).for_each(|n| put(n + 1, n.cast_unsigned()));
        assert!(verify(folder.path(), 0, &load).is_err(), "one is missing");
        put(3, 2);
        verify(folder.path(), 0, &load).expect("all are there");
        put(2, 7);
        assert!(verify(folder.path(), 0, &load).is_err(), "one is another");
        put(2, 1);
        put(4, 3);
        assert!(verify(folder.path(), 0, &load).is_err(), "one is too many");
    }
}
