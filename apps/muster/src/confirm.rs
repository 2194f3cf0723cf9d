//! Asking before what cannot be undone.
//!
//! What always holds: only a person at a terminal who types the database's name, or `--yes`, says yes; silence, the end
//! of the input and anything else say no. A `y` would be typed by habit, and for the wrong database.

use std::io::{self, IsTerminal};

use crate::outcome::Failure;
use crate::ui::{self, Ui};

/// Asks whether to `deed` ("delete …"), which is done to the database `name`, unless `yes`.
///
/// # Errors
/// [`Failure::No`] unless the answer is that name.
pub(crate) async fn confirm(_ui: &Ui, yes: bool, deed: &str, name: &str) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::no(format!("will not {deed} without being told so"), "add --yes"));
    }
    ui::ask(&format!("This will {deed}, and cannot be undone. Type the database's name to go on: "));
    // A thread of its own: reading a terminal blocks.
    let answer = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        io::stdin().read_line(&mut line).map(|_| line)
    });
    let answer = answer.await.map_err(io::Error::other).and_then(|read| read).unwrap_or_default();
    if answer.trim() == name {
        return Ok(());
    }
    Err(Failure::no(format!("did not {deed}: the answer was not its name"), format!("type `{name}`, or add --yes")))
}
