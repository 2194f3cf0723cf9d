//! Panes as lines of text: for `--once`, and for what the screen shows of each.
//!
//! What always holds: what comes from a host or an outbox is made one line without control characters before it is shown.

use std::time::Duration;

use muster_contract::state::ConnectionState;
use muster_panel::badge::age;
use muster_panel::model::token::TokenKind;
use muster_panel::{At, Badge, Facts, Pane};

use crate::outcome::one_line;
use crate::table;

/// Events that a pane shows.
const EVENTS_SHOWN_MAX: usize = 200;
/// Characters of a payload that a pane shows.
const PAYLOAD_CHARS_MAX: usize = 400;

/// A pane's content.
#[derive(Debug, Default)]
pub(super) struct Body {
    /// Prose, of which the first line says most.
    pub(super) lines: Vec<String>,
    /// Rows, where there are any.
    pub(super) table: Option<Table>,
}

/// Rows of a pane.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) head: Vec<&'static str>,
    pub(super) rows: Vec<Vec<String>>,
    /// By row, where the second column says a state.
    #[cfg_attr(not(feature = "top"), allow(dead_code, reason = "only the screen has colours"))]
    pub(super) states: Vec<ConnectionState>,
}

impl Body {
    fn with(mut self, head: &[&'static str], rows: Vec<Vec<String>>) -> Body {
        self.table = (!rows.is_empty()).then(|| Table { head: head.to_vec(), rows, states: Vec::new() });
        self
    }
}

impl From<Vec<String>> for Body {
    fn from(lines: Vec<String>) -> Body {
        Body { lines, table: None }
    }
}

impl From<&str> for Body {
    fn from(line: &str) -> Body {
        Body::from(vec![line.to_string()])
    }
}

/// Everything, as `--once` prints it.
pub(super) fn whole(facts: &Facts, now: At) -> String {
    let mut lines = vec![lane(facts)];
    lines.extend(facts.trouble.as_ref().map(|trouble| format!("trouble: {}", one_line(trouble))));
    for pane in Pane::ALL {
        lines.push(String::new());
        lines.push(format!("{}: {}", pane.title(), facts.badge(pane, now)));
        let body = of_pane(facts, pane, now);
        lines.extend(body.lines.into_iter().map(|line| format!("  {line}")));
        if let Some(table) = body.table {
            let head: Vec<_> = table.head.iter().map(ToString::to_string).collect();
            lines.extend(table::render(&head, &table.rows).lines().map(|line| format!("  {line}")));
        }
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
pub(super) fn of_pane(facts: &Facts, pane: Pane, now: At) -> Body {
    if let Some(refusal) = facts.refusal(pane) {
        let code = refusal.code.map(|code| format!(" ({code})")).unwrap_or_default();
        let again = retry(facts.next_retry(pane), now).trim_start_matches(", ").to_string();
        let mut lines = vec![
            format!("{}{code}", refusal.title),
            one_line(&refusal.detail),
            format!("→ {}", one_line(&refusal.remedy)),
        ];
        lines.extend(Some(again).filter(|again| !again.is_empty()));
        return Body::from(lines);
    }
    match pane {
        Pane::Sessions => sessions(facts, now),
        Pane::Sync => sync(facts, now),
        Pane::Token => token(facts, now),
        Pane::Events => events(facts),
        Pane::Outbox => outbox(facts, now),
    }
}

/// Something that may be missing, as a cell.
fn cell(text: Option<&str>) -> String {
    text.map_or("-".into(), one_line)
}

/// `, next attempt in 3 s`, where one is due.
fn retry(next: Option<At>, now: At) -> String {
    next.map(|at| format!(", next attempt in {}", age(now.until(at)))).unwrap_or_default()
}

fn sessions(facts: &Facts, now: At) -> Body {
    let sessions = &facts.sessions;
    let mut lines = Vec::new();
    if let Some(total) = sessions.total {
        let roles: Vec<_> =
            sessions.by_role.iter().map(|(role, count)| format!("{count} {}", one_line(role))).collect();
        let roles = if roles.is_empty() { String::new() } else { format!(": {}", roles.join(", ")) };
        lines.push(format!("{total} connected{roles}"));
        // Where the rows are not for this session, who joins and leaves is not either.
        if sessions.rows_refused.is_none() {
            let (joins, leaves) = sessions.churn.totals();
            lines.push(format!("in the last hour {joins} joined, {leaves} left"));
        }
    } else {
        lines.push("nobody is known yet".into());
    }
    if sessions.link.next_retry.is_some() {
        let reason = sessions.link.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
        lines.push(format!("{}{reason}{}", sessions.link.state, retry(sessions.link.next_retry, now)));
        lines.extend(sessions.link.last_error.as_deref().map(one_line));
    }
    lines.extend(sessions.rows_refused.as_deref().map(one_line));
    let rows = sessions.rows.iter().rev().map(|row| {
        let mut identity = one_line(row.identity.get(..16).unwrap_or(&row.identity));
        if sessions.own.contains(&row.connection_id) {
            identity.push_str(" (this)");
        }
        let (client, build) = (cell(row.client.as_deref()), cell(row.build.as_deref()));
        vec![identity, client, one_line(&row.role), build, row.since.date_and_time()]
    });
    Body::from(lines).with(&["identity", "client", "role", "build", "since"], rows.collect())
}

/// A latency: in milliseconds where these matter.
fn took(latency: Duration) -> String {
    if latency < Duration::from_secs(10) { format!("{} ms", latency.as_millis()) } else { age(latency) }
}

fn sync(facts: &Facts, now: At) -> Body {
    let sync = &facts.sync;
    let reason = sync.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    let attempts = if sync.attempts > 0 { format!(", attempt {}", sync.attempts) } else { String::new() };
    // What is behind, and how fast it goes, is true only while the host is heard.
    let is_heard = matches!(facts.badge(Pane::Sync, now), Badge::Live | Badge::CatchingUp);
    let pace =
        if is_heard { format!("; {} events behind, {:.1} events/s", sync.lag, sync.rate) } else { String::new() };
    let mut lines = vec![format!("{}{reason}{attempts}{}{pace}", sync.state, retry(sync.next_retry, now))];
    if !is_heard && !sync.streams.is_empty() {
        lines.push(format!("{} events behind when last heard", sync.lag));
    }
    lines.extend(sync.last_error.as_deref().map(one_line));
    if let (Some(half), Some(most)) = (sync.latency.quantile(0.5), sync.latency.quantile(0.99)) {
        lines.push(format!("append to apply: half within {}, 99 % within {}", took(half), took(most)));
    }
    let rows = sync.streams.iter().map(|row| {
        let word = &row.word;
        let state = match row.progress.filter(|_| word.lag > 0) {
            Some(done) => format!("{} {:.0} %", word.state, done * 100.0),
            None => word.state.to_string(),
        };
        let last = row.last_event.as_ref();
        vec![
            word.stream.to_string(),
            state,
            word.cursor.map_or("-".into(), |cursor| cursor.to_string()),
            word.head.to_string(),
            word.lag.to_string(),
            if is_heard { format!("{:.1}", row.rate) } else { "-".into() },
            last.map_or("-".into(), |event| format!("{} {}", event.at.time_of_day(), one_line(&event.kind))),
        ]
    });
    let head = ["stream", "state", "cursor", "head", "lag", "rate/s", "last event"];
    let mut body = Body::from(lines).with(&head, rows.collect());
    if let Some(table) = &mut body.table {
        table.states = sync.streams.iter().map(|row| row.word.state).collect();
    }
    body
}

fn token(facts: &Facts, now: At) -> Body {
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
    Body::from(lines)
}

fn events(facts: &Facts) -> Body {
    let events = &facts.events;
    let Some(stream) = &events.stream else { return Body::from("no events yet") };
    let rows = events.rows.iter().take(EVENTS_SHOWN_MAX).map(|row| {
        let payload: String = row.payload.chars().take(PAYLOAD_CHARS_MAX).collect();
        vec![row.seq.to_string(), row.at.time_of_day(), one_line(&row.kind), one_line(&payload)]
    });
    let first = format!("{}: the newest of {}", one_line(stream), events.through);
    Body::from(first.as_str()).with(&["seq", "at", "kind", "payload"], rows.collect())
}

fn outbox(facts: &Facts, now: At) -> Body {
    let Some(look) = &facts.outbox.look else { return Body::from("nothing is published from here") };
    let oldest = look.oldest.map(|at| format!(", the oldest for {}", age(now.since(at)))).unwrap_or_default();
    let mut lines = vec![if look.depth == 0 {
        "nothing waits to be sent".into()
    } else {
        let events = if look.depth == 1 { "event waits" } else { "events wait" };
        format!("{} {events} in {} bytes{oldest}", look.depth, look.bytes)
    }];
    match facts.outbox.parked() {
        0 => {}
        1 => lines.push("1 stream is parked: it waits for a person (muster outbox)".into()),
        parked => lines.push(format!("{parked} streams are parked: they wait for a person (muster outbox)")),
    }
    let rows = look.streams.iter().map(|row| {
        let parked = row.parked.as_ref().map(|parked| format!("{}: {}", parked.code, parked.message));
        vec![row.stream.clone(), row.pending.to_string(), row.confirmed.to_string(), cell(parked.as_deref())]
    });
    Body::from(lines).with(&["stream", "waiting", "confirmed", "parked"], rows.collect())
}
