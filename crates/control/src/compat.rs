//! May this client work on this lane at all? Decided from three request headers, before a token is made.
//!
//! What always holds: a refusal names the window, so that a client can say which build to install.

use muster_contract::{Code, OLDEST_CLIENT_BUILD, OLDEST_SCHEMA_VERSION, PROTOCOL_ID, SCHEMA_VERSION};
use semver::Version;
use serde::Serialize;

/// The header that carries a client's build, a semantic version.
pub const CLIENT_BUILD_HEADER: &str = "oa-client-build";
/// The header that carries the protocol id.
pub const PROTOCOL_HEADER: &str = "oa-protocol-id";
/// The header that carries the schema version, a number.
pub const SCHEMA_HEADER: &str = "oa-schema-version";

/// What a lane serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SupportWindow {
    /// The protocol.
    pub protocol_id: String,
    /// The oldest schema version.
    pub oldest_schema_version: u32,
    /// The newest schema version.
    pub schema_version: u32,
    /// The oldest client build, a semantic version.
    #[serde(serialize_with = "as_text")]
    pub oldest_client_build: Version,
}

fn as_text<S: serde::Serializer>(build: &Version, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(build)
}

impl Default for SupportWindow {
    /// What this build serves.
    ///
    /// # Panics
    /// Never: a test reads the constant.
    fn default() -> Self {
        SupportWindow {
            protocol_id: PROTOCOL_ID.into(),
            oldest_schema_version: OLDEST_SCHEMA_VERSION,
            schema_version: SCHEMA_VERSION,
            oldest_client_build: Version::parse(OLDEST_CLIENT_BUILD).expect("the constant is a semantic version"),
        }
    }
}

/// What a request says of its client; each part may be absent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Claimed<'a> {
    /// [`CLIENT_BUILD_HEADER`].
    pub client_build: Option<&'a str>,
    /// [`PROTOCOL_HEADER`].
    pub protocol_id: Option<&'a str>,
    /// [`SCHEMA_HEADER`].
    pub schema_version: Option<&'a str>,
}

/// Why a client is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incompatible {
    /// A header is missing or is not what it should be.
    Malformed(&'static str),
    /// Outside of the window.
    Outside(Code),
}

impl SupportWindow {
    /// Judges what is claimed; what is absent is passed over, so that a plain OAuth client need not know of it.
    ///
    /// # Errors
    /// The first that applies: protocol, schema version, build.
    pub fn check(&self, claimed: Claimed<'_>) -> Result<(), Incompatible> {
        if claimed.protocol_id.is_some_and(|id| id != self.protocol_id) {
            return Err(Incompatible::Outside(Code::UnsupportedProtocolVersion));
        }
        if let Some(text) = claimed.schema_version {
            let version: u32 = text.parse().map_err(|_| Incompatible::Malformed(SCHEMA_HEADER))?;
            if version > self.schema_version {
                return Err(Incompatible::Outside(Code::UnsupportedSchemaVersion));
            }
            if version < self.oldest_schema_version {
                return Err(Incompatible::Outside(Code::UpgradeRequired));
            }
        }
        if let Some(text) = claimed.client_build {
            let build = Version::parse(text).map_err(|_| Incompatible::Malformed(CLIENT_BUILD_HEADER))?;
            if build < self.oldest_client_build {
                return Err(Incompatible::Outside(Code::UnsupportedClientBuild));
            }
        }
        Ok(())
    }

    /// As [`SupportWindow::check`], where every part must be there.
    ///
    /// # Errors
    /// [`Incompatible::Malformed`] for the first that is absent, then as [`SupportWindow::check`].
    pub fn check_all(&self, claimed: Claimed<'_>) -> Result<(), Incompatible> {
        let parts = [
            (claimed.protocol_id, PROTOCOL_HEADER),
            (claimed.schema_version, SCHEMA_HEADER),
            (claimed.client_build, CLIENT_BUILD_HEADER),
        ];
        match parts.into_iter().find(|(part, _)| part.is_none()) {
            Some((_, header)) => Err(Incompatible::Malformed(header)),
            None => self.check(claimed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Claimed<'_> =
        Claimed { client_build: Some("0.1.0"), protocol_id: Some(PROTOCOL_ID), schema_version: Some("1") };

    #[test]
    fn each_disagreement_has_its_code() {
        let window = SupportWindow { oldest_schema_version: 1, ..SupportWindow::default() };
        let outside = |claimed| window.check_all(claimed).expect_err("outside");
        assert_eq!(window.check_all(GOOD), Ok(()));
        assert_eq!(
            outside(Claimed { protocol_id: Some("other.v1"), ..GOOD }),
            Incompatible::Outside(Code::UnsupportedProtocolVersion)
        );
        assert_eq!(
            outside(Claimed { schema_version: Some("2"), ..GOOD }),
            Incompatible::Outside(Code::UnsupportedSchemaVersion)
        );
        assert_eq!(
            outside(Claimed { schema_version: Some("0"), ..GOOD }),
            Incompatible::Outside(Code::UpgradeRequired)
        );
        for old in ["0.0.9", "0.1.0-rc.1"] {
            let claimed = Claimed { client_build: Some(old), ..GOOD };
            assert_eq!(outside(claimed), Incompatible::Outside(Code::UnsupportedClientBuild), "{old}");
        }
    }

    #[test]
    fn what_is_absent_is_passed_over_only_where_it_may_be() {
        let window = SupportWindow::default();
        assert_eq!(window.check(Claimed::default()), Ok(()));
        assert_eq!(
            window.check_all(Claimed { client_build: None, ..GOOD }),
            Err(Incompatible::Malformed(CLIENT_BUILD_HEADER))
        );
        assert_eq!(
            window.check(Claimed { schema_version: Some("one"), ..GOOD }),
            Err(Incompatible::Malformed(SCHEMA_HEADER))
        );
    }
}
