//! Text that fits a terminal's width.
//!
//! What always holds: no line is wider than it may be, as a terminal shows it; of prose nothing is lost, and what is cut
//! from a cell is marked with `…`.

use ratatui::style::Style;
use ratatui::text::{Line, Span};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::look;
use super::text::Table;

/// Between two columns.
const GAP: usize = 2;
/// Below this no column is narrowed, however narrow the terminal is.
const NARROWEST: usize = 6;

/// Prose in lines, broken between words, or within a word that has no line of its own.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last_mut().expect("there is always one");
        if last.is_empty() {
            last.push_str(word);
        } else if last.width() + 1 + word.width() <= width {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(word.into());
        }
        while lines.last().is_some_and(|line| line.width() > width) {
            let long = lines.pop().expect("it was just seen");
            let at = prefix(&long, width).max(long.chars().next().map_or(0, char::len_utf8));
            lines.push(long[..at].into());
            if at == long.len() {
                break;
            }
            lines.push(long[at..].into());
        }
    }
    lines
}

/// The table's head and its rows, each as wide as `width` at most. Numbers stand at the right of their column.
pub(super) fn rows(table: &Table, width: usize, has_color: bool) -> (Line<'static>, Vec<Line<'static>>) {
    let widths = widths(table, width);
    let is_number = |column: usize| {
        let mut cells = table.rows.iter().filter_map(|row| row.get(column)).filter(|cell| *cell != "-").peekable();
        cells.peek().is_some() && cells.all(|cell| cell.parse::<f64>().is_ok())
    };
    let numbers: Vec<bool> = (0..table.head.len()).map(is_number).collect();
    let line = |cells: Vec<&str>, style_of: &dyn Fn(usize) -> Style| {
        let mut spans = Vec::new();
        let mut left = width;
        for (column, cell) in cells.into_iter().enumerate() {
            let wide = widths[column].min(left);
            let cell = cut(cell, wide);
            let padding = " ".repeat(wide.saturating_sub(cell.width()));
            let text = if numbers[column] { padding + &cell } else { cell + &padding };
            spans.push(Span::styled(text, style_of(column)));
            left = left.saturating_sub(wide);
            spans.push(Span::raw(" ".repeat(GAP.min(left))));
            left = left.saturating_sub(GAP);
        }
        Line::from(spans)
    };
    let head = line(table.head.to_vec(), &|_| look::of_head());
    let lines = table.rows.iter().enumerate().map(|(index, row)| {
        let state = table.states.get(index).map(|state| look::of_state(*state, has_color));
        // States stand in the second column.
        line(row.iter().map(String::as_str).collect(), &|column| state.filter(|_| column == 1).unwrap_or_default())
    });
    (head, lines.collect())
}

/// As wide as their cells; where that is too much, the widest gives first.
fn widths(table: &Table, width: usize) -> Vec<usize> {
    let mut widths: Vec<usize> = table.head.iter().map(|head| head.width()).collect();
    for row in &table.rows {
        for (wide, cell) in widths.iter_mut().zip(row) {
            *wide = (*wide).max(cell.width());
        }
    }
    let room = width.saturating_sub(GAP * widths.len().saturating_sub(1));
    while widths.iter().sum::<usize>() > room {
        let Some(widest) = widths.iter_mut().max_by_key(|wide| **wide).filter(|wide| **wide > NARROWEST) else { break };
        *widest -= 1;
    }
    widths
}

/// At most so wide, with `…` where something is missing.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.into();
    }
    if width == 0 {
        return String::new();
    }
    format!("{}…", &text[..prefix(text, width - 1)])
}

/// How many bytes fit.
fn prefix(text: &str, width: usize) -> usize {
    let mut left = width;
    for (at, c) in text.char_indices() {
        let Some(rest) = left.checked_sub(c.width().unwrap_or(0)) else { return at };
        left = rest;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_is_broken_between_words_and_loses_nothing() {
        assert_eq!(wrapped("one two three", 8), ["one two", "three"]);
        assert_eq!(wrapped("abcdefgh ij", 3), ["abc", "def", "gh", "ij"]);
        assert_eq!(wrapped("日本語", 4), ["日本", "語"]);
        assert_eq!(wrapped("日本", 1), ["日", "本"]);
        assert_eq!(wrapped("", 4), [""]);
    }

    #[test]
    fn the_widest_column_gives_first_and_no_line_is_too_wide() {
        let table = Table {
            head: vec!["stream", "n"],
            rows: vec![vec!["runtime.run.0123456789".into(), "12".into()], vec!["a".into(), "3".into()]],
            states: Vec::new(),
        };
        let (head, rows) = rows(&table, 16, false);
        let text = |line: &Line<'_>| line.spans.iter().map(|span| span.content.as_ref()).collect::<String>();
        assert_eq!(text(&head), "stream         n");
        assert_eq!(rows.iter().map(text).collect::<Vec<_>>(), ["runtime.run…  12", "a              3"]);
        for width in 0..40 {
            let (head, rows) = super::rows(&table, width, false);
            assert!(rows.iter().chain([&head]).all(|line| line.width() <= width), "{width}");
        }
    }
}
