//! Names that people and programs give themselves.
//!
//! What always holds: a stored name is trimmed, not empty, short, and has no control character; only its own identity
//! sets it.

use muster_contract::limits::NAME_CHARS_MAX;
use spacetimedb::{Identity, ReducerContext, Table};

use crate::auth;
use crate::presence::readers;

/// See `muster_contract::rows::Person`.
#[spacetimedb::table(accessor = person, public)]
pub struct Person {
    /// Who.
    #[primary_key]
    pub identity: Identity,
    /// Their name.
    pub name: String,
    /// Who sees the row: see [`readers`]. The last column, which the contract does not name.
    #[index(btree)]
    #[default(readers::EVERYBODY)]
    pub seen_by: u8,
}

/// Sets the caller's name. Calling it again replaces the name.
///
/// # Errors
/// If the name is empty, too long, or has control characters, or if the lane wants a token and the session has none that
/// is good; nothing is stored then.
#[spacetimedb::reducer]
pub fn set_name(ctx: &ReducerContext, name: String) -> Result<(), String> {
    auth::caller(ctx).map_err(|refusal| refusal.to_wire())?;
    let person = Person { identity: ctx.sender(), name: checked(&name)?, seen_by: readers::seen_by(ctx) };
    let by_identity = ctx.db.person().identity();
    if by_identity.find(person.identity).is_some() {
        by_identity.update(person);
    } else {
        ctx.db.person().insert(person);
    }
    Ok(())
}

/// The name as it will be stored.
fn checked(name: &str) -> Result<String, String> {
    let name = name.trim();
    if name.is_empty() {
        return Err("a name must not be empty: send at least one visible character".into());
    }
    let chars = name.chars().count();
    if chars > NAME_CHARS_MAX {
        return Err(format!("a name has at most {NAME_CHARS_MAX} characters, this one has {chars}"));
    }
    if name.chars().any(char::is_control) {
        return Err("a name must not contain control characters such as line breaks".into());
    }
    Ok(name.into())
}

#[cfg(test)]
mod tests {
    use super::{NAME_CHARS_MAX, checked};

    #[test]
    fn a_name_is_trimmed_and_kept_in_any_script() {
        assert_eq!(checked("  Åsa 東京\t"), Ok("Åsa 東京".into()));
        let longest = "界".repeat(NAME_CHARS_MAX);
        assert_eq!(checked(&longest), Ok(longest.clone()));
    }

    #[test]
    fn an_empty_overlong_or_unprintable_name_is_refused_with_the_reason() {
        assert!(checked(" \n ").unwrap_err().contains("empty"));
        assert!(checked(&"x".repeat(NAME_CHARS_MAX + 1)).unwrap_err().contains("at most 64"));
        assert!(checked("two\nlines").unwrap_err().contains("control"));
    }
}
