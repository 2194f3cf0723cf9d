//! Making a connection as the one that the outbox is to the host.
//!
//! What always holds: no event goes out before the token under which it goes is kept; reads are confirmed, whatever the
//! options say, because an event is forgotten on the host's word.

use muster_wire::lease::LeaseError;
use muster_wire::{ConnectError, ConnectOptions, Connection, Endpoint, Keeper, Token, connect};
use tokio::sync::oneshot;

use super::reading::Reader;
use super::{TokenSource, Trouble};
use crate::limits::{TOKEN_WAIT_MS_MAX, ms};
use crate::outbox::{Control, Outbox};

/// A connection, and the number of the keeper's token that it was made with.
pub(super) struct Greeted {
    pub(super) wire: Connection,
    pub(super) serial: Option<u64>,
}

/// Why there is no connection.
pub(super) struct Lost {
    /// The keeper's token that the host does not take.
    pub(super) denied: Option<u64>,
    pub(super) retryable: bool,
    pub(super) message: String,
    pub(super) trouble: Option<Trouble>,
}

impl Lost {
    pub(super) fn new(retryable: bool, message: String) -> Lost {
        Lost { denied: None, retryable, message, trouble: None }
    }
}

impl From<ConnectError> for Lost {
    fn from(error: ConnectError) -> Self {
        Lost::new(error.is_retryable(), error.to_string())
    }
}

/// The name under which a host's token is kept. The scheme belongs to it: a token that came over TLS never goes out
/// without.
pub(crate) fn kept_for(endpoint: &Endpoint) -> String {
    let scheme = if endpoint.is_encrypted() { "https" } else { "http" };
    format!("{scheme}://{}/{}", endpoint.authority(), endpoint.database())
}

/// A kept token that the host does not take. Another identity would not help the events that this one has begun with, so
/// that is for a person to decide.
fn kept_token_refused(error: ConnectError) -> Lost {
    let message = format!(
        "the host does not take the token that this outbox keeps for it ({error}); if the host was made anew, forget that \
         token (`muster outbox --forget-token`, or `Publisher::forget_token`), and the outbox begins there as somebody new"
    );
    Lost { trouble: Some(Trouble::KeptTokenRefused), ..Lost::new(false, message) }
}

/// Connects as whom the outbox, or its owner, says.
pub(super) async fn greet(
    options: ConnectOptions,
    source: TokenSource,
    outbox: &Outbox,
    reader: Reader,
) -> Result<Greeted, Lost> {
    let passing = |message: String| Lost::new(true, message);
    if let TokenSource::Leased(keeper) = source {
        return greet_as_leased(options, &keeper).await;
    }
    let (token, host, is_kept) = match source {
        TokenSource::Given(token) => (Some(token), None, false),
        TokenSource::Leased(_) => (None, None, false),
        TokenSource::Outbox => {
            let host = kept_for(&options.endpoint);
            let kept = reader.token(host.clone()).await.map_err(|error| passing(format!("{error:?}")))?;
            // A kept token that is none is as good as no token.
            let kept = kept.and_then(|text| Token::new(text).ok());
            let is_kept = kept.is_some();
            (kept, (!is_kept).then_some(host), is_kept)
        }
    };
    // Updates are not asked for; whatever comes is thrown away.
    let (wire, _) = match connect(options.token(token).confirmed(true)).await {
        Err(error @ ConnectError::Unauthorized { .. }) if is_kept => return Err(kept_token_refused(error)),
        connected => connected?,
    };
    if let Some(host) = host {
        let (reply, answer) = oneshot::channel();
        let control = Control::KeepToken { host, token: Some(wire.token().clone()), reply };
        if !outbox.control(control).await || !answer.await.unwrap_or(false) {
            wire.close().await;
            // Without it, the events that go out now could not be told from somebody else's later.
            return Err(passing("the outbox could not keep the token that the host gave".into()));
        }
    }
    Ok(Greeted { wire, serial: None })
}

/// Connects with the keeper's token, as soon as there is one.
async fn greet_as_leased(options: ConnectOptions, keeper: &Keeper) -> Result<Greeted, Lost> {
    let held = keeper.token(ms(TOKEN_WAIT_MS_MAX)).await.map_err(|error| {
        let retryable = matches!(error, LeaseError::Timeout { .. });
        Lost::new(retryable, error.to_string())
    })?;
    let serial = Some(held.serial);
    let mut options = options.token(Some(held.token)).confirmed(true);
    if let Some(database) = held.database {
        options.endpoint = options.endpoint.with_database(&database).map_err(|error| {
            Lost::new(false, format!("the token service names a database that cannot be one ({error})"))
        })?;
    }
    match connect(options).await {
        Ok((wire, _)) => Ok(Greeted { wire, serial }),
        Err(error) => {
            let is_denied = matches!(
                error,
                ConnectError::Unauthorized { .. } | ConnectError::Forbidden { .. } | ConnectError::Rejected { .. }
            );
            Err(Lost { denied: serial.filter(|_| is_denied), ..error.into() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_came_over_tls_is_not_kept_for_the_same_name_without() {
        let kept = |base| kept_for(&Endpoint::new(base, "lane").expect("an endpoint"));
        assert_ne!(kept("https://host:8443"), kept("http://host:8443"));
        assert_eq!(kept("http://host"), kept("http://host:80/"));
    }
}
