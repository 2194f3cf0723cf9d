//! The page: sections of rows, written as Markdown.

use std::cell::RefCell;
use std::fmt::Write;

/// What a page says, collected row by row.
pub(super) struct Page {
    sections: RefCell<Vec<Section>>,
}

struct Section {
    title: String,
    about: String,
    rows: Vec<Row>,
}

/// One thing that was sent, and what came of it.
pub(super) struct Row {
    pub(super) sent: String,
    pub(super) promised: String,
    pub(super) came: String,
    /// Whether that is what was promised.
    pub(super) kept: bool,
    /// Why not, or what a reader should know: empty if there is nothing to say.
    pub(super) note: String,
}

const OPENING: &str = "\
# The embedded host beside SpacetimeDB's HTTP API pages

What SpacetimeDB's pages ([HTTP API](https://spacetimedb.com/docs/http/authorization)) promise, what was sent to the
embedded host, and what came back. A test writes this page (`crates/host/tests/conformance/table/`) and fails when the host
answers otherwise than it says here; to write it anew:
`MUSTER_WRITE_CONFORMANCE=1 scripts/cargo test -p muster-host --test conformance table::`.

What differs each time is masked (`<identity>`, `<token>`, `<number>`), and long bodies are cut (…). \"The pages are
silent\" means that the promise is the official server's behaviour or its clients' expectation. A promise that is not kept
says why in the last column.
";

impl Page {
    /// An empty page.
    pub(super) fn new() -> Self {
        Self { sections: RefCell::default() }
    }

    /// A page that nobody reads, for what a test must do first.
    pub(super) fn scratch() -> Self {
        let page = Self::new();
        page.section("", "");
        page
    }

    /// Begins a section.
    pub(super) fn section(&self, title: &str, about: &str) {
        let section = Section { title: title.into(), about: about.into(), rows: vec![] };
        self.sections.borrow_mut().push(section);
    }

    /// Adds a row to the last section.
    pub(super) fn add(&self, row: Row) {
        let explained = row.note.starts_with("not ") || row.note.contains("instead");
        assert!(row.kept || !row.note.is_empty(), "not as promised, and no word why: {} → {}", row.sent, row.came);
        assert!(!row.kept || !explained, "as promised, and yet it says why not: {} → {}", row.sent, row.note);
        self.sections.borrow_mut().last_mut().expect("a section was begun").rows.push(row);
    }

    /// Panics unless every row is as promised.
    pub(super) fn must_be_as_promised(&self) {
        for row in self.sections.borrow().iter().flat_map(|section| &section.rows) {
            assert!(row.kept, "{} → {}", row.sent, row.came);
        }
    }

    /// The page as it is written.
    pub(super) fn markdown(&self) -> String {
        let sections = self.sections.borrow();
        let rows = || sections.iter().flat_map(|section| &section.rows);
        let kept = rows().filter(|row| row.kept).count();
        let mut out = format!("{OPENING}\n{kept} of {} promises are kept.\n", rows().count());
        for Section { title, about, rows } in sections.iter() {
            write!(out, "\n## {title}\n\n").unwrap();
            if !about.is_empty() {
                write!(out, "{about}\n\n").unwrap();
            }
            out.push_str("| sent | promised | came back | kept |\n| --- | --- | --- | --- |\n");
            for Row { sent, promised, came, kept, note } in rows {
                let kept = match (kept, note.as_str()) {
                    (true, "") => "yes".to_owned(),
                    (true, note) => format!("yes; {note}"),
                    (false, note) => format!("**no**: {note}"),
                };
                writeln!(out, "| {sent} | {promised} | {came} | {kept} |").unwrap();
            }
        }
        out
    }
}

/// Text as code in a cell of a table, cut where it gets long.
pub(super) fn code(text: &str) -> String {
    const LONGEST: usize = 200;
    if text.is_empty() {
        return "an empty body".into();
    }
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
    if line.len() > LONGEST {
        line.truncate(line.floor_char_boundary(LONGEST));
        line.push('…');
    }
    if line.contains('`') { format!("`` {line} ``") } else { format!("`{line}`") }
}
