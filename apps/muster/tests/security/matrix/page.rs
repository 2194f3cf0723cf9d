//! The page that the attempts make.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use super::doors::{Door, Kind};
use super::endpoints::{ENDPOINTS, Tried};

/// Between these the page is the suite's; what is outside is written by people, and by `scripts/security-mutants`.
const BEGIN: &str = "<!-- matrix: written by apps/muster/tests/security -->\n";
const END: &str = "<!-- end of matrix -->\n";

/// What came of one attempt.
pub(super) struct Row {
    pub(super) group: &'static str,
    name: String,
    closed: BTreeMap<Kind, usize>,
}

impl Row {
    pub(super) fn new(group: &'static str, name: &str) -> Row {
        Row { group, name: name.into(), closed: BTreeMap::new() }
    }

    pub(super) fn closed(&mut self, kind: Kind) {
        *self.closed.entry(kind).or_default() += 1;
    }

    pub(super) fn tried(&self) -> usize {
        self.closed.values().sum()
    }
}

/// The suite's part of the page.
pub(super) fn write(rows: &[Row], doors: &[Door], tried: &[Tried]) -> String {
    let mut page = String::new();
    let mut line = |text: &str| writeln!(page, "{text}").expect("a string takes everything");
    let total: usize = rows.iter().map(Row::tried).sum();
    line(&format!(
        "{} attempts at {} doors of a database, {total} in all, and {} at the token service's own; none came through, and \
         each door opened to a token that grants it.\n",
        rows.len(),
        doors.len(),
        tried.len()
    ));
    line("## The doors of a database\n");
    for kind in Kind::ALL {
        let mut names: Vec<_> = doors.iter().filter(|door| door.kind == kind).map(Door::name).collect();
        names.dedup();
        names.sort_unstable();
        names.dedup();
        let mut ways: Vec<_> =
            doors.iter().filter(|door| door.kind == kind).map(|door| format!("{:?}", door.way)).collect();
        ways.sort();
        ways.dedup();
        line(&format!("- **{}** ({}): {}", kind.name(), ways.join(", "), names.join(", ")));
    }
    let mut group = "";
    for row in rows {
        if row.group != group {
            group = row.group;
            line(&format!("\n## {group}\n"));
            line(&format!("| attempt | {} |", Kind::ALL.map(Kind::name).join(" | ")));
            line(&format!("| --- {}|", "| --: ".repeat(Kind::ALL.len())));
        }
        let cells =
            Kind::ALL.map(|kind| row.closed.get(&kind).map_or(String::new(), |count| format!("{count} closed")));
        line(&format!("| {} | {} |", escaped(&row.name), cells.join(" | ")));
    }
    line("\n## The token service\n");
    line(&format!("| attempt | {} |", ENDPOINTS.join(" | ")));
    line(&format!("| --- {}|", "| --- ".repeat(ENDPOINTS.len())));
    let mut names: Vec<_> = Vec::new();
    for attempt in tried.iter().map(|attempt| attempt.name.as_str()) {
        if !names.contains(&attempt) {
            names.push(attempt);
        }
    }
    for name in names {
        let cell = |endpoint: &str| {
            let found = tried.iter().find(|attempt| attempt.name == name && attempt.endpoint == endpoint);
            found.map_or(String::new(), |attempt| attempt.said.clone())
        };
        line(&format!("| {} | {} |", escaped(name), ENDPOINTS.map(cell).join(" | ")));
    }
    page
}

fn escaped(text: &str) -> String {
    text.replace('|', "\\|")
}

/// Compares the page with the committed one, or writes it where that is asked for.
#[track_caller]
pub(super) fn compare(file: &Path, page: &str) {
    let committed = std::fs::read_to_string(file).unwrap_or_else(|_| format!("{BEGIN}{END}"));
    let (before, rest) = committed.split_once(BEGIN).expect("the suite's part begins somewhere");
    let (part, after) = rest.split_once(END).expect("and ends");
    if std::env::var_os("MUSTER_WRITE_SECURITY_MATRIX").is_some() {
        std::fs::write(file, format!("{before}{BEGIN}\n{page}\n{END}{after}")).expect("written");
        return;
    }
    let differs = page.lines().zip(part.trim().lines()).find(|(now, then)| now.trim_end() != then.trim_end());
    assert!(
        page.trim() == part.trim(),
        "docs/sync/SECURITY_MATRIX.md is not what was found, first at {differs:?}: write it anew with \
         MUSTER_WRITE_SECURITY_MATRIX=1 and look at what changed"
    );
}
