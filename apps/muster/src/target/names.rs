//! What a database may be called. Pure.
//!
//! The rule is SpacetimeDB's (`DatabaseName` in its crates, and its page on the HTTP API): lower-case ASCII letters and
//! digits, in words with single hyphens between them; and no name looks like an identity.

use crate::outcome::Failure;

/// How long an identity is, in hexadecimal digits.
const IDENTITY_DIGITS: usize = 64;

/// Checks what a database is to be called, or the identity of one that is there.
///
/// # Errors
/// [`Failure::CouldNot`] with a name that would do.
pub(crate) fn check_new_name(name: &str) -> Result<(), Failure> {
    if is_identity(name) || is_name(name) {
        return Ok(());
    }
    let rule = "lower-case letters and digits, with single hyphens between them";
    let remedy = match like(name) {
        Some(near) => format!("write {rule}, such as `{near}`"),
        None => format!("write {rule}"),
    };
    Err(Failure::could_not(format!("`{name}` cannot be the name of a SpacetimeDB database"), remedy))
}

fn is_identity(text: &str) -> bool {
    text.len() == IDENTITY_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_name(text: &str) -> bool {
    let plain = |word: &str| !word.is_empty() && word.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit());
    text.split('-').all(plain)
}

/// The nearest name that is one, if anything is left of it.
fn like(text: &str) -> Option<String> {
    let text = text.to_lowercase();
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    Some(words.collect::<Vec<_>>().join("-")).filter(|name| is_name(name) && !is_identity(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_identities_pass() {
        for good in ["a", "muster-dev-2", "2", &"c2".repeat(32), &"C2".repeat(32)] {
            assert_eq!(check_new_name(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn what_is_neither_hears_the_rule_and_a_name_that_would_do() {
        for (bad, near) in
            [("Bad_Name", "bad-name"), ("a--b", "a-b"), ("-a", "a"), ("a.b/c", "a-b-c"), ("Upper", "upper")]
        {
            let told = check_new_name(bad).expect_err(bad).to_string();
            assert!(told.contains(&format!("`{bad}` cannot be")) && told.ends_with(&format!("`{near}`")), "{told}");
        }
        for bad in ["", "--", "ü"] {
            let told = check_new_name(bad).expect_err(bad).to_string();
            assert!(told.ends_with("between them"), "{told}");
        }
    }
}
