//! The token service over real HTTP: each test has a state directory, a listener and clients of its own.

mod audit;
mod authlib;
mod compatibility;
mod exchange;
mod keys;
mod limits;
mod pruning;
mod refresh;
mod restart;
mod revocation;
mod secrecy;
mod support;
mod tokens;
mod who;
