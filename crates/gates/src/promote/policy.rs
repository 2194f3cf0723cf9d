//! `promotion.toml`: what must be proven before a module goes on, and how it goes.
//!
//! What always holds: a policy that cannot be read whole, has a key that is not known, or demands nothing is refused; its
//! digest is that of its bytes, so a decision names the very file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::report::Sha256;

/// How large a share gets the candidate, in percent, where the policy says nothing else.
pub const COHORTS: [u8; 5] = [5, 10, 25, 50, 100];
/// How long each share is watched, where the policy says nothing else.
pub const SOAK: Duration = Duration::from_secs(10 * 60);
/// How old evidence may be, where the policy says nothing else.
pub const MAX_AGE: Duration = Duration::from_secs(24 * 3_600);
/// The gate that is run again and again while a share is watched.
pub const WATCH_GATE: &str = "slo";

/// A policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The files with the public keys whose signatures count, as they are to be opened.
    pub signers: Vec<PathBuf>,
    /// What must be proven.
    pub require: Vec<Requirement>,
    /// The gates that are run on the candidate before anybody is sent to it.
    pub target_gates: Vec<String>,
    /// What is called on the candidate after it was published, in order, such as `configure_auth`: each may be called again.
    pub setup: Vec<Call>,
    /// The shares that get the candidate, in percent, growing; empty where no token service hands it out.
    pub cohorts: Vec<u8>,
    /// How long each share is watched.
    pub soak: Duration,
    /// The gate that is run while a share is watched.
    pub watch_gate: String,
    /// The digest of the file.
    pub sha256: Sha256,
}

/// A reducer that is called on the candidate.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// Its name.
    pub call: String,
    /// Its arguments, as JSON that SpacetimeDB's HTTP API takes.
    #[serde(default)]
    pub args: Vec<serde_json::Value>,
}

/// A gate that must have passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// Its name.
    pub gate: String,
    /// The lanes that it must have passed on; empty for the lane that is promoted from.
    pub lanes: Vec<String>,
    /// How long ago at most.
    pub max_age: Duration,
}

/// Why a policy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The file cannot be read.
    #[error("{path}: {source}; name the policy with --policy FILE")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not such a policy.
    #[error("{path}: {why}")]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to write.
        why: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Toml {
    signers: Vec<PathBuf>,
    #[serde(default)]
    require: Vec<TomlRequirement>,
    #[serde(default)]
    target: TomlTarget,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TomlRequirement {
    gate: String,
    #[serde(default)]
    lanes: Vec<String>,
    #[serde(default, deserialize_with = "maybe_duration")]
    max_age: Option<Duration>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TomlTarget {
    #[serde(default)]
    gates: Vec<String>,
    #[serde(default)]
    setup: Vec<Call>,
    cohorts: Option<Vec<u8>>,
    #[serde(default, deserialize_with = "maybe_duration")]
    soak: Option<Duration>,
    watch: Option<String>,
}

impl Policy {
    /// Reads a policy. Key files that it names are found beside it.
    ///
    /// # Errors
    /// If it cannot be read, or is no policy that can be followed.
    pub fn read(path: &Path) -> Result<Policy, PolicyError> {
        let text = std::fs::read_to_string(path).map_err(|source| PolicyError::File { path: path.into(), source })?;
        let beside = path.parent().unwrap_or(Path::new(""));
        Policy::parse(&text, beside).map_err(|why| PolicyError::Wrong { path: path.into(), why })
    }

    fn parse(text: &str, beside: &Path) -> Result<Policy, String> {
        let toml: Toml = toml::from_str(text).map_err(|error| error.to_string().trim().replace('\n', " "))?;
        if toml.signers.is_empty() {
            return Err("it trusts nobody; name public keys in signers = [\"operator.pub\"]".into());
        }
        if toml.require.is_empty() {
            return Err("it demands nothing, and what demands nothing proves nothing; add [[require]] gate = …".into());
        }
        if toml.target.gates.is_empty() {
            return Err("nothing is run on the target; name its gates in [target] gates = [\"handshake\"]".into());
        }
        let cohorts = toml.target.cohorts.unwrap_or_else(|| COHORTS.to_vec());
        let grows = cohorts.iter().zip(cohorts.iter().skip(1)).all(|(a, b)| a < b);
        if !grows || cohorts.first() == Some(&0) || cohorts.last().is_some_and(|last| *last != 100) {
            return Err(format!("cohorts {cohorts:?} must grow, begin above 0 and end with 100, such as {COHORTS:?}"));
        }
        let requirement = |it: TomlRequirement| Requirement {
            gate: it.gate,
            lanes: it.lanes,
            max_age: it.max_age.unwrap_or(MAX_AGE),
        };
        Ok(Policy {
            signers: toml.signers.iter().map(|it| beside.join(it)).collect(),
            require: toml.require.into_iter().map(requirement).collect(),
            target_gates: toml.target.gates,
            setup: toml.target.setup,
            cohorts,
            soak: toml.target.soak.unwrap_or(SOAK),
            watch_gate: toml.target.watch.unwrap_or_else(|| WATCH_GATE.into()),
            sha256: Sha256::of(text.as_bytes()),
        })
    }
}

/// A length of time as it is written: `90s`, `10m`, `24h`, `7d`.
///
/// # Errors
/// What to write instead.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no length of time; write such as 90s, 10m, 24h or 7d");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

fn maybe_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    duration(&text).map(Some).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "signers = [\"a.pub\"]\n[[require]]\ngate = \"slo\"\n[target]\ngates = [\"slo\"]\n";

    #[test]
    fn what_is_left_out_is_as_documented() {
        let policy = Policy::parse(LEAST, Path::new("lanes")).expect("a policy");
        assert_eq!(policy.signers, [Path::new("lanes/a.pub")]);
        assert_eq!((&policy.cohorts[..], policy.soak), (&COHORTS[..], SOAK));
        assert_eq!(policy.require[0].max_age, MAX_AGE);
    }

    #[test]
    fn calls_have_arguments_as_the_host_takes_them() {
        let text = format!(
            "{LEAST}[[target.setup]]\ncall = \"configure_auth\"\nargs = [\"https://i\", 3, false, {{ some = \"0x1\" }}]\n"
        );
        let policy = Policy::parse(&text, Path::new("")).expect("a policy");
        let args = serde_json::json!(["https://i", 3, false, { "some": "0x1" }]);
        assert_eq!(serde_json::Value::from(policy.setup[0].args.clone()), args);
    }

    #[test]
    fn what_cannot_be_followed_is_refused_with_what_to_write() {
        let cases = [
            ("signers = []\n", "signers ="),
            ("signers = [\"a\"]\n", "[[require]]"),
            ("signers = [\"a\"]\n[[require]]\ngate = \"x\"\n", "[target]"),
            (&format!("{LEAST}cohorts = [5, 5, 100]\n"), "must grow"),
            (&format!("{LEAST}cohorts = [0, 100]\n"), "above 0"),
            (&format!("{LEAST}cohorts = [5, 50]\n"), "end with 100"),
            (&format!("{LEAST}soak = \"soon\"\n"), "90s"),
            (&format!("{LEAST}sok = \"1s\"\n"), "sok"),
        ];
        for (text, says) in cases {
            let error = Policy::parse(text, Path::new("")).expect_err(text);
            assert!(error.contains(says), "{error}");
        }
        assert_eq!(Policy::parse(&format!("{LEAST}cohorts = []\n"), Path::new("")).expect("one").cohorts, [0_u8; 0]);
    }

    #[test]
    fn lengths_of_time_are_read() {
        assert_eq!(duration("24h"), Ok(Duration::from_secs(86_400)));
        for bad in ["", "h", "1", "-1s", "1.5h", "99999999999999999999d", "9999999999999999d", "1 h", "é"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
