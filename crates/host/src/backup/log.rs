//! Copying a commit log while it is written.
//!
//! A log is a row of segment files, named by the number of their first transaction; only the last is written, at its end,
//! and only the last can end in the middle of a commit. The copy's last segment is cut behind its last whole commit: the
//! engine repairs a torn end too, but refuses a log whose only commit is torn, as that of a database that is just being
//! created may be. What a segment looks like is `spacetimedb-commitlog`'s (2.14.0, `segment::Header`, `commit::Header`,
//! log format 1): a header of 10 bytes, and commits of a header of 22 bytes, which ends in the length of what follows, that
//! many bytes, and a checksum of 4.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read};
use std::path::Path;

use super::BackupError;
use super::files::{Copier, entries};

const SEGMENT_MAGIC: &[u8] = b"(ds)^2";
const SEGMENT_HEADER_BYTES: u64 = 10;
const FORMAT_VERSION: u8 = 1;
const COMMIT_HEADER_BYTES: usize = 22;
const CHECKSUM_BYTES: u64 = 4;

/// Copies the commit log in the folder `from`.
pub(super) fn copy(copier: &mut Copier, from: &Path, to: &Path) -> Result<(), BackupError> {
    copier.make_folder(to)?;
    let is_segment = |path: &Path| path.to_str().is_some_and(|path| path.ends_with(".stdb.log"));
    let mut segments: Vec<_> = entries(from)?.into_iter().filter(|path| is_segment(path)).collect();
    // Their names are numbers of the same length.
    segments.sort_unstable();
    let last = segments.len().saturating_sub(1);
    for (index, segment) in segments.iter().enumerate() {
        let copy = to.join(segment.file_name().expect("an entry has a name"));
        copier.file(segment, &copy)?;
        if index == last {
            copier.cut(cut_torn_end(&copy).map_err(|e| BackupError::file(&copy, e))?);
        }
    }
    Ok(())
}

/// Cuts a segment behind its last whole commit, and says how much went. One of another format, as a compressed one, is
/// left as it is.
fn cut_torn_end(path: &Path) -> io::Result<u64> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let length = file.metadata()?.len();
    let Some(whole) = whole_commits(&file, length)?.filter(|whole| *whole < length) else {
        return Ok(0);
    };
    file.set_len(whole)?;
    file.sync_all()?;
    Ok(length - whole)
}

/// Where the last whole commit ends.
fn whole_commits(file: &File, length: u64) -> io::Result<Option<u64>> {
    let mut reader = BufReader::new(file);
    let mut header = [0; SEGMENT_HEADER_BYTES as usize];
    if length < SEGMENT_HEADER_BYTES {
        return Ok(None);
    }
    reader.read_exact(&mut header)?;
    if !header.starts_with(SEGMENT_MAGIC) || header[SEGMENT_MAGIC.len()] != FORMAT_VERSION {
        return Ok(None);
    }
    let mut end = SEGMENT_HEADER_BYTES;
    let mut commit = [0; COMMIT_HEADER_BYTES];
    while end + COMMIT_HEADER_BYTES as u64 <= length {
        reader.read_exact(&mut commit)?;
        let body = u32::from_le_bytes([commit[18], commit[19], commit[20], commit[21]]);
        let rest = u64::from(body) + CHECKSUM_BYTES;
        let next = end + COMMIT_HEADER_BYTES as u64 + rest;
        if next > length {
            break;
        }
        reader.seek_relative(i64::try_from(rest).expect("a little more than 32 bits"))?;
        end = next;
    }
    Ok(Some(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(bodies: &[usize]) -> Vec<u8> {
        let mut bytes = [SEGMENT_MAGIC, &[FORMAT_VERSION, 0, 0, 0]].concat();
        for body in bodies {
            bytes.extend([7; 18]);
            bytes.extend(u32::try_from(*body).unwrap().to_le_bytes());
            bytes.extend(vec![9; body + CHECKSUM_BYTES as usize]);
        }
        bytes
    }

    #[test]
    fn a_segment_is_cut_behind_its_last_whole_commit_wherever_it_was_torn() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("segment");
        let (whole, more) = (segment(&[5, 0]), segment(&[5, 0, 30]));
        for torn in whole.len()..more.len() {
            std::fs::write(&path, &more[..torn]).unwrap();
            assert_eq!(cut_torn_end(&path).unwrap() as usize, torn - whole.len());
            assert_eq!(std::fs::read(&path).unwrap(), whole);
        }
        std::fs::write(&path, &more).unwrap();
        assert_eq!(cut_torn_end(&path).unwrap(), 0);
    }

    #[test]
    fn what_is_no_such_segment_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("segment");
        for other in
            [&b""[..], b"(ds)", b"(ds)^2\x02\0\0\0and so on", &[0x28, 0xb5, 0x2f, 0xfd, 0, 1, 2, 3, 4, 5, 6, 7, 8]]
        {
            std::fs::write(&path, other).unwrap();
            assert_eq!(cut_torn_end(&path).unwrap(), 0);
            assert_eq!(std::fs::read(&path).unwrap(), other);
        }
    }
}
