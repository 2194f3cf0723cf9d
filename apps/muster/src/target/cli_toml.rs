//! The token of SpacetimeDB's official CLI, from its `cli.toml` (`spacetime login` puts it there).
//!
//! What always holds: the file is only read; its token goes only to servers that the file itself lists, to which the
//! official CLI would send it too, or, where it lists none, to the two that a new file has.

use std::path::PathBuf;

use muster_wire::{Endpoint, Token};
use serde::Deserialize;

use super::files::{config_home, read_limited};
use crate::limits::CONFIG_FILE_BYTES_MAX;
use crate::outcome::Failure;

#[derive(Debug, Deserialize)]
struct CliToml {
    spacetimedb_token: Option<String>,
    #[serde(default)]
    server_configs: Vec<Server>,
}

#[derive(Debug, Deserialize)]
struct Server {
    host: String,
    protocol: String,
}

/// The servers of a `cli.toml` that nobody has changed.
const DEFAULT_SERVERS: [&str; 2] = ["https://maincloud.spacetimedb.com", "http://127.0.0.1:3000"];

/// The official CLI's token, if it is meant for the host of `endpoint`.
pub(super) fn find(endpoint: &Endpoint) -> Result<Option<(Token, PathBuf)>, Failure> {
    let Some(path) = config_home().map(|home| home.join("spacetime/cli.toml")).filter(|path| path.exists()) else {
        return Ok(None);
    };
    let bytes = read_limited("the official CLI's configuration", &path, CONFIG_FILE_BYTES_MAX)?;
    let unusable = |why: String| {
        let cause = format!("the official CLI's configuration {} cannot be used ({why})", path.display());
        Failure::could_not(cause, "repair it with `spacetime login`, or pass --token-file FILE or --anonymous")
    };
    // The parser's message would quote the line, which may be the token's.
    let config: CliToml = std::str::from_utf8(&bytes)
        .ok()
        .and_then(|text| toml::from_str(text).ok())
        .ok_or_else(|| unusable("it is not TOML of the expected form".into()))?;
    let Some(text) = config.spacetimedb_token.as_ref().filter(|_| lists(&config, endpoint)) else {
        return Ok(None);
    };
    let token = Token::new(text).map_err(|error| unusable(error.to_string()))?;
    Ok(Some((token, path)))
}

fn lists(config: &CliToml, endpoint: &Endpoint) -> bool {
    let listed = config.server_configs.iter().map(|server| format!("{}://{}", server.protocol, server.host));
    let mut servers: Vec<String> = listed.collect();
    if servers.is_empty() {
        servers = DEFAULT_SERVERS.map(String::from).into();
    }
    let same = |server: &String| {
        // Any database will do: only the host is compared.
        Endpoint::new(server, "any").is_ok_and(|server| {
            server.authority() == endpoint.authority() && server.is_encrypted() == endpoint.is_encrypted()
        })
    };
    servers.iter().any(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(toml: &str, server: &str) -> bool {
        let config: CliToml = toml::from_str(toml).expect("TOML");
        lists(&config, &Endpoint::new(server, "db").expect("an endpoint"))
    }

    #[test]
    fn the_token_goes_only_to_listed_servers() {
        let file = "spacetimedb_token = 'x'\n[[server_configs]]\nnickname = 'edge'\nhost = 'edge.example'\nprotocol = 'https'\n";
        assert!(listed(file, "https://edge.example"));
        assert!(!listed(file, "http://edge.example:443"), "not in the clear");
        assert!(!listed(file, "https://maincloud.spacetimedb.com"));
        assert!(!listed(file, "https://elsewhere.example"));
    }

    #[test]
    fn a_file_without_servers_means_the_two_official_ones() {
        let file = "spacetimedb_token = 'x'\n";
        assert!(listed(file, "https://maincloud.spacetimedb.com/"));
        assert!(listed(file, "http://127.0.0.1:3000"));
        assert!(!listed(file, "http://127.0.0.1:3001"));
    }
}
