//! The gates and drills themselves.
