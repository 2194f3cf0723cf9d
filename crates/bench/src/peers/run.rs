//! What is measured beside the peers, in which order and how often.
//!
//! What always holds: within a repeat the systems take turns, workload by workload, and another begins in each, so that nobody
//! always comes after the same one. Before a clock runs, every stream has carried one event to every subscriber: what
//! connecting and making a stream take is measured as a cold start, not here.

use std::path::PathBuf;

use bytes::Bytes;

use super::engine::Engine;
use super::record::{describe, repeats, settings};
use super::results::{Results, SCHEMA, Samples};
use super::scene::{Scene, Took, Way, verify};
use super::servers::{Servers, versions};
use super::system::{System, THREE_SYNCS, THREE_SYNCS_ARE};
use super::words::Load;
use super::{backlog, floor, syncs};
use crate::child;
use crate::error::BenchError;
use crate::limits::{APPEND_EVENTS, FOUR_SYNCS_EACH_S};
use crate::machine::Machine;
use crate::stats::percentile;
use crate::syncing;

/// A kind of measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Workload {
    /// Events a second, and the processor time of each.
    Throughput,
    /// From when an event is due until it is applied.
    Latency,
    /// Events a second to many subscribers.
    Fanout,
    /// Replay, catching up, starting cold; memory and disk.
    Backlog,
    /// The yardsticks: `fdatasync`, WebSocket echo.
    Floor,
}

/// How much is measured.
#[derive(Clone, Debug)]
pub struct Size {
    /// How many times each figure is taken.
    pub repeats: usize,
    /// Events of a throughput measurement, by their size in bytes.
    pub events: Vec<(usize, u64)>,
    /// Numbers of streams.
    pub streams: Vec<usize>,
    /// Events a second.
    pub rates: Vec<u64>,
    /// How long each rate goes on, in seconds.
    pub latency_s: u64,
    /// Numbers of subscribers.
    pub readers: Vec<usize>,
    /// Deliveries of a fan-out measurement, about.
    pub deliveries: u64,
    /// Events of a replay.
    pub replay: u64,
    /// Events of an hour away.
    pub away: u64,
}

impl Size {
    /// What is worth quoting.
    #[must_use]
    pub fn full() -> Size {
        Size {
            repeats: 5,
            events: vec![(64, 200_000), (256, 200_000), (4_096, 40_000)],
            streams: vec![1, 64],
            rates: vec![100, 1_000, 10_000],
            latency_s: 10,
            readers: vec![1, 16, 64, 256],
            deliveries: 400_000,
            replay: 1_000_000,
            away: 360_000,
        }
    }

    /// Enough to see that everything works, and nothing to be quoted.
    #[must_use]
    pub fn quick() -> Size {
        Size {
            repeats: 1,
            events: vec![(256, 6_400)],
            streams: vec![1, 64],
            rates: vec![100],
            latency_s: 1,
            readers: vec![4],
            deliveries: 4_000,
            replay: 6_000,
            away: 3_000,
        }
    }
}

/// A measurement to be made.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The program `muster`, whose `host` is started.
    pub muster: PathBuf,
    /// Muster's module.
    pub module: Bytes,
    /// The file that it is in, for the engine.
    pub module_file: PathBuf,
    /// The options that change how a row is measured and not which, as in the command that repeats it: ` --repeats 2`.
    pub options: String,
    /// What.
    pub workloads: Vec<Workload>,
    /// Who.
    pub systems: Vec<System>,
    /// Whether peers are also measured without an outbox.
    pub without_outbox: bool,
    /// How much.
    pub size: Size,
}

/// Measures. `on_step` hears of each step before it begins.
///
/// # Errors
/// [`BenchError`]: nothing is reported of a run that did not complete.
pub async fn run(plan: &Plan, on_step: impl Fn(&str)) -> Result<Results, BenchError> {
    child::allow_open_files(8_192)?;
    let machine = Machine::here(&child::data_parent())?;
    let servers = Servers { muster: plan.muster.clone(), module: plan.module.clone() };
    let mut run = Run { plan, servers, samples: Samples::default(), on_step };
    for repeat in 0..plan.size.repeats {
        for workload in &plan.workloads {
            match workload {
                Workload::Throughput => run.throughput(repeat).await?,
                Workload::Latency => run.latency(repeat).await?,
                Workload::Fanout => run.fanout(repeat).await?,
                // Long, and the same each time: three are enough.
                Workload::Backlog if repeat >= 3 => {}
                Workload::Backlog => {
                    for way in run.ways(repeat, false) {
                        (run.on_step)(&format!("{repeat}: backlog, {}", way.name()));
                        let (servers, samples) = (&run.servers, &mut run.samples);
                        match way.system {
                            System::Alone => backlog::alone(servers, way, &plan.size, samples).await?,
                            _ => backlog::measure(servers, way, &plan.size, samples).await?,
                        }
                    }
                }
                Workload::Floor => {
                    (run.on_step)("floor");
                    floor::measure(&plan.muster, &mut run.samples).await?;
                }
            }
        }
    }
    let machine = machine.after()?;
    let [before, after] = &machine.load_average;
    let mut rows = run.samples.rows(&format!("{before} to {after}"));
    rows.iter_mut().for_each(|row| row.command = repeats(row, &plan.options));
    Ok(Results {
        schema: SCHEMA.into(),
        rows,
        machine: describe(&machine),
        versions: versions(&plan.muster).await,
        settings: settings(),
    })
}

struct Run<'a, F> {
    plan: &'a Plan,
    servers: Servers,
    samples: Samples,
    on_step: F,
}

/// How each row of a workload is repeated.
fn command(workload: &str, options: &str) -> String {
    format!("muster bench peers {workload} {options}").trim_end().to_owned()
}

impl<F: Fn(&str)> Run<'_, F> {
    /// Who is measured, and in which order this time: with an outbox each; where it is about sending many, also without where
    /// asked, and those that differ only there.
    fn ways(&self, repeat: usize, sending: bool) -> Vec<Way> {
        ways(&measured(&self.plan.systems, sending), sending && self.plan.without_outbox, repeat)
    }

    async fn throughput(&mut self, repeat: usize) -> Result<(), BenchError> {
        for &(bytes, events) in &self.plan.size.events {
            for &streams in &self.plan.size.streams {
                let each = events / streams as u64;
                let prefix = format!("bench.{streams}");
                let batch = (APPEND_EVENTS as u64).min(each);
                let load = Load { prefix, streams, first: 1, each, batch, bytes, rate: 0 };
                let noun = if streams == 1 { "stream" } else { "streams" };
                let kind = format!("{bytes} bytes, {streams} {noun}");
                let repeated = command("throughput", &format!("--bytes {bytes} --streams {streams}"));
                for way in self.ways(repeat, true) {
                    (self.on_step)(&format!("{repeat}: {kind}, {}", way.name()));
                    let took = match way.system {
                        System::AloneEngine => self.best_append(way, &load).await?,
                        _ => self.once(way, &load, 1).await?,
                    };
                    self.note(&kind, &repeated, way, &load, &took);
                }
                if self.plan.systems.contains(&System::Muster) {
                    (self.on_step)(&format!("{repeat}: {kind}, {}", floor::ENGINE));
                    let rate = floor::ceiling(&self.plan.muster, &self.plan.module_file, &load).await?;
                    let who = (floor::ENGINE, floor::ENGINE_IS);
                    self.samples.add(&format!("throughput, {kind}"), &repeated, who, "events/s", rate);
                }
            }
        }
        Ok(())
    }

    fn note(&mut self, kind: &str, repeated: &str, way: Way, load: &Load, took: &Took) {
        let who = (way.name(), way.system.durability(way.outbox));
        // A server, or the engine beside both ends.
        let has_server = way.system != System::Alone;
        let per_second = |until: u64| rate(load.events(), took.began_us(), until);
        let mut add = |workload: String, unit, value| self.samples.add(&workload, repeated, who, unit, value);
        add(format!("throughput, {kind}"), "events/s", per_second(took.done_us()));
        if way.outbox {
            add(format!("of it, on the publisher's disk, {kind}"), "events/s", per_second(took.published.kept_us));
        }
        if has_server {
            add(format!("of it, confirmed by the server, {kind}"), "events/s", per_second(took.confirmed_us()));
        }
        let us = |time: std::time::Duration| time.as_secs_f64() * 1e6 / load.events() as f64;
        let all = took.cpu.server + took.cpu.publisher + took.cpu.subscriber;
        add(format!("processor time of an event, {kind}"), "us", us(all));
        if load.bytes == 256 {
            if has_server {
                add(format!("of it, the server, {kind}"), "us", us(took.cpu.server));
            }
            add(format!("of it, the publisher, {kind}"), "us", us(took.cpu.publisher));
            add(format!("of it, the subscriber, {kind}"), "us", us(took.cpu.subscriber));
        }
    }

    async fn latency(&mut self, repeat: usize) -> Result<(), BenchError> {
        if self.plan.systems.contains(&System::Alone) {
            (self.on_step)(&format!("{repeat}: four fdatasyncs, one after the other"));
            let times = self.plan.size.latency_s * FOUR_SYNCS_EACH_S;
            let four = apart(move || syncing::several_ms(4, times)).await?;
            for percent in [50.0, 99.0] {
                let workload = format!("fdatasyncs of this disk, four one after the other, p{percent}");
                let value = percentile(&four, percent);
                self.samples.add(&workload, &command("latency", ""), ("this file system", "-"), "ms", value);
            }
        }
        for &rate in &self.plan.size.rates {
            let each = rate * self.plan.size.latency_s;
            let load = Load { prefix: "late".into(), streams: 1, first: 1, each, batch: 1, bytes: 256, rate };
            let repeated = command("latency", &format!("--rate {rate}"));
            for way in self.ways(repeat, false) {
                let alone = way.system == System::Alone;
                let who =
                    if alone { (THREE_SYNCS, THREE_SYNCS_ARE) } else { (way.name(), way.system.durability(true)) };
                (self.on_step)(&format!("{repeat}: latency at {rate}/s, {}", who.0));
                let late = if alone {
                    let load = load.clone();
                    apart(move || syncs::chain(&load)).await?
                } else {
                    let took = self.once(way, &load, 1).await?;
                    late_ms(&load, took.published.began_us, &took.applied.commits)
                };
                for percent in [50.0, 99.0, 99.9] {
                    let workload = format!("latency at {rate} events/s, p{percent}");
                    self.samples.add(&workload, &repeated, who, "ms", percentile(&late, percent));
                }
            }
        }
        Ok(())
    }

    async fn fanout(&mut self, repeat: usize) -> Result<(), BenchError> {
        for &readers in &self.plan.size.readers {
            let each = (self.plan.size.deliveries / readers as u64).max(2 * APPEND_EVENTS as u64);
            let batch = APPEND_EVENTS as u64;
            let load = Load { prefix: "fan".into(), streams: 1, first: 1, each, batch, bytes: 256, rate: 0 };
            let repeated = command("fanout", &format!("--readers {readers}"));
            for way in self.ways(repeat, false) {
                (self.on_step)(&format!("{repeat}: {readers} subscribers, {}", way.name()));
                let took = self.once(way, &load, readers).await?;
                let who = (way.name(), way.system.durability(true));
                let deliveries = load.events() * readers as u64;
                let value = rate(deliveries, took.published.began_us, took.done_us());
                let workload = format!("fan-out to {readers}, events applied in all");
                self.samples.add(&workload, &repeated, who, "events/s", value);
            }
        }
        Ok(())
    }

    /// The better of the sizes of an append that the ceiling has.
    async fn best_append(&self, way: Way, load: &Load) -> Result<Took, BenchError> {
        let mut best: Option<Took> = None;
        for size in floor::sizes(load) {
            let took = self.once_with(way, load, 1, size).await?;
            let takes_longer = |best: &Took| took.lasted_us() >= best.lasted_us();
            if !best.as_ref().is_some_and(takes_longer) {
                best = Some(took);
            }
        }
        best.ok_or_else(|| BenchError::Plan("no size of an append fits".into()))
    }

    async fn once(&self, way: Way, load: &Load, readers: usize) -> Result<Took, BenchError> {
        self.once_with(way, load, readers, load.batch).await
    }

    /// New processes, an event of each stream that nobody measures, one load, compared. An engine beside the ends appends
    /// `append` events at a time.
    async fn once_with(&self, way: Way, load: &Load, readers: usize, append: u64) -> Result<Took, BenchError> {
        let first = Load { first: 0, each: load.first, batch: 1, rate: 0, ..load.clone() };
        let mut scene = Scene::set(&self.servers, way, load, readers).await?;
        if !way.system.carries() {
            scene.given = vec![first.clone(), load.clone()];
        }
        if way.system == System::AloneEngine {
            scene.engine = Some(Engine::start(&self.plan.muster, &self.plan.module_file).await?);
            scene.append = append;
        }
        let mut subscriber = scene.subscriber(scene.folders[1].path(), "reader").await?;
        let mut publisher = scene.publisher().await?;
        scene.send(&mut publisher, &mut subscriber, &first).await?;
        let took = scene.send(&mut publisher, &mut subscriber, load).await?;
        for reader in 0..readers {
            verify(scene.folders[1].path(), reader, load)?;
        }
        drop((publisher, subscriber));
        if let Some(engine) = scene.engine.take() {
            engine.end().await?;
        }
        scene.server.end().await?;
        Ok(took)
    }
}

/// Those that a workload measures: some only where it is about sending many.
fn measured(systems: &[System], sending: bool) -> Vec<System> {
    systems.iter().copied().filter(|system| sending || !system.only_sends()).collect()
}

/// Every system with an outbox, and where asked those that go without as well; the order begins one further each time.
fn ways(systems: &[System], without_outbox: bool, repeat: usize) -> Vec<Way> {
    let with = systems.iter().map(|system| Way { system: *system, outbox: true });
    let without = systems.iter().filter(|system| without_outbox && system.goes_without_outbox());
    let mut ways: Vec<Way> = with.chain(without.map(|system| Way { system: *system, outbox: false })).collect();
    let begins = repeat % ways.len().max(1);
    ways.rotate_left(begins);
    ways
}

/// On a thread that may wait for the disk.
async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BenchError> + Send + 'static,
) -> Result<T, BenchError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| BenchError::Plan(error.to_string()))?
}

/// So many, from then until then, a second.
pub(crate) fn rate(events: u64, began_us: u64, until_us: u64) -> f64 {
    events as f64 * 1e6 / until_us.saturating_sub(began_us).max(1) as f64
}

/// How long after it was due each event was committed at the subscriber, in milliseconds. Commits count what came before
/// this load as well.
fn late_ms(load: &Load, began_us: u64, commits: &[(u64, u64)]) -> Vec<f64> {
    let mut commits = commits.iter().peekable();
    let of = |n: u64| {
        while commits.next_if(|(count, _)| *count <= load.first + n).is_some() {}
        let at_us = commits.peek()?.1;
        Some(at_us.saturating_sub(began_us + load.due_us(n)) as f64 / 1e3)
    };
    (0..load.each).map_while(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_late_by_the_first_commit_that_has_it() {
        let load = Load { prefix: "p".into(), streams: 1, first: 0, each: 4, batch: 1, bytes: 64, rate: 1_000 };
        let late = late_ms(&load, 10_000, &[(1, 10_500), (3, 14_000), (4, 14_100)]);
        assert_eq!(late, [0.5, 3.0, 2.0, 1.1]);
        let second = Load { first: 1, ..load };
        let late = late_ms(&second, 10_000, &[(1, 9_000), (2, 10_500), (4, 14_000), (5, 14_100)]);
        assert_eq!(late, [0.5, 3.0, 2.0, 1.1], "what came before the clock ran is not of this load");
        assert_eq!(rate(100, 0, 1_000_000), 100.0);
    }

    #[test]
    fn the_engine_beside_both_ends_is_measured_in_each_throughput_and_nowhere_else() {
        assert!(measured(&System::UNLESS_NAMED, true).contains(&System::AloneEngine));
        assert!(!measured(&System::UNLESS_NAMED, false).contains(&System::AloneEngine));
        assert!(measured(&System::UNLESS_NAMED, false).contains(&System::Alone));
    }

    #[test]
    fn each_repeat_begins_with_another_and_nobody_is_left_out() {
        let names = |repeat| ways(&System::ALL, true, repeat).into_iter().map(Way::name).collect::<Vec<_>>();
        assert_eq!(names(0).first(), Some(&"muster"));
        assert_eq!(names(1).first(), Some(&"redis streams"));
        for repeat in 0..20 {
            let mut these = names(repeat);
            these.sort_unstable();
            let mut all = names(0);
            all.sort_unstable();
            assert_eq!(these, all);
        }
        assert_eq!(names(0).len(), 11, "{:?}", names(0));
        assert!(ways(&[], true, 3).is_empty());
        for bound in [System::Alone, System::AloneEngine] {
            assert_eq!(ways(&[bound], true, 0).len(), 1, "a bound has no variant without an outbox");
        }
    }
}
