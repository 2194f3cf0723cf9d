//! What a person can have done beside looking: the handshake, and a diagnostics bundle.

pub mod bundle;
pub mod handshake;
