//! Asking before what cannot be undone.
//!
//! What always holds: only a person at a terminal, or `--yes`, says yes; silence, the end of the input and anything but
//! `y` or `yes` say no.

use std::io::{self, IsTerminal};

use crate::outcome::Failure;
use crate::ui::{self, Ui};

/// Asks whether to `deed` ("delete …"), unless `yes`.
///
/// # Errors
/// [`Failure::No`] unless the answer is yes.
pub(crate) async fn confirm(_ui: &Ui, yes: bool, deed: &str) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::no(format!("will not {deed} without being told so"), "add --yes"));
    }
    ui::ask(&format!("Really {deed}? This cannot be undone. [y/N] "));
    // A thread of its own: reading a terminal blocks.
    let answer = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        io::stdin().read_line(&mut line).map(|_| line)
    });
    let answer = answer.await.map_err(io::Error::other).and_then(|read| read).unwrap_or_default();
    if matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
        return Ok(());
    }
    Err(Failure::no(format!("did not {deed}: the answer was no"), "answer y, or add --yes"))
}
