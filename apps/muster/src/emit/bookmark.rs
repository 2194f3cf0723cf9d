//! How far a file was read into an outbox, for an `emit` that was killed meanwhile.
//!
//! What always holds: nothing is written down while events are stored, so nothing can fall out of step with them. What
//! is written down, before the first event, is how many events each stream of the outbox had; what it has more when
//! somebody looks next came from this file, and its first events are left out then. Each stream keeps the order of the
//! file, so they are the right ones.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use muster_contract::stream::StreamId;
use serde::{Deserialize, Serialize};

/// Events by stream.
pub(crate) type Numbers = BTreeMap<StreamId, u64>;

/// A file that can be read again from its beginning, as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Source {
    path: PathBuf,
    bytes: u64,
    changed_ns: u128,
}

impl Source {
    /// The file `path`; `None` for what is no regular file and cannot be read twice.
    pub(crate) fn of(path: &Path) -> io::Result<Option<Source>> {
        let data = fs::metadata(path)?;
        if !data.is_file() {
            return Ok(None);
        }
        let changed_ns = data.modified()?.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        Ok(Some(Source { path: path.canonicalize()?, bytes: data.len(), changed_ns }))
    }
}

/// What became of the emits that were interrupted.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Page {
    /// Whose numbers these are: the outbox's producer. An outbox that was made anew has another.
    producer: String,
    /// Files that were not read to their end, and how many events of them each stream has.
    unfinished: Vec<(Source, Numbers)>,
    /// The file that is being read.
    current: Option<Current>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Current {
    source: Source,
    /// Events of it that were there before this reading began.
    done: Numbers,
    /// The outbox's numbers when it began.
    before: Numbers,
}

/// Why the bookmark cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BookmarkError {
    /// The file is not what it was.
    #[error(
        "{} has changed since an emit of it was interrupted, when {stored} of its events were stored; emit what is left of \
         it as another file and delete {}, or delete that alone to emit all of it", path.display(), bookmark.display()
    )]
    Changed {
        /// The input.
        path: PathBuf,
        /// How many of its events are stored.
        stored: u64,
        /// The bookmark.
        bookmark: PathBuf,
    },
    /// It cannot be read or written.
    #[error("the bookmark {} cannot be read or written ({source}); check the folder, its rights and its space", path.display())]
    Io {
        /// The bookmark.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// The bookmark of an outbox.
#[derive(Debug)]
pub(crate) struct Bookmark {
    path: PathBuf,
    page: Page,
}

impl Bookmark {
    /// Begins to read `source`, if it can be read twice. `producer` and `now` are the outbox's, and its numbers. Returns how many events of each
    /// stream are to be left out, because they are stored already.
    ///
    /// # Errors
    /// [`BookmarkError`]; nothing has been stored yet.
    pub(crate) fn begin(
        outbox: &Path,
        producer: &str,
        source: Option<Source>,
        now: &Numbers,
    ) -> Result<(Bookmark, Numbers), BookmarkError> {
        let mut path = outbox.as_os_str().to_owned();
        path.push(".reading");
        let path = PathBuf::from(path);
        let page = read(&path)?;
        let page = if page.producer == producer { page } else { Page { producer: producer.into(), ..Page::default() } };
        let mut bookmark = Bookmark { page, path };
        bookmark.settle(now);
        let done = match &source {
            Some(source) => bookmark.take_unfinished(source)?,
            None => Numbers::new(),
        };
        bookmark.page.current = source.map(|source| Current { source, done: done.clone(), before: now.clone() });
        bookmark.write()?;
        Ok((bookmark, done))
    }

    /// All of the file is stored, and its emit has come to its end.
    ///
    /// # Errors
    /// [`BookmarkError::Io`].
    pub(crate) fn finish(mut self) -> Result<(), BookmarkError> {
        self.page.current = None;
        self.write()
    }

    /// What was being read when nobody finished it, is unfinished with what has come since.
    fn settle(&mut self, now: &Numbers) {
        let Some(Current { source, mut done, before }) = self.page.current.take() else { return };
        for (stream, last) in now {
            let more = last.saturating_sub(before.get(stream).copied().unwrap_or(0));
            if more > 0 {
                *done.entry(stream.clone()).or_default() += more;
            }
        }
        if !done.is_empty() {
            self.page.unfinished.push((source, done));
        }
    }

    fn take_unfinished(&mut self, source: &Source) -> Result<Numbers, BookmarkError> {
        let Some(at) = self.page.unfinished.iter().position(|(known, _)| known.path == source.path) else {
            return Ok(Numbers::new());
        };
        let (known, done) = &self.page.unfinished[at];
        if known != source {
            let (path, stored) = (source.path.clone(), done.values().sum());
            return Err(BookmarkError::Changed { path, stored, bookmark: self.path.clone() });
        }
        Ok(self.page.unfinished.remove(at).1)
    }

    /// Writes it whole or not at all, and durably; a bookmark that says nothing is removed.
    fn write(&self) -> Result<(), BookmarkError> {
        let written = if self.page.current.is_none() && self.page.unfinished.is_empty() {
            match fs::remove_file(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            }
        } else {
            self.replace()
        };
        written.map_err(|source| BookmarkError::Io { path: self.path.clone(), source })
    }

    fn replace(&self) -> io::Result<()> {
        let partial = self.path.with_extension("reading-partial");
        let mut file = File::create(&partial)?;
        file.write_all(&serde_json::to_vec(&self.page)?)?;
        file.sync_all()?;
        fs::rename(&partial, &self.path)?;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    }
}

fn read(path: &Path) -> Result<Page, BookmarkError> {
    let failed = |source| BookmarkError::Io { path: path.into(), source };
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| failed(error.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Page::default()),
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(all: &[(&str, u64)]) -> Numbers {
        all.iter().map(|(stream, number)| (StreamId::parse(stream).unwrap(), *number)).collect()
    }

    fn source(folder: &Path, name: &str, text: &str) -> Option<Source> {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        Source::of(&path).unwrap()
    }

    #[test]
    fn what_an_interrupted_emit_has_stored_is_left_out_the_next_time_and_only_then() {
        let folder = tempfile::tempdir().unwrap();
        let outbox = folder.path().join("o");
        let file = source(folder.path(), "a", "x");
        let begin =
            |source: &Option<Source>, now: &Numbers| Bookmark::begin(&outbox, "p", source.clone(), now).unwrap();

        let (_, skip) = begin(&file, &numbers(&[("a", 3)]));
        assert_eq!(skip, numbers(&[]));
        // Killed when two more of `a` and one of `b` were stored; killed again after another one.
        let (_, skip) = begin(&file, &numbers(&[("a", 5), ("b", 1)]));
        assert_eq!(skip, numbers(&[("a", 2), ("b", 1)]));
        let now = numbers(&[("a", 6), ("b", 1)]);
        // Something else goes through the outbox meanwhile, and counts for nothing.
        begin(&None, &now).0.finish().unwrap();
        let now = numbers(&[("a", 60), ("b", 1)]);
        let (bookmark, skip) = begin(&file, &now);
        assert_eq!(skip, numbers(&[("a", 3), ("b", 1)]));
        bookmark.finish().unwrap();
        let (_, skip) = begin(&file, &numbers(&[("a", 70)]));
        assert_eq!(skip, numbers(&[]), "it was finished");
        assert!(folder.path().join("o.reading").exists());
    }

    #[test]
    fn a_file_that_has_changed_since_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let outbox = folder.path().join("o");
        let file = source(folder.path(), "a", "x");
        Bookmark::begin(&outbox, "p", file, &numbers(&[])).unwrap();
        let changed = source(folder.path(), "a", "xy");
        let refused = Bookmark::begin(&outbox, "p", changed, &numbers(&[("s", 4)])).unwrap_err().to_string();
        assert!(refused.contains("has changed since") && refused.contains("4 of its events"), "{refused}");
    }

    #[test]
    fn what_was_stored_in_an_outbox_that_is_gone_is_not_left_out_of_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let outbox = folder.path().join("o");
        let file = source(folder.path(), "a", "x");
        let begin =
            |producer, now: &[(&str, u64)]| Bookmark::begin(&outbox, producer, file.clone(), &numbers(now)).unwrap().1;
        begin("p", &[]);
        assert_eq!(begin("p", &[("a", 3)]), numbers(&[("a", 3)]));
        assert_eq!(begin("q", &[]), numbers(&[]));
        assert_eq!(begin("q", &[("a", 1)]), numbers(&[("a", 1)]));
    }

    #[test]
    fn a_bookmark_that_says_nothing_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let outbox = folder.path().join("o");
        let file = source(folder.path(), "a", "x");
        Bookmark::begin(&outbox, "p", file, &numbers(&[])).unwrap().0.finish().unwrap();
        assert!(!folder.path().join("o.reading").exists());
    }
}
