//! Tokens of the token service: which service, and as which client.
//!
//! What always holds: a flag comes before a variable; what is said by halves is a mistake; a secret stands in a file, and
//! never on the command line, where every process of the machine can read it.

use std::path::PathBuf;
use std::time::Duration;

use muster_wire::lease::{Control, Credential};
use muster_wire::{Keeper, Source};

use super::variable_said;
use crate::limits::TOKEN_MS_MAX;
use crate::outcome::Failure;

const URL: &str = "MUSTER_CONTROL_URL";
const CLIENT_ID: &str = "MUSTER_CONTROL_CLIENT_ID";
const SECRET_FILE: &str = "MUSTER_CONTROL_CLIENT_SECRET_FILE";
const KEY_FILE: &str = "MUSTER_CONTROL_PRIVATE_KEY_FILE";

/// Which token service, as whom, and for how much.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ControlArgs {
    /// Get tokens from the token service with this issuer; `tail` and `emit` go on with its next ones [default, where no
    /// token is named: $MUSTER_CONTROL_URL]
    #[arg(long, value_name = "URL", conflicts_with_all = ["token_file", "anonymous"])]
    control: Option<String>,
    /// The client that the service knows this program as [default: $MUSTER_CONTROL_CLIENT_ID]
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// The file with the client's secret [default: $MUSTER_CONTROL_CLIENT_SECRET_FILE]
    #[arg(long, value_name = "FILE", conflicts_with = "private_key_file")]
    client_secret_file: Option<PathBuf>,
    /// The file with the client's private key, PEM on P-256 [default: $MUSTER_CONTROL_PRIVATE_KEY_FILE]
    #[arg(long, value_name = "FILE")]
    private_key_file: Option<PathBuf>,
    /// Ask for this scope only, such as sync.read; may be repeated [default: all that the client may have]
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// Ask for this stream, or pattern ending in `.*`, only; may be repeated [default: all that the client may have]
    #[arg(long = "stream", value_name = "PATTERN")]
    granted: Vec<String>,
}

impl ControlArgs {
    /// Whether the service is named on the command line.
    pub(super) const fn is_named(&self) -> bool {
        self.control.is_some()
    }

    /// Whether anything of it is.
    fn is_mentioned(&self) -> bool {
        self.client_id.is_some()
            || self.client_secret_file.is_some()
            || self.private_key_file.is_some()
            || !(self.scopes.is_empty() && self.granted.is_empty())
    }

    /// The service, where a flag or a variable names one.
    ///
    /// # Errors
    /// [`Failure::CouldNot`] if it is named by halves, or cannot be used.
    pub(super) fn source(&self) -> Result<Option<(Source, String)>, Failure> {
        let Some(url) = said(self.control.clone(), URL)? else {
            return if self.is_mentioned() {
                Err(Failure::could_not(
                    "what to ask a token service for is said, and no service",
                    format!("add --control URL, or set {URL}"),
                ))
            } else {
                Ok(None)
            };
        };
        let client_id = said(self.client_id.clone(), CLIENT_ID)?.ok_or_else(|| {
            Failure::could_not(
                "no client is named for the token service",
                format!("add --client-id ID, or set {CLIENT_ID}"),
            )
        })?;
        let mut control = Control::new(&url, client_id, self.credential()?)
            .map_err(|error| Failure::CouldNot(format!("--control: {error}")))?;
        if !self.scopes.is_empty() {
            control = control.scopes(self.scopes.clone());
        }
        if !self.granted.is_empty() {
            control = control.streams(self.granted.clone());
        }
        let issuer = control.issuer().to_owned();
        Ok(Some((Source::Control(Box::new(control)), issuer)))
    }

    fn credential(&self) -> Result<Credential, Failure> {
        // A file that is named by a flag comes before either that a variable names.
        if let Some(path) = &self.client_secret_file {
            return Ok(Credential::SecretFile(path.clone()));
        }
        if let Some(path) = &self.private_key_file {
            return Ok(Credential::PrivateKeyFile(path.clone()));
        }
        match (variable_said(SECRET_FILE)?, variable_said(KEY_FILE)?) {
            (Some(path), None) => Ok(Credential::SecretFile(path.into())),
            (None, Some(path)) => Ok(Credential::PrivateKeyFile(path.into())),
            (None, None) => Err(Failure::could_not(
                "nothing proves to the token service who asks",
                "add --client-secret-file FILE or --private-key-file FILE",
            )),
            (Some(_), Some(_)) => {
                Err(Failure::could_not(format!("{SECRET_FILE} and {KEY_FILE} are both set"), "unset one of them"))
            }
        }
    }
}

fn said(flag: Option<String>, variable: &str) -> Result<Option<String>, Failure> {
    match flag {
        Some(given) => Ok(Some(given)),
        None => variable_said(variable),
    }
}

/// A keeper's first token.
///
/// # Errors
/// [`Failure::CouldNot`] in the service's words, or if none comes.
pub(super) async fn first(keeper: &Keeper) -> Result<muster_wire::lease::Held, Failure> {
    keeper.token(Duration::from_millis(TOKEN_MS_MAX)).await.map_err(|error| Failure::CouldNot(error.to_string()))
}
