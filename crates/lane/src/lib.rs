//! A lane from the environment: parsed once, into types.
//!
//! A lane is one environment (`local`, `dev`, `staging`, `prod`, or any other name): a host's URL, a database, and the
//! token issuer and audience that go with them. It is described by variables `OA_SPACETIME_<ENV>_…`, in the process
//! environment or in a file of `KEY=VALUE` lines.
//!
//! What always holds: whoever has a [`Lane`] has a checked one; a variable with the lane's prefix that is not known is
//! an error and never ignored, because a misspelt optional variable would otherwise silently mean its default; a secret
//! is never part of an error or of `Debug`.

mod error;
pub mod limits;
mod name;
mod source;
mod variables;

pub use error::LaneError;
pub use name::LaneName;
pub use source::{Source, from_environment, from_file};
pub use variables::{PREFIX, Variable};

use std::collections::BTreeMap;
use std::fmt;

use url::Url;

/// The path at which SpacetimeDB's own hosts take WebSockets (its HTTP API page, "GET /v1/database/:name_or_identity/
/// subscribe").
pub const DEFAULT_WEBSOCKET_PATH: &str = "/v1/database/{database}/subscribe";
/// The path at which SpacetimeDB's own hosts answer a ping.
pub const DEFAULT_HEALTH_PATH: &str = "/v1/ping";

/// One environment, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane {
    /// Its name.
    pub name: LaneName,
    /// Where the host answers HTTP, and WebSockets beside it: `http` or `https`, without query or fragment.
    pub http_base_url: Url,
    /// The database, by name or identity.
    pub database: String,
    /// The issuer of the tokens that the lane takes, compared byte for byte with `iss`.
    pub token_issuer: String,
    /// The audience that those tokens must name.
    pub token_audience: String,
    /// Where the host takes WebSockets; `{database}` stands for the database.
    pub websocket_path: String,
    /// Where the host answers a ping.
    pub health_path: String,
    /// The key that control signs with. No other program reads it.
    pub jwt_signing_key: Option<Secret>,
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret itself. Name the reason where this is called.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Lane {
    /// Reads the lane called `name` from `source`.
    ///
    /// # Errors
    /// Every missing variable at once; or the first unknown one, with the nearest known; or the first whose value
    /// cannot be used, with the reason.
    pub fn parse(name: LaneName, source: &Source) -> Result<Lane, LaneError> {
        let values = collect(&name, source)?;
        let missing: Vec<String> = Variable::ALL
            .iter()
            .filter(|variable| variable.is_required() && !values.contains_key(variable))
            .map(|variable| variable.full_name(&name))
            .collect();
        if !missing.is_empty() {
            return Err(LaneError::Missing { lane: name.to_string(), missing, origin: source.origin.clone() });
        }
        let text = |variable: Variable| values.get(&variable).cloned();
        let required = |variable: Variable| text(variable).unwrap_or_default();
        let path = |variable, default: &str| checked_path(&name, variable, text(variable), default);
        Ok(Lane {
            http_base_url: checked_url(&name, &required(Variable::HttpBaseUrl))?,
            database: required(Variable::Database),
            token_issuer: required(Variable::TokenIssuer),
            token_audience: required(Variable::TokenAudience),
            websocket_path: path(Variable::WebsocketPath, DEFAULT_WEBSOCKET_PATH)?,
            health_path: path(Variable::HealthPath, DEFAULT_HEALTH_PATH)?,
            jwt_signing_key: text(Variable::JwtSigningKey).map(Secret),
            name,
        })
    }
}

/// The values of the lane's variables, those that are set and not empty.
fn collect(name: &LaneName, source: &Source) -> Result<BTreeMap<Variable, String>, LaneError> {
    let prefix = name.prefix();
    // `eu` is the beginning of `eu-west`: what belongs to a lane with a longer name is not this lane's.
    let longer: Vec<String> = source.prefixes().filter(|other| other.len() > prefix.len()).collect();
    let is_ours = |key: &str| key.starts_with(&prefix) && !longer.iter().any(|other| key.starts_with(other));
    if let Some(unreadable) = source.not_utf8.iter().find(|key| is_ours(key)) {
        return Err(LaneError::NotUtf8 { name: unreadable.clone(), origin: source.origin.clone() });
    }
    let mut values = BTreeMap::new();
    for (key, value) in &source.pairs {
        let Some(rest) = key.strip_prefix(&prefix).filter(|_| is_ours(key)) else { continue };
        let Some(variable) = Variable::from_suffix(rest) else {
            return Err(LaneError::Unknown {
                name: key.clone(),
                nearest: Variable::nearest(rest).full_name(name),
                origin: source.origin.clone(),
            });
        };
        if !value.trim().is_empty() {
            values.insert(variable, value.trim().to_owned());
        }
    }
    Ok(values)
}

fn checked_url(name: &LaneName, text: &str) -> Result<Url, LaneError> {
    let invalid = |why: String| LaneError::Invalid { name: Variable::HttpBaseUrl.full_name(name), why };
    let url = Url::parse(text).map_err(|error| {
        invalid(format!("`{text}` is not a URL ({error}); write it as http://HOST:PORT or https://HOST"))
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(invalid(format!("`{text}` must begin with http:// or https://")));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("a URL must not carry a user name or password: pass a token instead".into()));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(invalid(format!("`{text}` must not have a query or a fragment")));
    }
    Ok(url)
}

fn checked_path(name: &LaneName, variable: Variable, text: Option<String>, default: &str) -> Result<String, LaneError> {
    let path = text.unwrap_or_else(|| default.to_owned());
    let invalid = |why: String| Err(LaneError::Invalid { name: variable.full_name(name), why });
    if !path.starts_with('/') {
        return invalid(format!("`{path}` must begin with /"));
    }
    let without_database = path.replace("{database}", "");
    if without_database.contains(['{', '}', '?', '#', ' ']) {
        return invalid(format!("`{path}` is not a plain path: the only placeholder is {{database}}"));
    }
    if variable == Variable::WebsocketPath && without_database == path {
        return invalid(format!("`{path}` must name the database as {{database}}"));
    }
    Ok(path)
}

#[cfg(test)]
mod tests;
