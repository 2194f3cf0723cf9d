//! What a crash of the machine, or a bad disk, does to the end of a commit log.

use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rand::Rng;
use rand::rngs::StdRng;

/// A way to damage the newest segment of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Damage {
    /// Half a commit stands behind the last one: noise, or the beginning of a copy of an earlier one.
    Append,
    /// Its last bytes never reached the disk.
    Truncate,
    /// A bit of its last bytes is wrong.
    FlipAtEnd,
    /// A bit in the middle is wrong: not what a crash does, but what a disk may.
    FlipInside,
    /// The same in the length of a commit, which says where the next one begins.
    FlipLength,
}

/// Bytes before a segment's first commit, in a commit before its length, of the length, and behind the header of a commit
/// beside its records: the checksum (spacetimedb-commitlog 2.14, `segment::Header`, `commit::Header`).
const SEGMENT_HEADER: usize = 10;
const BEFORE_LENGTH: usize = 8 + 8 + 2;
const LENGTH: usize = 4;
const CHECKSUM: usize = 4;

/// Damages the newest segment of every database in a host's data folder.
pub(super) fn damage_tail(folder: &Path, damage: Damage, random: &mut StdRng) {
    for replica in std::fs::read_dir(folder.join("replicas")).unwrap() {
        let segment = newest_segment(&replica.unwrap().path().join("clog"));
        damage_segment(&segment, damage, random);
    }
}

fn newest_segment(folder: &Path) -> PathBuf {
    let mut segments: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(".stdb.log"))
        .collect();
    segments.sort();
    segments.pop().expect("a database has a log")
}

fn damage_segment(segment: &Path, damage: Damage, random: &mut StdRng) {
    let bytes = std::fs::read(segment).unwrap();
    let written = bytes.len();
    let file = OpenOptions::new().write(true).open(segment).unwrap();
    match damage {
        Damage::Append => {
            let len = random.random_range(1..200);
            let torn: Vec<u8> = if random.random() || written < 400 {
                (0..len).map(|_| random.random()).collect()
            } else {
                let from = random.random_range(0..written - len);
                bytes[from..from + len].to_vec()
            };
            write(&file, &torn, written);
        }
        Damage::Truncate => file.set_len((written - random.random_range(1..40)) as u64).unwrap(),
        Damage::FlipAtEnd => flip(&file, &bytes, written - random.random_range(1..40), random),
        Damage::FlipInside => {
            let lengths = lengths(&bytes);
            let at = (written / 2 + random.random_range(0..40)..).find(|at| !lengths.iter().any(|it| it.contains(at)));
            flip(&file, &bytes, at.expect("a log is not all lengths"), random);
        }
        Damage::FlipLength => {
            let middle = lengths(&bytes).into_iter().find(|length| length.start > written / 2).expect("many commits");
            flip(&file, &bytes, random.random_range(middle), random);
        }
    }
    file.sync_all().unwrap();
}

/// Where the lengths of a segment's commits stand.
fn lengths(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut lengths = Vec::new();
    let mut at = SEGMENT_HEADER;
    while at < bytes.len() {
        let length = at + BEFORE_LENGTH..at + BEFORE_LENGTH + LENGTH;
        let records = u32::from_le_bytes(bytes[length.clone()].try_into().unwrap()) as usize;
        at = length.end + records + CHECKSUM;
        lengths.push(length);
    }
    assert_eq!(at, bytes.len(), "the log is laid out as this file says");
    lengths
}

fn write(file: &File, bytes: &[u8], at: usize) {
    file.write_all_at(bytes, at as u64).unwrap();
}

fn flip(file: &File, bytes: &[u8], at: usize, random: &mut StdRng) {
    write(file, &[bytes[at] ^ 1 << random.random_range(0..8)], at);
}
