//! What a host is to be: the defaults, the file, the environment and the flags, one on top of the other.
//!
//! What always holds: a flag comes before a variable, a variable before the file, the file before the default; every
//! value knows where it is from; what [`Config::toml`] writes is read again as the same configuration.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use muster_host::{Host, HostBuilder, HostLimits, WebSocketLimits};

use super::keys::{OfHost, TABLE};
use crate::outcome::Failure;
use crate::settings::{Flags, Given, Origin, Setting, Settings, Value};

/// The whole configuration of a host.
#[derive(Clone, Debug)]
pub(super) struct Config {
    settings: Settings,
}

const IN_MEMORY: &str = "in_memory";
const DATA_DIR: &str = "data_dir";

impl Config {
    /// Nothing but the defaults.
    pub(super) fn defaults() -> Config {
        Config { settings: Settings::defaults(&TABLE) }
    }

    /// What the file, the environment of this process and the flags say, on top of the defaults. `file` comes before the
    /// one that the environment names.
    ///
    /// # Errors
    /// Whatever is wrong with any of it, where it stands, and what to write.
    pub(super) fn resolve(file: Option<&Path>, flags: &Flags<OfHost>) -> Result<Config, Failure> {
        let mut config = Config::defaults();
        for given in Settings::given(file, flags)? {
            config.set(given)?;
        }
        config.check()?;
        Ok(config)
    }

    fn set(&mut self, given: Given) -> Result<(), Failure> {
        // The two say where the data is kept: naming one takes back the other, which may stand further down.
        let other = match (given.key.name, &given.value) {
            (DATA_DIR, _) => Some(IN_MEMORY),
            (IN_MEMORY, Value::Switch(true)) => Some(DATA_DIR),
            _ => None,
        };
        if let Some(other) = other {
            let other = self.setting_mut(other);
            if other.origin.is_beside(&given.origin) && !matches!(other.value, None | Some(Value::Switch(false))) {
                let cause =
                    format!("`{}` ({}) and `{}` ({})", other.key.name, other.origin, given.key.name, given.origin);
                return Err(Failure::could_not(format!("{cause} contradict each other"), "keep one of the two"));
            }
            (other.value, other.origin) = (other.key.default(), Origin::Default);
        }
        self.settings.set(given);
        Ok(())
    }

    fn check(&self) -> Result<(), Failure> {
        let (certificates, key) = (self.setting("tls.certificates"), self.setting("tls.key"));
        if certificates.value.is_some() != key.value.is_some() {
            let (there, missing) = if key.value.is_some() { (key, certificates) } else { (certificates, key) };
            let cause = format!("`{}` is set ({}), but not `{}`", there.key.name, there.origin, missing.key.name);
            return Err(Failure::could_not(cause, "TLS needs both"));
        }
        self.limits().validate().map_err(|error| Failure::could_not(format!("[limits]: {error}"), "change one"))?;
        let session = self.websocket_limits().validate();
        session.map_err(|error| Failure::could_not(format!("[websocket]: {error}"), "change one of them"))
    }

    /// Whether anything says where the data is to be kept.
    pub(super) fn has_storage(&self) -> bool {
        self.setting(DATA_DIR).value.is_some() || self.setting(IN_MEMORY).value == Some(Value::Switch(true))
    }

    /// A host like this, at `address`, which is what [`Self::listen`] stands for.
    pub(super) fn builder(&self, address: SocketAddr) -> HostBuilder {
        let mut builder =
            Host::builder().listen(address).limits(self.limits()).websocket_limits(self.websocket_limits());
        if let Some(folder) = self.text(DATA_DIR) {
            builder = builder.data_dir(folder);
        }
        if let Some(key) = self.text("signing_key") {
            builder = builder.signing_key(key);
        }
        if let (Some(certificates), Some(key)) = (self.text("tls.certificates"), self.text("tls.key")) {
            builder = builder.tls(certificates, key);
        }
        let Some(Value::List(issuers)) = &self.setting("trusted_issuers").value else { return builder };
        issuers.iter().fold(builder, HostBuilder::trusted_issuer)
    }

    /// Where to listen, as it was written.
    pub(super) fn listen(&self) -> &str {
        self.text("listen").expect("it has a default")
    }

    /// What the log is to be.
    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    fn limits(&self) -> HostLimits {
        HostLimits {
            connections: self.number("limits.connections"),
            header_bytes: self.number("limits.header_bytes"),
            header_timeout: self.time("limits.header_timeout"),
            body_timeout: self.time("limits.body_timeout"),
            write_timeout: self.time("limits.write_timeout"),
            program_bytes: self.number("limits.program_bytes"),
            call_bytes: self.number("limits.call_bytes"),
            sql_bytes: self.number("limits.sql_bytes"),
            call_time: self.time("limits.call_time"),
            drain_deadline: self.time("limits.drain_deadline"),
        }
    }

    fn websocket_limits(&self) -> WebSocketLimits {
        WebSocketLimits {
            ping_interval: self.time("websocket.ping_interval"),
            idle_timeout: self.time("websocket.idle_timeout"),
            close_handshake_timeout: self.time("websocket.close_handshake_timeout"),
            write_stall_timeout: self.time("websocket.write_stall_timeout"),
            incoming_queue_messages: self.number("websocket.incoming_queue_messages"),
            incoming_queue_bytes: self.number("websocket.incoming_queue_bytes"),
            incoming_message_bytes: self.number("websocket.incoming_message_bytes"),
            outgoing_payload_bytes: self.number("websocket.outgoing_payload_bytes"),
        }
    }

    /// The configuration in the form of `host.toml`, what each key means above it and, `with_origins`, behind it where its
    /// value is from.
    pub(super) fn toml(&self, with_origins: bool) -> String {
        self.settings.toml(with_origins)
    }

    fn setting(&self, name: &str) -> &Setting {
        self.settings.get(name)
    }

    fn setting_mut(&mut self, name: &str) -> &mut Setting {
        self.settings.get_mut(name)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.settings.text(name)
    }

    fn number(&self, name: &str) -> usize {
        self.settings.number(name)
    }

    fn time(&self, name: &str) -> Duration {
        self.settings.time(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::from_file;

    const EXAMPLE: &str = include_str!("../../../../../docs/host.toml");

    fn read(text: &str) -> Config {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("host.toml");
        std::fs::write(&path, text).unwrap();
        let mut config = Config::defaults();
        for given in from_file(&TABLE, &path).unwrap() {
            config.set(given).unwrap();
        }
        config.check().unwrap();
        config
    }

    fn values(config: &Config) -> Vec<(&str, Option<&Value>)> {
        config.settings.all.iter().map(|setting| (setting.key.name, setting.value.as_ref())).collect()
    }

    #[test]
    fn the_example_is_the_defaults_and_names_every_key() {
        let (_, body) = EXAMPLE.split_once("\n\n").expect("a preface");
        assert_eq!(body, Config::defaults().toml(false), "docs/host.toml is the preface and this");
        let example = read(EXAMPLE);
        assert_eq!(values(&example), values(&Config::defaults()));
        assert_eq!(example.limits(), HostLimits::DEFAULT);
        assert_eq!(example.websocket_limits(), WebSocketLimits::DEFAULT);
        assert!(!example.has_storage());
    }

    #[test]
    fn what_is_commented_out_in_the_example_is_right_as_well() {
        let is_key = |line: &str| line.starts_with('#') && !line.starts_with("# ");
        let all: String =
            EXAMPLE.lines().map(|line| format!("{}\n", if is_key(line) { &line[1..] } else { line })).collect();
        let all = read(&all);
        assert!(all.settings.all.iter().all(|setting| setting.value.is_some()));
        assert_eq!(all.text("tls.key"), Some("/etc/muster/key.pem"));
    }

    #[test]
    fn what_is_printed_is_read_as_the_same() {
        let config = read(
            "listen = 'localhost:0'\nin_memory = true\ntrusted_issuers = ['https://a.example']\n\
            limits.header_bytes = 65537\nwebsocket.idle_timeout = '1 min'\n[log]\nformat = 'json'\n",
        );
        assert_eq!(values(&read(&config.toml(true))), values(&config));
        assert_eq!(values(&read(&config.toml(false))), values(&config));
    }

    #[test]
    fn every_limit_reaches_the_host() {
        // Each key in turn is moved off its default; two sets of limits that are equal then would have missed it.
        for key in TABLE.keys.iter().filter(|key| matches!(key.section(), Some("limits" | "websocket"))) {
            let mut config = Config::defaults();
            let moved = match key.default() {
                Some(Value::Count(n)) => Value::Count(n + 1),
                Some(Value::Bytes(n)) => Value::Bytes(n + 1),
                Some(Value::Time(t)) => Value::Time(t + Duration::from_millis(1)),
                other => panic!("{}: {other:?}", key.name),
            };
            config.set(Given { key, value: moved, origin: Origin::Flag(key.flag) }).unwrap();
            let unchanged = (HostLimits::DEFAULT, WebSocketLimits::DEFAULT);
            assert_ne!((config.limits(), config.websocket_limits()), unchanged, "{}", key.name);
        }
    }
}
