//! The variables that describe a lane: the one list of their names.

use crate::LaneName;

/// What every lane variable begins with.
pub const PREFIX: &str = "OA_SPACETIME_";

/// A variable, without the lane's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Variable {
    /// The host's URL. Required.
    HttpBaseUrl,
    /// The database, by name or identity. Required.
    Database,
    /// The token issuer. Required.
    TokenIssuer,
    /// The token audience. Required.
    TokenAudience,
    /// Where the host takes WebSockets.
    WebsocketPath,
    /// Where the host answers a ping.
    HealthPath,
    /// The key that control signs with; no other program reads it.
    JwtSigningKey,
}

impl Variable {
    /// All of them, required ones first.
    pub const ALL: [Variable; 7] = [
        Variable::HttpBaseUrl,
        Variable::Database,
        Variable::TokenIssuer,
        Variable::TokenAudience,
        Variable::WebsocketPath,
        Variable::HealthPath,
        Variable::JwtSigningKey,
    ];

    /// What stands behind the lane's prefix.
    pub const fn suffix(self) -> &'static str {
        match self {
            Variable::HttpBaseUrl => "HTTP_BASE_URL",
            Variable::Database => "DATABASE",
            Variable::TokenIssuer => "TOKEN_ISSUER",
            Variable::TokenAudience => "TOKEN_AUDIENCE",
            Variable::WebsocketPath => "WEBSOCKET_PATH",
            Variable::HealthPath => "HEALTH_PATH",
            Variable::JwtSigningKey => "JWT_SIGNING_KEY",
        }
    }

    /// Whether a lane cannot be without it.
    pub const fn is_required(self) -> bool {
        matches!(self, Variable::HttpBaseUrl | Variable::Database | Variable::TokenIssuer | Variable::TokenAudience)
    }

    /// The whole name, as it is set for this lane.
    pub fn full_name(self, lane: &LaneName) -> String {
        format!("{}{}", lane.prefix(), self.suffix())
    }

    pub(crate) fn from_suffix(suffix: &str) -> Option<Variable> {
        Variable::ALL.into_iter().find(|variable| variable.suffix() == suffix)
    }

    /// The variable whose name a misspelt one most resembles (Damerau-Levenshtein distance).
    pub(crate) fn nearest(suffix: &str) -> Variable {
        let distance = |variable: &Variable| strsim::damerau_levenshtein(variable.suffix(), suffix);
        Variable::ALL.into_iter().min_by_key(distance).unwrap_or(Variable::HttpBaseUrl)
    }
}
