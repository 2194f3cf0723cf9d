//! What a host counts, and the engine's counters beside it, as Prometheus reads them.
//!
//! Always true: this host's own counters are this host's alone, however many hosts the process has. The engine's are the
//! process's: it keeps them in statics, and labels with the database what belongs to one. Those of a database that this
//! host does not have, or has no longer, are not shown; the engine keeps them until the process ends.

use std::collections::HashSet;

use prometheus::{IntCounter, IntGauge, Registry, TextEncoder};
use spacetimedb::worker_metrics::WORKER_METRICS;
use spacetimedb_datastore::db_metrics::DB_METRICS;
use spacetimedb_datastore::db_metrics::data_size::DATA_SIZE_METRICS;
use spacetimedb_engine::metrics::ENGINE_METRICS;
use spacetimedb_lib::Identity;

/// What the engine calls the label that says whose a counter is.
const DATABASE_LABELS: [&str; 2] = ["db", "database_identity"];

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

    /// All counters, in Prometheus' text format; of those that belong to a database, only the ones of `databases`.
    pub(crate) fn text(&self, databases: &HashSet<Identity>) -> Result<String, prometheus::Error> {
        let shown: HashSet<String> = databases.iter().map(|database| database.to_hex().to_string()).collect();
        let mut families = self.registry.gather();
        for family in &mut families {
            let mut metrics = family.take_metric();
            metrics.retain(|metric| {
                let database = metric.get_label().iter().find(|label| DATABASE_LABELS.contains(&label.name()));
                database.is_none_or(|label| shown.contains(label.value()))
            });
            family.set_metric(metrics);
        }
        families.retain(|family| !family.get_metric().is_empty());
        TextEncoder::new().encode_to_string(&families)
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
