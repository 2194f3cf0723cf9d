//! What a crash of the machine, or a bad disk, does to the end of a commit log.

use std::fs::{File, OpenOptions};
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
}

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
        Damage::FlipInside => flip(&file, &bytes, written / 2 + random.random_range(0..40), random),
    }
    file.sync_all().unwrap();
}

fn write(file: &File, bytes: &[u8], at: usize) {
    file.write_all_at(bytes, at as u64).unwrap();
}

fn flip(file: &File, bytes: &[u8], at: usize, random: &mut StdRng) {
    write(file, &[bytes[at] ^ 1 << random.random_range(0..8)], at);
}
