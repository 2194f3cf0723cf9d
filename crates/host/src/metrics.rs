//! What a host counts, and the engine's counters beside it, as Prometheus reads them.
//!
//! Always true: this host's own counters are this host's alone, however many hosts the process has. The engine's are the
//! process's: it keeps them in statics, and labels with the database what belongs to one.

use prometheus::{IntCounter, IntGauge, Registry, TextEncoder};
use spacetimedb::worker_metrics::WORKER_METRICS;
use spacetimedb_datastore::db_metrics::DB_METRICS;
use spacetimedb_datastore::db_metrics::data_size::DATA_SIZE_METRICS;
use spacetimedb_engine::metrics::ENGINE_METRICS;

/// The counters of one host. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct HostMetrics {
    registry: Registry,
    /// TCP connections that are open now, WebSockets among them.
    pub(crate) connections: IntGauge,
    /// Connections that found no place.
    pub(crate) connections_refused: IntCounter,
    /// Databases in the catalogue.
    pub(crate) databases: IntGauge,
    /// Modules that are being tried out before they are published.
    pub(crate) trials: IntGauge,
}

impl HostMetrics {
    /// Counters that stand at zero.
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let this = Self {
            registry: Registry::new(),
            connections: IntGauge::new(
                "muster_host_connections",
                "TCP connections that are open, WebSockets included",
            )?,
            connections_refused: IntCounter::new(
                "muster_host_connections_refused_total",
                "Connections that were refused because all places were taken",
            )?,
            databases: IntGauge::new("muster_host_databases", "Databases that this host holds")?,
            trials: IntGauge::new("muster_host_trials", "Modules that are being tried out before they are published")?,
        };
        let registry = &this.registry;
        registry.register(Box::new(this.connections.clone()))?;
        registry.register(Box::new(this.connections_refused.clone()))?;
        registry.register(Box::new(this.databases.clone()))?;
        registry.register(Box::new(this.trials.clone()))?;
        registry.register(Box::new(&*WORKER_METRICS))?;
        registry.register(Box::new(&*DB_METRICS))?;
        registry.register(Box::new(&*DATA_SIZE_METRICS))?;
        registry.register(Box::new(&*ENGINE_METRICS))?;
        Ok(this)
    }

    /// All counters, in Prometheus' text format.
    pub(crate) fn text(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

/// One of what a gauge counts, for as long as it is.
#[derive(Debug)]
pub(crate) struct Counted(IntGauge);

impl Counted {
    /// One more.
    pub(crate) fn in_gauge(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
