//! A bearer token: a secret that must not show up in a log, an error or a panic message.
//!
//! What always holds: the text of a [`Token`] fits into an HTTP header as it is, and only [`Token::expose`] gives it out.

use std::fmt;

/// A token that identifies the caller to a host: a JWT, whose claims only the host checks.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// Why a text cannot be a token. Never repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Nothing but white space.
    #[error("the token is empty; give the whole token, or none to connect anonymously")]
    Empty,
    /// A byte that no bearer token has.
    #[error(
        "the token has a character at position {position} that no bearer token can have; \
         was something else pasted along with it?"
    )]
    BadCharacter {
        /// The byte's position in the trimmed text, from 0.
        position: usize,
    },
}

impl Token {
    /// Takes a token as it was read from a file, a variable or a host. White space around it is dropped, and so is
    /// one leading `Bearer `.
    ///
    /// # Errors
    /// [`TokenError`], when the rest is empty or holds anything but the visible ASCII characters that a bearer token
    /// may consist of (RFC 6750, section 2.1).
    pub fn new(text: impl AsRef<str>) -> Result<Token, TokenError> {
        let text = text.as_ref().trim();
        let text = text.strip_prefix("Bearer ").unwrap_or(text).trim_start();
        if text.is_empty() {
            return Err(TokenError::Empty);
        }
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        match text.bytes().position(|byte| !allowed(byte)) {
            Some(position) => Err(TokenError::BadCharacter { position }),
            None => Ok(Token(text.into())),
        }
    }

    /// The token's text, to be sent to a host or written to a file that only its owner can read.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Token {
    type Error = TokenError;

    fn try_from(text: String) -> Result<Token, TokenError> {
        Token::new(text)
    }
}

impl std::str::FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Token, TokenError> {
        Token::new(text)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_never_shows_itself() {
        let token = Token::new("abc.def.ghi").expect("a token");
        assert_eq!(format!("{token:?}"), "Token(redacted)");
        assert_eq!(token.expose(), "abc.def.ghi");
    }

    #[test]
    fn what_surrounds_a_token_is_dropped() {
        assert_eq!(Token::new("  Bearer abc.d-e_f \n").expect("a token").expose(), "abc.d-e_f");
    }

    #[test]
    fn what_cannot_stand_in_a_header_is_refused_without_being_repeated() {
        assert_eq!(Token::new(" \n"), Err(TokenError::Empty));
        assert_eq!(Token::new("abc\r\nX: y"), Err(TokenError::BadCharacter { position: 3 }));
        let error = Token::new("s3cret token").expect_err("a blank inside").to_string();
        assert!(!error.contains("s3cret"), "{error}");
    }
}
