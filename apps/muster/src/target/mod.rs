//! Where a command goes and as whom: `--lane`, or `--server` with `--database`, and a token from one of several places.
//!
//! What always holds: exactly one way says where; whatever is wrong with it is said before anything is sent; a token
//! goes only to a host that it was meant for (see [`tokens`]).

mod cli_toml;
mod control;
mod files;
mod lanes;
mod names;
mod outbox;
mod saved;
mod tokens;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use muster_lane::{Lane, LaneName};
use muster_wire::http::{HttpClient, HttpError};
use muster_wire::lease::Control;
use muster_wire::{ConnectOptions, Endpoint, Keeper, Source, Token};

use crate::limits::CHECK_MS_MAX;
use crate::outcome::Failure;
use crate::ui::Ui;

pub(crate) use files::read_limited;
#[cfg(feature = "control")]
pub(crate) use files::write_new_secret;
#[cfg(all(unix, feature = "host", feature = "control"))]
pub(crate) use files::{create_private_folder, state_home};
pub(crate) use names::check_new_name;
pub(crate) use outbox::outbox_of;
use saved::Owner;
use tokens::{TokenOrigin, TokenPlace};

/// Where to go, and as whom: the arguments that every command that talks to a host takes.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Where to, and as whom")]
pub(crate) struct TargetArgs {
    /// A lane, from the variables OA_SPACETIME_<NAME>_*
    #[arg(long, value_name = "NAME", conflicts_with_all = ["server", "database"])]
    lane: Option<LaneName>,
    /// Read the lane's variables from this file, not from the environment
    #[arg(long, value_name = "FILE", conflicts_with_all = ["server", "database"])]
    env_file: Option<PathBuf>,
    /// A host's URL, http:// or https:// [default without --lane: $MUSTER_SERVER]
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// A database, by name or identity [default without --lane: $MUSTER_DATABASE]
    #[arg(long, value_name = "NAME")]
    database: Option<String>,
    /// Read the token from this regular file [default: $MUSTER_TOKEN, then the official CLI's cli.toml for the
    /// servers that it lists, then what `publish` saved for the host]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Use no token, whatever there is
    #[arg(long, conflicts_with = "token_file")]
    anonymous: bool,
    #[command(flatten)]
    control: control::ControlArgs,
}

/// A database on a host.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The lane, if one was named.
    pub(crate) lane: Option<Lane>,
    /// Where it is.
    pub(crate) endpoint: Endpoint,
}

/// A database on a host, and as whom to go there.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Where.
    pub(crate) place: Place,
    /// As whom; `None` is anonymous.
    pub(crate) token: Option<Token>,
    /// Where the token is from.
    pub(crate) origin: TokenOrigin,
    /// Who has the next tokens, where a token service gives them. [`Target::token`] is the first of them.
    pub(crate) keeper: Option<Keeper>,
}

impl TargetArgs {
    /// Where to. Sends nothing.
    ///
    /// # Errors
    /// [`Failure::CouldNot`] if no way, or a wrong one, is given.
    pub(crate) fn place(&self) -> Result<Place, Failure> {
        match (&self.lane, &self.env_file) {
            (Some(name), _) => self.lane_place(name),
            (None, Some(file)) => Err(lanes::unnamed(file)),
            (None, None) => self.server_place(),
        }
    }

    /// Whether `--anonymous` is given.
    pub(crate) const fn is_anonymous(&self) -> bool {
        self.anonymous
    }

    /// The same, to this lane where neither a lane nor a host is named.
    pub(crate) fn or_lane(mut self, name: &LaneName) -> TargetArgs {
        if self.lane.is_none() && self.server.is_none() && self.database.is_none() {
            self.lane = Some(name.clone());
        }
        self
    }

    /// Where another lane is, by the same variables: its base URL and its database; `None` where they do not say.
    pub(crate) fn whereabouts(&self, name: &LaneName) -> Option<(String, String)> {
        let endpoint = self.lane_place(name).ok()?.endpoint;
        Some((endpoint.base().to_owned(), endpoint.database().to_owned()))
    }

    /// Whether a lane is named.
    pub(crate) const fn names_a_lane(&self) -> bool {
        self.lane.is_some()
    }

    /// Where to and as whom. May ask the host whether a saved token is still good.
    ///
    /// # Errors
    /// As [`TargetArgs::place`]; or a token that cannot be read.
    pub(crate) async fn resolve(&self, ui: &Ui) -> Result<Target, Failure> {
        let mut target = self.resolve_lasting(ui).await?;
        if let Some(keeper) = &target.keeper {
            let held = control::first(keeper).await?;
            target.token = Some(held.token);
            if let Some(database) = held.database {
                ui.detail(format!("the token service sends this client to the database {database}"));
                target.place.endpoint = target.place.endpoint.with_database(&database)?;
            }
        }
        Ok(target)
    }

    /// The same for what lasts: a token service that is away is waited for by whoever takes [`Target::keeper`], and
    /// there is no first token.
    ///
    /// # Errors
    /// As [`TargetArgs::resolve`].
    pub(crate) async fn resolve_lasting(&self, ui: &Ui) -> Result<Target, Failure> {
        let place = self.place()?;
        let target = match self.source()? {
            Some((source, issuer)) => {
                let origin = TokenPlace::Control(issuer).into();
                Target { place, token: None, origin, keeper: Some(Keeper::start(source)) }
            }
            None => {
                let (token, origin) = self.find_token(&place.endpoint, ui).await?;
                Target { place, token, origin, keeper: None }
            }
        };
        let (endpoint, origin) = (&target.place.endpoint, &target.origin);
        ui.detail(format!("{} on {}, {origin}", endpoint.database(), endpoint.base()));
        Ok(target)
    }

    /// The token service, where one is to be asked: a flag comes before `MUSTER_TOKEN`, and that before the variables.
    ///
    /// # Errors
    /// [`Failure::CouldNot`] if it is named by halves, or cannot be used.
    fn source(&self) -> Result<Option<(Source, String)>, Failure> {
        let is_said_otherwise = self.anonymous || self.token_file.is_some();
        if !self.control.is_named() && (is_said_otherwise || variable_said("MUSTER_TOKEN")?.is_some()) {
            return Ok(None);
        }
        self.control.source()
    }

    /// Who has tokens of a token service, where one is named; it asks at once.
    ///
    /// # Errors
    /// [`Failure::CouldNot`] if it is named by halves, or cannot be used.
    pub(crate) fn keeper(&self) -> Result<Option<Keeper>, Failure> {
        Ok(self.source()?.map(|(source, _)| Keeper::start(source)))
    }

    /// The token service, where tokens are to come of one.
    ///
    /// # Errors
    /// [`Failure::CouldNot`] if it is named by halves, or cannot be used.
    pub(crate) fn service(&self) -> Result<Option<Control>, Failure> {
        Ok(match self.source()? {
            Some((Source::Control(service), _)) => Some(*service),
            _ => None,
        })
    }

    /// As whom, where a person says it outright: `--token-file`, or `MUSTER_TOKEN`. Sends nothing.
    ///
    /// # Errors
    /// [`Failure::CouldNot`] if that is no token, or cannot be read.
    pub(crate) fn token_said_outright(&self) -> Result<Option<Token>, Failure> {
        if self.anonymous { Ok(None) } else { tokens::said_outright(self.token_file.as_deref()) }
    }

    async fn find_token(&self, endpoint: &Endpoint, ui: &Ui) -> Result<(Option<Token>, TokenOrigin), Failure> {
        if self.anonymous {
            return Ok((None, TokenPlace::Nowhere.into()));
        }
        tokens::find(self.token_file.as_deref(), endpoint, ui).await
    }

    fn lane_place(&self, name: &LaneName) -> Result<Place, Failure> {
        let source = match &self.env_file {
            Some(file) => muster_lane::from_file(file).map_err(|error| {
                Failure::could_not(error.to_string(), "check --env-file, and that each of its lines is KEY=VALUE")
            })?,
            None => muster_lane::from_environment(),
        };
        let lane = Lane::parse(name.clone(), &source)?;
        let endpoint = Endpoint::new(lane.http_base_url.as_str(), &lane.database)?
            .with_websocket_path(&lane.websocket_path)?
            .with_health_path(&lane.health_path)?;
        Ok(Place { lane: Some(lane), endpoint })
    }

    fn server_place(&self) -> Result<Place, Failure> {
        let given = |flag: &Option<String>, variable| match flag {
            Some(given) => Ok(Some(given.clone())),
            None => variable_said(variable),
        };
        let server = given(&self.server, "MUSTER_SERVER")?.ok_or_else(|| {
            Failure::could_not("no host is named", "use --lane NAME, or --server URL with --database NAME")
        })?;
        let database = given(&self.database, "MUSTER_DATABASE")?
            .ok_or_else(|| Failure::could_not("no database is named", "add --database NAME"))?;
        Ok(Place { lane: None, endpoint: Endpoint::new(&server, &database)? })
    }
}

impl Place {
    /// Asks the host whether it is up, anonymously, and says how long the answer took.
    ///
    /// # Errors
    /// [`Failure::CouldNot`] if it does not answer well within [`CHECK_MS_MAX`].
    pub(crate) async fn ping(&self) -> Result<Duration, Failure> {
        let http = HttpClient::new(self.endpoint.clone(), None)?.with_timeout(Duration::from_millis(CHECK_MS_MAX));
        http.ping().await.map_err(|error| match error.status() {
            // The wire's remedies for a status are about databases and tokens, of which nothing was asked here.
            Some(status) => Failure::could_not(
                format!("the host at {} answers its health path with {status}", self.endpoint.authority()),
                format!("is it a SpacetimeDB 2.x host, and {} the right address?", self.endpoint.health_url()),
            ),
            None => error.into(),
        })
    }
}

impl Target {
    /// Talks HTTP to the database.
    ///
    /// # Errors
    /// [`Failure::CouldNot`] if the HTTP library cannot start.
    pub(crate) fn http(&self) -> Result<HttpClient, Failure> {
        Ok(HttpClient::new(self.place.endpoint.clone(), self.token.clone())?)
    }

    /// The same with a limit for one request.
    ///
    /// # Errors
    /// As [`Target::http`].
    pub(crate) fn http_within(&self, limit: Duration) -> Result<HttpClient, Failure> {
        Ok(self.http()?.with_timeout(limit))
    }

    /// Connects to the database.
    pub(crate) fn connect_options(&self) -> ConnectOptions {
        ConnectOptions::new(self.place.endpoint.clone()).token(self.token.clone())
    }

    /// The database's name or identity, as given.
    pub(crate) fn database(&self) -> &str {
        self.place.endpoint.database()
    }

    /// What an error of the host means here: one about the token says which token it was, and none is without a remedy.
    pub(crate) fn explain(&self, error: HttpError) -> Failure {
        match error.status() {
            Some(401 | 403) => {
                let hint = self.saved_for_another_name().unwrap_or_default();
                Failure::CouldNot(format!("{error} (this was asked {}){hint}", self.origin))
            }
            // The host's words about a name have a remedy that is right nowhere but here.
            Some(400) if let Err(failure) = check_new_name(self.database()) => failure,
            Some(402) => {
                Failure::could_not(error.to_string(), "the database's energy is used up: see the host's dashboard")
            }
            Some(500) => Failure::could_not(error.to_string(), "`muster logs` or the host's own log may say why"),
            Some(status) if !has_remedy(status) => {
                Failure::could_not(error.to_string(), "is it a SpacetimeDB 2.x host, and the address right?")
            }
            _ => error.into(),
        }
    }

    /// A token that was merely found, or none, may not be the one that was meant: this machine has several names, and
    /// what is saved for one of them is not sent to another.
    fn saved_for_another_name(&self) -> Option<String> {
        let endpoint = &self.place.endpoint;
        let found = matches!(self.origin.place, TokenPlace::Nowhere | TokenPlace::Saved(_));
        let other = saved::other_name(endpoint).filter(|_| found)?;
        let here = endpoint.authority();
        Some(format!("; a token is saved for `{other}`, which is not sent to `{here}`: write {other} to use it"))
    }

    /// The same target as somebody whom the host makes up, with the token saved for the next time; or, if another
    /// process has just done that, as whom it saved.
    ///
    /// # Errors
    /// [`Failure::CouldNot`] if the host makes none, or the token cannot be saved.
    pub(crate) async fn with_new_identity(self, ui: &Ui) -> Result<Target, Failure> {
        let saved = match saved::make_owner(&self.place.endpoint, ui).await? {
            Owner::New(identity, saved) => {
                let why = match self.origin.refused.as_slice() {
                    [] => "no token is known for this host",
                    _ => "the host takes none of the tokens known for it",
                };
                ui.say(format!(
                    "{why}: made identity {identity}, which owns what is published now, and saved its token in \
                     {}; who has that file can change the database, and nobody else",
                    saved.path.display()
                ));
                saved
            }
            Owner::Found(saved) => saved,
        };
        let origin = TokenOrigin { place: TokenPlace::Saved(saved.path), refused: self.origin.refused };
        Ok(Target { token: Some(saved.token), origin, ..self })
    }
}

/// Whether [`HttpError`] itself says what to do about a status.
const fn has_remedy(status: u16) -> bool {
    matches!(status, 401 | 403 | 404 | 413 | 429 | 502..=504 | 507)
}

/// An environment variable that is set and not empty.
pub(crate) fn variable_text(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.trim().is_empty())
}

/// An environment variable that says where to or as whom. One that is set and says nothing is a mistake (of a script whose
/// own variable was empty, say), and going elsewhere, or as somebody else, would hide it.
///
/// # Errors
/// [`Failure::CouldNot`] if it is set, and blank or not UTF-8.
pub(crate) fn variable_said(name: &str) -> Result<Option<String>, Failure> {
    said(name, std::env::var_os(name))
}

fn said(name: &str, value: Option<OsString>) -> Result<Option<String>, Failure> {
    let remedy = "set it to a value, or unset it";
    match value.map(OsString::into_string) {
        None => Ok(None),
        Some(Err(_)) => Err(Failure::could_not(format!("{name} is not UTF-8"), remedy)),
        Some(Ok(text)) if text.trim().is_empty() => {
            Err(Failure::could_not(format!("{name} is set, but empty"), remedy))
        }
        Some(Ok(text)) => Ok(Some(text)),
    }
}

/// A target for tests of pure code.
#[cfg(test)]
pub(crate) fn target_for_tests(server: &str, database: &str) -> Target {
    let endpoint = Endpoint::new(server, database).expect("an endpoint");
    Target { place: Place { lane: None, endpoint }, token: None, origin: TokenPlace::Nowhere.into(), keeper: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_is_set_and_says_nothing_is_a_mistake() {
        assert_eq!(said("MUSTER_TOKEN", None), Ok(None));
        assert_eq!(said("MUSTER_TOKEN", Some("abc".into())), Ok(Some("abc".into())));
        let told = |value| said("MUSTER_TOKEN", Some(value)).expect_err("a mistake").to_string();
        assert_eq!(told("".into()), "MUSTER_TOKEN is set, but empty; set it to a value, or unset it");
        assert!(told(" \n".into()).contains("empty"));
        #[cfg(unix)]
        assert!(told(std::os::unix::ffi::OsStringExt::from_vec(vec![0xff])).starts_with("MUSTER_TOKEN is not UTF-8"));
    }

    #[test]
    fn a_host_that_is_full_or_drains_is_not_asked_whether_it_is_one() {
        for status in [503, 507] {
            let (context, authority) = ("calling `set_name`".into(), "h:1".into());
            let error = HttpError::Status { context, authority, status, said: "no space is left".into() };
            let told = target_for_tests("http://h:1", "db").explain(error).to_string();
            assert!(!told.contains("is it a SpacetimeDB") && told.contains("no space is left; "), "{told}");
        }
    }
}
