//! SIGKILL in the middle of publishing, again and again: everything acknowledged is there, once, in order.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::sync::Arc;

use muster_contract::stream::StreamId;
use muster_publisher::Draft;

use crate::support::{FOLDER, Killed, again, events, folder, open};

const ROUNDS: usize = 8;

/// Publishes from eight tasks until it is killed, and says what was acknowledged.
#[test]
fn a_publisher_to_be_killed() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let publisher = Arc::new(open(&Path::new(&folder).join("outbox")));
        let process = std::process::id();
        let tasks: Vec<_> = (0..8)
            .map(|task| {
                let publisher = publisher.clone();
                tokio::spawn(async move {
                    let stream = StreamId::parse(&format!("muster.test.{}", task % 3)).unwrap();
                    for event in 0.. {
                        let payloads: Vec<String> =
                            (0..1 + event % 7).map(|part| format!("[{process},{task},{event},{part}]")).collect();
                        let drafts = payloads.iter().map(|payload| Draft::new("k", payload));
                        let receipt = publisher.publish_many(&stream, drafts).await.unwrap();
                        let mut out = std::io::stdout().lock();
                        for (number, payload) in (receipt.first..).zip(&payloads) {
                            writeln!(out, "ack {stream} {number} {payload}").unwrap();
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

#[test]
fn whatever_was_acknowledged_is_there_after_the_publisher_was_killed() {
    let (folder, outbox) = folder();
    let mut acknowledged = BTreeMap::new();
    for round in 0..ROUNDS {
        let mut child = Killed(again("crash::a_publisher_to_be_killed", folder.path()).spawn().unwrap());
        let lines = BufReader::new(child.0.stdout.take().unwrap()).lines().map_while(Result::ok);
        // Lines that are in the pipe were acknowledged before the kill: they are read to the end.
        for (line, seen) in lines.zip(0..) {
            if let ["ack", stream, number, payload] = line.split(' ').collect::<Vec<_>>()[..]
                && payload.ends_with(']')
            {
                acknowledged.insert((stream.to_string(), number.parse::<i64>().unwrap()), payload.to_string());
            }
            if seen == 50 + round * 137 {
                child.0.kill().unwrap();
            }
        }
        drop(child);
        let events = events(&outbox);
        for (key, payload) in &acknowledged {
            assert_eq!(events.get(key).map(|event| &event.payload), Some(payload), "{key:?} in round {round}");
        }
        let payloads: BTreeSet<&String> = events.values().map(|event| &event.payload).collect();
        assert_eq!(payloads.len(), events.len(), "an event is there twice");
        for stream in 0..3 {
            let id = format!("muster.test.{stream}");
            let numbers: Vec<i64> = events.keys().filter(|(of, _)| *of == id).map(|(_, number)| *number).collect();
            assert!(numbers.iter().copied().eq(1..=numbers.len() as i64), "a hole in {id}");
        }
    }
    assert!(acknowledged.len() > 500, "only {} events", acknowledged.len());
}
