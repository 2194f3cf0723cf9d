//! Tokens that go on: where they come from ([`Source`]), when the next is asked for ([`machine`]), and the task that keeps
//! one good ([`Keeper`]).
//!
//! What always holds: what is decided is decided in [`machine`], which is pure. A token that has ended is not handed out. A
//! service that is away does no harm before the present token ends. No secret and no token shows up in a log, an error or a
//! `Debug` text.

mod assertion;
mod control;
mod hints;
mod keeper;
pub mod machine;
mod source;
mod tokens;

pub use keeper::{Held, Keeper, LeaseError, LeaseStatus};
pub use machine::{LeaseState, Retry};
pub use source::{Control, Credential, Granted, Refused, Secret, Source, SourceError, exposed, fetch};
pub use tokens::Tokens;
