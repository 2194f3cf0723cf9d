//! Tokens of the lane's issuer, for gates that need them: as narrow and as short as each wants.
//!
//! What always holds: a token is asked for streams of this run alone; nothing of it is noted anywhere.

use std::time::Duration;

use muster_wire::Token;
use muster_wire::lease::{Control, Credential, Source, fetch};

use super::settings::Tokens;
use super::site::{PREFIX, Stage, words};

/// What a token is to be good for.
#[derive(Clone, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) scopes: &'a [&'a str],
    pub(crate) streams: Vec<String>,
    pub(crate) life: Option<Duration>,
}

/// A token for streams of this run.
///
/// # Errors
/// In words, with what to do.
pub(crate) async fn get(stage: &Stage, wanted: &Wanted<'_>) -> Result<Token, String> {
    fetch(&source(stage, wanted)?).await.map(|granted| granted.token).map_err(|refused| words(&refused))
}

/// The source of such tokens.
///
/// # Errors
/// In words, if the lane's settings name none, or one that cannot be used.
pub(crate) fn source(stage: &Stage, wanted: &Wanted<'_>) -> Result<Source, String> {
    let Some(tokens) = &stage.settings().tokens else {
        return Err(format!(
            "gates.toml names no `tokens` for `{}`: register a client with every scope and the streams `{PREFIX}.*`, and \
             name it there",
            stage.site.name
        ));
    };
    from(tokens, &tokens.control, wanted)
}

/// The same from a service at another address.
pub(crate) fn from(tokens: &Tokens, address: &str, wanted: &Wanted<'_>) -> Result<Source, String> {
    let credential = match (&tokens.secret_file, &tokens.private_key_file) {
        (Some(file), _) => Credential::SecretFile(file.clone()),
        (None, Some(file)) => Credential::PrivateKeyFile(file.clone()),
        (None, None) => return Err("gates.toml names neither `secret_file` nor `private_key_file`".into()),
    };
    let control = Control::new(address, tokens.client_id.as_str(), credential).map_err(|error| words(&error))?;
    let control = control.scopes(wanted.scopes.iter().map(ToString::to_string).collect());
    let control = control.streams(wanted.streams.clone());
    Ok(Source::Control(Box::new(match wanted.life {
        Some(life) => control.lifetime(life),
        None => control,
    })))
}
