//! As whom to go to a host: where a token is looked for, and in which order.
//!
//! What always holds: what a person says outright (`--token-file`, `MUSTER_TOKEN`) is used as it is; what is merely
//! found on the machine goes only to the host it was stored for, so that a token of one host never reaches another, and
//! is passed over where the host refuses it; nothing found is changed here.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use muster_wire::http::HttpClient;
use muster_wire::{Endpoint, Token};

use super::files::read_limited;
use super::{cli_toml, saved, variable_said};
use crate::limits::{CHECK_MS_MAX, TOKEN_FILE_BYTES_MAX};
use crate::outcome::Failure;
use crate::ui::Ui;

/// Where a token is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TokenPlace {
    /// There is none, or none is wanted.
    Nowhere,
    /// `--token-file`.
    File(PathBuf),
    /// `MUSTER_TOKEN`.
    Variable,
    /// Saved by `publish` for this host.
    Saved(PathBuf),
    /// The official CLI's `cli.toml`, which lists this host.
    CliToml(PathBuf),
    /// The token service with this issuer.
    Control(String),
}

/// Where a token is from, and which others the host refused before. Displays as the end of a sentence: "with the token
/// from …".
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TokenOrigin {
    /// Where it is from.
    pub(crate) place: TokenPlace,
    /// The files whose tokens the host did not take.
    pub(crate) refused: Vec<PathBuf>,
}

impl From<TokenPlace> for TokenOrigin {
    fn from(place: TokenPlace) -> TokenOrigin {
        TokenOrigin { place, refused: Vec::new() }
    }
}

impl fmt::Display for TokenOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            TokenPlace::Nowhere => f.write_str("anonymously")?,
            TokenPlace::Variable => f.write_str("with the token from MUSTER_TOKEN")?,
            TokenPlace::Control(issuer) => write!(f, "with a token of {issuer}")?,
            TokenPlace::File(path) | TokenPlace::Saved(path) | TokenPlace::CliToml(path) => {
                write!(f, "with the token from {}", path.display())?;
            }
        }
        let refused: Vec<_> = self.refused.iter().map(|path| path.display().to_string()).collect();
        if !refused.is_empty() {
            write!(f, ", because the host does not take that from {}", refused.join(" or "))?;
        }
        Ok(())
    }
}

/// The token that a person says outright.
///
/// # Errors
/// [`Failure::CouldNot`] if it cannot be used.
pub(super) fn said_outright(file: Option<&Path>) -> Result<Option<Token>, Failure> {
    if let Some(path) = file {
        return from_file(path).map(Some);
    }
    let Some(text) = variable_said("MUSTER_TOKEN")? else { return Ok(None) };
    Token::new(text).map(Some).map_err(|error| Failure::CouldNot(format!("MUSTER_TOKEN: {error}")))
}

/// Finds a token for the host of `endpoint`.
///
/// What is found on the machine is tried in this order: the official CLI's token, where its file lists this host, since
/// `spacetime login` is what a person did on purpose; then what `publish` saved. A login that the host refuses is passed
/// over only for a saved token, or on this machine itself, where hosts come and go and no login reaches: elsewhere an
/// expired login must not turn into somebody new without a word.
///
/// # Errors
/// [`Failure::CouldNot`] if one that was named cannot be used.
pub(super) async fn find(
    file: Option<&Path>,
    endpoint: &Endpoint,
    ui: &Ui,
) -> Result<(Option<Token>, TokenOrigin), Failure> {
    if let Some(token) = said_outright(file)? {
        let place = file.map_or(TokenPlace::Variable, |path| TokenPlace::File(path.into()));
        return Ok((Some(token), place.into()));
    }
    let login = cli_toml::find(endpoint)?;
    let saved = saved::all(endpoint)?;
    if let (Some((token, path)), true) = (&login, saved.is_empty() && !is_on_this_machine(endpoint)) {
        // The only one, and it is to be used whatever the host says of it: no need to ask.
        return Ok((Some(token.clone()), TokenPlace::CliToml(path.clone()).into()));
    }
    let login_place = login.clone().map(|(token, path)| (token, TokenPlace::CliToml(path)));
    let saved_places = saved.into_iter().map(|saved| (saved.token, TokenPlace::Saved(saved.path)));
    let mut refused = Vec::new();
    let deadline = Deadline::after_ms(CHECK_MS_MAX);
    for (token, place) in login_place.into_iter().chain(saved_places) {
        let (TokenPlace::Saved(path) | TokenPlace::CliToml(path)) = &place else { continue };
        if matches!(place, TokenPlace::Saved(_)) && saved::is_open_to_others(path) {
            ui.say(format!("warning: others can read the token in {0}; run `chmod 600 {0}`", path.display()));
        }
        if deadline.takes(endpoint, &token).await? {
            return Ok((Some(token), TokenOrigin { place, refused }));
        }
        ui.detail(format!("the host does not take the token from {}", path.display()));
        refused.push(path.clone());
    }
    match login {
        Some((token, path)) if !is_on_this_machine(endpoint) => {
            refused.retain(|refused| *refused != path);
            Ok((Some(token), TokenOrigin { place: TokenPlace::CliToml(path), refused }))
        }
        _ => Ok((None, TokenOrigin { place: TokenPlace::Nowhere, refused })),
    }
}

/// Until when a host may be asked which tokens it takes: once for all of them together.
pub(super) struct Deadline(Instant);

impl Deadline {
    pub(super) fn after_ms(ms: u64) -> Deadline {
        Deadline(Instant::now() + Duration::from_millis(ms))
    }

    /// Whether the host takes `token`. A host that was made anew at the same address (one in memory, say) has other keys
    /// and takes none of before. What else may be wrong with the host is for the command to meet and to tell, so
    /// anything but a clear no is a yes.
    pub(super) async fn takes(&self, endpoint: &Endpoint, token: &Token) -> Result<bool, Failure> {
        let left = self.0.saturating_duration_since(Instant::now());
        let client = HttpClient::new(endpoint.clone(), Some(token.clone()))?.with_timeout(left);
        Ok(client.websocket_token().await.map_err(|error| error.status()) != Err(Some(401)))
    }
}

fn is_on_this_machine(endpoint: &Endpoint) -> bool {
    let authority = endpoint.authority();
    let host = authority.rsplit_once(':').map_or(authority.as_str(), |(host, _)| host);
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// A token alone in a file.
pub(super) fn from_file(path: &Path) -> Result<Token, Failure> {
    let bytes = read_limited("the token file", path, TOKEN_FILE_BYTES_MAX)?;
    Token::new(String::from_utf8_lossy(&bytes))
        .map_err(|error| Failure::CouldNot(format!("the token file {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_told_from_others() {
        let here = |url| is_on_this_machine(&Endpoint::new(url, "db").expect("an endpoint"));
        assert!(here("http://127.0.0.1:3000") && here("http://localhost") && here("http://[::1]:3000"));
        assert!(!here("https://maincloud.spacetimedb.com") && !here("http://192.0.2.1:3000"));
    }

    #[test]
    fn an_origin_names_the_files_that_were_refused() {
        let place = TokenPlace::Saved("b".into());
        let origin = TokenOrigin { place, refused: vec!["a".into()] };
        assert_eq!(origin.to_string(), "with the token from b, because the host does not take that from a");
    }

    #[tokio::test]
    async fn a_host_that_says_nothing_is_not_asked_for_longer_than_the_limit() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", silent.local_addr().expect("bound"));
        let endpoint = Endpoint::new(&url, "db").expect("an endpoint");
        let (deadline, token) = (Deadline::after_ms(200), Token::new("abc").expect("a token"));
        let both = async {
            // The second has what the first has left: nothing.
            (deadline.takes(&endpoint, &token).await, deadline.takes(&endpoint, &token).await)
        };
        let answers = tokio::time::timeout(Duration::from_secs(20), both).await.expect("within the limit");
        assert_eq!(answers, (Ok(true), Ok(true)));
    }
}
