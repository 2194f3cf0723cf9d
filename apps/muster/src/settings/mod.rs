//! What a server of this program is to be: one table of keys, from which flags, variables, the file, its example, the help
//! texts and `--print-config` are made. `commands/host` and `commands/control` each have a table.
//!
//! What always holds: a flag comes before a variable, a variable before the file, the file before the default; every
//! value knows where it is from; what [`Settings::toml`] writes is read again as the same.

mod layers;
mod value;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) use layers::{Flags, Given, Origin, from_environment, from_file};
pub(crate) use value::{Kind, Value};

use crate::outcome::Failure;

/// Everything that a server can be told.
#[derive(Debug)]
pub(crate) struct Table {
    /// Whose it is, as in `the host's configuration`.
    pub(crate) what: &'static str,
    /// The file of the repository that has every key.
    pub(crate) example: &'static str,
    /// What its variables begin with.
    pub(crate) variable_prefix: &'static str,
    /// Its sections, in the order of the file.
    pub(crate) sections: &'static [Section],
    /// Its keys, in the order of the file.
    pub(crate) keys: &'static [Key],
}

/// A section of the file.
#[derive(Debug)]
pub(crate) struct Section {
    /// As it stands in the file.
    pub(crate) name: &'static str,
    /// What stands above it there, without a full stop.
    pub(crate) about: &'static str,
    /// What stands above its flags in the help, where they are not among the others.
    pub(crate) heading: Option<&'static str>,
}

/// Which table a set of flags belongs to.
pub(crate) trait Tabled: 'static {
    /// It.
    const TABLE: &'static Table;
}

/// One key.
#[derive(Debug)]
pub(crate) struct Key {
    /// As it stands in the file, with its section.
    pub(crate) name: &'static str,
    /// The flag, without its dashes.
    pub(crate) flag: &'static str,
    /// What it means, in one sentence without a full stop.
    pub(crate) about: &'static str,
    /// What it takes.
    pub(crate) kind: Kind,
    /// What it is unless told otherwise.
    pub(crate) initial: Initial,
}

/// What a key is unless told otherwise.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Initial {
    /// Nothing; a value could look like this.
    Unset(&'static str),
    /// False, or no entries.
    Empty,
    Text(&'static str),
    Number(usize),
    Time(Duration),
}

/// A key of a table.
pub(crate) const fn key(
    name: &'static str,
    flag: &'static str,
    kind: Kind,
    initial: Initial,
    about: &'static str,
) -> Key {
    Key { name, flag, about, kind, initial }
}

/// The section of the log, which every table has, with these keys.
pub(crate) const LOG: Section = Section { name: "log", about: "The log, on stderr", heading: None };

/// What the log looks like.
pub(crate) const LOG_FORMAT: Key = key(
    "log.format",
    "log-format",
    Kind::Choice(&["text", "json"]),
    Initial::Text("text"),
    "Lines for people (text), or one JSON object a line (json)",
);

/// What is logged; unless told otherwise, this.
pub(crate) const fn log_filter(initial: &'static str) -> Key {
    key(
        LOG_FILTER_KEY,
        "log-filter",
        Kind::Filter,
        Initial::Text(initial),
        "What is logged, as tracing's EnvFilter has it; MUSTER_LOG, -v and -q come before the file's",
    )
}

/// The variable that the filter of every command's log has.
pub(crate) const LOG_VARIABLE: &str = "MUSTER_LOG";
/// The key of the log's filter, in every table.
pub(crate) const LOG_FILTER_KEY: &str = "log.filter";

impl Key {
    /// The section it stands in; none is the top.
    pub(crate) fn section(&self) -> Option<&'static str> {
        self.name.split_once('.').map(|(section, _)| section)
    }

    /// The name within its section.
    pub(crate) fn name_in_section(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(_, name)| name)
    }

    /// A value that it could have, where it has no default.
    pub(crate) fn example(&self) -> &'static str {
        match self.initial {
            Initial::Unset(example) => example,
            _ => "",
        }
    }

    /// What it is unless told otherwise.
    pub(crate) fn default(&self) -> Option<Value> {
        match (self.initial, self.kind) {
            (Initial::Unset(_), _) => None,
            (Initial::Empty, Kind::Urls) => Some(Value::List(Vec::new())),
            (Initial::Empty, _) => Some(Value::Switch(false)),
            (Initial::Text(text), _) => Some(Value::Text(text.into())),
            (Initial::Number(n), Kind::Bytes(..)) => Some(Value::Bytes(n as u64)),
            (Initial::Number(n), _) => Some(Value::Count(n as u64)),
            (Initial::Time(time), _) => Some(Value::Time(time)),
        }
    }
}

impl Table {
    /// The environment variable that sets a key.
    pub(crate) fn variable(&self, key: &Key) -> String {
        if key.name == LOG_FILTER_KEY {
            return LOG_VARIABLE.into();
        }
        format!("{}{}", self.variable_prefix, key.flag.to_ascii_uppercase().replace('-', "_"))
    }

    /// The variable that names the configuration file.
    pub(crate) fn config_variable(&self) -> String {
        format!("{}CONFIG", self.variable_prefix)
    }

    /// The key of this name.
    pub(crate) fn find(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

/// `path`, seen from the root. What cannot be (there is no folder to start from) stays as it is.
fn absolute(path: &str) -> String {
    std::path::absolute(path)
        .ok()
        .and_then(|path| path.into_os_string().into_string().ok())
        .unwrap_or_else(|| path.into())
}

/// What belongs to the name that a misspelt one most resembles (Damerau-Levenshtein distance).
///
/// # Panics
/// If there are no names.
pub(crate) fn nearest<T>(misspelt: &str, names: impl Iterator<Item = (String, T)>) -> T {
    let nearest = names.min_by_key(|(name, _)| strsim::damerau_levenshtein(name, misspelt));
    nearest.expect("there are keys, sections and variables").1
}

/// A value for each key of a table.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    table: &'static Table,
    /// As many as the table's keys, in their order.
    pub(crate) all: Vec<Setting>,
}

/// A key's value.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) key: &'static Key,
    pub(crate) value: Option<Value>,
    pub(crate) origin: Origin,
}

impl Settings {
    /// Nothing but the defaults.
    pub(crate) fn defaults(table: &'static Table) -> Settings {
        let all = table.keys.iter().map(|key| Setting { key, value: key.default(), origin: Origin::Default });
        Settings { table, all: all.collect() }
    }

    /// What the file, the environment of this process and the flags give, in the order in which they are to be taken.
    /// `file` comes before the one that the environment names.
    ///
    /// # Errors
    /// Whatever is wrong with any of it, where it stands, and what to write.
    pub(crate) fn given<T: Tabled>(file: Option<&Path>, flags: &Flags<T>) -> Result<Vec<Given>, Failure> {
        let (variables, named) = from_environment(T::TABLE, std::env::vars_os())?;
        let file = match file.map(PathBuf::from).or(named) {
            Some(path) => from_file(T::TABLE, &path)?,
            None => Vec::new(),
        };
        Ok(file.into_iter().chain(variables).chain(flags.given()).collect())
    }

    /// Takes a value.
    pub(crate) fn set(&mut self, given: Given) {
        let setting = self.get_mut(given.key.name);
        (setting.value, setting.origin) = (Some(given.value), given.origin);
    }

    /// The settings in the form of the file, what each key means above it and, `with_origins`, behind it where its value
    /// is from; every path is absolute then, so that it means the same wherever the text is kept.
    pub(crate) fn toml(&self, with_origins: bool) -> String {
        let mut text = String::new();
        let mut section = None;
        for Setting { key, value, origin } in &self.all {
            if key.section() != section {
                section = key.section();
                let found = self.table.sections.iter().find(|known| Some(known.name) == section);
                let Section { name, about, .. } = found.expect("every section is in the table");
                text += &format!("\n# {about}.\n[{name}]\n");
            }
            let line = match value {
                // A path in a file starts from the file's folder, and who knows where what is printed will be kept.
                Some(Value::Text(path)) if with_origins && matches!(key.kind, Kind::Path) => {
                    format!("{} = {}", key.name_in_section(), Value::Text(absolute(path)).toml())
                }
                Some(value) => format!("{} = {}", key.name_in_section(), value.toml()),
                None => format!("#{} = {}", key.name_in_section(), key.kind.commented(key.example())),
            };
            let from = match (with_origins, value) {
                (false, _) => String::new(),
                (true, None) => "  # not set".into(),
                (true, Some(_)) => format!("  # {origin}"),
            };
            text += &format!("# {}.\n{line}{from}\n", key.about);
        }
        text
    }

    /// One of them.
    ///
    /// # Panics
    /// If the table has no such key.
    pub(crate) fn get(&self, name: &str) -> &Setting {
        self.all.iter().find(|setting| setting.key.name == name).expect("every key has a setting")
    }

    /// One of them, to change it.
    ///
    /// # Panics
    /// If the table has no such key.
    pub(crate) fn get_mut(&mut self, name: &str) -> &mut Setting {
        self.all.iter_mut().find(|setting| setting.key.name == name).expect("every key has a setting")
    }

    /// A text, where there is one.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        match &self.get(name).value {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// A number.
    ///
    /// # Panics
    /// If the key is none that has a number by default.
    pub(crate) fn number(&self, name: &str) -> usize {
        match self.get(name).value {
            Some(Value::Count(n) | Value::Bytes(n)) => usize::try_from(n).unwrap_or(usize::MAX),
            _ => unreachable!("`{name}` is a number with a default"),
        }
    }

    /// A time.
    ///
    /// # Panics
    /// If the key is none that has a time by default.
    pub(crate) fn time(&self, name: &str) -> Duration {
        match self.get(name).value {
            Some(Value::Time(time)) => time,
            _ => unreachable!("`{name}` is a time with a default"),
        }
    }

    /// Whether the log is one JSON object a line.
    pub(crate) fn log_is_json(&self) -> bool {
        self.text("log.format") == Some("json")
    }

    /// The log's filter, if the file has one that counts and is not the default.
    pub(crate) fn log_filter_of_file(&self) -> Option<&str> {
        let setting = self.get(LOG_FILTER_KEY);
        let counts = matches!(setting.origin, Origin::File { .. }) && setting.value != setting.key.default();
        self.text(LOG_FILTER_KEY).filter(|_| counts)
    }
}

/// What must hold of every table, for the tests of those who have one.
#[cfg(test)]
pub(crate) fn check_table(table: &'static Table) {
    for (index, key) in table.keys.iter().enumerate() {
        let others = &table.keys[index + 1..];
        assert!(others.iter().all(|other| other.name != key.name && other.flag != key.flag), "{}", key.name);
        assert!(!key.about.ends_with('.'), "{}", key.name);
        if let Some(value) = key.default().filter(|_| !matches!(key.kind, Kind::Urls)) {
            assert_eq!(key.kind.read_text(&value.to_string()), Ok(value), "{}", key.name);
        }
        assert!(key.section().is_none_or(|section| table.sections.iter().any(|known| known.name == section)));
    }
}
