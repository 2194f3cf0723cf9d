//! What takes a pane over: a refusal that no waiting mends, with what to do.
//!
//! What always holds: every refusal has a title that a person understands without the code, and a remedy.

use muster_contract::Code;
use muster_contract::state::LeaveReason;
use serde::Serialize;

const TOKEN_SERVICE: &str = "The token service refuses";

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// What kind it is of.
    pub kind: Kind,
    /// The stable code, where there is one.
    pub code: Option<&'static str>,
    /// What it is, in a few words.
    pub title: &'static str,
    /// What was said.
    pub detail: String,
    /// What to do.
    pub remedy: String,
}

/// Kinds of refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The tables are not what this build reads.
    Schema,
    /// This build and the module are too far apart.
    Version,
    /// The token is not taken, or does not grant this.
    Permission,
    /// The host has nothing under this name, or is no host.
    Place,
    /// Something on this machine.
    Local,
}

impl Refusal {
    /// For a code of the contract.
    pub fn of(code: Code, detail: impl Into<String>) -> Refusal {
        let (kind, title) = match code {
            Code::SchemaMismatch => (Kind::Schema, "The database's tables are not what this build reads"),
            Code::UpgradeRequired | Code::UnsupportedClientBuild => {
                (Kind::Version, "This build is too old for the database's module")
            }
            Code::UnsupportedSchemaVersion => (Kind::Version, "The database's module is older than this build"),
            Code::UnsupportedProtocolVersion => (Kind::Version, "The database's module speaks another protocol"),
            Code::Unauthorized => (Kind::Permission, "The host does not take this token"),
            Code::ForbiddenStream => (Kind::Permission, "The token does not grant this"),
            _ => (Kind::Place, "The host refuses this"),
        };
        let remedy = match code {
            Code::Unauthorized => "Get a fresh token for this lane, and connect with it.".into(),
            Code::ForbiddenStream => {
                "Ask whoever runs the lane for a token whose scopes and streams cover this, and connect with it.".into()
            }
            code => sentence(code.remedy()),
        };
        Refusal { kind, code: Some(code.as_str()), title, detail: detail.into(), remedy }
    }

    /// Whether a line begins with a code that no waiting mends.
    pub fn is_final(line: &str) -> bool {
        let code = line.split_once(": ").and_then(|(word, _)| word.parse::<Code>().ok());
        code.is_some_and(|code| !code.is_retryable())
    }

    /// For what a subscriber says when it is blocked: its reason, and its last error as one line. Lines of the contract
    /// begin with their code and end with the remedy.
    pub fn of_words(reason: Option<LeaveReason>, line: &str) -> Refusal {
        let code = line.split_once(": ").and_then(|(word, _)| word.parse::<Code>().ok());
        match (code, reason) {
            (Some(code), _) => Refusal::of(code, cut_remedy(line, code)),
            (None, Some(LeaveReason::Unauthorized)) => Refusal::of(Code::Unauthorized, line),
            (None, Some(LeaveReason::Forbidden)) => Refusal::of(Code::ForbiddenStream, line),
            (None, _) => Refusal::elsewhere(line),
        }
    }

    /// For a host or a database that is not there, or not one. The line ends with its remedy, behind a semicolon.
    pub fn elsewhere(line: &str) -> Refusal {
        let (detail, remedy) = line.rsplit_once("; ").unwrap_or((line, "check the lane's address and database"));
        Refusal {
            kind: Kind::Place,
            code: None,
            title: "The host cannot serve this",
            detail: detail.into(),
            remedy: sentence(remedy),
        }
    }

    /// For what a token service says. The line ends with its remedy, behind a semicolon.
    pub fn of_token_service(line: &str) -> Refusal {
        let refusal = Refusal::elsewhere(line);
        Refusal { kind: Kind::Permission, title: TOKEN_SERVICE, ..refusal }
    }

    /// Whether a token service said it.
    pub fn is_of_token_service(&self) -> bool {
        self.title == TOKEN_SERVICE
    }

    /// For a token whose time is over by this machine's clock, while no host says otherwise.
    pub fn expired() -> Refusal {
        let detail = "by this machine's clock, and no host is heard that still takes it";
        Refusal { title: "The token has expired", ..Refusal::of(Code::Unauthorized, detail) }
    }

    /// For what is wrong on this machine. The line ends with its remedy, behind a semicolon.
    pub fn local(title: &'static str, line: &str) -> Refusal {
        let (detail, remedy) = line.rsplit_once("; ").unwrap_or((line, "mend that, and open it again"));
        Refusal { kind: Kind::Local, code: None, title, detail: detail.into(), remedy: sentence(remedy) }
    }
}

fn cut_remedy(line: &str, code: Code) -> String {
    let line = line.strip_suffix(code.remedy()).unwrap_or(line).trim_end_matches([' ', ';']);
    line.split_once(": ").map_or(line, |(_, rest)| rest).into()
}

/// A remedy as a sentence of its own.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_uppercase().collect::<String>()).unwrap_or_default();
    let dot = if text.ends_with('.') { "" } else { "." };
    format!("{first}{}{dot}", chars.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_contract_is_taken_apart_again() {
        let line = format!("schema_mismatch: table `person` has no column `name`; {}", Code::SchemaMismatch.remedy());
        let refusal = Refusal::of_words(Some(LeaveReason::Unknown), &line);
        assert_eq!((refusal.kind, refusal.code), (Kind::Schema, Some("schema_mismatch")));
        assert_eq!(refusal.detail, "table `person` has no column `name`");
        assert!(refusal.remedy.ends_with('.') && refusal.remedy.len() > 10, "{}", refusal.remedy);
    }

    #[test]
    fn every_code_has_a_title_and_a_remedy() {
        for code in Code::ALL {
            let refusal = Refusal::of(code, "x");
            assert!(!refusal.title.is_empty() && refusal.remedy.len() > 10, "{refusal:?}");
        }
    }

    #[test]
    fn what_has_no_code_is_told_by_its_reason_or_as_it_is() {
        let of = |reason, line| Refusal::of_words(reason, line);
        assert_eq!(of(Some(LeaveReason::Unauthorized), "expired").code, Some("unauthorized"));
        assert_eq!(of(Some(LeaveReason::Forbidden), "no").kind, Kind::Permission);
        let refusal = of(Some(LeaveReason::Unknown), "the host at h:1 has no database `x`; check the name");
        assert_eq!(
            (refusal.detail.as_str(), refusal.remedy.as_str()),
            ("the host at h:1 has no database `x`", "Check the name.")
        );
    }
}
