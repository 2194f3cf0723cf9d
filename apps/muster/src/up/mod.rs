//! The whole plane on this machine, for somebody new: host, module, token service, a runtime that emits, and a screen.
//!
//! What always holds: host, token service and screen are processes of their own, each behind a guard that ends it when
//! `muster up` is gone, however that went; everything that is needed to go on later lies in one folder; nothing is open to
//! whoever has no token of the plane's own service.

mod folder;
mod guard;
mod lane;
mod part;
mod plane;
mod runtime;
mod screen;

pub(crate) use folder::{Folder, default_folder};
pub(crate) use guard::{GuardArgs, guard};
pub(crate) use plane::{Ending, Plane, Wanted};
pub(crate) use screen::{Choice, Screen};

/// The database's name.
pub(crate) const DATABASE: &str = "muster";
/// Whom the plane's tokens are for.
pub(crate) const AUDIENCE: &str = "muster-up";
/// The client that the runtime is.
pub(crate) const RUNTIME: &str = "runtime";
/// The client that the screen is.
pub(crate) const DESKTOP: &str = "desktop";
