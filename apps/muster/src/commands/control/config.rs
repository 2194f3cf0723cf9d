//! What the token service is to be, out of its settings.
//!
//! What always holds: nothing is opened or made here; what a setting is wrong about is said with where it stands.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use muster_control::compat::SupportWindow;
use muster_control::rate::Rate;
use muster_control::schedule::Phases;
use muster_control::{Config, ControlError, Rates, Secret};
use muster_wire::lease::exposed;
use muster_wire::{Endpoint, Token};

use super::keys::{OfControl, TABLE};
use crate::limits::TOKEN_FILE_BYTES_MAX;
use crate::outcome::Failure;
use crate::settings::{Flags, Settings};
use crate::target::read_limited;

/// What stands in the environment, the file and the flags.
///
/// # Errors
/// Whatever is wrong with any of it, where it stands, and what to write.
pub(super) fn resolve(file: Option<&Path>, flags: &Flags<OfControl>) -> Result<Settings, Failure> {
    let mut settings = Settings::defaults(&TABLE);
    Settings::given(file, flags)?.into_iter().for_each(|given| settings.set(given));
    Ok(settings)
}

/// Where the state is.
pub(super) fn state_dir(settings: &Settings) -> Result<PathBuf, Failure> {
    let text = settings.text("state_dir");
    text.map(PathBuf::from).ok_or_else(|| {
        Failure::could_not(
            "where the token service keeps its state is not said",
            "give --state-dir DIR, or set MUSTER_CONTROL_STATE_DIR",
        )
    })
}

/// The service, as it would listen at `bound`; without an address, the issuer must be set.
pub(super) fn service(settings: &Settings, bound: Option<SocketAddr>) -> Result<Config, Failure> {
    let issuer = match (settings.text("issuer"), bound) {
        (Some(issuer), _) => issuer.to_owned(),
        (None, Some(address)) if address.ip().is_loopback() => format!("http://{address}"),
        (None, _) => {
            let cause = "the issuer is not said";
            return Err(Failure::could_not(cause, "give --issuer URL: the origin where hosts reach this service"));
        }
    };
    let audience = settings.text("audience").ok_or_else(|| {
        Failure::could_not("the audience is not said", "give --audience TEXT: the lane's TOKEN_AUDIENCE")
    })?;
    let mut config = Config::new(state_dir(settings)?, issuer, audience);
    config.database = settings.text("database").map(str::to_owned);
    config.phases = Phases {
        announce_s: whole_seconds(settings.time("keys.announce")),
        retire_s: whole_seconds(settings.time("keys.retire")),
        rotate_every_s: whole_seconds(settings.time("keys.rotate_every")),
    };
    config.window = window(settings)?;
    config.rates = rates(settings);
    config.connections_per_address = settings.number("limits.address_connections");
    config.trusted_proxy = settings.text("trusted_proxy").map(|text| address(settings, text)).transpose()?;
    if let Some(path) = settings.text("first_signing_key") {
        let pem = read_secret("the first signing key", Path::new(path))?;
        config.first_signing_key = Some(Secret::new(String::from_utf8_lossy(&pem)));
    }
    if let Some(address) = bound {
        config.may_listen(address).map_err(ControlError::from)?;
    }
    Ok(config)
}

/// A file that holds a secret, as clients read theirs: what others can read is refused.
fn read_secret(what: &str, path: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = read_limited(what, path, TOKEN_FILE_BYTES_MAX)?;
    match std::fs::metadata(path).ok().as_ref().and_then(exposed) {
        None => Ok(bytes),
        Some(mode) => Err(Failure::could_not(
            format!("{what} {} can be read by others (mode {mode:04o})", path.display()),
            format!("run `chmod 600 {}`, and replace what is in it if somebody did", path.display()),
        )),
    }
}

/// Rounded up: a key is not to sign, or to go, too early.
fn whole_seconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis().div_ceil(1_000)).unwrap_or(i64::MAX)
}

fn window(settings: &Settings) -> Result<SupportWindow, Failure> {
    let text = settings.text("window.oldest_client_build").expect("it has a default");
    let oldest_client_build = text.parse().map_err(|error| {
        let origin = &settings.get("window.oldest_client_build").origin;
        Failure::could_not(format!("{origin}: `{text}` is no version ({error})"), "write one such as 0.1.0")
    })?;
    let oldest_schema_version = u32::try_from(settings.number("window.oldest_schema_version")).unwrap_or(u32::MAX);
    Ok(SupportWindow { oldest_client_build, oldest_schema_version, ..SupportWindow::default() })
}

fn rates(settings: &Settings) -> Rates {
    let count = |name| u32::try_from(settings.number(name)).unwrap_or(u32::MAX);
    let rate = |burst, rate, period_ms| Rate::new(count(burst), count(rate), period_ms);
    Rates {
        address: rate("limits.address_burst", "limits.address_per_second", 1_000),
        failures: rate("limits.failure_burst", "limits.failures_per_minute", 60_000),
        client: rate("limits.client_burst", "limits.client_per_second", 1_000),
    }
}

fn address(settings: &Settings, text: &str) -> Result<IpAddr, Failure> {
    text.parse().map_err(|_| {
        let origin = &settings.get("trusted_proxy").origin;
        Failure::could_not(format!("{origin}: `{text}` is no address"), "write one such as 10.0.0.1, without a port")
    })
}

/// The host whose modules are told of revocations, and the token to do it with, if it is not the service's own.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) server: String,
    pub(super) database: String,
    pub(super) token: Option<Token>,
}

impl Told {
    /// As the settings have it; `None` where no host is told.
    pub(super) fn of(settings: &Settings) -> Result<Option<Told>, Failure> {
        let Some(server) = settings.text("revocations.server") else {
            if settings.text("revocations.token_file").is_some() {
                let cause = "there is a token to tell revocations with, and no host";
                return Err(Failure::could_not(cause, "give --revocations-server URL"));
            }
            return Ok(None);
        };
        let Some(database) = settings.text("database") else {
            let cause = "the host of `revocations.server` has many databases";
            return Err(Failure::could_not(cause, "give --database NAME: the lane's own"));
        };
        // What is wrong with the address is to be said at the start.
        let endpoint = Endpoint::new(server, database)?;
        if !endpoint.is_encrypted() && !endpoint.websocket_url().host_str().is_some_and(is_this_machine) {
            let origin = &settings.get("revocations.server").origin;
            let cause = format!("{origin}: a token that ends grants is not sent to {server} without TLS");
            return Err(Failure::could_not(cause, "write https://, or name a host on this machine"));
        }
        let token = settings.text("revocations.token_file").map(|path| {
            let bytes = read_secret("the token", Path::new(path))?;
            Ok::<_, Failure>(Token::new(String::from_utf8_lossy(&bytes).trim())?)
        });
        Ok(Some(Told { server: server.into(), database: database.into(), token: token.transpose()? }))
    }
}

/// As clients have it that send their secrets to a token service.
fn is_this_machine(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || host.ends_with(".localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Given, Origin, Value, from_file};

    const EXAMPLE: &str = include_str!("../../../../../docs/control.toml");

    fn read(text: &str) -> Settings {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("control.toml");
        std::fs::write(&path, text).expect("written");
        let mut settings = Settings::defaults(&TABLE);
        from_file(&TABLE, &path).expect("read").into_iter().for_each(|given| settings.set(given));
        settings
    }

    fn values(settings: &Settings) -> Vec<(&str, Option<&Value>)> {
        settings.all.iter().map(|setting| (setting.key.name, setting.value.as_ref())).collect()
    }

    #[test]
    fn the_example_is_the_defaults_and_names_every_key() {
        let (_, body) = EXAMPLE.split_once("\n\n").expect("a preface");
        let defaults = Settings::defaults(&TABLE);
        assert_eq!(body, defaults.toml(false), "docs/control.toml is the preface and this");
        assert_eq!(values(&read(EXAMPLE)), values(&defaults));
        assert!(state_dir(&defaults).is_err() && service(&defaults, None).is_err());
    }

    #[test]
    fn what_is_commented_out_in_the_example_is_right_as_well() {
        let is_key = |line: &str| line.starts_with('#') && !line.starts_with("# ");
        let all: String =
            EXAMPLE.lines().map(|line| format!("{}\n", if is_key(line) { &line[1..] } else { line })).collect();
        let all = read(&all);
        assert!(all.all.iter().all(|setting| setting.value.is_some()));
        assert_eq!(values(&read(&all.toml(true))), values(&all));
    }

    #[test]
    fn every_setting_reaches_the_service() {
        let set = |name: &str, value: Value| {
            let mut settings = read("state_dir = '/s'\nissuer = 'https://a.example'\naudience = 'lane'\n");
            let key = TABLE.find(name).expect("a key");
            settings.set(Given { key, value, origin: Origin::Flag(key.flag) });
            format!("{:?}", service(&settings, None).expect("a service"))
        };
        let usual = set("audience", Value::Text("lane".into()));
        for key in TABLE.keys.iter().filter(|key| !["log", "revocations"].contains(&key.section().unwrap_or("log"))) {
            let moved = match key.default() {
                Some(Value::Count(n)) if n > 1 => Value::Count(n - 1),
                // The schema version has one value yet.
                Some(Value::Count(_)) => continue,
                Some(Value::Time(time)) => Value::Time(time + Duration::from_secs(1)),
                Some(Value::Text(_)) => Value::Text("7.0.0".into()),
                other => panic!("{}: {other:?}", key.name),
            };
            assert_ne!(set(key.name, moved), usual, "{}", key.name);
        }
        for (name, text) in
            [("trusted_proxy", "::1"), ("database", "d"), ("audience", "x"), ("issuer", "https://b.example")]
        {
            assert_ne!(set(name, Value::Text(text.into())), usual, "{name}");
        }
    }

    #[test]
    fn a_token_goes_to_another_machine_encrypted_or_not_at_all() {
        let told = |server: &str| Told::of(&read(&format!("database = 'd'\n[revocations]\nserver = '{server}'\n")));
        for good in ["https://host.example", "http://127.0.0.1:3000", "http://localhost:3000", "http://[::1]:3000"] {
            assert!(told(good).expect(good).is_some(), "{good}");
        }
        for bad in ["http://10.255.255.1:3000", "http://host.example:3000", "http://[fe80::1]:3000"] {
            assert!(told(bad).expect_err(bad).to_string().contains("without TLS"), "{bad}");
        }
    }

    #[test]
    fn a_loopback_address_is_an_issuer_and_another_is_none() {
        let settings = read("state_dir = '/s'\naudience = 'lane'\n");
        let issuer = |address: &str| service(&settings, Some(address.parse().expect("an address"))).map(|it| it.issuer);
        assert_eq!(issuer("127.0.0.1:7"), Ok("http://127.0.0.1:7".into()));
        assert!(issuer("10.0.0.1:7").is_err());
        let named = read("state_dir = '/s'\naudience = 'lane'\nissuer = 'http://127.0.0.1:7'\n");
        let open = service(&named, Some("0.0.0.0:7".parse().expect("an address"))).expect_err("others could ask");
        assert!(open.to_string().contains("this machine alone"), "{open}");
    }
}
