//! What a gate says at its end, as its own evidence and for people.
//!
//! What always holds: the result follows from the observations alone ([`GateReport::verdict`]): any that is broken fails
//! the gate, any that is undecided makes it inconclusive, and so does not having held anything at all; evidence whose
//! result is another is refused when it is verified.

mod page;
mod plot;
mod summary;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::limits::{OBSERVATIONS_MAX, SERIES_MAX};
use crate::observation::{Fault, Observation, Series, Standing};

pub use page::html;
pub use summary::summary;

/// What came of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateResult {
    /// Everything that was demanded held.
    Passed,
    /// It could not be found out. It never promotes.
    Inconclusive,
    /// Something did not hold.
    Failed,
}

impl GateResult {
    /// As it is written and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            GateResult::Passed => "passed",
            GateResult::Inconclusive => "inconclusive",
            GateResult::Failed => "failed",
        }
    }
}

impl std::fmt::Display for GateResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A SHA-256 digest; as text, 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256([u8; 32]);

impl Sha256 {
    /// The digest of some bytes.
    pub fn of(bytes: &[u8]) -> Sha256 {
        use sha2::Digest as _;
        Sha256(sha2::Sha256::digest(bytes).into())
    }

    /// The digest with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Sha256 {
        Sha256(bytes)
    }

    /// Its first eight digits, for people.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..4])
    }
}

impl std::fmt::Display for Sha256 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl std::fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "sha256:{self}")
    }
}

/// A text is not 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a SHA-256 digest; write 64 hexadecimal digits in lower case")]
pub struct NotASha256;

impl std::str::FromStr for Sha256 {
    type Err = NotASha256;

    fn from_str(text: &str) -> Result<Sha256, NotASha256> {
        let mut bytes = [0; 32];
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(NotASha256);
        }
        hex::decode_to_slice(text, &mut bytes).map_err(|_| NotASha256)?;
        Ok(Sha256(bytes))
    }
}

impl Serialize for Sha256 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Sha256, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Everything that a gate saw, about one module on one lane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateReport {
    /// The gate's name, as `handshake` or `drills.partition`.
    pub gate: String,
    /// The lane's name; where only a server and a database were named, the server's URL.
    pub lane: String,
    /// The host's base URL.
    pub server: String,
    /// The database's identity, hexadecimal, or its name where the identity could not be found out.
    pub database: String,
    /// SHA-256 of the module's WebAssembly that runs there: the evidence's subject.
    pub module_sha256: Sha256,
    /// What the host calls itself, if it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_version: Option<String>,
    /// What the gate was run with: every limit and option that could change its result.
    pub configuration: BTreeMap<String, String>,
    /// Everything that it saw, in the order that it saw it.
    pub observations: Vec<Observation>,
    /// Values over time, for the plots.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub series: Vec<Series>,
    /// What was done to the lane, and when.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
    /// What follows from the observations.
    pub result: GateResult,
    /// When it began, by this machine's clock.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
}

impl GateReport {
    /// A report that has seen nothing yet, and is inconclusive until it has.
    pub fn begin(
        gate: impl Into<String>,
        lane: impl Into<String>,
        server: impl Into<String>,
        database: impl Into<String>,
        module_sha256: Sha256,
        now: Timestamp,
    ) -> GateReport {
        GateReport {
            gate: gate.into(),
            lane: lane.into(),
            server: server.into(),
            database: database.into(),
            module_sha256,
            host_version: None,
            configuration: BTreeMap::new(),
            observations: Vec::new(),
            series: Vec::new(),
            faults: Vec::new(),
            result: GateResult::Inconclusive,
            started_at: now,
            finished_at: now,
        }
    }

    /// Notes an option or limit that it runs with.
    pub fn configure(&mut self, key: impl Into<String>, value: impl ToString) {
        self.configuration.insert(key.into(), value.to_string());
    }

    /// Notes what was seen. Names are made unique (`name`, `name.2`, …), so that evidence can name each.
    pub fn observe(&mut self, mut observation: Observation) {
        let wanted = observation.name.clone();
        let mut count = 1_u32;
        while self.observations.iter().any(|it| it.name == observation.name) {
            count += 1;
            observation.name = format!("{wanted}.{count}");
        }
        self.observations.push(observation);
    }

    /// Notes a fault that was injected.
    pub fn fault(&mut self, name: impl Into<String>, from_ms: u64, to_ms: u64) {
        self.faults.push(Fault { name: name.into(), from_ms, to_ms: to_ms.max(from_ms) });
    }

    /// Milliseconds since it began, for points and faults.
    pub fn at_ms(&self, now: Timestamp) -> u64 {
        u64::try_from(now.as_millisecond() - self.started_at.as_millisecond()).unwrap_or(0)
    }

    /// Ends it: settles the series and the result.
    #[must_use]
    pub fn finish(mut self, now: Timestamp) -> GateReport {
        if self.observations.len() > OBSERVATIONS_MAX || self.series.len() > SERIES_MAX {
            // What did not fit cannot be judged by who reads the evidence, so it cannot pass.
            self.observations.sort_by_key(|it| std::cmp::Reverse(it.standing));
            self.observations.truncate(OBSERVATIONS_MAX - 1);
            self.series.truncate(SERIES_MAX);
            self.observe(Observation::undecided("report.complete", "it saw more than a report can hold"));
        }
        self.series.iter_mut().for_each(Series::settle);
        self.finished_at = now.max(self.started_at);
        self.result = self.verdict();
        self
    }

    /// What follows from the observations.
    pub fn verdict(&self) -> GateResult {
        match self.observations.iter().map(|it| it.standing).max() {
            Some(Standing::Broken) => GateResult::Failed,
            Some(Standing::Undecided) => GateResult::Inconclusive,
            _ if self.observations.iter().any(|it| it.standing == Standing::Held) => GateResult::Passed,
            _ => GateResult::Inconclusive,
        }
    }

    /// The observations with this standing.
    pub fn with(&self, standing: Standing) -> impl Iterator<Item = &Observation> {
        self.observations.iter().filter(move |it| it.standing == standing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(observations: Vec<Observation>) -> GateReport {
        let module = Sha256::of(b"module");
        let mut report = GateReport::begin("handshake", "local", "http://h", "d", module, Timestamp::UNIX_EPOCH);
        observations.into_iter().for_each(|it| report.observe(it));
        report.finish(Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn only_what_held_something_and_broke_nothing_has_passed() {
        let held = || Observation::held("a", true);
        assert_eq!(report(vec![held()]).result, GateResult::Passed);
        assert_eq!(report(vec![]).result, GateResult::Inconclusive);
        assert_eq!(report(vec![Observation::noted("a", 1_u64)]).result, GateResult::Inconclusive);
        assert_eq!(report(vec![held(), Observation::undecided("b", "no answer")]).result, GateResult::Inconclusive);
        let both = vec![held(), Observation::undecided("b", "x"), Observation::broken("c", 1_u64, "y")];
        assert_eq!(report(both).result, GateResult::Failed);
    }

    #[test]
    fn a_report_that_saw_more_than_it_can_hold_does_not_pass_and_still_fails_by_what_broke() {
        let many = || (0..OBSERVATIONS_MAX + 1).map(|n| Observation::held(format!("o{n}"), true));
        assert_eq!(report(many().collect()).result, GateResult::Inconclusive);
        let broken = many().chain([Observation::broken("last", 1_u64, "it broke")]);
        let report = report(broken.collect());
        assert_eq!(report.result, GateResult::Failed);
        assert!(report.observations.len() <= OBSERVATIONS_MAX);
    }

    #[test]
    fn observations_have_names_of_their_own() {
        let report = report(vec![Observation::held("a", true), Observation::held("a", true)]);
        assert_eq!(report.observations.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["a", "a.2"]);
    }
}
