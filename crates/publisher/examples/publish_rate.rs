//! How many events an outbox takes in a second on this machine, and what bounds it.
//!
//! `cargo run -p muster-publisher --example publish_rate [SECONDS] [FOLDER]`

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_contract::canonical::{CanonicalJson, canonicalize};
use muster_contract::stream::StreamId;
use muster_publisher::{Draft, OutboxConfig, Payload, Publisher};

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let seconds = args.next().map_or(Ok(3.0), |text| text.parse())?;
    let folder = args.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let limit = Duration::from_secs_f64(seconds);
    let text = format!("{{\"data\":\"{}\"}}", "x".repeat(256 - 11));
    let canonical = canonicalize(&text)?;
    prepare(&canonical, &text, limit)?;
    for (name, tasks, batch, is_canonical) in [
        ("batches of 1,000, JSON", 2, 1_000, false),
        ("batches of 1,000, canonical JSON", 2, 1_000, true),
        ("64 publishers of one event at a time", 64, 1, false),
        ("one publisher of one event at a time", 1, 1, false),
    ] {
        let path = folder.join(format!("publish-rate-{}.outbox", std::process::id()));
        let publisher = Arc::new(Publisher::open(OutboxConfig::new(&path))?);
        let began = Instant::now();
        let tasks: Vec<_> = (0..tasks)
            .map(|task| {
                let (publisher, text, canonical) = (publisher.clone(), text.clone(), canonical.clone());
                tokio::spawn(async move {
                    let stream = StreamId::parse(&format!("muster.test.{task}"))?;
                    let payload: Payload = if is_canonical { (&canonical).into() } else { (&text).into() };
                    while began.elapsed() < limit {
                        publisher.publish_many(&stream, (0..batch).map(|_| Draft::new("k", payload))).await?;
                    }
                    Ok::<_, Failure>(())
                })
            })
            .collect();
        for task in tasks {
            task.await??;
        }
        let took = began.elapsed().as_secs_f64();
        let metrics = publisher.metrics();
        let cpu = writer_cpu_s().unwrap_or(f64::NAN);
        println!(
            "{name}: {:.0} events/s; {} commits of {:.1} events, {:.2} ms each, {:.0} % of the time; the writer's thread \
             used {:.2} s of a processor, so could do {:.0}/s",
            metrics.published as f64 / took,
            metrics.commits,
            metrics.published as f64 / metrics.commits as f64,
            metrics.commit_time.as_secs_f64() * 1e3 / metrics.commits as f64,
            metrics.commit_time.as_secs_f64() * 100.0 / took,
            cpu,
            metrics.published as f64 / cpu,
        );
        if let Ok(publisher) = Arc::try_unwrap(publisher) {
            publisher.close().await;
        }
        for ending in ["", "-wal", "-shm", ".lock"] {
            let _ = std::fs::remove_file(format!("{}{ending}", path.display()));
        }
    }
    Ok(())
}

/// How much of a processor the thread that writes has used, where the system tells (Linux, in ticks of 10 ms).
fn writer_cpu_s() -> Option<f64> {
    for task in std::fs::read_dir("/proc/self/task").ok()? {
        let task = task.ok()?.path();
        if std::fs::read_to_string(task.join("comm")).ok()?.trim() == "outbox-writer" {
            let stat = std::fs::read_to_string(task.join("stat")).ok()?;
            // Fields 14 and 15 (proc(5)), counted behind the name.
            let mut fields = stat.rsplit(')').next()?.split_whitespace().skip(11);
            let ticks: f64 = fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?;
            return Some(ticks / 100.0);
        }
    }
    None
}

/// What happens to an event before the disk, alone.
fn prepare(canonical: &CanonicalJson, text: &str, limit: Duration) -> Result<(), Failure> {
    for (name, run) in [
        ("canonicalizing", &(|| canonicalize(text).map(drop)) as &dyn Fn() -> Result<(), _>),
        ("hashing", &|| {
            std::hint::black_box(muster_contract::PayloadHash::of(canonical.as_bytes()));
            Ok(())
        }),
    ] {
        let (began, mut count) = (Instant::now(), 0u64);
        while began.elapsed() < limit / 6 {
            (0..1_000).try_for_each(|_| run())?;
            count += 1_000;
        }
        println!("{name} alone, one thread: {:.0}/s", count as f64 / began.elapsed().as_secs_f64());
    }
    Ok(())
}
