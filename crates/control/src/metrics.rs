//! Counts of what the service does, in the text form that Prometheus reads.
//!
//! What always holds: a label's values are the routes, grant types, codes and key states of this program, or databases
//! that an administrator named; nothing that a stranger sends becomes a label, and no secret, client id, subject or token
//! is ever part of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use crate::limits::METRIC_SERIES_MAX;

/// What is counted: the name, what it means, and its label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Counter {
    /// Answers, by route.
    Requests,
    /// Answers, by status.
    Answers,
    /// Access tokens, by how they were asked for.
    Tokens,
    /// Refusals, by the contract's code.
    Refusals,
    /// Failed authentications.
    FailedClients,
    /// Revocations that a module took, by its database.
    Delivered,
    /// Deliveries that failed, by database.
    DeliveryFailures,
    /// Connections of an address that had too many.
    ConnectionsRefused,
    /// Rounds of housekeeping that failed.
    HousekeepingFailures,
}

impl Counter {
    const ALL: [Counter; 9] = [
        Counter::Requests,
        Counter::Answers,
        Counter::Tokens,
        Counter::Refusals,
        Counter::FailedClients,
        Counter::Delivered,
        Counter::DeliveryFailures,
        Counter::ConnectionsRefused,
        Counter::HousekeepingFailures,
    ];

    const fn text(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Counter::Requests => ("requests_total", "Requests answered.", "route"),
            Counter::Answers => ("answers_total", "Requests answered, by HTTP status.", "status"),
            Counter::Tokens => ("tokens_total", "Access tokens issued.", "grant_type"),
            Counter::Refusals => ("refusals_total", "Requests refused.", "code"),
            Counter::FailedClients => ("failed_authentications_total", "Clients that were not who they said.", ""),
            Counter::Delivered => ("revocations_delivered_total", "Revocations that a module took.", "database"),
            Counter::DeliveryFailures => {
                ("delivery_failures_total", "Deliveries of revocations that failed.", "database")
            }
            Counter::ConnectionsRefused => {
                ("connections_refused_total", "Connections of an address that had too many.", "")
            }
            Counter::HousekeepingFailures => ("housekeeping_failures_total", "Rounds of housekeeping that failed.", ""),
        }
    }
}

/// The counts since this process began.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    counts: Mutex<BTreeMap<(Counter, String), u64>>,
}

impl Metrics {
    /// Counts one.
    pub(crate) fn count(&self, counter: Counter, label: &str) {
        self.add(counter, label, 1);
    }

    /// Counts several. Beyond [`METRIC_SERIES_MAX`] series, new labels count as `other`.
    pub(crate) fn add(&self, counter: Counter, label: &str, n: u64) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&(counter, label.to_owned())) {
            *count += n;
            return;
        }
        let label = if counts.len() < METRIC_SERIES_MAX { label } else { "other" };
        *counts.entry((counter, label.to_owned())).or_default() += n;
    }

    /// All of it, and these gauges: name, meaning, label, and a value for each of its values.
    pub(crate) fn render(&self, gauges: &[Gauge]) -> String {
        let mut text = String::new();
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for counter in Counter::ALL {
            let (name, help, label) = counter.text();
            let values = counts.iter().filter(|((of, _), _)| *of == counter);
            let mut values: Vec<_> = values.map(|((_, value), count)| (value.clone(), *count as i64)).collect();
            if label.is_empty() && values.is_empty() {
                values.push((String::new(), 0));
            }
            write_family(&mut text, name, help, "counter", label, &values);
        }
        for gauge in gauges {
            write_family(&mut text, gauge.name, gauge.help, "gauge", gauge.label, &gauge.values);
        }
        text
    }
}

/// What is so at the moment.
#[derive(Clone, Debug)]
pub(crate) struct Gauge {
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    /// Empty where there is none.
    pub(crate) label: &'static str,
    pub(crate) values: Vec<(String, i64)>,
}

fn write_family(text: &mut String, name: &str, help: &str, kind: &str, label: &str, values: &[(String, i64)]) {
    // Writing to a string cannot fail.
    let _ = write!(text, "# HELP muster_control_{name} {help}\n# TYPE muster_control_{name} {kind}\n");
    for (value, number) in values {
        let _ = match label {
            "" => writeln!(text, "muster_control_{name} {number}"),
            label => writeln!(text, "muster_control_{name}{{{label}=\"{}\"}} {number}", escaped(value)),
        };
    }
}

/// A label's value, as the exposition format writes it.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_gauges_are_written_as_prometheus_reads_them() {
        let metrics = Metrics::default();
        metrics.count(Counter::Tokens, "mint");
        metrics.add(Counter::Tokens, "mint", 2);
        let gauge = Gauge { name: "keys", help: "Keys.", label: "state", values: vec![("a\"b".into(), 1)] };
        let text = metrics.render(&[gauge]);
        assert!(text.contains(
            "# TYPE muster_control_tokens_total counter\nmuster_control_tokens_total{grant_type=\"mint\"} 3\n"
        ));
        assert!(text.contains("muster_control_failed_authentications_total 0\n"));
        assert!(text.contains("# TYPE muster_control_keys gauge\nmuster_control_keys{state=\"a\\\"b\"} 1\n"), "{text}");
    }

    #[test]
    fn there_are_never_more_series_than_the_limit() {
        let metrics = Metrics::default();
        for n in 0..10 * METRIC_SERIES_MAX {
            metrics.count(Counter::Delivered, &format!("database-{n}"));
        }
        let text = metrics.render(&[]);
        let series = text.lines().filter(|line| line.contains("{database=")).count();
        assert_eq!(series, METRIC_SERIES_MAX + 1);
        assert!(text.contains(&format!("{{database=\"other\"}} {}", 9 * METRIC_SERIES_MAX)));
    }
}
