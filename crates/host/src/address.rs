//! The `{name_or_identity}` of a path: what a client may call a database.
//!
//! The rules for names are the official ones (`parse_database_name` of the message crate): lower-case letters, digits
//! and single hyphens, and nothing that could be an identity.

use axum::extract::{FromRequestParts, Path};
use http::StatusCode;
use http::request::Parts;
use serde::Deserialize;
use spacetimedb_client_api_messages::name::DatabaseName;
use spacetimedb_lib::Identity;

use crate::control::{ControlError, DatabaseRecord};
use crate::http_error::ApiError;
use crate::limits::DATABASE_NAME_BYTES_MAX;
use crate::state::{AppState, HostState};

/// A database as a path names it; it need not exist.
#[derive(Debug, Clone)]
pub(crate) enum DatabaseAddress {
    /// By its 64 hexadecimal digits.
    Identity(Identity),
    /// By a well-formed name.
    Name(DatabaseName),
}

impl DatabaseAddress {
    /// Reads `text`; 400 if it is neither an identity nor a well-formed name.
    pub(crate) fn parse(text: &str) -> Result<Self, ApiError> {
        if let Ok(identity) = Identity::from_hex(text) {
            return Ok(Self::Identity(identity));
        }
        match parse_name(text) {
            Ok(name) => Ok(Self::Name(name)),
            Err(e) => Err(ApiError::bad_request(format!(
                "`{text}` cannot be the name of a database ({e}); write lower-case letters and digits, with single hyphens between them"
            ))),
        }
    }

    /// The name, if it is one.
    pub(crate) fn name(&self) -> Option<&DatabaseName> {
        match self {
            Self::Identity(_) => None,
            Self::Name(name) => Some(name),
        }
    }

    /// The identity meant: itself, or that of the database with this name, if there is one.
    pub(crate) fn try_resolve(&self, state: &HostState) -> Result<Option<Identity>, ControlError> {
        match self {
            Self::Identity(identity) => Ok(Some(*identity)),
            Self::Name(name) => state.control.identity_of(name.as_ref()),
        }
    }

    /// The identity meant, or 404 for a name that nobody has.
    pub(crate) fn resolve(&self, state: &HostState) -> Result<Identity, ApiError> {
        let unknown = || ApiError::new(StatusCode::NOT_FOUND, format!("`{self}` not found"));
        self.try_resolve(state)?.ok_or_else(unknown)
    }
}

impl std::fmt::Display for DatabaseAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Identity(identity) => write!(f, "{identity}"),
            Self::Name(name) => write!(f, "{name}"),
        }
    }
}

impl FromRequestParts<AppState> for DatabaseAddress {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        #[derive(Deserialize)]
        struct Params {
            name_or_identity: String,
        }
        let Path(Params { name_or_identity }) =
            Path::from_request_parts(parts, state).await.map_err(ApiError::bad_request)?;
        Self::parse(&name_or_identity)
    }
}

/// Reads a database's name, or says what is wrong with it.
pub(crate) fn parse_name(text: &str) -> Result<DatabaseName, String> {
    if text.len() > DATABASE_NAME_BYTES_MAX {
        return Err(format!("it is longer than {DATABASE_NAME_BYTES_MAX} bytes"));
    }
    text.parse().map_err(|e| format!("{e}"))
}

/// The database that a path names, which exists.
pub(crate) struct Existing(pub(crate) DatabaseRecord);

impl FromRequestParts<AppState> for Existing {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let address = DatabaseAddress::from_request_parts(parts, state).await?;
        state.find(address.resolve(state)?).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_and_names_are_told_apart() {
        let hex = "c2".repeat(32);
        assert!(matches!(DatabaseAddress::parse(&hex), Ok(DatabaseAddress::Identity(_))));
        assert!(matches!(DatabaseAddress::parse("muster-dev-2"), Ok(DatabaseAddress::Name(_))));
        let longest = "a".repeat(DATABASE_NAME_BYTES_MAX);
        assert!(DatabaseAddress::parse(&longest).is_ok() && DatabaseAddress::parse(&(longest + "a")).is_err());
        for wrong in ["", "Upper", "a--b", "-a", "a-", "a/b", "a_b", "ünder"] {
            assert!(DatabaseAddress::parse(wrong).is_err(), "{wrong}");
        }
    }
}
