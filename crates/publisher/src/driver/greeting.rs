//! Making a connection as the one that the outbox is to the host.
//!
//! What always holds: no event goes out before the token under which it goes is kept; reads are confirmed, whatever the
//! options say, because an event is forgotten on the host's word.

use muster_wire::{ConnectError, ConnectOptions, Connection, Endpoint, Token, connect};
use tokio::sync::oneshot;

use super::reading::Reader;
use super::{TokenSource, Trouble};
use crate::outbox::{Control, Outbox};

/// Why there is no connection.
pub(super) struct Lost {
    pub(super) retryable: bool,
    pub(super) message: String,
    pub(super) trouble: Option<Trouble>,
}

impl From<ConnectError> for Lost {
    fn from(error: ConnectError) -> Self {
        Lost { retryable: error.is_retryable(), message: error.to_string(), trouble: None }
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
         token (`Publisher::forget_token`), and the outbox begins there as somebody new"
    );
    Lost { retryable: false, message, trouble: Some(Trouble::KeptTokenRefused) }
}

/// Connects as whom the outbox, or its owner, says.
pub(super) async fn greet(
    options: ConnectOptions,
    source: TokenSource,
    outbox: &Outbox,
    reader: Reader,
) -> Result<Connection, Lost> {
    let passing = |message: String| Lost { retryable: true, message, trouble: None };
    let (token, host, is_kept) = match source {
        TokenSource::Given(token) => (Some(token), None, false),
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
    Ok(wire)
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
