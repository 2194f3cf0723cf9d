//! Rows as an aligned table of text.
//!
//! What always holds: one row is one line; nothing in a cell can break the line or move a terminal's cursor; columns are
//! as wide as their widest cell.

use std::fmt::Write;

use serde_json::Value as Json;
use unicode_width::UnicodeWidthStr;

use crate::limits::CELL_CHARS_MAX;
use crate::value::Clear;

/// A table with a head and rows of as many cells, without a line break at its end.
pub(crate) fn render(head: &[String], rows: &[Vec<String>]) -> String {
    let all = || std::iter::once(head).chain(rows.iter().map(Vec::as_slice));
    let width = |column: usize| all().filter_map(|row| row.get(column)).map(|cell| cell.width()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let bold = anstyle::Style::new().bold();
    let mut text = format!("{bold}{}{bold:#}", line(head, &widths));
    for row in rows {
        text.push('\n');
        text.push_str(&line(row, &widths));
    }
    text
}

fn line(cells: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        // The width in columns is not the width in characters, so the padding is counted here.
        let padding = width.saturating_sub(cell.width()) + 2;
        let _ = write!(line, "{cell}{:padding$}", "");
    }
    line.truncate(line.trim_end().len());
    line
}

/// A value in clear form as a cell.
pub(crate) fn cell(value: &Clear) -> String {
    let text = match value {
        Clear::Plain(Json::Null) => "-".into(),
        Clear::Plain(Json::String(text)) => text.clone(),
        other => other.to_string(),
    };
    visible(&text)
}

/// The text with control characters escaped, cut to what a cell shows.
pub(crate) fn visible(text: &str) -> String {
    let mut visible: String = text.chars().take(CELL_CHARS_MAX).flat_map(escaped).collect();
    if text.chars().nth(CELL_CHARS_MAX).is_some() {
        visible.push('…');
    }
    visible
}

fn escaped(c: char) -> Vec<char> {
    if c.is_control() { c.escape_default().collect() } else { vec![c] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_align_by_what_a_terminal_shows() {
        let head = ["name".to_string(), "n".to_string()];
        let rows = [["日本".to_string(), "1".to_string()], ["Ada".to_string(), "22".to_string()]].map(Vec::from);
        let text = anstream::adapter::strip_str(&render(&head, &rows)).to_string();
        assert_eq!(text, "name  n\n日本  1\nAda   22");
    }

    #[test]
    fn a_cell_is_one_short_visible_line() {
        let cell = |json| cell(&Clear::Plain(json));
        assert_eq!(cell(json!("a\n\u{1b}[2Jb")), "a\\n\\u{1b}[2Jb");
        assert_eq!(cell(json!(null)), "-");
        assert_eq!(cell(json!([1, 2])), "[1,2]");
        assert_eq!(cell(json!("x".repeat(1_000))).chars().count(), CELL_CHARS_MAX + 1);
    }
}
