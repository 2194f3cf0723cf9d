//! `muster-sim`: runs seeds, and shows the shortest trace of the first that fails.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use clap::Parser;
use muster_sim::campaign::Totals;
use muster_sim::shrink::shrink;
use muster_sim::workload::Plan;
use muster_sim::world::{Failure, run};

/// Simulates publishers, subscribers, a host, their disks and the network between them, one seed after another.
#[derive(Debug, Parser)]
#[command(name = "muster-sim", version)]
struct Args {
    /// How many seeds.
    #[arg(long, default_value_t = 2_000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// One seed alone.
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// With one seed: show its whole trace, whatever comes of it.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// How many at a time.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Do not demand that every fault and rule was exercised.
    #[arg(long)]
    allow_unexercised: bool,
    /// Go on behind a failure, and name every seed that fails.
    #[arg(long)]
    keep_going: bool,
    /// With a failure: do not look for the shortest trace.
    #[arg(long)]
    no_shrink: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match args.seed {
        Some(seed) => one(&args, seed),
        None => many(&args),
    }
}

/// Shows one seed.
fn one(args: &Args, seed: u64) -> ExitCode {
    let plan = Plan::of(seed);
    let outcome = run(&plan, args.trace);
    print!("{}", outcome.trace);
    match outcome.failure {
        Some(failure) => {
            report(args, seed, &failure);
            ExitCode::FAILURE
        }
        None => {
            println!(
                "seed {seed}: {} steps, {} events acknowledged, converged {} ms after the last fault",
                outcome.steps, outcome.acknowledged, outcome.converged_ms
            );
            ExitCode::SUCCESS
        }
    }
}

/// Runs many seeds on several threads; the failing seed with the lowest number is reported.
fn many(args: &Args) -> ExitCode {
    let begun = Instant::now();
    let next = AtomicU64::new(args.from);
    let stop = AtomicBool::new(false);
    let totals = Mutex::new(Totals::default());
    let failed: Mutex<Option<(u64, Failure)>> = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..args.jobs.max(1) {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= args.from + args.seeds {
                        return;
                    }
                    let outcome = run(&Plan::of(seed), false);
                    if let Some(failure) = &outcome.failure {
                        if args.keep_going {
                            println!("seed {seed}: promise {}: {}", failure.broken.promise, failure.broken.what);
                        } else {
                            stop.store(true, Ordering::Relaxed);
                        }
                        let mut failed = failed.lock().expect("no thread panics while it holds the lock");
                        if failed.as_ref().is_none_or(|(other, _)| seed < *other) {
                            *failed = Some((seed, failure.clone()));
                        }
                    }
                    totals.lock().expect("no thread panics while it holds the lock").add(&outcome);
                }
            });
        }
    });
    let totals = totals.into_inner().expect("no thread panics while it holds the lock");
    print!("{totals}");
    println!("{} s with {} threads", begun.elapsed().as_secs(), args.jobs);
    if let Some((seed, failure)) = failed.into_inner().expect("no thread panics while it holds the lock") {
        report(args, seed, &failure);
        return ExitCode::FAILURE;
    }
    let missing = totals.unexercised();
    if !missing.is_empty() && !args.allow_unexercised {
        println!("never exercised: {}", missing.join(", "));
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Shows what failed, as short as it can be made.
fn report(args: &Args, seed: u64, failure: &Failure) {
    let broken = &failure.broken;
    println!(
        "seed {seed}: promise {} broken at {} ms, step {}: {}",
        broken.promise, failure.at_ms, failure.step, broken.what
    );
    if args.no_shrink {
        return;
    }
    let plan = Plan::of(seed);
    let whole = plan.items.len();
    let shrunk = shrink(&plan, broken.promise);
    println!("shortest trace: {} of {whole} items left after {} runs", shrunk.plan.items.len(), shrunk.runs);
    println!("{:?}", shrunk.plan.setting);
    print!("{}", run(&shrunk.plan, true).trace);
    println!("again: muster-sim --seed {seed} --trace");
}
