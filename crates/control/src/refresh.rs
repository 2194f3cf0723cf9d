//! What becomes of a refresh token that somebody shows: a pure decision over what is stored of it.
//!
//! What always holds: a refresh token is good once. Shown again, it was stolen or its answer was lost, nobody can tell
//! which, and its whole family ends (RFC 9700 section 4.14.2). There is no time of grace: it would be one for a thief.

/// What is stored of a refresh token and its family. Times are seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RefreshFacts {
    /// Whether it was used.
    pub(crate) spent: bool,
    /// Whether its family was revoked.
    pub(crate) revoked: bool,
    /// When its family ends.
    pub(crate) family_ends_s: i64,
    /// Whether the client that shows it is the one that it was given to.
    pub(crate) same_client: bool,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefreshDecision {
    /// Spend it, and give its successor and an access token.
    Rotate,
    /// It was spent: revoke its family.
    Reuse,
    /// Refuse it.
    Refuse,
}

/// Decides. A token in another client's hands is refused and ends nothing: else any client could end any family whose
/// token it once saw, also a spent one.
pub(crate) fn decide(facts: RefreshFacts, now_s: i64) -> RefreshDecision {
    match facts {
        RefreshFacts { same_client: false, .. } | RefreshFacts { revoked: true, .. } => RefreshDecision::Refuse,
        RefreshFacts { spent: true, .. } => RefreshDecision::Reuse,
        RefreshFacts { family_ends_s, .. } if family_ends_s <= now_s => RefreshDecision::Refuse,
        _ => RefreshDecision::Rotate,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRESH: RefreshFacts = RefreshFacts { spent: false, revoked: false, family_ends_s: 100, same_client: true };

    #[test]
    fn a_fresh_one_rotates_and_a_spent_one_ends_its_family() {
        assert_eq!(decide(FRESH, 99), RefreshDecision::Rotate);
        assert_eq!(decide(RefreshFacts { spent: true, ..FRESH }, 99), RefreshDecision::Reuse);
    }

    #[test]
    fn a_late_a_revoked_and_a_strangers_one_are_refused() {
        assert_eq!(decide(FRESH, 100), RefreshDecision::Refuse);
        assert_eq!(decide(RefreshFacts { revoked: true, spent: true, ..FRESH }, 99), RefreshDecision::Refuse);
        assert_eq!(decide(RefreshFacts { same_client: false, spent: true, ..FRESH }, 99), RefreshDecision::Refuse);
    }
}
