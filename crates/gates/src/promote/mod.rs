//! Promotion: whether a module may go from one lane to the next, and going there step by step.
//!
//! What `promotion.toml` asks (`policy.rs`) is held against the evidence (`judge.rs`); what has been done stands in a
//! journal (`journal.rs`), from which alone a state machine (`core.rs`) says what is next; `driver.rs` has it done.
//!
//! What always holds: a fact is in the journal before the next step begins, and every step may be taken again without
//! doing anything twice, so a promotion that was stopped anywhere goes on, or goes back; it goes back to where nobody is
//! sent to the candidate, and having begun to go back it never goes forth again.

pub mod core;
pub mod driver;
pub mod journal;
pub mod judge;
pub mod policy;

pub use self::core::{Core, End, Fact, Illegal, Plan, Step};
pub use driver::{StepError, Steps, Stopped, Watched, advance};
pub use journal::{Journal, JournalError};
pub use judge::{Admission, Place, Places, Shortcoming, Why, judge};
pub use policy::{Call, Policy, PolicyError, Requirement};
