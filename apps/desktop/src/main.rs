//! Muster's diagnostics window.
fn main() {}
