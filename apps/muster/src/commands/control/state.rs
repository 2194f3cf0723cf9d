//! What every command that manages a service begins with: where its state is, and who asks.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use jiff::Timestamp;
use muster_control::{Control, ControlError};

use super::config;
use super::keys::{OfControl, TABLE};
use crate::outcome::Failure;
use crate::settings::{Flags, Given, Origin, Settings, Value};

/// How a service is set up: any of its settings.
#[derive(Debug, clap::Args)]
pub(super) struct ServiceArgs {
    #[command(flatten)]
    pub(super) flags: Flags<OfControl>,
    /// Read the configuration from this file (TOML)
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

impl ServiceArgs {
    /// What the file, the environment and the flags say.
    pub(super) fn settings(&self) -> Result<Settings, Failure> {
        config::resolve(self.config.as_deref(), &self.flags)
    }
}

/// Where a service's state is.
#[derive(Debug, clap::Args)]
pub(super) struct StateArgs {
    /// The folder of the service's state [default: MUSTER_CONTROL_STATE_DIR, or the configuration's]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Read the folder from this configuration file (TOML)
    #[arg(long, value_name = "FILE", conflicts_with = "state_dir")]
    config: Option<PathBuf>,
}

impl StateArgs {
    /// The service, as it is.
    ///
    /// # Errors
    /// No folder is named, or it has no state.
    pub(super) fn open(&self) -> Result<Control, Failure> {
        let mut settings = Settings::defaults(&TABLE);
        match &self.state_dir {
            // The rest of the configuration may be for another machine.
            Some(folder) => settings.set(Given {
                key: TABLE.find("state_dir").expect("the table has it"),
                value: Value::Text(folder.display().to_string()),
                origin: Origin::Flag("state-dir"),
            }),
            None => {
                let none = Flags::<OfControl>::default();
                Settings::given(self.config.as_deref(), &none)?.into_iter().for_each(|given| settings.set(given));
            }
        }
        Ok(Control::manage(&config::state_dir(&settings)?)?)
    }
}

/// Where a service's state is, and who changes it.
#[derive(Debug, clap::Args)]
pub(super) struct ChangeArgs {
    #[command(flatten)]
    pub(super) state: StateArgs,
    /// Who makes the change, for the audit log [default: this user's name, or number]
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
}

impl ChangeArgs {
    /// The service, and who asks.
    ///
    /// # Errors
    /// As [`StateArgs::open`].
    pub(super) fn open(&self) -> Result<(Control, String), Failure> {
        let variable = |name| std::env::var(name).ok().filter(|name| !name.is_empty());
        let actor = self.actor.clone().or_else(|| variable("LOGNAME")).or_else(|| variable("USER"));
        Ok((self.state.open()?, actor.or_else(this_user).unwrap_or_else(|| "unknown".into())))
    }
}

/// The number of the user whose process this is, as the kernel tells where it has `/proc`: services have no `LOGNAME`.
fn this_user() -> Option<String> {
    std::fs::metadata("/proc/self").ok().map(|facts| format!("uid {}", facts.uid()))
}

/// A refusal is the answer no; everything else could not be asked.
impl From<ControlError> for Failure {
    fn from(error: ControlError) -> Failure {
        let text = error.to_string();
        match error {
            ControlError::Client { .. }
            | ControlError::ClientExists(_)
            | ControlError::NoClient(_)
            | ControlError::NoKey
            | ControlError::NoSession(_)
            | ControlError::Grant(_)
            | ControlError::Cohort(_)
            | ControlError::NoCohort(_)
            | ControlError::AuditBroken(_) => Failure::No(text),
            _ => Failure::CouldNot(text),
        }
    }
}

/// A time of the service, in seconds since 1970, as people read it.
pub(super) fn time(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

/// Words, as a cell shows them.
pub(super) fn words<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(" ")
}

/// A table's head.
pub(super) fn head<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}
