//! Where tokens come from: one that stays, a file, or the token service.
//!
//! What always holds: a secret is sent over TLS, or to this very machine; it shows up in no error, log or `Debug` text;
//! one that stands in a file which others can read is refused; files are read anew at each question, so that a secret or a
//! key can be replaced under a running program.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::AsyncReadExt as _;
use url::{Host, Url};

use super::control;
use super::hints::Hints;
use super::machine::{Retry, Terms};
use crate::limits::{LEASE_FILE_BYTES_MAX, LEASE_REQUEST_MS_MAX, ms};
use crate::token::Token;

/// Where tokens come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// This one, for as long as it is good.
    Static(Token),
    /// The one in this file, which somebody else replaces; it is looked at every second.
    File(PathBuf),
    /// The token service.
    Control(Box<Control>),
}

/// A text that must not be seen.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// This text, without white space around it.
    pub fn new(text: impl AsRef<str>) -> Secret {
        Secret(text.as_ref().trim().into())
    }

    /// The text, to be sent or signed with.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

/// How a client proves to the token service who it is.
#[derive(Clone, Debug)]
pub enum Credential {
    /// By this secret.
    Secret(Secret),
    /// By the secret in this file.
    SecretFile(PathBuf),
    /// By signing with the private key in this file: PEM (PKCS#8 or SEC 1), on P-256 (`private_key_jwt`, RFC 7523).
    PrivateKeyFile(PathBuf),
}

/// The token service, and who asks it for what.
#[derive(Clone, Debug)]
pub struct Control {
    /// The issuer, without a slash at its end: what an assertion names as its audience.
    pub(super) issuer: String,
    pub(super) client_id: String,
    pub(super) credential: Credential,
    pub(super) scopes: Option<Vec<String>>,
    pub(super) streams: Option<Vec<String>>,
    pub(super) subject: Option<String>,
    pub(super) lifetime: Option<Duration>,
    pub(super) http: reqwest::Client,
}

/// Why a token service cannot be used as it is described. Repeats no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// No URL of a service.
    #[error("`{0}` is no address of a token service; write its issuer, such as https://control.example")]
    Url(String),
    /// A secret would cross a network in the clear.
    #[error("secrets are not sent to {0} without TLS; write https://, or name a service on this machine")]
    NotEncrypted(String),
    /// No client is named.
    #[error("the client id is empty; name the client as it is registered")]
    ClientId,
    /// The HTTP library could not start.
    #[error("the HTTP client could not start: {0}")]
    Local(String),
}

impl Control {
    /// The service whose issuer this is, for this client. What it gives is all that the client is registered for, unless
    /// less is asked for.
    ///
    /// # Errors
    /// [`SourceError`].
    pub fn new(issuer: &str, client_id: impl Into<String>, credential: Credential) -> Result<Control, SourceError> {
        // What may hold a secret is not repeated.
        let shown = if issuer.contains(['@', '?', '#']) { "what is given" } else { issuer };
        let given = || SourceError::Url(crate::error::quote(shown));
        let issuer = issuer.trim().trim_end_matches('/').to_owned();
        let url = Url::parse(&issuer).map_err(|_| given())?;
        let is_plain = url.username().is_empty() && url.password().is_none();
        if !is_plain || url.query().is_some() || url.fragment().is_some() {
            return Err(given());
        }
        match (url.scheme(), url.host()) {
            ("https", Some(_)) => {}
            ("http", Some(host)) if is_this_machine(&host) => {}
            ("http", Some(host)) => return Err(SourceError::NotEncrypted(host.to_string())),
            _ => return Err(given()),
        }
        let client_id = client_id.into();
        if client_id.trim().is_empty() {
            return Err(SourceError::ClientId);
        }
        let http = control::http().map_err(|error| SourceError::Local(error.to_string()))?;
        Ok(Control { issuer, client_id, credential, scopes: None, streams: None, subject: None, lifetime: None, http })
    }

    /// How the client proves that.
    #[must_use]
    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// Asks for these scopes only (`sync.read`, …).
    pub fn scopes(mut self, scopes: Vec<String>) -> Control {
        self.scopes = Some(scopes);
        self
    }

    /// Asks for these streams only: exact ids, or prefixes ending in `.*`.
    pub fn streams(mut self, streams: Vec<String>) -> Control {
        self.streams = Some(streams);
        self
    }

    /// Asks for tokens that speak for this subject, as far as the client may name it.
    pub fn subject(mut self, subject: String) -> Control {
        self.subject = Some(subject);
        self
    }

    /// Asks for tokens that are good for so long; whole seconds count.
    pub fn lifetime(mut self, lifetime: Duration) -> Control {
        self.lifetime = Some(lifetime);
        self
    }

    /// The service's address.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Who asks.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }
}

fn is_this_machine(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost" || name.ends_with(".localhost"),
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

/// A token, and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The token.
    pub token: Token,
    /// To whom it was given, where that is known.
    pub client: Option<String>,
    /// From when it was asked for until nobody takes it any more; `None` where that is not known.
    pub expires_in: Option<Duration>,
    /// From when it was asked for until its successor should be there; `None` where nobody says.
    pub refresh_after_in: Option<Duration>,
    /// What it allows to do.
    pub scopes: Vec<String>,
    /// With which streams.
    pub streams: Vec<String>,
    /// The database that it is for, where the service says so.
    pub database: Option<String>,
}

impl Granted {
    /// How long it is good.
    pub(super) fn terms(&self) -> Terms {
        Terms { expires_in: self.expires_in, refresh_after_in: self.refresh_after_in }
    }

    /// A token of which only its own claims tell something. They are hints for people and for the time of looking again:
    /// only hosts judge a token.
    fn with_hints(token: Token) -> Granted {
        let hints = Hints::of(&token);
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Granted {
            token,
            client: hints.client_id,
            expires_in: hints.exp.map(|exp| Duration::from_secs(exp.saturating_sub(now_s))),
            refresh_after_in: None,
            scopes: hints.scopes,
            streams: hints.streams,
            database: None,
        }
    }
}

/// Why there is no token: one line, with cause and remedy, and what to do. Repeats no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// The stable word: one of [`muster_contract::Code`], an OAuth error, `unreachable`, `unreadable` or `denied`.
    pub code: String,
    /// For a person.
    pub message: String,
    /// What to do.
    pub retry: Retry,
}

impl Refused {
    pub(super) fn new(code: &str, message: String, retry: Retry) -> Refused {
        Refused { code: code.into(), message, retry }
    }

    /// Something here, and not the service: it is looked at again about once a minute.
    pub(super) fn here(message: String) -> Refused {
        Refused::new("unreadable", message, Retry::Slowly)
    }

    /// Whether somebody has to change something.
    pub fn is_final(&self) -> bool {
        !matches!(self.retry, Retry::Soon { .. })
    }
}

/// Gets a token, once, within [`LEASE_REQUEST_MS_MAX`].
///
/// # Errors
/// [`Refused`].
pub async fn fetch(source: &Source) -> Result<Granted, Refused> {
    let asked = async {
        match source {
            Source::Static(token) => Ok(Granted::with_hints(token.clone())),
            Source::File(path) => {
                let text = read(path).await?;
                Token::new(text).map(Granted::with_hints).map_err(|error| {
                    // Whoever replaces it may be in the midst of it.
                    let message = format!("{} holds no token: {error}", path.display());
                    Refused::new("unreadable", message, Retry::Soon { not_before: None })
                })
            }
            Source::Control(control) => control::ask(control).await,
        }
    };
    tokio::time::timeout(ms(LEASE_REQUEST_MS_MAX), asked).await.unwrap_or_else(|_| {
        let message = format!("no token came within {LEASE_REQUEST_MS_MAX} ms; it is asked for again");
        Err(Refused::new("unreachable", message, Retry::Soon { not_before: None }))
    })
}

/// Whether a file with a secret can be read by others than those whom it was given to, and its mode then.
///
/// Nobody but its owner may do anything with it. Of root's, a group may read: so Kubernetes (`fsGroup`) and systemd
/// (`LoadCredential`) hand a secret to a service that is not root, and that service could not `chmod` it. Where there are
/// no such permissions, every file is taken.
pub fn exposed(facts: &std::fs::Metadata) -> Option<u32> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let mode = facts.mode() & 0o7777;
        let others = if facts.uid() == 0 { 0o037 } else { 0o077 };
        (mode & others != 0).then_some(mode)
    }
    #[cfg(not(unix))]
    {
        let _ = facts;
        None
    }
}

/// The text of a small file that holds a secret.
pub(super) async fn read_secret(path: &Path) -> Result<String, Refused> {
    read_if(path, |facts| match exposed(facts) {
        None => Ok(()),
        Some(mode) => {
            let path = path.display();
            let cause = format!("{path} can be read by others (mode {mode:04o})");
            Err(Refused::here(format!("{cause}; run `chmod 600 {path}`, and replace what is in it if somebody did")))
        }
    })
    .await
}

/// The text of a small file.
async fn read(path: &Path) -> Result<String, Refused> {
    read_if(path, |_| Ok(())).await
}

/// The same, of the file that was looked at.
async fn read_if(path: &Path, may: impl FnOnce(&std::fs::Metadata) -> Result<(), Refused>) -> Result<String, Refused> {
    let refuse = |why: String| {
        let message = format!("{} cannot be read: {why}; put it back, or name another file", path.display());
        Refused::new("unreadable", message, Retry::Soon { not_before: None })
    };
    let file = tokio::fs::File::open(path).await.map_err(|error| refuse(error.to_string()))?;
    may(&file.metadata().await.map_err(|error| refuse(error.to_string()))?)?;
    let mut text = String::new();
    let limit = LEASE_FILE_BYTES_MAX as u64;
    file.take(limit + 1).read_to_string(&mut text).await.map_err(|error| refuse(error.to_string()))?;
    if text.len() > LEASE_FILE_BYTES_MAX {
        return Err(refuse(format!("it has more than {LEASE_FILE_BYTES_MAX} bytes")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(url: &str) -> Result<Control, SourceError> {
        Control::new(url, "me", Credential::Secret(Secret::new("hunter2")))
    }

    #[test]
    fn a_secret_goes_out_encrypted_or_not_at_all() {
        assert_eq!(control("http://control.example").unwrap_err(), SourceError::NotEncrypted("control.example".into()));
        assert_eq!(control("http://10.0.0.7:8080").unwrap_err(), SourceError::NotEncrypted("10.0.0.7".into()));
        for good in ["https://control.example", "http://127.0.0.1:1", "http://localhost:1/", "http://[::1]:1"] {
            assert_eq!(control(good).expect(good).issuer(), good.trim_end_matches('/'));
        }
        for bad in ["", "control.example", "ftp://control.example", "https://"] {
            assert!(matches!(control(bad), Err(SourceError::Url(_))), "{bad}");
        }
    }

    #[test]
    fn no_secret_shows() {
        let text = format!("{:?}", Source::Control(Box::new(control("https://control.example").expect("a service"))));
        assert!(!text.contains("hunter2") && text.contains("redacted"), "{text}");
        let error = control("https://me:hunter2@control.example").unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
        let error = control("https://control.example?secret=hunter2").unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_secret_that_others_can_read_is_refused_and_one_that_root_gives_a_group_is_taken() {
        use std::os::unix::fs::{PermissionsExt as _, chown};

        let path = std::env::temp_dir().join(format!("muster-secret-{:016x}", rand::random::<u64>()));
        std::fs::write(&path, "hunter2").expect("written");
        // Of whoever runs this, who may be root, and of somebody who is not, where that can be had.
        let is_root = chown(&path, Some(0), None).is_ok();
        for uid in [is_root.then_some(0), Some(1_000)] {
            if uid.is_some() && is_root {
                chown(&path, uid, None).expect("root may");
            }
            for mode in [0o400, 0o600, 0o440, 0o640, 0o404, 0o444, 0o644, 0o620, 0o610, 0o601, 0o660] {
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("set");
                let of_root = is_root && uid == Some(0);
                let good = mode & 0o077 == 0 || of_root && mode & 0o077 == 0o040;
                let said = read_secret(&path).await;
                assert_eq!(said.is_ok(), good, "{mode:o} of {uid:?}: {said:?}");
                if let Err(refused) = said {
                    assert!(refused.message.contains(&format!("mode {mode:04o}")), "{refused}");
                    assert!(refused.message.contains("`chmod 600 ") && refused.is_final(), "{refused:?}");
                    assert!(!refused.message.contains("hunter2") && !refused.message.contains('\n'), "{refused}");
                }
                assert_eq!(read(&path).await.as_deref(), Ok("hunter2"), "a token is not looked at");
            }
        }
        std::fs::remove_file(&path).expect("removed");
    }
}
