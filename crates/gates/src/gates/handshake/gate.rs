//! The gate `handshake`: what [`super::meet`] finds, as observations.

use super::{Clients, Plan, Stage as Step, meet};
use crate::gates::recorder::Recorder;
use crate::gates::site::{PREFIX, Stage, words};
use crate::gates::tokens::{self, Wanted};
use crate::observation::{Observation, Quantity};

/// Runs.
pub(crate) async fn run(stage: &Stage, recorder: &Recorder) {
    let settings = stage.settings();
    // Where a lane takes tokens only, its clients come with one, of which nothing but being there is asked.
    let come_as = match &settings.tokens {
        None => Clients::Anonymous,
        Some(_) => {
            let wanted = Wanted { scopes: &["presence.read"], streams: vec![format!("{PREFIX}.*")], life: None };
            match tokens::get(stage, &wanted).await {
                Ok(token) => Clients::Same(token),
                Err(why) => return recorder.undecided("sessions", why),
            }
        }
    };
    let plan = Plan {
        lane: stage.site.lane.as_ref().map(|lane| lane.name.to_string()),
        endpoint: stage.site.endpoint.clone(),
        token: stage.site.token.clone(),
        come_as,
        clients: settings.load.handshake_clients.into(),
        patience: settings.patience(),
    };
    recorder.configure("clients", plan.clients);
    let began = std::time::Instant::now();
    let steps = |step| {
        recorder.tell(match step {
            Step::Before => "counting the sessions that are there",
            Step::Connecting => "connecting the clients",
            Step::Meeting => "waiting until everybody sees everybody",
            Step::Parting => "closing, and waiting until nobody is seen",
        });
    };
    let evidence = match meet(&plan, steps).await {
        Ok(evidence) => evidence,
        // A lane that lets no anonymous session in is not wrong for that: it cannot be counted without `tokens`.
        Err(error) => return recorder.undecided("sessions", words(&error)),
    };
    let report = &evidence.report;
    recorder.observe(Observation::noted("sessions.before", report.baseline));
    for (name, seen, expected) in [
        ("sessions.during", report.during, report.baseline + report.clients),
        ("sessions.after", report.after, report.baseline),
    ] {
        recorder.must(name, seen == expected, seen, format!("{seen} sessions were counted, and {expected} were there"));
    }
    for problem in &evidence.problems {
        let words = "somebody is not seen, or a session that is gone still has a row (a ghost)";
        recorder.observe(Observation::broken("sessions.view", problem.as_str(), words));
    }
    for session in &evidence.sessions {
        recorder.push("connect", Quantity::Latency, "ms", began, session.connect_ms);
    }
}
