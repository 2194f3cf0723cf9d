//! Making a connection as the one that the outbox is to the host.
//!
//! What always holds: no event goes out before the token under which it goes is kept; reads are confirmed, whatever the
//! options say, because an event is forgotten on the host's word.

use muster_wire::{ConnectError, ConnectOptions, Connection, Token, connect};
use tokio::sync::oneshot;

use super::TokenSource;
use super::reading::Reader;
use crate::outbox::{Control, Outbox};

/// Why there is no connection.
pub(super) struct Lost {
    pub(super) retryable: bool,
    pub(super) message: String,
}

impl From<ConnectError> for Lost {
    fn from(error: ConnectError) -> Self {
        Lost { retryable: error.is_retryable(), message: error.to_string() }
    }
}

/// Connects as whom the outbox, or its owner, says.
pub(super) async fn greet(
    options: ConnectOptions,
    source: TokenSource,
    outbox: &Outbox,
    reader: Reader,
) -> Result<Connection, Lost> {
    let passing = |message: String| Lost { retryable: true, message };
    let (token, host) = match source {
        TokenSource::Given(token) => (Some(token), None),
        TokenSource::Outbox => {
            let host = format!("{}/{}", options.endpoint.authority(), options.endpoint.database());
            let kept = reader.token(host.clone()).await.map_err(|error| passing(format!("{error:?}")))?;
            // A kept token that is none is as good as no token.
            let kept = kept.and_then(|text| Token::new(text).ok());
            let is_kept = kept.is_some();
            (kept, (!is_kept).then_some(host))
        }
    };
    // Updates are not asked for; whatever comes is thrown away.
    let (wire, _) = connect(options.token(token).confirmed(true)).await?;
    if let Some(host) = host {
        let (reply, answer) = oneshot::channel();
        let control = Control::KeepToken { host, token: wire.token().clone(), reply };
        if !outbox.control(control).await || !answer.await.unwrap_or(false) {
            wire.close().await;
            // Without it, the events that go out now could not be told from somebody else's later.
            return Err(passing("the outbox could not keep the token that the host gave".into()));
        }
    }
    Ok(wire)
}
