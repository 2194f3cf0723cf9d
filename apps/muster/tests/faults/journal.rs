//! What a publisher was asked to keep and what it acknowledged, written down by the process that publishes.
//!
//! What always holds: an attempt stands in the journal before it is made, and its outcome only after it is known. Lines
//! are written with one system call each, so a killed process leaves whole lines, and those that it wrote last.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use muster_contract::stream::StreamId;
use muster_publisher::Receipt;

use crate::dice::Dice;

/// The kind of every event.
pub(crate) const KIND: &str = "fault";

/// The stream of that index.
pub(crate) fn stream(index: u64) -> StreamId {
    StreamId::parse(&format!("faults.s{index}")).expect("a stream id")
}

/// The payload of a stream's n-th attempted event: canonical JSON that no other event has.
pub(crate) fn payload(seed: u64, stream: u64, n: u64) -> String {
    let mut dice = Dice::new(seed ^ (stream << 48), n);
    let length = dice.within(0..=40);
    let filler: String = (0..length).map(|_| format!("{:016x}", dice.next())).collect();
    let accent = if n.is_multiple_of(7) { "Größe 💡" } else { "" };
    format!(r#"{{"accent":"{accent}","filler":"{filler}","n":{n},"stream":{stream}}}"#)
}

/// How an attempt to publish a run of events ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nobody knows: the process was killed meanwhile.
    Unknown,
    /// They are not kept.
    Refused,
    /// They are kept, under these numbers of the outbox.
    Kept { first: u64, last: u64 },
}

/// An attempt to publish events `first`, `first + 1`, … of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) first: u64,
    pub(crate) count: u64,
    pub(crate) outcome: Outcome,
}

/// The writing end.
pub(crate) struct Journal(File);

impl Journal {
    pub(crate) fn open(path: &Path) -> Journal {
        let mut file = OpenOptions::new().append(true).create(true).open(path).expect("the journal");
        // Should the last line be cut off after all, the next begins on its own.
        file.write_all(b"\n").expect("written");
        Journal(file)
    }

    fn line(&self, line: String) {
        (&self.0).write_all(line.as_bytes()).expect("written");
    }

    pub(crate) fn tried(&self, stream: u64, first: u64, count: u64) {
        self.line(format!("tried {stream} {first} {count}\n"));
    }

    pub(crate) fn kept(&self, stream: u64, receipt: &Receipt) {
        self.line(format!("kept {stream} {} {}\n", receipt.first, receipt.last));
    }

    pub(crate) fn refused(&self, stream: u64) {
        self.line(format!("refused {stream}\n"));
    }
}

/// The attempts of each stream, in their order.
pub(crate) fn read(path: &Path) -> BTreeMap<u64, Vec<Attempt>> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let mut all: BTreeMap<u64, Vec<Attempt>> = BTreeMap::new();
    for line in whole.lines().filter(|line| !line.is_empty()) {
        let mut words = line.split(' ');
        let what = words.next().expect("a word");
        let numbers: Vec<u64> = words.map(|word| word.parse().expect("a number")).collect();
        let attempts = all.entry(numbers[0]).or_default();
        match (what, &numbers[1..]) {
            ("tried", &[first, count]) => attempts.push(Attempt { first, count, outcome: Outcome::Unknown }),
            ("kept", &[first, last]) => attempts.last_mut().expect("tried").outcome = Outcome::Kept { first, last },
            ("refused", &[]) => attempts.last_mut().expect("tried").outcome = Outcome::Refused,
            _ => panic!("not a line of a journal: {line}"),
        }
    }
    all
}

/// The number of a stream's next attempted event.
pub(crate) fn next(attempts: &[Attempt]) -> u64 {
    attempts.last().map_or(0, |last| last.first + last.count)
}
