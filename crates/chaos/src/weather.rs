//! What the network does to what passes: decided from outside, the same for every connection of a proxy.

use std::time::Duration;

/// The state of the network between a client and the upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weather {
    /// Nothing passes, in either direction, and nothing is closed: both ends see a connection that is silent. New
    /// connections are accepted and stay silent too. What was on its way passes when it thaws.
    pub frozen: bool,
    /// New connections are reset as soon as they are accepted, as if nobody listened.
    pub refusing: bool,
    /// How long each byte takes, in each direction, beyond what the machine needs.
    pub delay: Duration,
    /// Bytes a second that one direction of one connection passes at most. `None` is no limit.
    pub bytes_per_second: Option<u32>,
}

impl Weather {
    /// As if there were no proxy.
    pub const CLEAR: Weather =
        Weather { frozen: false, refusing: false, delay: Duration::ZERO, bytes_per_second: None };
}

impl Default for Weather {
    fn default() -> Weather {
        Weather::CLEAR
    }
}
