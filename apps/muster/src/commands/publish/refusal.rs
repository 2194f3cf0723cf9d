//! What a host's refusal of a publish means, and whether anything was changed. Pure.
//!
//! What always holds: "nothing was changed" is said only where that is certain; what the host says in JSON is said in
//! words.

use muster_wire::http::HttpError;

use crate::outcome::{Failure, one_line};
use crate::target::Target;

/// Which request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The host was asked for its plan: it changes nothing.
    Plan,
    /// It was to be done, perhaps after all data had been deleted.
    Deed { clear: bool },
}

/// How SpacetimeDB hosts begin what they say of a module that they do not take (crates/client-api, publishing), and the
/// embedded host of one for which it cannot plan, or which is no WebAssembly to it.
const ABOUT_THE_MODULE: [&str; 5] = [
    "Failed to create or update the database",
    "Database update rejected",
    "Failed to plan the update",
    NOT_WASM,
    NOT_A_MODULE,
];

/// The embedded host's words, which go on with a remedy of its own after a semicolon. One remedy is enough.
const NOT_WASM: &str = "not a WebAssembly module";
/// The same of WebAssembly that is no module.
const NOT_A_MODULE: &str = "not a SpacetimeDB module";

/// The error as a person should read it.
pub(super) fn explain(error: HttpError, target: &Target, step: Step) -> Failure {
    let mut said = one_line(error.said().unwrap_or_default());
    if said.starts_with(NOT_WASM) || said.starts_with(NOT_A_MODULE) {
        said = said.split("; ").next().unwrap_or_default().to_owned();
    }
    match error.status() {
        Some(401) if taken_name(&said).is_some() => Failure::could_not(
            format!("the name `{}` belongs to another owner's database", taken_name(&said).unwrap_or_default()),
            format!("choose another name, or use its owner's token (this was asked {})", target.origin),
        ),
        Some(400) if ABOUT_THE_MODULE.iter().any(|words| said.starts_with(words)) => Failure::could_not(
            format!("the host does not take this module: {said}"),
            format!("check that the file is a module for SpacetimeDB 2.x; {}", step.refused()),
        ),
        Some(400) => Failure::could_not(
            format!("the host refuses to publish to `{}`: {said}", target.database()),
            format!("correct what it names; {}", step.refused()),
        ),
        Some(500..) | None if step != Step::Plan => Failure::could_not(target.explain(error).to_string(), UNKNOWN),
        _ => target.explain(error),
    }
}

const UNKNOWN: &str = "whether anything was changed is not known: `muster describe` tells which module runs";

impl Step {
    /// What a refusal left behind.
    const fn refused(self) -> &'static str {
        match self {
            Step::Plan | Step::Deed { clear: false } => "nothing was changed",
            Step::Deed { clear: true } => "the data may be gone already: `muster describe` tells what there is",
        }
    }
}

/// The name in `{"PermissionDenied":{"name":"…"}}`, which is how hosts refuse a name (`PublishResult`).
fn taken_name(said: &str) -> Option<String> {
    let said: serde_json::Value = serde_json::from_str(said).ok()?;
    said["PermissionDenied"]["name"].as_str().map(one_line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::target_for_tests;

    fn line(status: u16, said: &str, step: Step) -> String {
        let (context, authority) = ("publishing to `db`".into(), "127.0.0.1:3000".into());
        let error = HttpError::Status { context, authority, status, said: said.into() };
        explain(error, &target_for_tests("http://127.0.0.1:3000", "db"), step).to_string()
    }

    const DEED: Step = Step::Deed { clear: false };

    #[test]
    fn only_words_about_the_module_blame_the_module() {
        let told = line(400, "Failed to create or update the database: no ABI", DEED);
        assert!(
            told.starts_with("the host does not take this module") && told.ends_with("nothing was changed"),
            "{told}"
        );
        let told = line(400, "Invalid database name", DEED);
        assert!(
            told.starts_with("the host refuses to publish to `db`: Invalid database name") && !told.contains("module")
        );
        let told = line(400, "Failed to create or update the database: no", Step::Deed { clear: true });
        assert!(!told.contains("nothing was changed") && told.contains("data may be gone"), "{told}");
    }

    #[test]
    fn after_a_failure_of_the_host_nobody_knows_what_was_changed() {
        for status in [500, 503] {
            let told = line(status, "disk on fire", DEED);
            assert!(
                told.contains("disk on fire") && told.contains("is not known") && !told.contains("module:"),
                "{told}"
            );
            assert!(!line(status, "disk on fire", Step::Plan).contains("not known"));
        }
    }

    #[test]
    fn a_file_that_is_no_webassembly_to_the_host_has_one_remedy() {
        let told = line(400, "not a WebAssembly module: it is text; send the .wasm file", Step::Plan);
        assert_eq!(
            told,
            "the host does not take this module: not a WebAssembly module: it is text; check that the file is a module \
             for SpacetimeDB 2.x; nothing was changed"
        );
    }

    #[test]
    fn a_taken_name_is_said_in_words() {
        let told = line(401, r#"{"PermissionDenied":{"name":"c1"}}"#, DEED);
        assert!(told.starts_with("the name `c1` belongs to another owner's database; choose"), "{told}");
        assert!(!told.contains('{'), "{told}");
    }
}
