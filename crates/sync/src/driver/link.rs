//! Opening a connection: greeting, contract, and the subscription to signals.

use muster_contract::rows::{Row, SyncSignal};
use muster_contract::{Client, Code, Refusal};
use muster_wire::{CallError, ConnectError, ConnectOptions, Connection, Incoming, Keeper, connect};

use super::tokens::with_token;
use crate::engine::Trouble;

/// A connection that is ready to be asked.
pub(super) struct Opened {
    pub(super) connection: Connection,
    pub(super) incoming: Incoming,
}

/// Opens a connection with the keeper's token, if there is a keeper, and says which that was.
pub(super) async fn open(options: ConnectOptions, keeper: Option<Keeper>) -> (Option<u64>, Result<Opened, Trouble>) {
    match with_token(options, keeper).await {
        Ok((options, serial)) => (serial, open_with(options).await),
        Err(why) => (None, Err(why)),
    }
}

async fn open_with(options: ConnectOptions) -> Result<Opened, Trouble> {
    let options = options.expect(Client::of_this_build()).confirmed(true);
    let (connection, incoming) = connect(options).await.map_err(|error| not_connected(&error))?;
    // The module filters the rows: each session sees those to its own identity.
    let query = format!("SELECT * FROM {}", SyncSignal::TABLE);
    match connection.subscribe(&[query]).await {
        Ok(_) => Ok(Opened { connection, incoming }),
        Err(error) => {
            connection.close().await;
            Err(not_subscribed(&error))
        }
    }
}

fn not_connected(error: &ConnectError) -> Trouble {
    let code = match error {
        ConnectError::Contract(error) => Some(error.code),
        ConnectError::Unauthorized { .. } => Some(Code::Unauthorized),
        ConnectError::Rejected { said, .. } => {
            Some(Refusal::from_wire(said).map_or(Code::ForbiddenStream, |it| it.code))
        }
        ConnectError::Forbidden { .. } => Some(Code::ForbiddenStream),
        _ => None,
    };
    Trouble { is_retryable: error.is_retryable(), code, message: error.to_string() }
}

fn not_subscribed(error: &CallError) -> Trouble {
    Trouble { is_retryable: error.is_retryable(), code: None, message: format!("cannot subscribe to signals: {error}") }
}
