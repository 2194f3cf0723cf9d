//! Where variables come from: the process environment, or a file of `KEY=VALUE` lines.

use std::path::Path;

use crate::{LaneError, PREFIX};

/// Variables with the lane prefix, and the place they came from.
#[derive(Clone, PartialEq, Eq)]
pub struct Source {
    pub(crate) pairs: Vec<(String, String)>,
    pub(crate) origin: String,
}

impl Source {
    /// Variables from anywhere; `origin` says where, for messages.
    pub fn new(origin: impl Into<String>, pairs: impl IntoIterator<Item = (String, String)>) -> Source {
        let pairs = pairs.into_iter().filter(|(key, _)| key.starts_with(PREFIX)).collect();
        Source { pairs, origin: origin.into() }
    }

    /// What the variables of each lane begin with, for the lanes that have a `HTTP_BASE_URL`.
    pub(crate) fn prefixes(&self) -> impl Iterator<Item = String> + '_ {
        let suffix = crate::Variable::HttpBaseUrl.suffix();
        let prefix = move |(key, _): &(String, String)| Some(key.strip_suffix(suffix)?.to_owned());
        self.pairs.iter().filter_map(prefix).filter(|prefix| prefix.len() > PREFIX.len() && prefix.ends_with('_'))
    }
}

/// The process environment. Variables that are not UTF-8 are left out.
pub fn from_environment() -> Source {
    let pairs =
        std::env::vars_os().filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)));
    Source::new("the environment", pairs)
}

/// A file of `KEY=VALUE` lines, with `#` comments, quotes and an optional `export`, as shells and `dotenv` read them.
///
/// # Errors
/// [`LaneError::File`] if it cannot be read or a line is neither.
pub fn from_file(path: &Path) -> Result<Source, LaneError> {
    let failed = |why: String| LaneError::File { path: path.display().to_string(), why };
    let pairs = dotenvy::from_path_iter(path)
        .and_then(|lines| lines.collect::<Result<Vec<_>, _>>())
        .map_err(|error| failed(describe(error)))?;
    Ok(Source::new(path.display().to_string(), pairs))
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
