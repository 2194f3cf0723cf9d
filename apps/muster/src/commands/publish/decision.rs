//! May this publish go ahead? A pure decision over the host's plan and what was allowed on the command line.
//!
//! What always holds: without a flag that says so, no client is broken, no data deleted, and no 1.x module replaced;
//! every refusal names the flag.

use muster_wire::http::{Migration, MigrationPlan, Policy};

use crate::outcome::{Failure, one_line};

/// When data may be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum DeleteData {
    /// Only if the host cannot keep it with the new module
    OnConflict,
    /// In any case
    Always,
}

/// What the command line allows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Allowed {
    pub(super) break_clients: bool,
    pub(super) accept_major_upgrade: bool,
    pub(super) delete_data: Option<DeleteData>,
}

/// How the publish goes ahead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Go {
    /// What it may do to clients.
    pub(super) policy: Policy,
    /// Whether all data goes first.
    pub(super) clear: bool,
}

impl Go {
    /// Nothing is lost and nobody is broken: a new database, or a compatible change.
    pub(super) const HARMLESS: Go = Go { policy: Policy::Compatible, clear: false };
    /// All data goes, and with it everything that clients could be broken about.
    pub(super) const CLEAR: Go = Go { policy: Policy::Compatible, clear: true };
}

/// What the plan for a database that exists comes to.
///
/// # Errors
/// [`Failure::No`] with the flag that would allow it.
pub(super) fn decide(plan: &MigrationPlan, allowed: Allowed) -> Result<Go, Failure> {
    if plan.major_version_upgrade && !allowed.accept_major_upgrade {
        return Err(Failure::no(
            "the stored module is of SpacetimeDB 1.x and this one of 2.x, and there is no way back",
            "read SpacetimeDB's page \"migrating to 2.0\", then add --accept-major-upgrade",
        ));
    }
    if allowed.delete_data == Some(DeleteData::Always) {
        return Ok(Go::CLEAR);
    }
    match &plan.migration {
        Migration::Automatic { breaks_clients: false, .. } => Ok(Go::HARMLESS),
        Migration::Automatic { breaks_clients: true, token, .. } if allowed.break_clients => {
            Ok(Go { policy: Policy::BreakClients(token.clone()), clear: false })
        }
        Migration::Automatic { breaks_clients: true, .. } => Err(Failure::no(
            "this change breaks connected clients: the host would disconnect them, and those built for the old schema \
             could not come back",
            "update the clients first, or add --break-clients",
        )),
        Migration::Refused { .. } if allowed.delete_data.is_some() => Ok(Go::CLEAR),
        Migration::Refused { reason } => Err(Failure::no(
            format!("the host cannot make this change and keep the data ({})", one_line(reason)),
            "make a change that it can migrate, or add --delete-data",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(migration: Migration) -> MigrationPlan {
        MigrationPlan { migration, major_version_upgrade: false }
    }

    fn refused() -> MigrationPlan {
        plan(Migration::Refused { reason: "column `x`\nchanged its type".into() })
    }

    fn refusal(plan: &MigrationPlan) -> String {
        decide(plan, Allowed::default()).expect_err("refused").to_string()
    }

    #[test]
    fn data_is_deleted_only_where_that_was_said() {
        assert!(refusal(&refused()).ends_with("or add --delete-data"), "{}", refusal(&refused()));
        let allowed = Allowed { delete_data: Some(DeleteData::OnConflict), ..Allowed::default() };
        assert_eq!(decide(&refused(), allowed), Ok(Go::CLEAR));
        // Breaking clients is another matter.
        let allowed = Allowed { break_clients: true, ..Allowed::default() };
        assert!(decide(&refused(), allowed).is_err());
    }

    #[test]
    fn a_module_of_1_x_is_replaced_only_where_that_was_said() {
        let plan = MigrationPlan { major_version_upgrade: true, ..refused() };
        let allowed = Allowed { delete_data: Some(DeleteData::Always), ..Allowed::default() };
        let refusal = decide(&plan, allowed).expect_err("refused").to_string();
        assert!(refusal.ends_with("then add --accept-major-upgrade"), "{refusal}");
        assert_eq!(decide(&plan, Allowed { accept_major_upgrade: true, ..allowed }), Ok(Go::CLEAR));
    }
}
