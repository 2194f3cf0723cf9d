//! Where the outbox for a database lies, unless `--outbox` says otherwise: below the folder of state,
//! `muster/outboxes/<scheme>_<host>_<port>_<database>.outbox`.
//!
//! What always holds: one place for each database at each address, because an outbox's numbers are for one database.

use std::path::PathBuf;

use super::files::{create_private_folder, state_home};
use super::saved::file_stem;
use super::{Place, TargetArgs};
use crate::outcome::Failure;

/// The outbox in `given`, or the one for the database that `target` names; its folder is made if that is ours.
///
/// # Errors
/// [`Failure::CouldNot`] if neither is named, or there is no folder to keep it in.
pub(crate) fn outbox_of(given: Option<&PathBuf>, target: &TargetArgs) -> Result<PathBuf, Failure> {
    match given {
        Some(path) => Ok(path.clone()),
        None => of(&target.place()?),
    }
}

fn of(place: &Place) -> Result<PathBuf, Failure> {
    let remedy = "give --outbox FILE";
    let home = state_home().ok_or_else(|| {
        Failure::could_not("there is no folder to keep the outbox in", "set HOME, or give --outbox FILE")
    })?;
    let folder = home.join("muster/outboxes");
    create_private_folder(&folder).map_err(|error| {
        Failure::could_not(format!("the folder {} cannot be made ({error})", folder.display()), remedy)
    })?;
    // A database's name is lower-case letters, digits and hyphens; an address that says otherwise is the host's to refuse.
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let database: String = place.endpoint.database().chars().map(plain).collect();
    Ok(folder.join(format!("{}_{database}.outbox", file_stem(&place.endpoint))))
}
