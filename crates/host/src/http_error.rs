//! The errors of requests: a status and one line of text, as SpacetimeDB's own API sends them.
//!
//! A body never spans lines and never holds a backtrace. What is the host's own fault is logged here, once.

use std::fmt::Display;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use spacetimedb_lib::Identity;

/// An answer that says what went wrong. `Ok` bodies are made in the routes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    status: StatusCode,
    message: String,
}

impl ApiError {
    /// An error of `status`, with `message` folded into one line.
    pub(crate) fn new(status: StatusCode, message: impl Display) -> Self {
        Self { status, message: one_line(&message.to_string()) }
    }

    /// 400: the request is at fault.
    pub(crate) fn bad_request(message: impl Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 404, in the official server's words.
    pub(crate) fn no_such_database() -> Self {
        Self::new(StatusCode::NOT_FOUND, "No such database.")
    }

    /// 500: the host is at fault; also logged.
    pub(crate) fn internal(error: impl Display) -> Self {
        let this = Self::new(StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}"));
        tracing::error!(error = %this.message, "internal error");
        this
    }

    /// 507: no space is left where the host keeps its data; also logged. Nothing was changed.
    pub(crate) fn disk_full(error: impl Display) -> Self {
        tracing::error!(%error, "no space is left in the data folder");
        Self::new(
            StatusCode::INSUFFICIENT_STORAGE,
            format!("no space is left where the host keeps its data ({error}); free some space, then try again"),
        )
    }

    /// A file of the host could not be written: 507 if the disk is full, else 500.
    pub(crate) fn file(error: std::io::Error) -> Self {
        if crate::durability::is_full(&error) { Self::disk_full(error) } else { Self::internal(error) }
    }

    /// 503: the host or the database cannot answer now.
    pub(crate) fn unavailable(message: impl Display) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    /// 403: `subject` may not do `action` to `database`. The official server's wording.
    pub(crate) fn forbidden(subject: Identity, database: Identity, action: &str) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            format!("{subject} is not authorized to perform action on database {database}: {action}"),
        )
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status, self.message).into_response()
    }
}

/// Folds every run of line breaks, and the blanks around it, into `"; "`.
pub(crate) fn one_line(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("; ")
}

/// The causes of `error`, outermost first, in one line. Backtraces of WebAssembly, which wasmtime adds as causes, and
/// repetitions are left out.
pub(crate) fn causes(error: &anyhow::Error) -> String {
    let mut causes: Vec<String> = Vec::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        let text = one_line(without_backtrace(&cause));
        if !text.is_empty() && causes.last().is_none_or(|last| !last.ends_with(&text)) {
            causes.push(text);
        }
    }
    causes.join(": ")
}

/// The text up to the backtrace of WebAssembly that it may end with: numbers of functions, of use to nobody who reads it
/// over a network.
pub(crate) fn without_backtrace(text: &str) -> &str {
    text.split("error while executing at wasm backtrace:").next().unwrap_or_default().trim_end().trim_end_matches(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trap_is_told_without_its_backtrace() {
        let trap = anyhow::anyhow!("unreachable executed")
            .context("error while executing at wasm backtrace:\n    0: 0x1a2 - <unknown>!write")
            .context("cannot describe the module");
        assert_eq!(causes(&trap), "cannot describe the module: unreachable executed");
        let repeated = anyhow::anyhow!("inner").context("outer: inner");
        assert_eq!(causes(&repeated), "outer: inner");
    }

    #[test]
    fn a_message_of_many_lines_becomes_one() {
        assert_eq!(one_line("a\n\n  b\r\nc \n"), "a; b; c");
        assert_eq!(one_line("plain"), "plain");
        assert_eq!(one_line(""), "");
    }
}
