//! Panes as lines of text: for `--once`, and for what the screen shows of each.
//!
//! What always holds: what comes from a host or an outbox is made one line without control characters before it is shown.

use muster_panel::badge::age;
use muster_panel::model::token::TokenKind;
use muster_panel::{At, Facts, Pane};

use crate::outcome::one_line;
use crate::table;

/// Everything, as `--once` prints it.
pub(super) fn whole(facts: &Facts, now: At) -> String {
    let mut lines = vec![lane(facts)];
    for pane in Pane::ALL {
        lines.push(String::new());
        lines.push(format!("{}: {}", pane.title(), facts.badge(pane, now)));
        lines.extend(of_pane(facts, pane, now).into_iter().map(|line| format!("  {line}")));
    }
    lines.join("\n")
}

/// Which lane.
pub(super) fn lane(facts: &Facts) -> String {
    match &facts.lane {
        None => "no lane".into(),
        Some(lane) => {
            let name = lane.lane.as_ref().map(|name| format!("{name}, ")).unwrap_or_default();
            format!("{name}{} on {}", lane.database, lane.server)
        }
    }
}

/// What a pane says; a refusal takes it over.
pub(super) fn of_pane(facts: &Facts, pane: Pane, now: At) -> Vec<String> {
    if let Some(refusal) = facts.refusal(pane) {
        let code = refusal.code.map(|code| format!(" ({code})")).unwrap_or_default();
        return vec![
            format!("{}{code}", refusal.title),
            one_line(&refusal.detail),
            format!("→ {}", one_line(&refusal.remedy)),
        ];
    }
    match pane {
        Pane::Sessions => sessions(facts),
        Pane::Sync => sync(facts, now),
        Pane::Token => token(facts, now),
        Pane::Events => events(facts),
        Pane::Outbox => outbox(facts, now),
    }
}

fn sessions(facts: &Facts) -> Vec<String> {
    let sessions = &facts.sessions;
    let Some(total) = sessions.total else { return vec!["nobody is known yet".into()] };
    let roles: Vec<_> = sessions.by_role.iter().map(|(role, count)| format!("{count} {role}")).collect();
    let (joins, leaves) = sessions.churn.totals();
    let mut lines = vec![
        format!("{total} connected: {}", roles.join(", ")),
        format!("in the last hour {joins} joined, {leaves} left"),
    ];
    if let Some(why) = &sessions.rows_refused {
        lines.push(one_line(why));
    }
    let rows: Vec<_> = sessions
        .rows
        .iter()
        .rev()
        .map(|row| {
            let text = |text: &Option<String>| text.as_deref().map_or("-".into(), one_line);
            let identity = row.identity.get(..16).unwrap_or(&row.identity).to_string();
            vec![identity, text(&row.client), one_line(&row.role), text(&row.build), row.since.date_and_time()]
        })
        .collect();
    if !rows.is_empty() {
        let head = ["identity", "client", "role", "build", "since"].map(String::from);
        lines.extend(table::render(&head, &rows).lines().map(String::from));
    }
    lines
}

fn sync(facts: &Facts, now: At) -> Vec<String> {
    let sync = &facts.sync;
    let reason = sync.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    let retry = sync.next_retry.map(|at| format!(", next attempt in {}", age(now.until(at)))).unwrap_or_default();
    let attempts = if sync.attempts > 0 { format!(", attempt {}", sync.attempts) } else { String::new() };
    let mut lines =
        vec![format!("{}{reason}{attempts}{retry}; {} events behind, {:.1} events/s", sync.state, sync.lag, sync.rate)];
    if let Some(error) = &sync.last_error {
        lines.push(one_line(error));
    }
    if let (Some(half), Some(most)) = (sync.latency.quantile(0.5), sync.latency.quantile(0.99)) {
        lines.push(format!(
            "append to apply: half within {} ms, 99 % within {} ms",
            half.as_millis(),
            most.as_millis()
        ));
    }
    let rows: Vec<_> = sync
        .streams
        .iter()
        .map(|row| {
            let state = match row.progress.filter(|_| row.lag > 0) {
                Some(done) => format!("{} {:.0} %", row.state, done * 100.0),
                None => row.state.to_string(),
            };
            let last = row.last_event.as_ref();
            vec![
                row.stream.to_string(),
                state,
                row.cursor.map_or("-".into(), |cursor| cursor.to_string()),
                row.head.to_string(),
                row.lag.to_string(),
                format!("{:.1}", row.rate),
                last.map_or("-".into(), |event| format!("{} {}", event.at.time_of_day(), one_line(&event.kind))),
            ]
        })
        .collect();
    if !rows.is_empty() {
        let head = ["stream", "state", "cursor", "head", "lag", "rate/s", "last event"].map(String::from);
        lines.extend(table::render(&head, &rows).lines().map(String::from));
    }
    lines
}

fn token(facts: &Facts, now: At) -> Vec<String> {
    let token = &facts.token;
    let kind = match token.kind {
        TokenKind::Anonymous => "without a token: the host made up an identity",
        TokenKind::Given => "with a token that was given, and is not renewed",
        TokenKind::Renewed => "with tokens that renew themselves",
    };
    let mut lines = vec![kind.to_string()];
    let mut add = |caption: &str, value: Option<String>| {
        lines.extend(value.filter(|value| !value.is_empty()).map(|value| format!("{caption}: {}", one_line(&value))));
    };
    add("client", token.client.clone());
    add("scopes", Some(token.scopes.join(", ")));
    add("streams", Some(token.streams.join(", ")));
    add("time left", token.expires.map(|at| format!("{} (until {})", age(now.until(at)), at.time_of_day())));
    add("next refresh", token.next_refresh.map(|at| format!("in {}", age(now.until(at)))));
    add("last refusal", token.last_refusal.as_ref().map(|(at, said)| format!("{} {said}", at.time_of_day())));
    lines
}

fn events(facts: &Facts) -> Vec<String> {
    let events = &facts.events;
    let Some(stream) = &events.stream else { return vec!["no events yet".into()] };
    let mut lines = vec![stream.clone()];
    lines.extend(events.rows.iter().take(200).map(|row| {
        let payload: String = row.payload.chars().take(400).collect();
        format!("{:>8}  {}  {}  {}", row.seq, row.at.time_of_day(), one_line(&row.kind), one_line(&payload))
    }));
    lines
}

fn outbox(facts: &Facts, now: At) -> Vec<String> {
    let Some(look) = &facts.outbox.look else { return vec!["nothing is published from here".into()] };
    let oldest = look.oldest.map(|at| format!(", the oldest for {}", age(now.since(at)))).unwrap_or_default();
    let mut lines = vec![format!(
        "{} events wait in {} bytes{oldest}; parked streams: {}",
        look.depth,
        look.bytes,
        facts.outbox.parked()
    )];
    for row in look.streams.iter() {
        lines.push(match &row.parked {
            Some(parked) => format!("{}: {} waiting, parked: {}", row.stream, row.pending, one_line(&parked.message)),
            None => format!("{}: {} waiting", row.stream, row.pending),
        });
    }
    lines
}
