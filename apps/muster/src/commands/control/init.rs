//! `muster control init`: the service's state, and what the hosts of the lane must be told of it.

use muster_control::schedule::KeyState;
use muster_control::{Control, OWN_SUBJECT};
use muster_wire::Identity;
use serde_json::json;

use super::config;
use super::state::ServiceArgs;
use crate::outcome::{Exit, Failure, Outcome};
use crate::ui::Ui;

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Makes the folder (0700), the database and the first two signing keys (0600), and binds them to the
issuer: hosts make identities of its name, so it cannot change later. On a state that is there it
changes nothing and says the same.
Hosts must trust the issuer, and the lane's module must be told of it, by the database's owner: the
output has both commands. `revoker` is the identity with which the service tells the module of
revocations.

Examples:
  muster control init --state-dir control --issuer https://control.example.com --audience muster-dev
  muster control init --config control.toml --json")]
pub(crate) struct InitArgs {
    #[command(flatten)]
    service: ServiceArgs,
    /// Print one JSON document (muster.control_init.v1)
    #[arg(long)]
    json: bool,
}

/// Makes the state.
pub(super) fn run(ui: &Ui, args: &InitArgs) -> Outcome {
    let settings = args.service.settings()?;
    let control = Control::open(config::service(&settings, None)?)?;
    let config = control.config();
    let keys = control.keys_list()?;
    let active = keys.iter().find(|key| key.facts.state == KeyState::Active);
    let active = active.map(|key| key.facts.kid.clone()).ok_or_else(|| {
        Failure::could_not("the state has no key that signs", "restore the state directory from a backup")
    })?;
    let revoker = Identity::from_claims(&config.issuer, OWN_SUBJECT).to_hex().to_string();
    if args.json {
        ui.print_json(&json!({
            "schema": "muster.control_init.v1", "state_dir": config.state_dir, "issuer": config.issuer,
            "audience": config.audience, "database": config.database, "active_key": active, "revoker": revoker,
        }))?;
        return Ok(Exit::Done);
    }
    let (issuer, audience) = (&config.issuer, &config.audience);
    ui.print(format!(
        "state in {}, signing with key {active}\n\
         issuer   {issuer}\naudience {audience}\nrevoker  {revoker}\n\
         a host must trust it:     muster host --trust-issuer {issuer} …\n\
         its module must know it:  muster call configure_auth '\"{issuer}\"' '\"{audience}\"' false false '{{\"some\":{{\"__identity__\":\"0x{revoker}\"}}}}'",
        config.state_dir.display(),
    ))?;
    Ok(Exit::Done)
}
