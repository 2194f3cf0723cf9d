//! What a service is told at its start, checked once.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use url::{Host, Url};

use crate::clock::Clock;
use crate::compat::SupportWindow;
use crate::limits::{self, IDENTITY_CLAIM_BYTES_MAX};
use crate::rate::Rate;
use crate::schedule::Phases;
use crate::secret::Secret;

/// How a service is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it keeps its database and keys. Made, for its owner alone, where it is not there.
    pub state_dir: PathBuf,
    /// What its tokens name as `iss`, byte for byte: the origin under which hosts and clients reach it, `https`, or
    /// `http` on this machine. At most 128 bytes, because SpacetimeDB takes no more.
    pub issuer: String,
    /// The lane's audience: what its tokens name as `aud`.
    pub audience: String,
    /// The lane's database: what the mint names to clients, and whose clients a cohort has a share of. Without it the mint
    /// names none.
    pub database: Option<String>,
    /// Which clients the lane serves.
    pub window: SupportWindow,
    /// How long keys are announced and kept.
    pub phases: Phases,
    /// How often somebody may ask.
    pub rates: Rates,
    /// How many connections one address may have open at once; an IPv6 address counts as its /64, and the trusted proxy is
    /// not limited.
    pub connections_per_address: usize,
    /// The proxy that stands in front, if one does: only from it is `X-Forwarded-For` believed, and of that the last.
    pub trusted_proxy: Option<IpAddr>,
    /// The first signing key, PKCS#8 PEM on P-256: the lane's `JWT_SIGNING_KEY`. Read only where there is no key yet.
    pub first_signing_key: Option<Secret>,
    /// What time it is.
    pub clock: Clock,
}

/// How often somebody may ask.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// Requests from one address; an IPv6 address counts as its /64.
    pub address: Rate,
    /// Failed authentications from one address against one client.
    pub failures: Rate,
    /// Authenticated requests of one client.
    pub client: Rate,
}

impl Default for Rates {
    fn default() -> Self {
        Rates {
            address: Rate::new(limits::ADDRESS_BURST, limits::ADDRESS_PER_S, 1_000),
            failures: Rate::new(limits::FAILURE_BURST, limits::FAILURES_PER_MINUTE, 60_000),
            client: Rate::new(limits::CLIENT_BURST, limits::CLIENT_PER_S, 1_000),
        }
    }
}

/// Why a configuration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The issuer is no origin that a host could fetch from.
    #[error("the issuer `{issuer}` cannot be used: {why}")]
    Issuer {
        /// What was given.
        issuer: String,
        /// What is wrong with it, and what would be right.
        why: &'static str,
    },
    /// The issuer is `http`, and others than this machine would be answered.
    #[error(
        "an http issuer is for this machine alone, and {0} is open to others, whose secrets would cross a network in the \
         clear; listen on 127.0.0.1, or give an https:// issuer and put a proxy with a certificate in front"
    )]
    OpenNetwork(SocketAddr),
    /// The audience is empty or too long.
    #[error("the audience must have 1 to {IDENTITY_CLAIM_BYTES_MAX} bytes; take the lane's TOKEN_AUDIENCE")]
    Audience,
    /// Keys would leave while tokens that they signed are still taken.
    #[error("keys must stay at least {0} s after they retire: as long as the longest token and a host's leeway")]
    Retiring(i64),
    /// Keys would sign before hosts know them.
    #[error(
        "keys must be announced for at least {0} s: hosts keep the key set that long (less is for tests on this machine)"
    )]
    Announcement(i64),
}

impl Config {
    /// A service for this lane, with everything else as it is by default.
    pub fn new(state_dir: impl Into<PathBuf>, issuer: impl Into<String>, audience: impl Into<String>) -> Config {
        Config {
            state_dir: state_dir.into(),
            issuer: issuer.into(),
            audience: audience.into(),
            database: None,
            window: SupportWindow::default(),
            phases: Phases::default(),
            rates: Rates::default(),
            connections_per_address: limits::CONNECTIONS_PER_ADDRESS_MAX,
            trusted_proxy: None,
            first_signing_key: None,
            clock: Clock::System,
        }
    }

    /// Whether it may answer at `address`: with an `http` issuer only where nobody but this machine can ask.
    ///
    /// # Errors
    /// [`ConfigError::OpenNetwork`].
    pub fn may_listen(&self, address: SocketAddr) -> Result<(), ConfigError> {
        let is_open = !address.ip().to_canonical().is_loopback();
        if is_open && !self.issuer.starts_with("https:") {
            return Err(ConfigError::OpenNetwork(address));
        }
        Ok(())
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        check_issuer(&self.issuer)?;
        if self.audience.is_empty() || self.audience.len() > IDENTITY_CLAIM_BYTES_MAX {
            return Err(ConfigError::Audience);
        }
        let kept_min_s = limits::ACCESS_LIFETIME_MAX_S + limits::HOST_EXPIRY_LEEWAY_S;
        if self.phases.retire_s < kept_min_s {
            return Err(ConfigError::Retiring(kept_min_s));
        }
        // A drill on this machine may rotate faster than hosts fetch; an issuer that others reach may not.
        let announced_min_s = if self.issuer.starts_with("https:") { limits::KEY_ANNOUNCE_MIN_S } else { 0 };
        if self.phases.announce_s < announced_min_s {
            return Err(ConfigError::Announcement(announced_min_s));
        }
        Ok(())
    }

    /// The issuer's URL with `path` behind it.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.issuer.trim_end_matches('/'))
    }
}

fn check_issuer(issuer: &str) -> Result<(), ConfigError> {
    let refuse = |why| Err(ConfigError::Issuer { issuer: issuer.into(), why });
    if issuer.len() > IDENTITY_CLAIM_BYTES_MAX {
        return refuse("it has more than 128 bytes, and SpacetimeDB hosts refuse such tokens");
    }
    let Ok(url) = Url::parse(issuer) else {
        return refuse("it is not a URL; write an origin such as https://control.example.com");
    };
    let local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    if url.scheme() != "https" && !(url.scheme() == "http" && local) {
        return refuse("hosts would fetch its keys over an open network; write https://");
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
        return refuse("only an origin is served: scheme, host and port, without a path, query, fragment or user");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_announced_and_kept_as_long_as_hosts_need() {
        let check = |issuer: &str, announce_s, retire_s| {
            let phases = Phases { announce_s, retire_s, ..Phases::default() };
            Config { phases, ..Config::new("state", issuer, "lane") }.check()
        };
        let (least, kept) = (limits::KEY_ANNOUNCE_MIN_S, limits::KEY_RETIRE_S);
        assert_eq!(check("https://control.example", least, kept), Ok(()));
        assert_eq!(check("https://control.example", least - 1, kept), Err(ConfigError::Announcement(least)));
        assert_eq!(check("http://127.0.0.1:1", 1, kept), Ok(()), "a drill");
        assert_eq!(check("http://127.0.0.1:1", -1, kept), Err(ConfigError::Announcement(0)));
        assert!(matches!(check("http://127.0.0.1:1", least, 3_600), Err(ConfigError::Retiring(_))));
    }

    #[test]
    fn an_issuer_without_tls_answers_this_machine_only() {
        let may = |issuer: &str, address: &str| {
            Config::new("state", issuer, "lane").may_listen(address.parse().expect("an address")).is_ok()
        };
        for address in ["127.0.0.1:1", "127.7.7.7:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert!(may("http://127.0.0.1:1", address), "{address}");
        }
        for address in ["0.0.0.0:1", "[::]:1", "10.0.0.7:1", "[::ffff:10.0.0.7]:1"] {
            assert!(!may("http://127.0.0.1:1", address), "{address}");
            assert!(may("https://control.example", address), "{address}: a proxy stands in front");
        }
    }

    #[test]
    fn an_issuer_is_an_origin_that_hosts_can_trust() {
        for good in [
            "https://control.example",
            "https://control.example/",
            "http://127.0.0.1:9",
            "http://[::1]:9",
            "http://localhost",
        ] {
            assert_eq!(check_issuer(good), Ok(()), "{good}");
        }
        let long = format!("https://{}.example", "a".repeat(128));
        for bad in
            ["control", "http://control.example", "ftp://localhost", "https://a/b", "https://a?b", "https://u@a", &long]
        {
            assert!(check_issuer(bad).is_err(), "{bad}");
        }
    }
}
