//! Whether a handshake passed: a pure judgement over what was counted.
//!
//! What always holds: only numbers that were observed go in; every expectation that does not hold is listed, so a
//! failed run says what was wrong and not only that something was.

use serde::Serialize;

/// What was seen at one moment: over SQL, by the observer's subscription, and by each client's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Observation {
    /// Sessions counted over HTTP SQL, those of the asker's identity left out.
    pub sql: u64,
    /// Sessions in the observer's subscription, those of the same identity left out.
    pub observer: u64,
    /// The handshake's own sessions among those, by connection id.
    pub observer_own: u64,
    /// The same two counts in each client's subscription.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub clients: Vec<ClientView>,
}

/// What one client saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClientView {
    /// Sessions in its subscription.
    pub count: u64,
    /// The handshake's own sessions among those.
    pub own: u64,
}

/// The three moments of a handshake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Observations {
    /// Before any client connected.
    pub before: Observation,
    /// While all of them held a subscription.
    pub during: Observation,
    /// After all of them had closed.
    pub after: Observation,
}

/// Every expectation that does not hold, in words; empty if the handshake passed.
pub(crate) fn problems(clients: u64, seen: &Observations) -> Vec<String> {
    let baseline = seen.before.sql;
    let expected = baseline + clients;
    let mut problems = Vec::new();
    let mut must = |holds: bool, problem: String| {
        if !holds {
            problems.push(problem);
        }
    };
    let Observations { before, during, after } = seen;
    must(
        before.observer == baseline,
        format!("before: SQL counted {baseline} sessions, the subscription {}", before.observer),
    );
    must(during.sql == expected, format!("during: SQL counted {} sessions, expected {expected}", during.sql));
    must(
        during.observer == expected,
        format!("during: the observer's subscription had {} sessions, expected {expected}", during.observer),
    );
    must(
        during.observer_own == clients,
        format!("during: the observer saw {} of the {clients} clients", during.observer_own),
    );
    must(
        during.clients.len() as u64 == clients,
        format!("during: {} of the {clients} clients reported", during.clients.len()),
    );
    for (number, client) in during.clients.iter().enumerate() {
        must(
            client.count == expected && client.own == clients,
            format!(
                "during: client {number} saw {} sessions, {} of them the handshake's; expected {expected} and {clients}",
                client.count, client.own
            ),
        );
    }
    must(after.sql == baseline, format!("after: SQL counted {} sessions, expected {baseline}", after.sql));
    must(
        after.observer == baseline,
        format!("after: the observer's subscription had {} sessions, expected {baseline}", after.observer),
    );
    must(after.observer_own == 0, format!("after: {} of the clients' rows were still there", after.observer_own));
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(change: impl FnOnce(&mut Observations)) -> Vec<String> {
        let client = ClientView { count: 5, own: 2 };
        let mut observations = Observations {
            before: Observation { sql: 3, observer: 3, ..Observation::default() },
            during: Observation { sql: 5, observer: 5, observer_own: 2, clients: vec![client.clone(), client] },
            after: Observation { sql: 3, observer: 3, ..Observation::default() },
        };
        change(&mut observations);
        problems(2, &observations)
    }

    #[test]
    fn baseline_plus_n_and_then_baseline_passes() {
        assert_eq!(seen(|_| ()), Vec::<String>::new());
    }

    #[test]
    fn every_number_that_is_off_fails_it() {
        let changes: [fn(&mut Observations); 10] = [
            |o| o.before.observer = 2,
            |o| o.during.sql = 4,
            |o| o.during.observer = 6,
            |o| o.during.observer_own = 1,
            |o| o.during.clients[1].count = 4,
            |o| o.during.clients[0].own = 1,
            |o| o.during.clients.truncate(1),
            |o| o.after.sql = 4,
            |o| o.after.observer = 2,
            |o| o.after.observer_own = 1,
        ];
        for (number, change) in changes.into_iter().enumerate() {
            assert_eq!(seen(change).len(), 1, "change {number} must be the one problem");
        }
    }
}
