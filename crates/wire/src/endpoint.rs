//! Where a database is: the host's base URL, the database's name or identity, and the paths below them.
//!
//! What always holds: an [`Endpoint`] was checked when it was made, so every URL it gives out is well-formed, and the
//! database stands in a path as exactly one percent-encoded segment.

use std::net::SocketAddr;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use url::Url;

/// The path of the WebSocket, below the base URL (SpacetimeDB's HTTP API page on `/v1/database`).
pub const WEBSOCKET_PATH: &str = "/v1/database/{database}/subscribe";

/// The path that answers when the host is up.
pub const HEALTH_PATH: &str = "/v1/ping";

/// What must be encoded to stand as one segment of a path (RFC 3986, section 3.3), `%` included.
const SEGMENT: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}')
    .add(b'/')
    .add(b'\\')
    .add(b'^')
    .add(b'|')
    .add(b'[')
    .add(b']')
    .add(b'%')
    .add(b':')
    .add(b'@')
    .add(b'&')
    .add(b'=')
    .add(b'+')
    .add(b';');

/// One database on one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    base: Url,
    database: String,
    websocket_path: String,
    health_path: String,
    /// Where the host's name leads, where that is not for the system to say.
    way: Option<SocketAddr>,
}

/// Why a base URL, database or path cannot be used. Each is one line with a remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Not a URL at all.
    #[error("`{given}` is not a URL ({reason}); write it as http://HOST:PORT or https://HOST")]
    NotAUrl {
        /// What was given.
        given: String,
        /// What the parser says.
        reason: String,
    },
    /// A URL of another kind.
    #[error("`{given}` has the scheme `{scheme}`; write http:// or https://, also for WebSockets")]
    WrongScheme {
        /// What was given.
        given: String,
        /// Its scheme.
        scheme: String,
    },
    /// A URL with a part that a base URL cannot have.
    #[error("the base URL must not have a {part}; write only scheme, host, port and path, and pass tokens separately")]
    UnexpectedPart {
        /// The part: `user name or password`, `query` or `fragment`. The URL is not repeated, it may hold a secret.
        part: &'static str,
    },
    /// The database is empty or cannot be a path segment.
    #[error(
        "`{given}` cannot be the name of a SpacetimeDB database; write lower-case letters and digits, with single hyphens between them"
    )]
    BadDatabase {
        /// What was given.
        given: String,
    },
    /// A path template without its leading slash or its placeholder.
    #[error("the path `{given}` {problem}")]
    BadPath {
        /// What was given.
        given: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl Endpoint {
    /// The database `database` (a name or a hexadecimal identity) on the host at `base`, an `http://` or `https://`
    /// URL that may have a path, with the default paths of a SpacetimeDB host.
    ///
    /// # Errors
    /// [`EndpointError`].
    pub fn new(base: &str, database: &str) -> Result<Endpoint, EndpointError> {
        let database = database.trim();
        let separators = |c: char| c.is_whitespace() || c.is_control();
        if database.is_empty() || database == "." || database == ".." || database.contains(separators) {
            return Err(EndpointError::BadDatabase { given: database.into() });
        }
        Ok(Endpoint {
            base: parse_base(base.trim())?,
            database: database.into(),
            websocket_path: WEBSOCKET_PATH.into(),
            health_path: HEALTH_PATH.into(),
            way: None,
        })
    }

    /// The same database reached through `address`, a proxy that carries bytes to the host unread: requests go there and
    /// keep the host's name, which TLS verifies. A host that is named by its IP address is named by the proxy's then.
    pub fn through(mut self, address: SocketAddr) -> Endpoint {
        // Both fail only for URLs without a host, which a checked base is not.
        let _ = self.base.set_port(Some(address.port()));
        if self.base.domain().is_some() {
            self.way = Some(address);
        } else {
            let _ = self.base.set_ip_host(address.ip());
        }
        self
    }

    /// The host's name and where it leads, if [`Endpoint::through`] said so.
    pub(crate) fn way(&self) -> Option<(&str, SocketAddr)> {
        Some((self.base.domain()?, self.way?))
    }

    /// The same with another WebSocket path, in which `{database}` stands for the database.
    ///
    /// # Errors
    /// [`EndpointError::BadPath`].
    pub fn with_websocket_path(mut self, path: &str) -> Result<Endpoint, EndpointError> {
        self.websocket_path = checked_path(path)?;
        Ok(self)
    }

    /// The same with another health path.
    ///
    /// # Errors
    /// [`EndpointError::BadPath`].
    pub fn with_health_path(mut self, path: &str) -> Result<Endpoint, EndpointError> {
        self.health_path = checked_path(path)?;
        Ok(self)
    }

    /// The same host and paths, another database.
    ///
    /// # Errors
    /// [`EndpointError::BadDatabase`].
    pub fn with_database(self, database: &str) -> Result<Endpoint, EndpointError> {
        let other = Endpoint::new(self.base.as_str(), database)?;
        Ok(Endpoint { database: other.database, ..self })
    }

    /// The base URL, without a slash at its end.
    pub fn base(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// The database's name or identity, as given.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// Whether the connection is encrypted (TLS).
    pub fn is_encrypted(&self) -> bool {
        self.base.scheme() == "https"
    }

    /// Host and port, for messages: `localhost:3000`.
    pub fn authority(&self) -> String {
        let host = self.base.host_str().unwrap_or_default();
        match self.base.port_or_known_default() {
            Some(port) => format!("{host}:{port}"),
            None => host.into(),
        }
    }

    /// The URL of the WebSocket, with `http` or `https` as its scheme: the upgrade is an HTTP request.
    pub fn websocket_url(&self) -> Url {
        self.below(&self.websocket_path.replace("{database}", &encode(&self.database)))
    }

    /// The URL of the health path.
    pub fn health_url(&self) -> Url {
        self.below(&self.health_path.replace("{database}", &encode(&self.database)))
    }

    /// A URL below the host's base, from path segments that are encoded here.
    pub fn url(&self, segments: &[&str]) -> Url {
        let path: String = segments.iter().map(|segment| format!("/{}", encode(segment))).collect();
        self.below(&path)
    }

    /// A URL below `/v1/database/<database>`.
    pub fn database_url(&self, segments: &[&str]) -> Url {
        let mut all = vec!["v1", "database", self.database.as_str()];
        all.extend_from_slice(segments);
        self.url(&all)
    }

    fn below(&self, path: &str) -> Url {
        Url::parse(&format!("{}{path}", self.base())).expect("a checked base and an encoded path make a URL")
    }
}

fn encode(segment: &str) -> String {
    utf8_percent_encode(segment, SEGMENT).to_string()
}

fn parse_base(given: &str) -> Result<Url, EndpointError> {
    // `localhost:3000` parses as a URL with the scheme `localhost`; a person means the host.
    if !given.contains("://") {
        return Err(EndpointError::NotAUrl { given: given.into(), reason: "it has no scheme".into() });
    }
    let url =
        Url::parse(given).map_err(|error| EndpointError::NotAUrl { given: given.into(), reason: error.to_string() })?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(EndpointError::UnexpectedPart { part: "user name or password" });
    }
    if url.query().is_some() {
        return Err(EndpointError::UnexpectedPart { part: "query" });
    }
    if url.fragment().is_some() {
        return Err(EndpointError::UnexpectedPart { part: "fragment" });
    }
    if !matches!(url.scheme(), "http" | "https") {
        return Err(EndpointError::WrongScheme { given: given.into(), scheme: url.scheme().into() });
    }
    Ok(url)
}

fn checked_path(path: &str) -> Result<String, EndpointError> {
    let problem = if !path.starts_with('/') {
        "must begin with a slash"
    } else if path.contains(['?', '#']) {
        "must not have a query or a fragment"
    } else if path.contains(|c: char| c.is_whitespace() || c.is_control()) {
        "must not have white space"
    } else {
        return Ok(path.into());
    };
    Err(EndpointError::BadPath { given: path.into(), problem })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(base: &str, database: &str) -> String {
        Endpoint::new(base, database).expect_err("refused").to_string()
    }

    #[test]
    fn paths_lie_below_the_base() {
        let endpoint = Endpoint::new("http://localhost:3000/", "presence").expect("an endpoint");
        assert_eq!(endpoint.websocket_url().as_str(), "http://localhost:3000/v1/database/presence/subscribe");
        assert_eq!(endpoint.health_url().as_str(), "http://localhost:3000/v1/ping");
        assert_eq!(
            endpoint.database_url(&["call", "set_name"]).as_str(),
            "http://localhost:3000/v1/database/presence/call/set_name"
        );
        let endpoint = Endpoint::new("https://edge.example/spacetime", "presence").expect("an endpoint");
        assert_eq!(endpoint.health_url().as_str(), "https://edge.example/spacetime/v1/ping");
        assert_eq!(endpoint.authority(), "edge.example:443");
    }

    #[test]
    fn a_proxy_is_gone_through_without_another_name() {
        let through = |base: &str| {
            let endpoint = Endpoint::new(base, "presence").expect("an endpoint");
            endpoint.through("127.0.0.1:4711".parse().expect("an address"))
        };
        let named = through("https://edge.example/spacetime");
        assert_eq!(named.health_url().as_str(), "https://edge.example:4711/spacetime/v1/ping");
        assert_eq!(named.way(), Some(("edge.example", "127.0.0.1:4711".parse().expect("an address"))));
        let numbered = through("http://10.1.2.3:3000");
        assert_eq!((numbered.base(), numbered.way()), ("http://127.0.0.1:4711", None));
    }

    #[test]
    fn a_database_is_one_encoded_segment_whatever_it_holds() {
        let endpoint = Endpoint::new("http://localhost:3000", "team/ä?x=%2f#").expect("an endpoint");
        assert_eq!(
            endpoint.websocket_url().as_str(),
            "http://localhost:3000/v1/database/team%2F%C3%A4%3Fx%3D%252f%23/subscribe"
        );
    }

    #[test]
    fn a_path_template_places_the_database() {
        let endpoint = Endpoint::new("http://localhost:3000", "presence")
            .and_then(|endpoint| endpoint.with_websocket_path("/edge/{database}/ws"))
            .expect("an endpoint");
        assert_eq!(endpoint.websocket_url().as_str(), "http://localhost:3000/edge/presence/ws");
        let error = endpoint.with_health_path("ping").expect_err("no slash").to_string();
        assert_eq!(error, "the path `ping` must begin with a slash");
    }

    #[test]
    fn a_wrong_url_is_refused_with_what_to_write_instead() {
        assert_eq!(
            refusal("localhost:3000", "db"),
            "`localhost:3000` is not a URL (it has no scheme); write it as http://HOST:PORT or https://HOST"
        );
        assert_eq!(
            refusal("ws://localhost:3000", "db"),
            "`ws://localhost:3000` has the scheme `ws`; write http:// or https://, also for WebSockets"
        );
        assert!(refusal("http://", "db").contains("is not a URL"));
        assert!(refusal("http://h:99999", "db").contains("is not a URL"));
        assert!(refusal("http://h?x=1", "db").contains("must not have a query"));
        assert!(refusal("http://h", " ").contains("cannot be the name"));
        assert!(refusal("http://h", "..").contains("cannot be the name"));
    }

    #[test]
    fn a_secret_in_a_url_is_not_repeated() {
        let error = refusal("https://user:hunter2@h", "db");
        assert!(error.contains("user name or password") && !error.contains("hunter2"), "{error}");
    }
}
