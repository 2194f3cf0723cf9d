//! The gate `drills`: things break while events flow, and nothing is lost, twice, out of order or called live that is not.
//!
//! What always holds: a drill that kills, or that changes more than streams of its own, runs only where the lane says that
//! it may, and is inconclusive elsewhere; every other one breaks only the network between this machine and the host, by a
//! proxy of ours. What was broken is mended before anything is judged.

mod clock_skew;
mod control_away;
mod host_restart;
mod hot_swap;
mod network;
mod retention;
mod scene;
mod scratch;
mod slow_reader;
mod storm;
mod token_expiry;

use serde::{Deserialize, Serialize};

use super::recorder::Recorder;
use super::settings::Permission;
use super::site::Stage;

/// One drill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Drill {
    /// The network between clients and host is gone for a while.
    Partition,
    /// Connections stay open and carry nothing.
    HalfOpen,
    /// One reader has a slow network, and holds up nobody.
    SlowReader,
    /// Many sessions are cut at once and come back.
    ReconnectStorm,
    /// Many sessions' tokens end at once.
    TokenExpiryStorm,
    /// The token service cannot be reached.
    ControlAway,
    /// Producers' clocks are days off.
    ClockSkew,
    /// The host's process is killed and comes back.
    HostRestart,
    /// Another build of the module is published under load, and the first one again.
    HotSwap,
    /// Retention deletes what a reader has not read yet.
    RetentionOvertakes,
}

impl Drill {
    /// All of them, in the order in which they run.
    pub const ALL: [Drill; 10] = [
        Drill::Partition,
        Drill::HalfOpen,
        Drill::SlowReader,
        Drill::ReconnectStorm,
        Drill::TokenExpiryStorm,
        Drill::ControlAway,
        Drill::ClockSkew,
        Drill::HostRestart,
        Drill::HotSwap,
        Drill::RetentionOvertakes,
    ];

    /// As `gates.toml` and the command line write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Drill::Partition => "partition",
            Drill::HalfOpen => "half-open",
            Drill::SlowReader => "slow-reader",
            Drill::ReconnectStorm => "reconnect-storm",
            Drill::TokenExpiryStorm => "token-expiry-storm",
            Drill::ControlAway => "control-away",
            Drill::ClockSkew => "clock-skew",
            Drill::HostRestart => "host-restart",
            Drill::HotSwap => "hot-swap",
            Drill::RetentionOvertakes => "retention-overtakes",
        }
    }

    /// The drill of that name.
    pub fn from_name(name: &str) -> Option<Drill> {
        Drill::ALL.into_iter().find(|drill| drill.as_str() == name)
    }

    /// The name of its observations: `half_open`.
    pub(crate) fn key(self) -> String {
        self.as_str().replace('-', "_")
    }

    /// What the lane must allow for it.
    pub const fn needs(self) -> Option<Permission> {
        match self {
            Drill::HostRestart => Some(Permission::Kill),
            Drill::HotSwap | Drill::RetentionOvertakes => Some(Permission::Scratch),
            _ => None,
        }
    }

    /// What it does to a lane.
    pub fn says(self, stage: &Stage) -> String {
        let load = &stage.settings().load;
        if self.needs().is_some_and(|permission| !stage.settings().allows(permission)) {
            return "nothing: the lane does not allow it, so it will be inconclusive".into();
        }
        match self {
            Drill::Partition => format!(
                "cuts this machine's own connections, through a proxy of ours, for {} ms while it sends {} events a second",
                load.fault_ms, load.events_per_s
            ),
            Drill::HalfOpen => "lets this machine's own connections fall silent until its clients notice".into(),
            Drill::SlowReader => "throttles the connection of one reader of its own".into(),
            Drill::ReconnectStorm => {
                format!("opens {} sessions, cuts them all at once, and lets them come back", load.storm_clients)
            }
            Drill::TokenExpiryStorm => {
                format!("opens {} sessions with tokens of a few seconds, and fetches new ones", load.expiry_clients)
            }
            Drill::ControlAway => "cuts this machine's own way to the token service for some seconds".into(),
            Drill::ClockSkew => "appends events whose producers' clocks are a day off".into(),
            Drill::HostRestart => format!("KILLS THE HOST: runs `{}`", stage.settings().restart.join(" ")),
            Drill::HotSwap => "publishes a database of its own on the host, twice updates it, and deletes it".into(),
            Drill::RetentionOvertakes => {
                "publishes a database of its own on the host, sets its retention, and deletes it".into()
            }
        }
    }

    /// Runs, where the lane allows it.
    pub(crate) async fn run(self, stage: &Stage, recorder: &Recorder) {
        let key = self.key();
        recorder.tell(self.as_str());
        if let Err(why) = stage.may_write() {
            return recorder.undecided(&key, why);
        }
        if let Some(permission) = self.needs()
            && !stage.settings().allows(permission)
        {
            let word = match permission {
                Permission::Kill => "kill",
                Permission::Scratch => "scratch",
            };
            let why = format!(
                "`{}` does not allow it: add \"{word}\" to `may` of its section of gates.toml, or leave {} out of `drills`",
                stage.site.name,
                self.as_str()
            );
            return recorder.undecided(&key, why);
        }
        match self {
            Drill::Partition => network::partition(stage, recorder).await,
            Drill::HalfOpen => network::half_open(stage, recorder).await,
            Drill::SlowReader => slow_reader::run(stage, recorder).await,
            Drill::ReconnectStorm => storm::run(stage, recorder).await,
            Drill::TokenExpiryStorm => token_expiry::run(stage, recorder).await,
            Drill::ControlAway => control_away::run(stage, recorder).await,
            Drill::ClockSkew => clock_skew::run(stage, recorder).await,
            Drill::HostRestart => host_restart::run(stage, recorder).await,
            Drill::HotSwap => hot_swap::run(stage, recorder).await,
            Drill::RetentionOvertakes => retention::run(stage, recorder).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_file_and_lead_back() {
        for drill in Drill::ALL {
            assert_eq!(Drill::from_name(drill.as_str()), Some(drill));
            assert_eq!(serde_json::to_value(drill).expect("a text"), drill.as_str());
        }
    }
}
