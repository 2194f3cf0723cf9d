//! Where the values of a configuration come from: the file, the environment, the flags.
//!
//! What always holds: everything that is given is known, or the error names where it stands and the nearest known name;
//! a relative path in the file is one from the file's own folder.

use std::ffi::OsString;
use std::fmt;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::value::{Kind, Value};
use super::{Key, LOG_VARIABLE, Section, Table, Tabled, nearest};
use crate::limits::CONFIG_FILE_BYTES_MAX;
use crate::outcome::{Failure, one_line};
use crate::target::read_limited;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(crate) key: &'static Key,
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

/// Where a value comes from. The later ones override the earlier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Default,
    File { path: PathBuf, line: usize },
    Variable(String),
    Flag(&'static str),
}

impl Origin {
    /// Whether both are the same place: one file, the environment, the command line.
    pub(crate) fn is_beside(&self, other: &Origin) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { path, line } => write!(f, "{}, line {line}", path.display()),
            Origin::Variable(name) => f.write_str(name),
            Origin::Flag(flag) => write!(f, "--{flag}"),
        }
    }
}

fn wrong(origin: &Origin, why: impl fmt::Display) -> Failure {
    Failure::CouldNot(one_line(&format!("{origin}: {why}")))
}

/// The flags' values: clap has read them already.
#[derive(Clone, Debug)]
pub(crate) struct Flags<T>(Vec<(&'static Key, Value)>, PhantomData<T>);

impl<T> Default for Flags<T> {
    /// None are given.
    fn default() -> Self {
        Flags(Vec::new(), PhantomData)
    }
}

impl<T> Flags<T> {
    pub(crate) fn given(&self) -> impl Iterator<Item = Given> {
        self.0.iter().map(|(key, value)| Given { key, value: value.clone(), origin: Origin::Flag(key.flag) })
    }

    /// The value of one flag.
    pub(crate) fn of(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(key, _)| key.name == name).map(|(_, value)| value)
    }
}

/// What `variables` hold for a table's server, and the file that they name.
///
/// # Errors
/// A variable with the prefix that is not known, or cannot be read.
pub(crate) fn from_environment(
    table: &'static Table,
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Result<(Vec<Given>, Option<PathBuf>), Failure> {
    let config_variable = table.config_variable();
    let (mut found, mut file) = (Vec::new(), None);
    for (name, text) in variables {
        let Some(name) = name.to_str() else { continue };
        if name == config_variable {
            file = Some(PathBuf::from(text)).filter(|path| !path.as_os_str().is_empty());
            continue;
        }
        if !name.starts_with(table.variable_prefix) && name != LOG_VARIABLE {
            continue;
        }
        let origin = Origin::Variable(name.to_owned());
        let Some(key) = table.keys.iter().find(|key| table.variable(key) == name) else {
            let known = table.keys.iter().map(|key| table.variable(key)).chain([config_variable]);
            let near = nearest(name, known.map(|known| (known.clone(), known)));
            return Err(wrong(&origin, format!("no such variable; did you mean {near}?")));
        };
        let text = text.to_str().ok_or_else(|| wrong(&origin, "it is not Unicode; write it anew"))?;
        if text.is_empty() {
            continue;
        }
        match key.kind.read_text(text) {
            Ok(value) => found.push(Given { key, value, origin }),
            // The log says so itself, and goes on without it.
            Err(_) if name == LOG_VARIABLE => {}
            Err(why) => return Err(wrong(&origin, format!("`{text}`: {why}"))),
        }
    }
    found.sort_by_key(|given| given.key.name);
    Ok((found, file))
}

/// What a configuration file says.
///
/// # Errors
/// The file cannot be read, is no TOML, names an unknown key, or gives a key what it does not take; with the line.
pub(crate) fn from_file(table: &'static Table, path: &Path) -> Result<Vec<Given>, Failure> {
    let bytes = read_limited(&format!("{} configuration", table.what), path, CONFIG_FILE_BYTES_MAX)?;
    let at = |line| Origin::File { path: path.to_owned(), line };
    let text = String::from_utf8(bytes).map_err(|_| wrong(&at(1), "it is not UTF-8; write it anew"))?;
    let line_of = |offset: usize| 1 + text[..offset].matches('\n').count();
    let document = DeTable::parse(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(span.start.min(text.len())));
        wrong(&at(line), format!("{}; {} is an example", one_line(error.message()), table.example))
    })?;
    let mut found = Vec::new();
    for (name, value) in document.get_ref() {
        let section = table.sections.iter().find(|section| section.name == name.get_ref().as_ref());
        match (section, value.get_ref()) {
            (Some(Section { name: section, .. }), DeValue::Table(entries)) => {
                for (name, value) in entries {
                    let full_name = format!("{section}.{}", name.get_ref());
                    found.push(entry(table, &full_name, name, value, path, &line_of)?);
                }
            }
            _ => found.push(entry(table, name.get_ref(), name, value, path, &line_of)?),
        }
    }
    // As they stand in the file, and not as the parser sorts them.
    found.sort_by_key(|given: &Given| match given.origin {
        Origin::File { line, .. } => line,
        _ => 0,
    });
    Ok(found)
}

fn entry(
    table: &'static Table,
    full_name: &str,
    name: &Spanned<DeString<'_>>,
    value: &Spanned<DeValue<'_>>,
    path: &Path,
    line_of: &impl Fn(usize) -> usize,
) -> Result<Given, Failure> {
    let origin = Origin::File { path: path.to_owned(), line: line_of(name.span().start) };
    let Some(key) = table.find(full_name) else {
        return Err(wrong(&origin, unknown(table, full_name, matches!(value.get_ref(), DeValue::Table(_)))));
    };
    let read = key.kind.read_toml(value.get_ref()).map_err(|why| wrong(&origin, format!("`{full_name}`: {why}")))?;
    let value = match (key.kind, read) {
        (Kind::Path, Value::Text(inner)) => Value::Text(beside(path, &inner).map_err(|why| wrong(&origin, why))?),
        (_, value) => value,
    };
    Ok(Given { key, value, origin })
}

/// What is said of a name that is none.
fn unknown(table: &'static Table, name: &str, is_section: bool) -> String {
    if is_section {
        let near = nearest(name, table.sections.iter().map(|section| (section.name.to_owned(), section.name)));
        return format!("no such section: `[{name}]`; did you mean `[{near}]`?");
    }
    // Most are misspelt, some stand in the wrong section.
    let spelt = table.keys.iter().map(|key| (key.name.to_owned(), key.name));
    let placed = table.keys.iter().map(|key| (key.name_in_section().to_owned(), key.name));
    format!("no such key: `{name}`; did you mean `{}`?", nearest(name, spelt.chain(placed)))
}

/// `inner`, seen from the folder of the file `path`.
fn beside(path: &Path, inner: &str) -> Result<String, &'static str> {
    let joined = path.parent().unwrap_or(Path::new("")).join(inner);
    joined.into_os_string().into_string().map_err(|_| "the file's folder has a name that is not Unicode; use another")
}

/// A flag for each key of the table.
impl<T: Tabled> clap::Args for Flags<T> {
    fn augment_args(command: clap::Command) -> clap::Command {
        command.args(T::TABLE.keys.iter().map(|key| argument(T::TABLE, key)))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

fn argument(table: &Table, key: &'static Key) -> clap::Arg {
    let default = key.default().filter(|value| !value.to_string().is_empty() && !matches!(value, Value::Switch(_)));
    let default = default.map(|value| format!(" [default: {value}]")).unwrap_or_default();
    let section = table.sections.iter().find(|section| Some(section.name) == key.section());
    let heading = section.and_then(|section| section.heading);
    let argument =
        clap::Arg::new(key.flag).long(key.flag).help(format!("{}{default}", key.about)).help_heading(heading);
    let kind = key.kind;
    match kind {
        Kind::Switch => argument.action(clap::ArgAction::SetTrue),
        _ => argument
            .value_name(kind.placeholder())
            .action(if matches!(kind, Kind::Urls) { clap::ArgAction::Append } else { clap::ArgAction::Set })
            .value_parser(move |text: &str| kind.read_text(text)),
    }
}

impl<T: Tabled> clap::FromArgMatches for Flags<T> {
    fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Flags::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &clap::ArgMatches) -> Result<(), clap::Error> {
        for key in T::TABLE.keys {
            let value = match key.kind {
                Kind::Switch => matches.get_flag(key.flag).then_some(Value::Switch(true)),
                Kind::Urls => matches.get_many::<Value>(key.flag).map(|values| {
                    let urls = values.filter_map(|value| match value {
                        Value::List(urls) => Some(urls.clone()),
                        _ => None,
                    });
                    Value::List(urls.flatten().collect())
                }),
                _ => matches.get_one::<Value>(key.flag).cloned(),
            };
            self.0.extend(value.map(|value| (key, value)));
        }
        Ok(())
    }
}
