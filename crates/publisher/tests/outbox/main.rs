//! The outbox on real files: what is taken stays, whatever is killed or full, and what is refused is refused by type.

mod commit;
mod connect;
mod crash;
mod disk;
mod files;
mod input;
mod support;
