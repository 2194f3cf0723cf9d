//! A lane's name, and how it stands in a variable's name.

use std::fmt;
use std::str::FromStr;

use crate::{LaneError, PREFIX};

/// A lane's name: lower-case ASCII letters, digits and hyphens, beginning with a letter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LaneName(String);

impl LaneName {
    /// What the lane's variables begin with: `OA_SPACETIME_<ENV>_`, upper-case, hyphens as underscores.
    pub fn prefix(&self) -> String {
        format!("{PREFIX}{}_", self.0.to_ascii_uppercase().replace('-', "_"))
    }
}

impl FromStr for LaneName {
    type Err = LaneError;

    fn from_str(text: &str) -> Result<Self, LaneError> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(plain) {
            Ok(LaneName(text.into()))
        } else {
            Err(LaneError::Name(text.into()))
        }
    }
}

impl fmt::Display for LaneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
