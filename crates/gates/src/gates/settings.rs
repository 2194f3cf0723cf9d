//! What a lane allows and demands: a section of `gates.toml`.
//!
//! What always holds: a lane that says nothing allows nothing but streams of our own under the reserved prefix; an unknown
//! key is an error and never ignored, because a misspelt permission or limit would silently mean its default. The file is
//! not one of the lane's variables: those are addresses and secrets, kept where the lane runs; permissions and limits are
//! reviewed, and lie beside the code.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::drills::Drill;
use super::limits as bounds;

/// The whole file: a section for each lane.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    lanes: BTreeMap<String, Settings>,
}

/// What a lane allows and demands.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// What drills may do beyond streams of their own.
    pub may: Vec<Permission>,
    /// The command that kills the lane's host, which then comes back by itself or is started by the same command: program
    /// and arguments, run without a shell.
    pub restart: Vec<String>,
    /// Whether the lane must take tokens only.
    pub auth: Auth,
    /// Which drills are part of the gate `drills` here.
    pub drills: Vec<Drill>,
    /// Where tokens for the security gate and some drills come from.
    pub tokens: Option<Tokens>,
    /// What must be kept.
    pub slo: Slo,
    /// How much the gates do.
    pub load: Load,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            may: Vec::new(),
            restart: Vec::new(),
            auth: Auth::default(),
            drills: Drill::ALL.into(),
            tokens: None,
            slo: Slo::default(),
            load: Load::default(),
        }
    }
}

/// Something that drills do only where the lane says that they may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Permission {
    /// Kill the host's process, with [`Settings::restart`].
    Kill,
    /// Publish the module to a database of the gate's own on the same host, and delete that afterwards.
    Scratch,
}

/// Whether a lane takes tokens only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Auth {
    /// It must: an open lane fails the security gate.
    Required,
    /// Not said: on an open lane the security gate is inconclusive.
    #[default]
    Unsaid,
}

/// How the gates get tokens of the lane's issuer.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tokens {
    /// The token service's URL.
    pub control: String,
    /// The client, which must be registered for every scope and for [`super::PREFIX`]`.*`.
    pub client_id: String,
    /// A file with its secret,
    pub secret_file: Option<PathBuf>,
    /// or one with its private key (PEM, P-256).
    pub private_key_file: Option<PathBuf>,
}

/// What a lane must keep.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Slo {
    /// From `publish` to the subscriber's database, 95 of 100 events, in milliseconds.
    pub append_to_apply_p95_ms: f64,
    /// From the end of a cut until everything is applied and live again, in milliseconds.
    pub reconnect_ms: f64,
    /// Calls that failed, of all calls: 0 to 1.
    pub error_rate: f64,
    /// Events that one appender gets confirmed a second, in full batches; 0 demands nothing.
    pub append_events_per_s: f64,
    /// By how much the host's clock may differ from this machine's, in milliseconds.
    pub clock_ms: f64,
    /// From a token's end until its session has nothing any more, in milliseconds.
    pub expiry_ms: f64,
}

impl Default for Slo {
    fn default() -> Slo {
        Slo {
            append_to_apply_p95_ms: 2_000.0,
            reconnect_ms: 15_000.0,
            error_rate: 0.0,
            append_events_per_s: 0.0,
            clock_ms: 5_000.0,
            expiry_ms: 3_000.0,
        }
    }
}

/// How much the gates do.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Load {
    /// Events that the replay gate writes.
    pub replay_events: u64,
    /// Events a second while drills and the SLO gate run.
    pub events_per_s: u64,
    /// How long the SLO gate measures, in seconds.
    pub slo_s: u64,
    /// Full batches of events for the rate of appending.
    pub burst_batches: u64,
    /// Clients that meet in the handshake.
    pub handshake_clients: u16,
    /// Sessions of the reconnect storm.
    pub storm_clients: usize,
    /// Sessions of the token expiry storm.
    pub expiry_clients: usize,
    /// How long a fault lasts, in milliseconds.
    pub fault_ms: u64,
    /// How long any one state may take to come about before it counts as never, in seconds.
    pub patience_s: u64,
}

impl Default for Load {
    fn default() -> Load {
        Load {
            replay_events: 2_000,
            events_per_s: 100,
            slo_s: 10,
            burst_batches: 10,
            handshake_clients: 4,
            storm_clients: 50,
            expiry_clients: 10,
            fault_ms: 3_000,
            patience_s: 60,
        }
    }
}

/// Why the settings cannot be used. One line each, with what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// It cannot be read.
    #[error("cannot read {path} ({why}); name the file with --gates, or leave it out for a lane that allows nothing")]
    File {
        /// The file.
        path: String,
        /// What the system says.
        why: String,
    },
    /// It is no such file.
    #[error("{path} is not what gates.toml must be ({why}); docs/sync/SPACETIME_CHAOS_DRILLS.md has every key")]
    Malformed {
        /// The file.
        path: String,
        /// Where, and what.
        why: String,
    },
    /// A value that nothing can be done with.
    #[error("{path}, lane `{lane}`: {why}")]
    Value {
        /// The file.
        path: String,
        /// The lane.
        lane: String,
        /// What, and what it must be.
        why: String,
    },
}

impl Settings {
    /// The lane's section of a file; the defaults where there is none.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub fn read(path: &Path, lane: &str) -> Result<Settings, SettingsError> {
        let shown = path.display().to_string();
        let failed = |why: String| SettingsError::File { path: shown.clone(), why };
        let size = std::fs::metadata(path).map_err(|error| failed(error.to_string()))?.len();
        if size > bounds::SETTINGS_BYTES_MAX {
            return Err(failed(format!("it has {size} bytes, and {} are the most", bounds::SETTINGS_BYTES_MAX)));
        }
        let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Settings::parse(&text, lane, &shown).map(|settings| settings.in_folder(folder))
    }

    fn parse(text: &str, lane: &str, path: &str) -> Result<Settings, SettingsError> {
        let file: File = toml::from_str(text).map_err(|error| {
            let why = error.message().lines().collect::<Vec<_>>().join(" ");
            let line = error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            let why = line.map_or(why.clone(), |line| format!("line {line}: {why}"));
            SettingsError::Malformed { path: path.into(), why }
        })?;
        let settings = file.lanes.get(lane).cloned().unwrap_or_default();
        let wrong = |why| SettingsError::Value { path: path.into(), lane: lane.into(), why };
        settings.check().map_err(wrong)?;
        Ok(settings)
    }

    /// Files that are named by relative paths lie beside the settings.
    fn in_folder(mut self, folder: &Path) -> Settings {
        if let Some(tokens) = &mut self.tokens {
            for file in [&mut tokens.secret_file, &mut tokens.private_key_file].into_iter().flatten() {
                *file = folder.join(&*file);
            }
        }
        self
    }

    fn check(&self) -> Result<(), String> {
        if self.allows(Permission::Kill) && self.restart.is_empty() {
            return Err(
                "`may` has \"kill\", and `restart` does not say how: give the command that kills the host".into()
            );
        }
        if let Some(tokens) = &self.tokens
            && tokens.secret_file.is_some() == tokens.private_key_file.is_some()
        {
            return Err("`tokens` needs either `secret_file` or `private_key_file`".into());
        }
        let Slo { append_to_apply_p95_ms, reconnect_ms, error_rate, append_events_per_s, clock_ms, expiry_ms } =
            self.slo;
        for (name, limit) in [
            ("append_to_apply_p95_ms", append_to_apply_p95_ms),
            ("reconnect_ms", reconnect_ms),
            ("clock_ms", clock_ms),
            ("expiry_ms", expiry_ms),
        ] {
            if !(limit > 0.0 && limit.is_finite()) {
                return Err(format!("`slo.{name}` is {limit}, and must be above 0"));
            }
        }
        if !(0.0..1.0).contains(&error_rate) || !(0.0..f64::MAX).contains(&append_events_per_s) {
            return Err("`slo.error_rate` must be from 0 to below 1, and `slo.append_events_per_s` 0 or more".into());
        }
        self.load.check()
    }

    /// Whether the lane allows this.
    pub fn allows(&self, permission: Permission) -> bool {
        self.may.contains(&permission)
    }

    /// How long any one state may take to come about.
    pub fn patience(&self) -> Duration {
        Duration::from_secs(self.load.patience_s)
    }

    /// How long a fault lasts.
    pub fn fault(&self) -> Duration {
        Duration::from_millis(self.load.fault_ms)
    }
}

impl Load {
    fn check(&self) -> Result<(), String> {
        let in_range = |name: &str, value: u64, range: std::ops::RangeInclusive<u64>| {
            let (least, most) = (*range.start(), *range.end());
            if range.contains(&value) {
                Ok(())
            } else {
                Err(format!("`load.{name}` is {value}, and must be from {least} to {most}"))
            }
        };
        // Without any traffic nothing could be seen to break.
        in_range("replay_events", self.replay_events, 10..=bounds::EVENTS_MAX)?;
        in_range("events_per_s", self.events_per_s, 1..=bounds::EVENTS_PER_S_MAX)?;
        in_range("slo_s", self.slo_s, 1..=bounds::SLO_S_MAX)?;
        in_range("burst_batches", self.burst_batches, 1..=bounds::BURST_BATCHES_MAX)?;
        in_range("handshake_clients", self.handshake_clients.into(), 1..=u16::MAX.into())?;
        in_range("storm_clients", self.storm_clients as u64, 1..=bounds::STORM_CLIENTS_MAX)?;
        in_range("expiry_clients", self.expiry_clients as u64, 1..=bounds::STORM_CLIENTS_MAX)?;
        in_range("fault_ms", self.fault_ms, 100..=bounds::FAULT_MS_MAX)?;
        in_range("patience_s", self.patience_s, 1..=bounds::PATIENCE_S_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Settings, String> {
        Settings::parse(text, "staging", "gates.toml").map_err(|error| error.to_string())
    }

    #[test]
    fn a_lane_that_says_nothing_allows_nothing_and_runs_every_drill() {
        let settings = parse("[lanes.prod]\nmay = [\"scratch\"]").expect("settings");
        assert_eq!(settings, Settings::default());
        assert!(!settings.allows(Permission::Kill) && !settings.allows(Permission::Scratch));
        assert_eq!(settings.drills, Drill::ALL);
    }

    #[test]
    fn a_lane_says_what_it_allows_and_demands() {
        let settings = parse(
            "[lanes.staging]\nmay = [\"kill\", \"scratch\"]\nrestart = [\"systemctl\", \"kill\"]\nauth = \"required\"\n\
             drills = [\"partition\", \"host-restart\"]\n[lanes.staging.slo]\nreconnect_ms = 5000.0",
        )
        .expect("settings");
        assert!(settings.allows(Permission::Kill));
        assert_eq!((settings.auth, settings.slo.reconnect_ms), (Auth::Required, 5_000.0));
        assert_eq!(settings.drills, [Drill::Partition, Drill::HostRestart]);
    }

    #[test]
    fn what_is_misspelt_or_means_nothing_is_an_error_that_names_it() {
        for (text, named) in [
            ("[lanes.staging]\nmai = []", "mai"),
            ("[lanes.staging]\nmay = [\"everything\"]", "everything"),
            ("[lanes.staging]\ndrills = [\"earthquake\"]", "earthquake"),
            ("[lanes.staging]\nmay = [\"kill\"]", "restart"),
            ("[lanes.staging.slo]\nreconnect_ms = 0.0", "reconnect_ms"),
            ("[lanes.staging.slo]\nappend_to_apply_p95_ms = nan", "append_to_apply_p95_ms"),
            ("[lanes.staging.slo]\nerror_rate = 1.0", "error_rate"),
            ("[lanes.staging.load]\nreplay_events = 0", "replay_events"),
            ("[lanes.staging.tokens]\ncontrol = \"http://c\"\nclient_id = \"g\"", "secret_file"),
            ("lane = 1", "lane"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(named), "{text}: {error}");
        }
    }

    #[test]
    fn files_lie_beside_the_settings() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("gates.toml");
        let text = "[lanes.dev.tokens]\ncontrol = \"http://c\"\nclient_id = \"g\"\nsecret_file = \"gate.secret\"";
        std::fs::write(&path, text).expect("written");
        let settings = Settings::read(&path, "dev").expect("settings");
        assert_eq!(settings.tokens.expect("tokens").secret_file, Some(folder.path().join("gate.secret")));
    }
}
