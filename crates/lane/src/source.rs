//! Where variables come from: the process environment, or a file of `KEY=VALUE` lines.
//!
//! What always holds: a variable that cannot be read as text is remembered by its name, so that a lane that needs it is
//! refused and never described without it; nothing but a regular file of limited size is read, because a pipe would be
//! waited for and a device read without end.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use crate::limits::FILE_BYTES_MAX;
use crate::{LaneError, PREFIX};

/// Variables with the lane prefix, and the place they came from.
#[derive(Clone, PartialEq, Eq)]
pub struct Source {
    pub(crate) pairs: Vec<(String, String)>,
    /// The names of variables whose value, or name, is not UTF-8.
    pub(crate) not_utf8: Vec<String>,
    pub(crate) origin: String,
}

impl Source {
    /// Variables from anywhere; `origin` says where, for messages.
    pub fn new(origin: impl Into<String>, pairs: impl IntoIterator<Item = (String, String)>) -> Source {
        let pairs = pairs.into_iter().filter(|(key, _)| key.starts_with(PREFIX)).collect();
        Source { pairs, not_utf8: Vec::new(), origin: origin.into() }
    }

    /// The same from what an operating system holds, which need not be UTF-8.
    pub fn from_os(origin: impl Into<String>, pairs: impl IntoIterator<Item = (OsString, OsString)>) -> Source {
        let mut not_utf8 = Vec::new();
        let read = |(key, value): (OsString, OsString)| match (key.into_string(), value.into_string()) {
            (Ok(key), Ok(value)) => Some((key, value)),
            (key, _) => {
                let name = key.unwrap_or_else(|key| key.to_string_lossy().into_owned());
                not_utf8.extend(Some(name).filter(|name| name.starts_with(PREFIX)));
                None
            }
        };
        let pairs: Vec<_> = pairs.into_iter().filter_map(read).collect();
        Source { not_utf8, ..Source::new(origin, pairs) }
    }

    /// What the variables of each lane begin with, for the lanes that have a `HTTP_BASE_URL`.
    pub(crate) fn prefixes(&self) -> impl Iterator<Item = String> + '_ {
        let suffix = crate::Variable::HttpBaseUrl.suffix();
        let prefix = move |key: &String| Some(key.strip_suffix(suffix)?.to_owned());
        let keys = self.pairs.iter().map(|(key, _)| key).chain(&self.not_utf8);
        keys.filter_map(prefix).filter(|prefix| prefix.len() > PREFIX.len() && prefix.ends_with('_'))
    }
}

/// The process environment. A lane's variable that is not UTF-8 is an error once that lane is parsed.
pub fn from_environment() -> Source {
    Source::from_os("the environment", std::env::vars_os())
}

/// A file of `KEY=VALUE` lines, with `#` comments, quotes and an optional `export`, as shells and `dotenv` read them: a
/// regular file of at most [`FILE_BYTES_MAX`] bytes.
///
/// # Errors
/// [`LaneError::File`] if it cannot be read, is no such file, or a line is neither.
pub fn from_file(path: &Path) -> Result<Source, LaneError> {
    let failed = |why: String| LaneError::File { path: path.display().to_string(), why };
    let bytes = read(path).map_err(failed)?;
    let lines = dotenvy::from_read_iter(bytes.as_slice());
    let pairs = lines.collect::<Result<Vec<_>, _>>().map_err(|error| failed(describe(error)))?;
    Ok(Source::new(path.display().to_string(), pairs))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let in_words = |error: io::Error| error.to_string();
    // Looked at before it is opened: opening a pipe waits already.
    if !fs::metadata(path).map_err(in_words)?.is_file() {
        return Err("it is a folder, a pipe or a device; give a regular file".into());
    }
    let mut bytes = Vec::new();
    // A byte more than allowed tells a file that is too large from one that just fits.
    let file = File::open(path).map_err(in_words)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(in_words)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("it is larger than {FILE_BYTES_MAX} bytes; is it the right file?"));
    }
    if std::str::from_utf8(&bytes).is_err() {
        return Err("it is not UTF-8; write it as UTF-8 text".into());
    }
    Ok(bytes)
}

/// In words, and without the line itself: it may hold a secret.
fn describe(error: dotenvy::Error) -> String {
    match error {
        dotenvy::Error::LineParse(_, position) => {
            format!("a line is not KEY=VALUE (at its character {position})")
        }
        other => other.to_string(),
    }
}
