//! The plane's database and who may do what there: the module, the issuer that the lane takes, and the two clients.
//!
//! What always holds: everything here may be done again and changes nothing then; what is secret is written for this user
//! alone, and a secret that was lost is replaced by a new one.

use muster_contract::StreamPattern;
use muster_control::{Client, Control, Grant, NewClient, OWN_SUBJECT, Scope};
use muster_wire::http::{CallReply, HttpClient, HttpError, PublishOptions};
use muster_wire::{Endpoint, Identity, Token};
use serde_json::json;

use super::{AUDIENCE, DESKTOP, Folder, RUNTIME};
use crate::module_file::ModuleFile;
use crate::outcome::Failure;
use crate::ui::Ui;

/// Who made the changes, for the token service's audit log.
const ACTOR: &str = "muster up";

/// Publishes the module as the database's owner, and closes the lane to whoever has no token of `issuer`.
///
/// # Errors
/// [`Failure::CouldNot`] if the host does not take it, or the folder belongs to another host.
pub(crate) async fn publish(
    ui: &Ui,
    folder: &Folder,
    endpoint: &Endpoint,
    issuer: &str,
    module: ModuleFile,
) -> Result<(), Failure> {
    let owner = owner(folder, endpoint).await?;
    let http = HttpClient::new(endpoint.clone(), Some(owner))?;
    let running = match http.running_program().await {
        Err(error) if error.status() == Some(404) => None,
        answer => answer?,
    };
    let hash = module.module_hash();
    if running.as_deref() != Some(hash.as_str()) {
        ui.say(if running.is_some() { "updating the module …" } else { "publishing the module …" });
        http.publish(module.bytes, &PublishOptions::default()).await.map_err(|error| refused(error, folder))?;
    }
    let revoker = Identity::from_claims(issuer, OWN_SUBJECT).to_hex();
    let revoker = json!({ "some": { "__identity__": format!("0x{revoker}") } });
    match http.call("configure_auth", &json!([issuer, AUDIENCE, false, false, revoker])).await? {
        CallReply::Returned(_) => Ok(()),
        CallReply::Refused(why) => {
            Err(Failure::could_not(format!("the module does not take the issuer ({why})"), "please report this"))
        }
    }
}

/// Whom the host made up the first time.
async fn owner(folder: &Folder, endpoint: &Endpoint) -> Result<Token, Failure> {
    if let Some(token) = folder.read_owner()? {
        return Ok(token);
    }
    let made = HttpClient::new(endpoint.clone(), None)?.create_identity().await?;
    Folder::keep_secret(&folder.owner_token(), made.token.expose())?;
    Ok(made.token)
}

fn refused(error: HttpError, folder: &Folder) -> Failure {
    match error.status() {
        // What would break clients or lose data is never done without a word.
        Some(400..=499) => Failure::could_not(
            format!("the module that runs in {} cannot be replaced by this one ({error})", folder.path().display()),
            "publish it with `muster publish`, which shows what would change, or name another folder with --data-dir",
        ),
        _ => error.into(),
    }
}

/// Registers the plane's clients: the runtime may write, the screen may read and see who is connected.
///
/// # Errors
/// [`Failure::CouldNot`] if the service's state cannot be changed, or a secret not be written.
pub(crate) fn clients(folder: &Folder) -> Result<(), Failure> {
    let control = Control::manage(&folder.control())?;
    let known = control.client_list()?;
    let runtime = StreamPattern::parse("runtime.*").expect("a pattern");
    client(&control, folder, &known, RUNTIME, &[Scope::SyncWrite], runtime)?;
    client(&control, folder, &known, DESKTOP, &[Scope::SyncRead, Scope::PresenceRead], StreamPattern::All)
}

fn client(
    control: &Control,
    folder: &Folder,
    known: &[Client],
    id: &str,
    scopes: &[Scope],
    streams: StreamPattern,
) -> Result<(), Failure> {
    let path = folder.secret(id);
    let secret = if known.iter().any(|client| client.id == id) {
        if path.exists() {
            return Ok(());
        }
        control.client_new_secret(ACTOR, id, 0)?
    } else {
        let grant = Grant::new(scopes.iter().copied(), [streams]).map_err(muster_control::ControlError::from)?;
        let new = NewClient { role: Some(id.into()), ..NewClient::new(id, grant) };
        control.client_add(ACTOR, new)?.secret.expect("a client without a key has a secret")
    };
    Folder::keep_secret(&path, secret.expose())
}
