//! `muster control clients`: who may ask for tokens, how they prove who they are, and the most they may get.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use muster_contract::pattern::StreamPattern;
use muster_control::limits::{ACCESS_LIFETIME_DEFAULT_S, SESSION_LIFETIME_MAX_S};
use muster_control::{Client, ControlError, Credential, Grant, NewClient, Permission, Scope, Secret};
use serde_json::{Value as Json, json};

use super::state::{ChangeArgs, StateArgs, head, time, words};
use crate::limits::TOKEN_FILE_BYTES_MAX;
use crate::outcome::{Exit, Failure, Outcome};
use crate::settings::{Kind, Value};
use crate::table;
use crate::target::{read_limited, write_new_secret};
use crate::ui::Ui;

/// What there is to do with clients.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum ClientsCommand {
    /// Register a client; its secret is shown this once
    Add(Box<AddArgs>),
    /// List the clients
    List(ListArgs),
    /// Show a client
    Show(ShowArgs),
    /// Give a client other scopes and streams; where it has less then, all its tokens end
    Grant(GrantArgs),
    /// Disable a client and end all its tokens
    Disable(OneArgs),
    /// Enable a client again
    Enable(OneArgs),
    /// Give a client a new secret, shown this once
    RotateSecret(RotateArgs),
    /// Add a public key to a client, which may have two
    AddKey(AddKeyArgs),
    /// Remove a public key from a client
    RemoveKey(RemoveKeyArgs),
    /// End every session of a client, which may begin new ones
    Revoke(OneArgs),
}

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  muster control clients add desktop --scope sync.read --stream 'runtime.run.*' --secret-file desktop.secret
  muster control clients add runtime --scope sync.read --scope sync.write --stream 'runtime.*' --json
  muster control clients add backend --scope sync.read --stream '*' --subject-prefix user: --permission exchange
  muster control clients add agent --scope sync.read --stream 'runtime.*' --public-key agent.jwk")]
pub(crate) struct AddArgs {
    /// The client's id, the `sub` of its tokens
    id: String,
    #[command(flatten)]
    grant: GrantFlags,
    /// What people call it
    #[arg(long, value_name = "TEXT", default_value = "")]
    description: String,
    /// The `oa_role` of its tokens: a label, and no permission
    #[arg(long, value_name = "TEXT")]
    role: Option<String>,
    /// What else it may do: refresh, exchange, introspect, revocations; may be repeated
    #[arg(long = "permission", value_name = "WORD", value_parser = permission)]
    permissions: Vec<Permission>,
    /// It may ask for tokens of other subjects that begin like this, such as `user:`; may be repeated
    #[arg(long = "subject-prefix", value_name = "TEXT")]
    subject_prefixes: Vec<String>,
    /// The longest life of its access tokens [default: 300 s]
    #[arg(long, value_name = "TIME", value_parser = life)]
    access_lifetime: Option<i64>,
    /// The longest life of its refresh tokens' families [default: 720 h]
    #[arg(long, value_name = "TIME", value_parser = life)]
    session_lifetime: Option<i64>,
    /// It signs with the private half of this key in place of a secret: a JWK, EC P-256
    #[arg(long, value_name = "FILE.jwk", conflicts_with = "secret_file")]
    public_key: Option<PathBuf>,
    #[command(flatten)]
    secret: SecretArgs,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Where a secret goes.
#[derive(Debug, clap::Args)]
struct SecretArgs {
    /// Write the secret to this new file, for this user alone, in place of stdout
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Scopes and streams.
#[derive(Debug, clap::Args)]
struct GrantFlags {
    /// A scope: sync.read, sync.write, sync.snapshot, presence.read; may be repeated
    #[arg(long = "scope", value_name = "SCOPE", required = true, value_parser = scope)]
    scopes: Vec<Scope>,
    /// Streams: an id, a prefix ending in `.*`, or `*`; may be repeated
    #[arg(long = "stream", value_name = "PATTERN", value_parser = pattern)]
    streams: Vec<StreamPattern>,
}

impl GrantFlags {
    fn grant(&self) -> Result<Grant, Failure> {
        let grant = Grant::new(self.scopes.iter().copied(), self.streams.iter().cloned());
        Ok(grant.map_err(ControlError::from)?)
    }
}

/// The arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    state: StateArgs,
}

/// The arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    /// The client's id
    id: String,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    state: StateArgs,
}

/// The arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct GrantArgs {
    /// The client's id
    id: String,
    #[command(flatten)]
    grant: GrantFlags,
    #[command(flatten)]
    change: ChangeArgs,
}

/// The arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct OneArgs {
    /// The client's id
    id: String,
    #[command(flatten)]
    change: ChangeArgs,
}

/// The arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct RotateArgs {
    /// The client's id
    id: String,
    /// How long the secret before stays good; 0s where it got loose (then also `clients revoke`)
    #[arg(long, value_name = "TIME", value_parser = life, default_value = "24h")]
    overlap: i64,
    #[command(flatten)]
    secret: SecretArgs,
    #[command(flatten)]
    change: ChangeArgs,
}

/// The arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct AddKeyArgs {
    /// The client's id
    id: String,
    /// The key: a JWK, EC P-256
    #[arg(value_name = "FILE.jwk")]
    key: PathBuf,
    #[command(flatten)]
    change: ChangeArgs,
}

/// The arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct RemoveKeyArgs {
    /// The client's id
    id: String,
    /// The key's id
    #[arg(value_name = "KID")]
    kid: String,
    #[command(flatten)]
    change: ChangeArgs,
}

fn scope(text: &str) -> Result<Scope, String> {
    text.parse().map_err(|_| "the scopes are sync.read, sync.write, sync.snapshot and presence.read".into())
}

fn pattern(text: &str) -> Result<StreamPattern, String> {
    StreamPattern::parse(text).map_err(|error| error.to_string())
}

fn permission(text: &str) -> Result<Permission, String> {
    let found = Permission::ALL.into_iter().find(|permission| permission.as_str() == text);
    found.ok_or_else(|| format!("the permissions are {}", Permission::ALL.map(Permission::as_str).join(", ")))
}

/// A time in whole seconds.
fn life(text: &str) -> Result<i64, String> {
    match Kind::Time(Duration::ZERO, Duration::from_secs(SESSION_LIFETIME_MAX_S.unsigned_abs())).read_text(text)? {
        Value::Time(time) if time.subsec_millis() == 0 => {
            i64::try_from(time.as_secs()).map_err(|error| error.to_string())
        }
        _ => Err("write whole seconds, such as 300s".into()),
    }
}

/// Runs a command.
pub(super) fn run(ui: &Ui, command: ClientsCommand) -> Outcome {
    match command {
        ClientsCommand::Add(args) => add(ui, *args),
        ClientsCommand::List(args) => list(ui, &args),
        ClientsCommand::Show(args) => show(ui, &args),
        ClientsCommand::Grant(args) => {
            let (control, actor) = args.change.open()?;
            control.client_set_grant(&actor, &args.id, args.grant.grant()?)?;
            said(ui, format!("`{}` has another grant; where it has less, its tokens have ended", args.id))
        }
        ClientsCommand::Disable(args) => {
            let (control, actor) = args.change.open()?;
            control.client_set_disabled(&actor, &args.id, true)?;
            said(ui, format!("`{}` is disabled, and all its tokens have ended", args.id))
        }
        ClientsCommand::Enable(args) => {
            let (control, actor) = args.change.open()?;
            control.client_set_disabled(&actor, &args.id, false)?;
            said(ui, format!("`{}` is enabled", args.id))
        }
        ClientsCommand::RotateSecret(args) => {
            let (control, actor) = args.change.open()?;
            let place = SecretPlace::prepare(args.secret.secret_file.as_deref())?;
            let secret = control.client_new_secret(&actor, &args.id, args.overlap)?;
            place.give(ui, &args.secret, &args.id, Some(&secret), json!({ "id": args.id, "overlap_s": args.overlap }))
        }
        ClientsCommand::AddKey(args) => {
            let (control, actor) = args.change.open()?;
            let kid = control.client_add_key(&actor, &args.id, &key_file(&args.key)?)?;
            ui.print(kid)?;
            Ok(Exit::Done)
        }
        ClientsCommand::RemoveKey(args) => {
            let (control, actor) = args.change.open()?;
            control.client_remove_key(&actor, &args.id, &args.kid)?;
            said(ui, format!("`{}` has one key less", args.id))
        }
        ClientsCommand::Revoke(args) => {
            let (control, actor) = args.change.open()?;
            let ended = control.client_revoke_sessions(&actor, &args.id)?;
            said(ui, format!("sessions of `{}` that have ended: {ended}", args.id))
        }
    }
}

fn said(ui: &Ui, line: String) -> Outcome {
    ui.say(line);
    Ok(Exit::Done)
}

fn key_file(path: &Path) -> Result<String, Failure> {
    let bytes = read_limited("the public key", path, TOKEN_FILE_BYTES_MAX)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn add(ui: &Ui, args: AddArgs) -> Outcome {
    let (control, actor) = args.change.open()?;
    let credential = match &args.public_key {
        Some(path) => Credential::PublicKey(key_file(path)?),
        None => Credential::Secret,
    };
    let new = NewClient {
        description: args.description,
        role: args.role,
        subject_prefixes: args.subject_prefixes,
        permissions: args.permissions.into_iter().collect::<BTreeSet<_>>(),
        access_lifetime_s: args.access_lifetime.unwrap_or(ACCESS_LIFETIME_DEFAULT_S),
        session_lifetime_s: args.session_lifetime.unwrap_or(SESSION_LIFETIME_MAX_S),
        credential,
        ..NewClient::new(args.id.clone(), args.grant.grant()?)
    };
    let place = SecretPlace::prepare(args.secret.secret_file.as_deref())?;
    let added = control.client_add(&actor, new)?;
    let document = json!({ "client": added.client, "key_id": added.key_id });
    place.give(ui, &args.secret, &args.id, added.secret.as_ref(), document)
}

/// Where a secret will be written. It is looked at before the secret is made: one that cannot be written is lost.
struct SecretPlace(Option<PathBuf>);

impl SecretPlace {
    fn prepare(file: Option<&Path>) -> Result<SecretPlace, Failure> {
        let Some(path) = file else { return Ok(SecretPlace(None)) };
        let shown = path.display();
        if path.symlink_metadata().is_ok() {
            return Err(Failure::could_not(format!("{shown} is there already"), "name a new file for the secret"));
        }
        // What cannot be made now could not be made then.
        write_new_secret(path, "").and_then(|()| std::fs::remove_file(path)).map_err(|error| {
            Failure::could_not(format!("{shown} cannot be written ({error})"), "name another file for the secret")
        })?;
        Ok(SecretPlace(Some(path.to_owned())))
    }

    /// Says what was done, and gives the secret away: to the file, or on stdout.
    fn give(self, ui: &Ui, args: &SecretArgs, id: &str, secret: Option<&Secret>, mut document: Json) -> Outcome {
        if let (Some(path), Some(secret)) = (&self.0, secret) {
            write_new_secret(path, &format!("{}\n", secret.expose())).map_err(|error| {
                let cause = format!("the secret could not be written to {} ({error})", path.display());
                Failure::could_not(
                    cause,
                    format!("it is lost: `muster control clients rotate-secret {id}` makes another"),
                )
            })?;
            document["secret_file"] = path.display().to_string().into();
        }
        let shown = secret.filter(|_| self.0.is_none());
        if args.json {
            document["schema"] = "muster.control_client.v1".into();
            if let Some(secret) = shown {
                document["secret"] = secret.expose().into();
            }
            ui.print_json(&document)?;
        } else if let Some(secret) = shown {
            ui.say(format!("`{id}` has this secret; it is shown this once:"));
            ui.print(secret.expose())?;
        } else if let Some(path) = &self.0 {
            ui.say(format!("the secret of `{id}` is in {}", path.display()));
        } else {
            ui.say(format!("`{id}` is registered"));
        }
        Ok(Exit::Done)
    }
}

fn list(ui: &Ui, args: &ListArgs) -> Outcome {
    let clients = args.state.open()?.client_list()?;
    if args.json {
        ui.print_json(&json!({ "schema": "muster.control_clients.v1", "clients": clients }))?;
        return Ok(Exit::Done);
    }
    let rows: Vec<_> = clients.iter().map(row).collect();
    ui.print(table::render(&head(["id", "state", "scopes", "streams", "permissions", "token life"]), &rows))?;
    Ok(Exit::Done)
}

fn row(client: &Client) -> Vec<String> {
    vec![
        client.id.clone(),
        if client.disabled { "disabled" } else { "enabled" }.into(),
        words(&client.grant.scopes),
        words(&client.grant.streams),
        words(client.permissions.iter().map(|permission| permission.as_str())),
        format!("{} s", client.access_lifetime_s),
    ]
}

fn show(ui: &Ui, args: &ShowArgs) -> Outcome {
    let clients = args.state.open()?.client_list()?;
    let client = clients.into_iter().find(|client| client.id == args.id);
    let client = client.ok_or_else(|| ControlError::NoClient(args.id.clone()))?;
    if args.json {
        ui.print_json(&json!({ "schema": "muster.control_client.v1", "client": client }))?;
        return Ok(Exit::Done);
    }
    let lines = [
        ("id", client.id.clone()),
        ("description", client.description.clone()),
        ("state", if client.disabled { "disabled" } else { "enabled" }.into()),
        ("scopes", words(&client.grant.scopes)),
        ("streams", words(&client.grant.streams)),
        ("role", client.role.clone().unwrap_or_default()),
        ("permissions", words(client.permissions.iter().map(|permission| permission.as_str()))),
        ("subject prefixes", words(&client.subject_prefixes)),
        ("token life", format!("{} s", client.access_lifetime_s)),
        ("session life", format!("{} s", client.session_lifetime_s)),
        ("since", time(client.created_s)),
    ];
    let rows: Vec<_> = lines.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    ui.print(table::render(&head(["what", "value"]), &rows))?;
    Ok(Exit::Done)
}
