//! What can go wrong over HTTP.

use crate::error::{NetworkError, is_no_route, is_retryable_status};

/// Why an HTTP request has no result. Each is one line with the cause and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// The host cannot be reached.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The host answered with an error.
    #[error("{context}: the host at {authority} answered {status}{}{}", in_words(.said), remedy(*.status, .said))]
    Status {
        /// What was tried: `publishing to presence`.
        context: String,
        /// Host and port.
        authority: String,
        /// The HTTP status.
        status: u16,
        /// The host's words as one line, perhaps empty.
        said: String,
    },
    /// The host answered with something that is not of SpacetimeDB's HTTP API.
    #[error(
        "{context}: the host at {authority} gave an answer that cannot be read ({reason}); is this a SpacetimeDB 2.x host?"
    )]
    Malformed {
        /// What was tried.
        context: String,
        /// Host and port.
        authority: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The answer is larger than [`crate::limits::HTTP_BODY_BYTES_MAX`].
    #[error("{context}: the answer is larger than {bytes_max} bytes; ask for less at a time")]
    TooLarge {
        /// What was tried.
        context: String,
        /// The limit.
        bytes_max: usize,
    },
    /// This process cannot make requests.
    #[error("this process cannot make HTTP requests ({0})")]
    Local(String),
}

impl HttpError {
    /// The status that the host answered with, if it answered.
    pub const fn status(&self) -> Option<u16> {
        match self {
            HttpError::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// The host's words, if it answered with an error.
    pub fn said(&self) -> Option<&str> {
        match self {
            HttpError::Status { said, .. } => Some(said),
            _ => None,
        }
    }

    /// Whether trying again later may help without anybody changing the request. Whether the first try had an effect
    /// is another question: a broken connection does not tell.
    pub const fn is_retryable(&self) -> bool {
        match self {
            HttpError::Network(error) => error.is_retryable(),
            HttpError::Status { status, .. } => is_retryable_status(*status),
            HttpError::Malformed { .. } | HttpError::TooLarge { .. } | HttpError::Local(_) => false,
        }
    }
}

fn in_words(words: &str) -> String {
    if words.is_empty() { String::new() } else { format!(": {words}") }
}

fn remedy(status: u16, said: &str) -> &'static str {
    match status {
        401 => {
            "; check the token: it may be expired, damaged, from an issuer that the host does not trust, or another's"
        }
        403 => "; this identity may not do that: use a token with the rights",
        404 if is_no_route(said) => {
            "; check the address and its path: the host has nothing there, whatever the database"
        }
        404 => "; check the database's name, and that it is published",
        413 => "; send less at a time",
        // The embedded host's own words end with that.
        507 if said.contains("free some space") => "",
        507 => "; free some space where the host keeps its data, then try again",
        429 | 502..=504 => "; try again in a moment",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_what_was_tried_who_answered_and_what_to_do() {
        let error = HttpError::Status {
            context: "publishing to `presence`".into(),
            authority: "localhost:3000".into(),
            status: 401,
            said: "Invalid token".into(),
        };
        assert_eq!(
            error.to_string(),
            "publishing to `presence`: the host at localhost:3000 answered 401: Invalid token; check the token: it may \
             be expired, damaged, from an issuer that the host does not trust, or another's"
        );
        assert!(!error.is_retryable());
    }

    fn line(status: u16, said: &str) -> String {
        let (context, authority) = ("calling `x`".into(), "h:1".into());
        HttpError::Status { context, authority, status, said: said.into() }.to_string()
    }

    #[test]
    fn a_path_that_is_not_there_is_not_blamed_on_the_database() {
        let told = line(404, "no such route: /a/v1/database/x");
        assert!(told.contains("check the address and its path") && !told.contains("published"), "{told}");
        assert!(line(404, "`x` not found").contains("that it is published"));
    }

    #[test]
    fn a_full_disk_has_one_remedy() {
        for said in ["no space is left; free some space, then try again", ""] {
            assert_eq!(line(507, said).matches("free some space").count(), 1, "{said}");
        }
    }
}
