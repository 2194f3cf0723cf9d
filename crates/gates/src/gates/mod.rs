//! The gates themselves: what is asked of a lane, and how.
//!
//! What always holds: a gate says beforehand what it will do ([`GateName::says`]); what it writes lies under
//! [`site::PREFIX`] and is removed after ([`site::clean`]), also when it fails or is interrupted; it never passes on
//! nothing: what it could not find out is an undecided observation, and makes it inconclusive.
//!
//! The map: [`settings`] what the lane allows and demands; [`site`] where and as whom; `recorder` what is written down;
//! `session` and `traffic` what the gates do it with; a file or folder for each gate.

mod contract;
pub mod drills;
pub mod handshake;
pub mod limits;
mod provision;
mod recorder;
mod replay;
mod security;
mod session;
pub mod settings;
pub mod site;
mod slo;
mod tokens;
mod traffic;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

pub use drills::Drill;
pub use settings::{Settings, SettingsError};
pub use site::{CannotRun, Cleaned, PREFIX, RunId, Site, Stage, clean};

use recorder::Recorder;

use crate::gate::Effects;
use crate::report::GateReport;

/// A gate, or one drill of the gate `drills`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateName {
    /// Variables, name, TLS, health, clock, owner, module.
    Provision,
    /// N clients meet, see each other, and are gone.
    Handshake,
    /// Schema and vectors against the published module.
    Contract,
    /// Written, cut, resumed, compared byte for byte.
    Replay,
    /// Whoever has no grant gets nothing.
    Security,
    /// Everything that the lane lists in `drills`.
    Drills,
    /// One drill.
    OneDrill(Drill),
    /// Latency, reconnect time, errors, against the lane's own limits.
    Slo,
}

/// No gate has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no gate; the gates are provision, handshake, contract, replay, security, drills and slo, and a single drill \
     is drills.NAME, such as drills.partition"
)]
pub struct NoSuchGate(String);

impl GateName {
    /// The gates of a ladder, the cheapest first.
    pub const ALL: [GateName; 7] = [
        GateName::Provision,
        GateName::Handshake,
        GateName::Contract,
        GateName::Replay,
        GateName::Security,
        GateName::Drills,
        GateName::Slo,
    ];

    /// What it will do to this lane.
    pub fn effects(self, stage: &Stage) -> Effects {
        let load = &stage.settings().load;
        let says = match self {
            GateName::Provision => "asks for health, schema and a few sessions; writes nothing".into(),
            GateName::Handshake => format!("opens {} sessions and closes them; writes nothing", load.handshake_clients),
            GateName::Contract => {
                format!("reads the schema; appends some hundred events to streams below {PREFIX}, and removes them")
            }
            GateName::Replay => {
                format!(
                    "appends {} events to a stream below {PREFIX}, cuts its own connections, and removes them",
                    load.replay_events
                )
            }
            GateName::Security => {
                format!("knocks at every door without a right to it, at streams below {PREFIX}, and removes them")
            }
            GateName::Drills => {
                let drills =
                    stage.settings().drills.iter().map(|drill| format!("{}: {}", drill.as_str(), drill.says(stage)));
                drills.collect::<Vec<_>>().join("; ")
            }
            GateName::OneDrill(drill) => drill.says(stage),
            GateName::Slo => format!(
                "sends {} events a second for {} s and {} full batches to streams below {PREFIX}, and removes them",
                load.events_per_s, load.slo_s, load.burst_batches
            ),
        };
        let kills = |drill: &Drill| drill.needs().is_some_and(|it| stage.settings().allows(it));
        let is_disruptive = match self {
            GateName::Drills => stage.settings().drills.iter().any(kills),
            GateName::OneDrill(drill) => kills(&drill),
            _ => false,
        };
        Effects { says, is_disruptive }
    }

    /// Runs, and reports. `tell` hears of what is going on. Whatever goes wrong is an observation of the report. The caller
    /// calls [`clean`] afterwards.
    pub async fn run(self, stage: &Stage, tell: Arc<dyn Fn(&str) + Send + Sync>) -> GateReport {
        let recorder = Recorder::begin(&self.to_string(), stage, tell);
        recorder.configure("may", permissions(stage.settings()));
        recorder.configure("database", stage.site.endpoint.database());
        if !stage.is_confirmed {
            let why = "the host does not confirm that it runs the module that was named, and what a gate finds is about what \
                       runs: use the token of the database's owner (--token-file)";
            recorder.undecided("module.runs", why);
        }
        match self {
            GateName::Provision => provision::run(stage, &recorder).await,
            GateName::Handshake => handshake::gate::run(stage, &recorder).await,
            GateName::Contract => contract::run(stage, &recorder).await,
            GateName::Replay => replay::run(stage, &recorder).await,
            GateName::Security => security::run(stage, &recorder).await,
            GateName::Drills => {
                let drills = &stage.settings().drills;
                let names: Vec<_> = drills.iter().map(|drill| drill.as_str()).collect();
                recorder.configure("drills", names.join(" "));
                for drill in drills {
                    drill.run(stage, &recorder).await;
                }
            }
            GateName::OneDrill(drill) => drill.run(stage, &recorder).await,
            GateName::Slo => slo::run(stage, &recorder).await,
        }
        is_still_there(stage, &recorder).await;
        recorder.finish()
    }
}

/// The module may have been exchanged while a gate ran: then what was seen is of two modules.
async fn is_still_there(stage: &Stage, recorder: &Recorder) {
    let Some(before) = &stage.host_hash else { return };
    match stage.http.running_program().await {
        Ok(Some(now)) if now == *before => {}
        Ok(_) => recorder.undecided("module.stays", "another module was published meanwhile: run it again"),
        Err(error) => recorder.undecided("module.stays", site::words(&error)),
    }
}

fn permissions(settings: &Settings) -> String {
    settings.may.iter().map(|may| format!("{may:?}").to_lowercase()).collect::<Vec<_>>().join(" ")
}

/// Runs gates one after the other on a site, and removes what they made: what a promotion asks of its target.
///
/// # Errors
/// [`CannotRun`], if not even the module is known that the reports would be about.
pub async fn run(
    gates: &[GateName],
    site: &Site,
    tell: Arc<dyn Fn(&str) + Send + Sync>,
) -> Result<(Vec<GateReport>, Cleaned), CannotRun> {
    let stage = Stage::open(site.clone()).await?;
    let mut reports = Vec::with_capacity(gates.len());
    for gate in gates {
        reports.push(gate.run(&stage, tell.clone()).await);
    }
    Ok((reports, clean(site).await))
}

impl fmt::Display for GateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            GateName::Provision => "provision",
            GateName::Handshake => "handshake",
            GateName::Contract => "contract",
            GateName::Replay => "replay",
            GateName::Security => "security",
            GateName::Drills => "drills",
            GateName::OneDrill(drill) => return write!(f, "drills.{}", drill.as_str()),
            GateName::Slo => "slo",
        };
        f.write_str(name)
    }
}

impl FromStr for GateName {
    type Err = NoSuchGate;

    fn from_str(text: &str) -> Result<GateName, NoSuchGate> {
        if let Some(drill) = text.strip_prefix("drills.").and_then(Drill::from_name) {
            return Ok(GateName::OneDrill(drill));
        }
        GateName::ALL.into_iter().find(|gate| gate.to_string() == text).ok_or_else(|| NoSuchGate(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_gates() {
        let drills = Drill::ALL.map(GateName::OneDrill);
        for gate in GateName::ALL.into_iter().chain(drills) {
            assert_eq!(gate.to_string().parse(), Ok(gate));
        }
        for wrong in ["", "drills.", "drills.earthquake", "Replay"] {
            assert!(wrong.parse::<GateName>().expect_err("no gate").to_string().contains("replay"), "{wrong}");
        }
    }
}
