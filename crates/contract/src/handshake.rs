//! The contract handshake: may this client and this module work together?
//!
//! What always holds: it is a pure decision over what the host said, made before the first row is shown; every refusal
//! has a [`Code`], names both sides, and says what to do.

use semver::Version;

use crate::code::Code;
use crate::rows::ContractInfo;
use crate::shape::{ObservedTable, ShapeMismatch, TableShape, expected_tables};

/// What a client brings to the handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// The protocol it speaks.
    pub protocol_id: String,
    /// The schema version whose rows it decodes.
    pub schema_version: u32,
    /// Its build, a semantic version.
    pub build: Version,
    /// The tables it reads.
    pub tables: Vec<TableShape>,
}

/// Why client and module cannot work together. One line each: cause, both sides, remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}; {}", .code.remedy())]
pub struct ContractError {
    /// The stable code.
    pub code: Code,
    /// Both sides, in words.
    pub detail: String,
}

impl ContractError {
    fn new(code: Code, detail: String) -> Self {
        ContractError { code, detail }
    }
}

impl From<ShapeMismatch> for ContractError {
    fn from(mismatch: ShapeMismatch) -> Self {
        ContractError::new(Code::SchemaMismatch, mismatch.to_string())
    }
}

impl Client {
    /// A client of this build that reads every public table.
    ///
    /// # Panics
    /// Never: the build is this crate's own version, which cargo holds to be a semantic version.
    pub fn of_this_build() -> Client {
        Client {
            protocol_id: crate::PROTOCOL_ID.into(),
            schema_version: crate::SCHEMA_VERSION,
            build: Version::parse(crate::BUILD).expect("cargo checks that a package version is a semantic version"),
            tables: expected_tables(),
        }
    }

    /// Compares the host's tables with those that this client reads. Comes first: only then can the row of
    /// `contract_info` be decoded at all.
    ///
    /// # Errors
    /// [`Code::SchemaMismatch`], naming table, column and both types.
    pub fn check_tables(&self, observed: &[ObservedTable]) -> Result<(), ContractError> {
        self.tables.iter().try_for_each(|table| table.check(observed)).map_err(ContractError::from)
    }

    /// Compares the module's `contract_info` row with this client.
    ///
    /// # Errors
    /// The first code that applies, from the widest disagreement to the narrowest: protocol, schema version above the
    /// window, schema version below it, build.
    pub fn check_contract(&self, module: &ContractInfo) -> Result<(), ContractError> {
        if module.protocol_id != self.protocol_id {
            return Err(ContractError::new(
                Code::UnsupportedProtocolVersion,
                format!("the module speaks `{}`, this client `{}`", module.protocol_id, self.protocol_id),
            ));
        }
        let window = module.oldest_schema_version..=module.schema_version;
        if !window.contains(&self.schema_version) {
            let code = if self.schema_version > module.schema_version {
                Code::UnsupportedSchemaVersion
            } else {
                Code::UpgradeRequired
            };
            return Err(ContractError::new(
                code,
                format!(
                    "this client reads schema version {}, the module serves {} to {}",
                    self.schema_version,
                    window.start(),
                    window.end()
                ),
            ));
        }
        self.check_build(&module.oldest_client_build)
    }

    fn check_build(&self, oldest: &str) -> Result<(), ContractError> {
        let refuse = |detail| Err(ContractError::new(Code::UnsupportedClientBuild, detail));
        match Version::parse(oldest) {
            Ok(oldest) if self.build >= oldest => Ok(()),
            Ok(oldest) => refuse(format!("this client is build {}, the module serves {oldest} and newer", self.build)),
            // A window that cannot be read is no permission.
            Err(_) => refuse(format!(
                "this client is build {}, and the module's oldest build `{oldest}` is not a version",
                self.build
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(change: impl FnOnce(&mut ContractInfo)) -> Option<Code> {
        let mut module = ContractInfo::of_this_build();
        change(&mut module);
        Client::of_this_build().check_contract(&module).err().map(|refusal| refusal.code)
    }

    #[test]
    fn this_build_serves_itself() {
        assert_eq!(code(|_| ()), None);
    }

    #[test]
    fn each_disagreement_has_its_code() {
        assert_eq!(code(|m| m.protocol_id = "other.v1".into()), Some(Code::UnsupportedProtocolVersion));
        assert_eq!(code(|m| m.schema_version = 0), Some(Code::UnsupportedSchemaVersion));
        assert_eq!(
            code(|m| {
                m.schema_version = 9;
                m.oldest_schema_version = 8;
            }),
            Some(Code::UpgradeRequired)
        );
        assert_eq!(code(|m| m.oldest_client_build = "99.0.0".into()), Some(Code::UnsupportedClientBuild));
        assert_eq!(code(|m| m.oldest_client_build = "yesterday".into()), Some(Code::UnsupportedClientBuild));
    }

    #[test]
    fn a_module_with_a_wider_window_serves_an_older_client() {
        assert_eq!(
            code(|m| {
                m.schema_version = 9;
                m.oldest_schema_version = 1;
            }),
            None
        );
    }

    #[test]
    fn a_refusal_reads_as_one_line_with_code_cause_and_remedy() {
        let mut module = ContractInfo::of_this_build();
        module.protocol_id = "chat.v3".into();
        let refusal = Client::of_this_build().check_contract(&module).expect_err("another protocol");
        assert_eq!(
            refusal.to_string(),
            "unsupported_protocol_version: the module speaks `chat.v3`, this client `spacetime.sync.v1`; check that \
             the server and database are the ones you mean, and that the module there is Muster's"
        );
    }
}
