//! What the service is made of, shared by its requests, its timers and the administrator's calls.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::watch;

use crate::clock::Clock;
use crate::config::{Config, Rates};
use crate::error::ControlError;
use crate::http::answer::Refusal;
use crate::issue::Issuer;
use crate::keys::{KeyFiles, SELF, make_private_dir, read_private};
use crate::limits::{LIMITER_KEYS_MAX, PRUNE_ROWS};
use crate::metrics::Metrics;
use crate::password::Passwords;
use crate::rate::Limiter;
use crate::store::{PRIVATE_DIR, Store, StoreError, audit, check_private, cohorts, facts, sessions};

/// The database in the state directory.
const DATABASE_FILE: &str = "control.sqlite";
/// The directory of private halves there.
const KEYS_DIR: &str = "keys";

/// No service runs.
const NOT_SERVING: i64 = i64::MIN;

/// The service's parts.
pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) keys: KeyFiles,
    pub(crate) passwords: Passwords,
    pub(crate) gate: Gate,
    /// Changes when something was revoked in this process.
    pub(crate) revoked: watch::Sender<()>,
    pub(crate) metrics: Metrics,
    serving_since_s: AtomicI64,
}

impl Inner {
    pub(crate) fn open(config: Config) -> Result<Inner, ControlError> {
        config.check()?;
        if let Some(pem) = &config.first_signing_key {
            read_private(pem)?;
        }
        make_private_dir(&config.state_dir)?;
        let inner = Inner {
            store: Store::open(&config.state_dir.join(DATABASE_FILE))?,
            keys: KeyFiles::open(&config.state_dir.join(KEYS_DIR))?,
            passwords: Passwords::new(),
            gate: Gate::new(config.rates),
            revoked: watch::Sender::new(()),
            metrics: Metrics::default(),
            serving_since_s: AtomicI64::new(NOT_SERVING),
            config,
        };
        inner.bind()?;
        inner.advance_keys()?;
        Ok(inner)
    }

    /// Opens the state of a service as it is, as those do who manage it: with the issuer that it has, and without moving
    /// its keys.
    pub(crate) fn manage(state_dir: &Path, clock: Clock) -> Result<Inner, ControlError> {
        let database = state_dir.join(DATABASE_FILE);
        if !database.exists() {
            return Err(ControlError::NoState(state_dir.into()));
        }
        check_private(state_dir, PRIVATE_DIR)?;
        let store = Store::open(&database)?;
        let (issuer, audience, lane) = store.read(|connection| {
            let fact = |name| facts::get(connection, name);
            Ok::<_, StoreError>((fact(facts::ISSUER)?, fact(facts::AUDIENCE)?, fact(facts::DATABASE)?))
        })?;
        let (Some(issuer), Some(audience)) = (issuer, audience) else {
            return Err(ControlError::NoState(state_dir.into()));
        };
        let config = Config { database: lane, clock, ..Config::new(state_dir, issuer, audience) };
        Ok(Inner {
            store,
            keys: KeyFiles::open(&state_dir.join(KEYS_DIR))?,
            passwords: Passwords::new(),
            gate: Gate::new(config.rates),
            revoked: watch::Sender::new(()),
            metrics: Metrics::default(),
            serving_since_s: AtomicI64::new(NOT_SERVING),
            config,
        })
    }

    /// Writes down whose state this is. Another issuer's is refused; another audience or database is a change that is
    /// audited and said, because it may be a slip: tokens of another audience are refused everywhere.
    fn bind(&self) -> Result<(), ControlError> {
        let config = &self.config;
        let now_s = config.clock.now_s();
        let told = [(facts::AUDIENCE, Some(config.audience.as_str())), (facts::DATABASE, config.database.as_deref())];
        let changed = self.store.write(|tx| {
            let mut changed = Vec::new();
            let known = facts::get(tx, facts::ISSUER)?;
            let is_new = known.is_none();
            match known {
                Some(issuer) if issuer != config.issuer => return Err(ControlError::OtherIssuer(issuer)),
                Some(_) => {}
                None => facts::set(tx, facts::ISSUER, Some(&config.issuer))?,
            }
            for (name, now) in told {
                let before = facts::get(tx, name)?;
                if before.as_deref() == now {
                    continue;
                }
                facts::set(tx, name, now)?;
                if !is_new {
                    let detail = serde_json::json!({ "before": before, "now": now });
                    audit::append(tx, now_s, SELF, "service.change", name, &detail)?;
                    changed.push((name, before, now));
                }
            }
            Ok::<_, ControlError>(changed)
        })?;
        for (name, before, now) in changed {
            let (before, now) = (before.as_deref().unwrap_or("none"), now.unwrap_or("none"));
            tracing::warn!(
                "the {name} of this state was `{before}` and is `{now}` from now on; it is in the audit log"
            );
        }
        Ok(())
    }

    /// Wakes whoever delivers revocations.
    pub(crate) fn note_revoked(&self) {
        self.revoked.send_replace(());
    }

    /// Does what is due with the keys.
    pub(crate) fn advance_keys(&self) -> Result<bool, ControlError> {
        let now_s = self.config.clock.now_s();
        let first = self.config.first_signing_key.as_ref();
        self.store.write(|tx| {
            self.keys.advance(tx, self.config.phases, now_s, self.serving_since_s(), first).map_err(ControlError::from)
        })
    }

    /// Forgets some of what nobody needs any more, in one short transaction. Returns whether there may be more.
    pub(crate) fn prune_some(&self) -> Result<bool, ControlError> {
        let now_s = self.config.clock.now_s();
        self.store.write(|tx| {
            cohorts::prune(tx, now_s)?;
            Ok(sessions::prune(tx, now_s, PRUNE_ROWS)? == PRUNE_ROWS)
        })
    }

    /// Since when this process serves its key set.
    pub(crate) fn serving_since_s(&self) -> Option<i64> {
        Some(self.serving_since_s.load(Ordering::SeqCst)).filter(|since_s| *since_s != NOT_SERVING)
    }

    /// Notes that the service begins or ends to serve.
    pub(crate) fn set_serving(&self, serving: bool) {
        let since_s = if serving { self.config.clock.now_s() } else { NOT_SERVING };
        self.serving_since_s.store(since_s, Ordering::SeqCst);
    }

    pub(crate) fn issuer(&self) -> Issuer<'_> {
        Issuer { config: &self.config, keys: &self.keys, now_s: self.config.clock.now_s() }
    }

    /// Does work that waits for the disk or computes, off the async threads.
    pub(crate) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Inner) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let inner = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&inner)).await;
        done.unwrap_or_else(|error| {
            tracing::error!(panicked = error.is_panic(), "a request's work did not end");
            Err(Refusal::internal())
        })
    }
}

/// Where a request comes from, as far as limits care: an IPv4 address, or the /64 of an IPv6 address, which is the least
/// that one person is usually given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Address(IpAddr);

impl Address {
    pub(crate) fn new(address: IpAddr) -> Address {
        match address.to_canonical() {
            IpAddr::V6(v6) => Address(Ipv6Addr::from(u128::from(v6) & !u128::from(u64::MAX)).into()),
            v4 => Address(v4),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who may pass, and how often.
pub(crate) struct Gate {
    started: Instant,
    addresses: Mutex<Limiter<Address>>,
    failures: Mutex<Limiter<(Address, String)>>,
    clients: Mutex<Limiter<String>>,
}

/// An attempt to authenticate that was counted. Dropped before its proof was looked at, it is given back: who was not
/// answered has not guessed.
pub(crate) struct Attempt<'a> {
    gate: &'a Gate,
    key: (Address, String),
    stands: bool,
}

impl Attempt<'_> {
    /// Its proof is looked at: from here on it counts, also when nobody waits for what comes of it.
    pub(crate) fn stand(&mut self) {
        self.stands = true;
    }

    /// Nothing was wrong with it.
    pub(crate) fn give_back(mut self) {
        self.stands = false;
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.stands {
            self.gate.failures.lock().unwrap_or_else(PoisonError::into_inner).give_back(&self.key);
        }
    }
}

impl Gate {
    fn new(rates: Rates) -> Gate {
        Gate {
            started: Instant::now(),
            addresses: Mutex::new(Limiter::new(rates.address, LIMITER_KEYS_MAX)),
            failures: Mutex::new(Limiter::new(rates.failures, LIMITER_KEYS_MAX)),
            clients: Mutex::new(Limiter::new(rates.client, LIMITER_KEYS_MAX)),
        }
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// One request from this address.
    pub(crate) fn address(&self, address: Address) -> Result<(), u64> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner).take(address, self.now_us())
    }

    /// One attempt to be this client. Keyed by both: else anybody could lock out a client whose id they know.
    pub(crate) fn attempt(&self, address: Address, client_id: &str) -> Result<Attempt<'_>, u64> {
        let key = (address, client_id.to_owned());
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).take(key.clone(), self.now_us())?;
        Ok(Attempt { gate: self, key, stands: false })
    }

    /// One request of this client, which is who it says.
    pub(crate) fn client(&self, client_id: &str) -> Result<(), u64> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner).take(client_id.to_owned(), self.now_us())
    }
}
