//! A deterministic simulator of Muster's streams: publishers, subscribers, a host, their disks and the network between
//! them, all from one seed.
//!
//! What always holds: what decides is the real thing (`muster_publisher::core`, `muster_sync::engine`, and the contract's
//! rules in the host's doors); what is simulated is everything around it. The same seed gives the same trace, byte for
//! byte. After every step an oracle that knows everything checks the promises of ARCHITECTURE.md; at the end faults
//! stop, and everything must converge.
//!
//! | file | what it is |
//! | --- | --- |
//! | `workload/` | what a seed means: sizes, work, faults |
//! | `world/` | one step after another, and what must hold after each |
//! | `publisher/`, `subscriber/` | the real cores, and simulated drivers around them |
//! | `host/` | the database: what is committed, what is durable, what is told when |
//! | `net.rs`, `disk.rs` | connections and disks, and how they fail |
//! | `oracle.rs` | who knows everything |
//! | `shrink.rs` | the shortest trace that still fails |

pub mod campaign;
pub mod context;
pub mod coverage;
pub mod disk;
pub mod host;
pub mod limits;
pub mod net;
pub mod oracle;
pub mod process;
pub mod publisher;
pub mod rng;
pub mod shrink;
pub mod subscriber;
pub mod trace;
pub mod wire;
pub mod workload;
pub mod world;
