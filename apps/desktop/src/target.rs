//! From arguments, or from what was typed into the window, to a lane.
//!
//! What always holds: nothing is sent; what is wrong is one line with its remedy; a token is read from where it was named,
//! and nothing else on this machine is looked at.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use muster_contract::pattern::StreamPattern;
use muster_lane::{Lane, LaneName};
use muster_panel::{Target, TokenChoice};
use muster_wire::lease::{Control, Credential, Source};
use muster_wire::{Endpoint, Token};

use crate::args::{Args, PlaceArgs};
use crate::connect::Form;
use crate::limits::TOKEN_FILE_BYTES_MAX;

/// Why there is no target. One line, with the remedy.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The lane's variables.
    #[error(transparent)]
    Lane(#[from] muster_lane::LaneError),
    /// The address.
    #[error(transparent)]
    Endpoint(#[from] muster_wire::EndpointError),
    /// The token.
    #[error("{from}: {error}")]
    Token {
        /// Where it was read from.
        from: String,
        /// What is wrong with it.
        error: muster_wire::TokenError,
    },
    /// A file.
    #[error("{what} {} cannot be used ({error}); check its path and its rights", .path.display())]
    File {
        /// What it is.
        what: &'static str,
        /// Which one.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The token service.
    #[error(transparent)]
    Control(#[from] muster_wire::lease::SourceError),
    /// Something that is missing or no such thing.
    #[error("{0}")]
    Other(String),
}

/// The lane that the arguments name; `None` if they name none.
///
/// # Errors
/// [`TargetError`].
pub fn of_args(args: &Args) -> Result<Option<Target>, TargetError> {
    let Some((lane, endpoint)) = place(&args.place)? else { return Ok(None) };
    let store = match &args.store {
        Some(store) => store.clone(),
        None => own_store(&endpoint)?,
    };
    let pattern = |text: &String| {
        StreamPattern::parse(text).map_err(|error| TargetError::Other(format!("--stream {text}: {error}")))
    };
    let mut target = Target::new(endpoint, store);
    target.follows = args.streams.iter().map(pattern).collect::<Result<_, _>>()?;
    if args.from_now {
        target.start = muster_panel::StartAt::Now;
    }
    target.lane = lane;
    target.token = token(&args.place, std::env::var("MUSTER_TOKEN").ok())?;
    target.outbox = args.outbox.clone().or_else(|| own_outbox(&target.endpoint));
    Ok(Some(target))
}

/// The lane that was typed.
///
/// # Errors
/// [`TargetError`].
pub fn of_form(form: &Form) -> Result<Target, TargetError> {
    let text = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let place_args = PlaceArgs {
        lane: text(&form.lane),
        env_file: text(&form.env_file).map(PathBuf::from),
        server: text(&form.server),
        database: text(&form.database),
        token_file: text(&form.token_file).map(PathBuf::from),
        control: text(&form.control),
        client_id: text(&form.client_id),
        client_secret_file: text(&form.client_secret_file).map(PathBuf::from),
        ..PlaceArgs::default()
    };
    let wrong = |what: &str| Err(TargetError::Other(what.into()));
    if place_args.lane.is_some() && place_args.server.is_some() {
        return wrong("a lane has its own server; leave one of the two empty");
    }
    if place_args.token_file.is_some() && place_args.control.is_some() {
        return wrong("a token comes from a file or from a token service; leave one of the two empty");
    }
    let (lane, endpoint) =
        place(&place_args)?.ok_or_else(|| TargetError::Other("write a lane, or a server and a database".into()))?;
    let mut target = Target::new(endpoint.clone(), own_store(&endpoint)?);
    target.lane = lane;
    // The token in the environment was meant for another place.
    target.token = token(&place_args, None)?;
    target.outbox = own_outbox(&endpoint);
    Ok(target)
}

fn place(args: &PlaceArgs) -> Result<Option<(Option<String>, Endpoint)>, TargetError> {
    if let Some(name) = &args.lane {
        let name: LaneName = name.parse().map_err(|error| TargetError::Other(format!("lane `{name}`: {error}")))?;
        let source = match &args.env_file {
            Some(file) => muster_lane::from_file(file)?,
            None => muster_lane::from_environment(),
        };
        let lane = Lane::parse(name, &source)?;
        let endpoint = Endpoint::new(lane.http_base_url.as_str(), &lane.database)?
            .with_websocket_path(&lane.websocket_path)?
            .with_health_path(&lane.health_path)?;
        return Ok(Some((Some(lane.name.to_string()), endpoint)));
    }
    match (&args.server, &args.database) {
        (Some(server), Some(database)) => Ok(Some((None, Endpoint::new(server, database)?))),
        (Some(_), None) => Err(TargetError::Other("no database is named; add --database NAME".into())),
        (None, _) => Ok(None),
    }
}

fn token(args: &PlaceArgs, of_environment: Option<String>) -> Result<TokenChoice, TargetError> {
    if args.control.is_some() && args.client_id.is_none() {
        return Err(TargetError::Other("no client of the token service is named; add --client-id ID".into()));
    }
    if let (Some(url), Some(client)) = (&args.control, &args.client_id) {
        let credential = match (&args.client_secret_file, &args.private_key_file) {
            (Some(file), _) => Credential::SecretFile(file.clone()),
            (None, Some(file)) => Credential::PrivateKeyFile(file.clone()),
            (None, None) => {
                let what = "no credential for the token service; add --client-secret-file or --private-key-file";
                return Err(TargetError::Other(what.into()));
            }
        };
        let control = Control::new(url, client.clone(), credential)?;
        return Ok(TokenChoice::Renewed(Source::Control(Box::new(control))));
    }
    let (from, text) = match (&args.token_file, of_environment) {
        (Some(path), _) => (path.display().to_string(), read(path)?),
        (None, Some(text)) => ("MUSTER_TOKEN".into(), text),
        (None, None) => return Ok(TokenChoice::Anonymous),
    };
    Ok(TokenChoice::Given(Token::new(text).map_err(|error| TargetError::Token { from, error })?))
}

fn read(path: &Path) -> Result<String, TargetError> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(TOKEN_FILE_BYTES_MAX).read_to_string(&mut text));
    read.map(|_| text).map_err(|error| TargetError::File { what: "the token file", path: path.into(), error })
}

/// The folder of state (the XDG base directory specification).
pub fn state_home() -> Option<PathBuf> {
    let given = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    given.or_else(|| std::env::home_dir().filter(|home| home.is_absolute()).map(|home| home.join(".local/state")))
}

/// A database at an address, as the name of a file.
fn stem(endpoint: &Endpoint) -> String {
    let scheme = if endpoint.is_encrypted() { "https" } else { "http" };
    let plain = |text: &str, also: &[char]| -> String {
        text.chars().map(|c| if c.is_ascii_alphanumeric() || also.contains(&c) { c } else { '_' }).collect()
    };
    format!("{scheme}_{}_{}", plain(&endpoint.authority(), &['.', '-']), plain(endpoint.database(), &['-']))
}

fn own_store(endpoint: &Endpoint) -> Result<PathBuf, TargetError> {
    let home = state_home().ok_or_else(|| {
        TargetError::Other("there is no folder to keep the store in; set HOME, or give --store".into())
    })?;
    let folder = home.join("muster/desktop");
    fs::create_dir_all(&folder).map_err(|error| TargetError::File {
        what: "the folder",
        path: folder.clone(),
        error,
    })?;
    Ok(folder.join(format!("{}.db", stem(endpoint))))
}

/// Where `muster emit` keeps its outbox for the database.
fn own_outbox(endpoint: &Endpoint) -> Option<PathBuf> {
    Some(state_home()?.join(format!("muster/outboxes/{}.outbox", stem(endpoint))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_at_an_address_is_a_plain_file_name() {
        let stem = |url| stem(&Endpoint::new(url, "streams").expect("an endpoint"));
        assert_eq!(stem("http://127.0.0.1:3000"), "http_127.0.0.1_3000_streams");
        assert_eq!(stem("https://[::1]:3000"), "https____1__3000_streams");
    }

    #[test]
    fn a_token_in_the_environment_is_not_for_whatever_server_is_typed() {
        let place = PlaceArgs { server: Some("http://h:1".into()), database: Some("d".into()), ..PlaceArgs::default() };
        let choice = |of_environment| token(&place, of_environment).expect("a choice");
        assert!(matches!(choice(None), TokenChoice::Anonymous));
        assert!(matches!(choice(Some("a.b.c".into())), TokenChoice::Given(_)));
        let form = Form { server: "http://h:1".into(), database: "d".into(), ..Form::default() };
        assert!(matches!(of_form(&form).expect("a target").token, TokenChoice::Anonymous));
    }

    #[test]
    fn what_is_typed_wrong_is_said_in_a_line() {
        let form =
            |server: &str, database: &str| Form { server: server.into(), database: database.into(), ..Form::default() };
        let said = |form| of_form(&form).expect_err("wrong").to_string();
        assert!(said(form("http://h:1", "")).contains("add --database"));
        assert!(said(form("not a url", "d")).lines().count() == 1);
        let both = Form { lane: "dev".into(), ..form("http://h:1", "d") };
        assert!(said(both).contains("leave one of the two empty"));
        let service = Form { control: "http://127.0.0.1:1".into(), ..form("http://h:1", "d") };
        assert!(said(service).contains("--client-id"));
        let lane = Form { lane: "no such lane".into(), ..Form::default() };
        assert!(said(lane).starts_with("lane `no such lane`: "));
    }
}
