//! The stable codes by which a refusal is known, on the wire, in logs and in exit messages.
//!
//! What always holds: a code never changes its meaning, and each says what to do next.

/// A stable error code of protocol [`crate::PROTOCOL_ID`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// The module speaks another protocol than the client.
    UnsupportedProtocolVersion,
    /// The client's schema version is newer than any the module serves.
    UnsupportedSchemaVersion,
    /// The client's schema version is older than any the module serves.
    UpgradeRequired,
    /// The client's build is below the oldest that the module serves.
    UnsupportedClientBuild,
    /// A table or column is not what the client would decode.
    SchemaMismatch,
}

impl Code {
    /// Every code, for tests and tables.
    pub const ALL: [Code; 5] = [
        Code::UnsupportedProtocolVersion,
        Code::UnsupportedSchemaVersion,
        Code::UpgradeRequired,
        Code::UnsupportedClientBuild,
        Code::SchemaMismatch,
    ];

    /// The code as it is written: lower-case words joined by underscores.
    pub const fn as_str(self) -> &'static str {
        match self {
            Code::UnsupportedProtocolVersion => "unsupported_protocol_version",
            Code::UnsupportedSchemaVersion => "unsupported_schema_version",
            Code::UpgradeRequired => "upgrade_required",
            Code::UnsupportedClientBuild => "unsupported_client_build",
            Code::SchemaMismatch => "schema_mismatch",
        }
    }

    /// Whether the same request may succeed later without anybody changing anything. None of the handshake codes may:
    /// a client that meets one stops reconnecting.
    pub const fn is_retryable(self) -> bool {
        match self {
            Code::UnsupportedProtocolVersion
            | Code::UnsupportedSchemaVersion
            | Code::UpgradeRequired
            | Code::UnsupportedClientBuild
            | Code::SchemaMismatch => false,
        }
    }

    /// What the person who meets this code should do next, as one sentence without a full stop.
    pub const fn remedy(self) -> &'static str {
        match self {
            Code::UnsupportedProtocolVersion => {
                "check that the server and database are the ones you mean, and that the module there is Muster's"
            }
            Code::UnsupportedSchemaVersion => {
                "publish the module of this build to the database, or use an older client"
            }
            Code::UpgradeRequired | Code::UnsupportedClientBuild => "install a newer client",
            Code::SchemaMismatch => "publish the module of this build to the database, or use the client built with it",
        }
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Code;

    #[test]
    fn codes_are_frozen() {
        let written: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(
            written,
            [
                "unsupported_protocol_version",
                "unsupported_schema_version",
                "upgrade_required",
                "unsupported_client_build",
                "schema_mismatch",
            ]
        );
    }
}
