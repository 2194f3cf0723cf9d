//! A connection's token, where a keeper has it.

use muster_contract::Code;
use muster_wire::lease::LeaseError;
use muster_wire::{ConnectOptions, Keeper};

use crate::engine::Trouble;
use crate::limits::{TOKEN_WAIT_MS_MAX, ms};

/// The same options with the keeper's token, and its number.
pub(super) async fn with_token(
    options: ConnectOptions,
    keeper: Option<Keeper>,
) -> Result<(ConnectOptions, Option<u64>), Trouble> {
    let Some(keeper) = keeper else { return Ok((options, None)) };
    let held = keeper.token(ms(TOKEN_WAIT_MS_MAX)).await.map_err(|error| no_token(&error))?;
    let mut options = options.token(Some(held.token));
    if let Some(database) = held.database {
        options.endpoint = options.endpoint.with_database(&database).map_err(|error| Trouble {
            is_retryable: false,
            code: Some(Code::Unauthorized),
            message: format!("the token service names a database that cannot be one ({error})"),
        })?;
    }
    Ok((options, Some(held.serial)))
}

fn no_token(error: &LeaseError) -> Trouble {
    let message = error.to_string();
    match error {
        LeaseError::Timeout { .. } => Trouble { is_retryable: true, code: None, message },
        LeaseError::Refused(refused) => {
            let code = Code::ALL.into_iter().find(|code| code.as_str() == refused.code);
            // What another build mends no token will; the rest is for whoever registers clients.
            let of_the_build = code.filter(|code| {
                matches!(
                    code,
                    Code::UnsupportedProtocolVersion
                        | Code::UnsupportedSchemaVersion
                        | Code::UnsupportedClientBuild
                        | Code::UpgradeRequired
                )
            });
            Trouble { is_retryable: false, code: Some(of_the_build.unwrap_or(Code::Unauthorized)), message }
        }
    }
}
