//! What a session says it is: a small closed set, so that counts by role stay a handful of numbers.

/// The role of a session, as its token claims it in [`ROLE_CLAIM`].
///
/// A role is a label for people and counts. It grants nothing: only scopes and streams do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// No role claimed: every session with a host-issued, anonymous identity.
    Anonymous,
    /// An agent runtime, which publishes events.
    Runtime,
    /// A desktop, which follows them.
    Desktop,
    /// A person or program that runs the lane.
    Operator,
    /// A role was claimed that this build does not know.
    Other,
}

/// The token claim that names the role.
pub const ROLE_CLAIM: &str = "oa_role";

impl Role {
    /// Every role, in the order in which summaries list them.
    pub const ALL: [Role; 5] = [Role::Anonymous, Role::Runtime, Role::Desktop, Role::Operator, Role::Other];

    /// The text stored in `active_connection.role` and `presence_summary`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Anonymous => "anonymous",
            Role::Runtime => "runtime",
            Role::Desktop => "desktop",
            Role::Operator => "operator",
            Role::Other => "other",
        }
    }

    /// The role for what a token claims: none is [`Role::Anonymous`], an unknown one [`Role::Other`]. `anonymous` and
    /// `other` are not for a token to claim, and count as unknown.
    pub fn from_claim(claim: Option<&str>) -> Role {
        match claim {
            None => Role::Anonymous,
            Some("runtime") => Role::Runtime,
            Some("desktop") => Role::Desktop,
            Some("operator") => Role::Operator,
            Some(_) => Role::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claimed_role_is_kept_and_an_unknown_one_is_other() {
        for role in [Role::Runtime, Role::Desktop, Role::Operator] {
            assert_eq!(Role::from_claim(Some(role.as_str())), role);
        }
        assert_eq!(Role::from_claim(Some("Operator")), Role::Other);
        assert_eq!(Role::from_claim(Some("anonymous")), Role::Other);
        assert_eq!(Role::from_claim(None), Role::Anonymous);
    }
}
