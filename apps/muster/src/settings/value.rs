//! The values of a configuration: how they are written, read and held to their bounds.
//!
//! What always holds: what [`Value::toml`] writes, [`Kind::read_toml`] reads as the same value; a refusal says what to
//! write in its place, and fits into one line.

use std::fmt;
use std::time::Duration;

use toml::de::DeValue;

/// What kind of value a key takes, and within which bounds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// `true` or `false`; as a flag, without a value.
    Switch,
    /// Host and port.
    Address,
    /// A file or a folder.
    Path,
    /// Several URLs; in a variable, with blanks between them.
    Urls,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A text that is not empty; this stands for it in a help text.
    Text(&'static str),
    /// A log filter, in the syntax of `tracing`'s `EnvFilter`.
    Filter,
    /// A whole number, from the first to the second.
    Count(u64, u64),
    /// A size in bytes, from the first to the second.
    Bytes(u64, u64),
    /// A time in whole milliseconds, from the first to the second.
    Time(Duration, Duration),
}

/// A value of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Switch(bool),
    Text(String),
    List(Vec<String>),
    Count(u64),
    Bytes(u64),
    Time(Duration),
}

const BYTE_UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];
const TIME_UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("min", 60_000), ("s", 1_000), ("ms", 1)];

impl Kind {
    /// What stands for the value in a help text.
    pub(crate) const fn placeholder(self) -> &'static str {
        match self {
            Kind::Switch => "",
            Kind::Address => "HOST:PORT",
            Kind::Path => "PATH",
            Kind::Urls => "URL",
            Kind::Choice(_) => "WORD",
            Kind::Text(placeholder) => placeholder,
            Kind::Filter => "FILTER",
            Kind::Count(..) => "N",
            Kind::Bytes(..) => "SIZE",
            Kind::Time(..) => "TIME",
        }
    }

    /// Reads a flag's or a variable's text.
    ///
    /// # Errors
    /// What is wrong with it, and what to write.
    pub(crate) fn read_text(self, text: &str) -> Result<Value, String> {
        let value = match self {
            Kind::Switch => Value::Switch(text.parse().map_err(|_| "write true or false".to_owned())?),
            Kind::Urls => Value::List(text.split_whitespace().map(str::to_owned).collect()),
            Kind::Count(..) => Value::Count(text.parse().map_err(|_| "write a whole number".to_owned())?),
            Kind::Bytes(..) => Value::Bytes(bytes(text)?),
            Kind::Time(..) => Value::Time(time(text)?),
            Kind::Address | Kind::Path | Kind::Choice(_) | Kind::Text(_) | Kind::Filter => Value::Text(text.to_owned()),
        };
        self.check(value)
    }

    /// Reads a value of the file.
    ///
    /// # Errors
    /// What is wrong with it, and what to write.
    pub(crate) fn read_toml(self, value: &DeValue<'_>) -> Result<Value, String> {
        let number = |digits: &toml::de::DeInteger<'_>| {
            u64::from_str_radix(digits.as_str(), digits.radix()).map_err(|_| "a number from 0 on is wanted".to_owned())
        };
        let value = match (self, value) {
            (Kind::Switch, DeValue::Boolean(on)) => Value::Switch(*on),
            (Kind::Urls, DeValue::Array(items)) => {
                let texts = items.iter().map(|item| match item.get_ref() {
                    DeValue::String(text) => Ok(text.to_string()),
                    _ => Err("every URL is a text".to_owned()),
                });
                Value::List(texts.collect::<Result<_, _>>()?)
            }
            (Kind::Count(..), DeValue::Integer(digits)) => Value::Count(number(digits)?),
            (Kind::Bytes(..), DeValue::Integer(digits)) => Value::Bytes(number(digits)?),
            (Kind::Switch | Kind::Urls | Kind::Count(..), _) => return Err(format!("write {}", self.example())),
            (_, DeValue::String(text)) => return self.read_text(text),
            _ => return Err(format!("write {}", self.example())),
        };
        self.check(value)
    }

    /// How such a value is written in the file.
    const fn example(self) -> &'static str {
        match self {
            Kind::Switch => "true or false",
            Kind::Address => "\"127.0.0.1:3000\"",
            Kind::Path => "a path in quotes",
            Kind::Urls => "a list such as [\"https://issuer.example\"]",
            Kind::Choice(_) | Kind::Text(_) | Kind::Filter => "a text in quotes",
            Kind::Count(..) => "a whole number",
            Kind::Bytes(..) => "a size such as \"64 KiB\", or a number of bytes",
            Kind::Time(..) => "a time such as \"30 s\" or \"250 ms\"",
        }
    }

    /// How an example of such a value stands in the file.
    pub(crate) fn commented(self, example: &str) -> String {
        self.read_text(example).unwrap_or_else(|_| Value::Text(example.into())).toml()
    }

    fn check(self, value: Value) -> Result<Value, String> {
        let bounds = match (self, &value) {
            (Kind::Count(least, most), Value::Count(n)) => {
                outside(n, &least, &most).then_some((Value::Count(least), Value::Count(most)))
            }
            (Kind::Bytes(least, most), Value::Bytes(n)) => {
                outside(n, &least, &most).then_some((Value::Bytes(least), Value::Bytes(most)))
            }
            (Kind::Time(least, most), Value::Time(t)) => {
                outside(t, &least, &most).then_some((Value::Time(least), Value::Time(most)))
            }
            (Kind::Path, Value::Text(path)) if path.is_empty() => return Err("the path is empty".into()),
            (Kind::Text(_), Value::Text(text)) if text.is_empty() => return Err("the text is empty".into()),
            (Kind::Address, Value::Text(text)) => return address(text).map(|()| value),
            (Kind::Choice(words), Value::Text(word)) if !words.contains(&word.as_str()) => {
                return Err(format!("write {}", words.join(" or ")));
            }
            (Kind::Filter, Value::Text(text)) => {
                return match tracing_subscriber::EnvFilter::try_new(text) {
                    Ok(_) => Ok(value),
                    Err(error) => Err(format!("{error}; write it as in `info,muster_host=debug`")),
                };
            }
            _ => None,
        };
        match bounds {
            None => Ok(value),
            Some((least, most)) => Err(format!("it must be from {least} to {most}")),
        }
    }
}

fn outside<T: PartialOrd>(value: &T, least: &T, most: &T) -> bool {
    value < least || value > most
}

impl Value {
    /// The value as the file has it.
    pub(crate) fn toml(&self) -> String {
        match self {
            Value::Switch(on) => on.to_string(),
            Value::Count(n) => n.to_string(),
            Value::List(items) => toml::Value::from(items.clone()).to_string(),
            Value::Text(text) => toml::Value::from(text.as_str()).to_string(),
            Value::Bytes(_) | Value::Time(_) => toml::Value::from(self.to_string()).to_string(),
        }
    }
}

/// As a flag has it.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let with_unit = |f: &mut fmt::Formatter<'_>, n: u64, units: &[(&str, u64)]| {
            let whole = units.iter().find(|(_, size)| n != 0 && n.is_multiple_of(*size)).or(units.last());
            let (unit, size) = whole.expect("there are units");
            write!(f, "{} {unit}", n / size)
        };
        match self {
            Value::Switch(on) => on.fmt(f),
            Value::Text(text) => f.write_str(text),
            Value::List(items) => f.write_str(&items.join(" ")),
            Value::Count(n) => n.fmt(f),
            Value::Bytes(n) => with_unit(f, *n, &BYTE_UNITS),
            // Hours and minutes are read, but a minute is better known as 60 s.
            Value::Time(t) => with_unit(f, millis(*t), &TIME_UNITS[2..]),
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || "write a whole number and a unit (B, KiB, MiB, GiB), such as 64KiB, or a number of bytes".to_owned();
    match text.parse() {
        Ok(n) => Ok(n),
        Err(_) => in_units(text, &BYTE_UNITS).ok_or_else(wrong),
    }
}

fn time(text: &str) -> Result<Duration, String> {
    let wrong = || "write a whole number and a unit (ms, s, min, h), such as 30s".to_owned();
    in_units(text, &TIME_UNITS).map(Duration::from_millis).ok_or_else(wrong)
}

/// A whole number and a unit, with or without a blank between them.
fn in_units(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (digits, unit) = text.split_at(digits);
    let (_, size) = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit.trim()))?;
    digits.parse::<u64>().ok()?.checked_mul(*size)
}

fn address(text: &str) -> Result<(), String> {
    let port_is_good = text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && (!host.contains(':') || host.starts_with('[')) && port.parse::<u16>().is_ok()
    });
    if port_is_good {
        return Ok(());
    }
    Err("it is no address; write HOST:PORT, such as 127.0.0.1:3000, localhost:3000 or [::1]:0".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Kind = Kind::Bytes(1, 1 << 30);
    const WAIT: Kind = Kind::Time(Duration::ZERO, Duration::from_secs(60));

    #[test]
    fn sizes_and_times_carry_their_unit() {
        for (text, bytes) in [("64 KiB", 65_536), ("64kib", 65_536), ("7", 7), ("7 B", 7), ("1GiB", 1 << 30)] {
            assert_eq!(SIZE.read_text(text), Ok(Value::Bytes(bytes)), "{text}");
        }
        for (text, ms) in [("250 ms", 250), ("30s", 30_000), ("1 min", 60_000), ("0 s", 0)] {
            assert_eq!(WAIT.read_text(text), Ok(Value::Time(Duration::from_millis(ms))), "{text}");
        }
        for wrong in ["", "KiB", "1.5 MiB", "-1 B", "1 parsec", "99999999999999999999", "99999999999 GiB"] {
            assert!(SIZE.read_text(wrong).is_err(), "{wrong}");
        }
        assert!(WAIT.read_text("30").unwrap_err().contains("unit"), "30 what?");
    }

    #[test]
    fn what_is_out_of_range_is_told_the_range() {
        assert_eq!(SIZE.read_text("2 GiB"), Err("it must be from 1 B to 1 GiB".into()));
        assert_eq!(WAIT.read_text("2 min"), Err("it must be from 0 ms to 60 s".into()));
        assert_eq!(Kind::Count(1, 10).read_text("0"), Err("it must be from 1 to 10".into()));
    }

    #[test]
    fn addresses_are_names_or_numbers_with_a_port() {
        for good in ["127.0.0.1:3000", "localhost:0", "[::1]:80", "0.0.0.0:65535"] {
            assert!(Kind::Address.read_text(good).is_ok(), "{good}");
        }
        for wrong in ["", "3000", ":3000", "localhost", "localhost:", "localhost:65536", "::1:80", "127.0.0.1"] {
            assert!(Kind::Address.read_text(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_value_is_written_with_the_largest_unit_that_divides_it() {
        assert_eq!(Value::Bytes(65_536).to_string(), "64 KiB");
        assert_eq!(Value::Bytes(65_537).to_string(), "65537 B");
        assert_eq!(Value::Time(Duration::from_millis(250)).to_string(), "250 ms");
        assert_eq!(Value::Time(Duration::from_secs(60)).toml(), "\"60 s\"");
    }
}
