//! Bad networks on purpose: a TCP proxy whose weather a drill decides.
//!
//! What always holds: bytes pass unchanged and in order, or not at all; the proxy never closes a connection by itself
//! unless one of its two ends did or it was told to; what it holds back is bounded, so a stalled reader is felt by the
//! writer as it would be without a proxy. It looks at no byte of what it carries, so it serves HTTP, WebSocket and TLS
//! alike.
//!
//! [`Proxy`] accepts and keeps count; [`pipe`] is one direction of one connection; [`weather`] is what may happen to it.

mod limits;
mod pipe;
mod proxy;
mod weather;

pub use proxy::{Proxy, Traffic};
pub use weather::Weather;
