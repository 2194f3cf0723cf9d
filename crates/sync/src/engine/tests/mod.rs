//! The engine's rules, one by one, and then all of them under random faults.

mod faults;
mod following;
mod liveness;
mod pages;
mod random;
mod riding;
mod starting_again;
mod storing;
mod tokens;
mod world;
