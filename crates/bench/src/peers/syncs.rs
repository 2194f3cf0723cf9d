//! What the promise "on the publisher's, the server's and the subscriber's disk" costs by itself: three files that are synced one
//! after the other, and nothing else.
//!
//! What always holds: each of the three takes everything that waits, writes it, syncs once and passes it on; an event is
//! due by the same clock as those of the systems, and late by as much as passes from then until the last file is synced.
//! The files have their length before the clock runs, because syncing one that grows takes longer.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::words::{Load, payload, sleep_until};
use crate::child::data_folder;
use crate::error::BenchError;
use crate::limits::SYNCED_QUEUE_LEN;
use crate::stats::ms;

/// The publisher's, the server's, the subscriber's.
const FILES: usize = 3;

/// All events before this one are on the file's disk, since then.
struct Synced {
    until: u64,
    at: Instant,
}

/// How late each event of the one stream is, in milliseconds.
pub(crate) fn chain(load: &Load) -> Result<Vec<f64>, BenchError> {
    let folder = data_folder()?;
    let wrong = || BenchError::io("a file in the data folder");
    let files: Vec<File> = (0..FILES)
        .map(|number| file_for(&folder.path().join(number.to_string()), load))
        .collect::<io::Result<_>>()
        .map_err(wrong())?;
    let began = Instant::now();
    thread::scope(|scope| {
        let (due, mut waiting) = sync_channel(SYNCED_QUEUE_LEN);
        let mut stages = Vec::new();
        for file in files {
            let (pass, next) = sync_channel(SYNCED_QUEUE_LEN);
            let taken = std::mem::replace(&mut waiting, next);
            stages.push(scope.spawn(move || stage(file, load, &taken, &pass)));
        }
        scope.spawn(move || {
            for n in 0..load.each {
                let at = began + Duration::from_micros(load.due_us(n));
                sleep_until(at);
                if due.send(Synced { until: n + 1, at }).is_err() {
                    return;
                }
            }
        });
        let mut late = Vec::new();
        for Synced { until, at } in waiting {
            let since = |n| at.saturating_duration_since(began + Duration::from_micros(load.due_us(n)));
            late.extend((late.len() as u64..until).map(|n| ms(since(n))));
        }
        for stage in stages {
            stage.join().unwrap_or_else(|_| Err(io::Error::other("a thread panicked"))).map_err(wrong())?;
        }
        Ok(late)
    })
}

/// A file that has as many bytes as the load will write.
fn file_for(path: &Path, load: &Load) -> io::Result<File> {
    let mut file = File::create(path)?;
    let zeros = vec![0; load.bytes];
    for _ in 0..load.each {
        file.write_all(&zeros)?;
    }
    file.sync_all()?;
    file.rewind()?;
    Ok(file)
}

fn stage(mut file: File, load: &Load, taken: &Receiver<Synced>, pass: &SyncSender<Synced>) -> io::Result<()> {
    let mut done = 0;
    while let Ok(first) = taken.recv() {
        let until = taken.try_iter().last().unwrap_or(first).until;
        let data: String = (done..until).map(|n| payload(n, load.bytes)).collect();
        file.write_all(data.as_bytes())?;
        file.sync_data()?;
        done = until;
        if pass.send(Synced { until, at: Instant::now() }).is_err() {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_is_late_by_three_syncs_at_least() {
        let load = Load { prefix: "p".into(), streams: 1, first: 0, each: 50, batch: 1, bytes: 256, rate: 1_000 };
        let late = chain(&load).expect("measured");
        assert_eq!(late.len(), 50);
        assert!(late.iter().all(|late| *late > 0.0), "{late:?}");
    }

    #[test]
    fn a_stage_writes_what_waits_once_and_in_order() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let load = Load { prefix: "p".into(), streams: 1, first: 0, each: 5, batch: 1, bytes: 64, rate: 1 };
        let file = file_for(&folder.path().join("file"), &load).expect("a file");
        let (send, taken) = sync_channel(8);
        let (pass, passed) = sync_channel(8);
        for until in [1, 3, 5] {
            send.send(Synced { until, at: Instant::now() }).expect("room");
        }
        drop(send);
        stage(file, &load, &taken, &pass).expect("written");
        drop(pass);
        assert_eq!(passed.iter().map(|synced| synced.until).collect::<Vec<_>>(), [5], "three waited, one sync");
        let expected: String = (0..5).map(|n| payload(n, 64)).collect();
        assert_eq!(std::fs::read_to_string(folder.path().join("file")).expect("there"), expected);
    }
}
