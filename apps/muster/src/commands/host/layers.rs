//! Where the values of a host's configuration come from: the file, the environment, the flags.
//!
//! What always holds: everything that is given is known, or the error names where it stands and the nearest known name;
//! a relative path in the file is one from the file's own folder.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::keys::{CONFIG_VARIABLE, KEYS, Key, LOG_VARIABLE, SECTIONS, VARIABLE_PREFIX, find, nearest};
use super::value::{Kind, Value};
use crate::limits::CONFIG_FILE_BYTES_MAX;
use crate::outcome::{Failure, one_line};
use crate::target::read_limited;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) key: &'static Key,
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// Where a value comes from. The later ones override the earlier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Default,
    File { path: PathBuf, line: usize },
    Variable(String),
    Flag(&'static str),
}

impl Origin {
    /// Whether both are the same place: one file, the environment, the command line.
    pub(super) fn is_beside(&self, other: &Origin) -> bool {
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
#[derive(Clone, Debug, Default)]
pub(super) struct Flags(Vec<(&'static Key, Value)>);

impl Flags {
    pub(super) fn given(&self) -> impl Iterator<Item = Given> {
        self.0.iter().map(|(key, value)| Given { key, value: value.clone(), origin: Origin::Flag(key.flag) })
    }

    /// The value of one flag.
    pub(super) fn of(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(key, _)| key.name == name).map(|(_, value)| value)
    }
}

/// What `variables` hold for a host.
///
/// # Errors
/// A variable with the prefix that is not known, or cannot be read.
pub(super) fn from_environment(
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Result<(Vec<Given>, Option<PathBuf>), Failure> {
    let (mut found, mut file) = (Vec::new(), None);
    for (name, text) in variables {
        let Some(name) = name.to_str() else { continue };
        if name == CONFIG_VARIABLE {
            file = Some(PathBuf::from(text)).filter(|path| !path.as_os_str().is_empty());
            continue;
        }
        if !name.starts_with(VARIABLE_PREFIX) && name != LOG_VARIABLE {
            continue;
        }
        let origin = Origin::Variable(name.to_owned());
        let Some(key) = KEYS.iter().find(|key| key.variable() == name) else {
            let known = KEYS.iter().map(Key::variable).chain([CONFIG_VARIABLE.to_owned()]);
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
pub(super) fn from_file(path: &Path) -> Result<Vec<Given>, Failure> {
    let bytes = read_limited("the host's configuration", path, CONFIG_FILE_BYTES_MAX)?;
    let at = |line| Origin::File { path: path.to_owned(), line };
    let text = String::from_utf8(bytes).map_err(|_| wrong(&at(1), "it is not UTF-8; write it anew"))?;
    let line_of = |offset: usize| 1 + text[..offset].matches('\n').count();
    let document = DeTable::parse(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(span.start.min(text.len())));
        wrong(&at(line), format!("{}; docs/host.toml is an example", one_line(error.message())))
    })?;
    let mut found = Vec::new();
    for (name, value) in document.get_ref() {
        let section = SECTIONS.iter().find(|(section, _)| *section == name.get_ref().as_ref());
        match (section, value.get_ref()) {
            (Some((section, _)), DeValue::Table(table)) => {
                for (name, value) in table {
                    found.push(entry(&format!("{section}.{}", name.get_ref()), name, value, path, &line_of)?);
                }
            }
            _ => found.push(entry(name.get_ref(), name, value, path, &line_of)?),
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
    full_name: &str,
    name: &Spanned<DeString<'_>>,
    value: &Spanned<DeValue<'_>>,
    path: &Path,
    line_of: &impl Fn(usize) -> usize,
) -> Result<Given, Failure> {
    let origin = Origin::File { path: path.to_owned(), line: line_of(name.span().start) };
    let Some(key) = find(full_name) else {
        return Err(wrong(&origin, unknown(full_name, matches!(value.get_ref(), DeValue::Table(_)))));
    };
    let read = key.kind.read_toml(value.get_ref()).map_err(|why| wrong(&origin, format!("`{full_name}`: {why}")))?;
    let value = match (key.kind, read) {
        (Kind::Path, Value::Text(inner)) => Value::Text(beside(path, &inner).map_err(|why| wrong(&origin, why))?),
        (_, value) => value,
    };
    Ok(Given { key, value, origin })
}

/// What is said of a name that is none.
fn unknown(name: &str, is_section: bool) -> String {
    if is_section {
        let near = nearest(name, SECTIONS.iter().map(|(section, _)| ((*section).to_owned(), *section)));
        return format!("no such section: `[{name}]`; did you mean `[{near}]`?");
    }
    // Most are misspelt, some stand in the wrong section.
    let spelt = KEYS.iter().map(|key| (key.name.to_owned(), key.name));
    let placed = KEYS.iter().map(|key| (key.name_in_section().to_owned(), key.name));
    format!("no such key: `{name}`; did you mean `{}`?", nearest(name, spelt.chain(placed)))
}

/// `inner`, seen from the folder of the file `path`.
fn beside(path: &Path, inner: &str) -> Result<String, &'static str> {
    let joined = path.parent().unwrap_or(Path::new("")).join(inner);
    joined.into_os_string().into_string().map_err(|_| "the file's folder has a name that is not Unicode; use another")
}

/// A flag for each key, made of [`KEYS`].
impl clap::Args for Flags {
    fn augment_args(command: clap::Command) -> clap::Command {
        command.args(KEYS.iter().map(argument))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

fn argument(key: &'static Key) -> clap::Arg {
    let default = key.default().filter(|value| !value.to_string().is_empty() && !matches!(value, Value::Switch(_)));
    let default = default.map(|value| format!(" [default: {value}]")).unwrap_or_default();
    let heading = match key.section() {
        Some("limits") => Some("Limits of connections and requests"),
        Some("websocket") => Some("Limits of WebSocket sessions"),
        _ => None,
    };
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

impl clap::FromArgMatches for Flags {
    fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Flags::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &clap::ArgMatches) -> Result<(), clap::Error> {
        for key in KEYS {
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
