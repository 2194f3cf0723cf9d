//! Splitting an SQL text into its statements.
//!
//! The engine takes one statement at a time. A `;` separates, except inside `'strings'`, `"identifiers"` and
//! `-- comments`; a doubled quote inside quotes stands for itself, which ending and starting again comes to.

/// The statements of `text`, trimmed, without those that are empty or only comment.
pub(crate) fn split_statements(text: &str) -> Vec<&str> {
    let mut statements = Vec::new();
    let mut start = 0;
    let mut within = Within::Statement;
    let mut has_content = false;
    let mut previous = '\0';
    for (at, c) in text.char_indices() {
        match (within, c) {
            (Within::Statement, ';') => {
                if has_content {
                    statements.push(text[start..at].trim());
                }
                start = at + 1;
                has_content = false;
            }
            (Within::Statement, '\'' | '"') => {
                within = Within::Quotes(c);
                has_content = true;
            }
            (Within::Statement, '-') if previous == '-' => within = Within::Comment,
            (Within::Statement, '-') => {
                // Content only if no second hyphen follows.
                has_content |= !text[at + 1..].starts_with('-');
            }
            (Within::Statement, c) => has_content |= !c.is_whitespace(),
            (Within::Quotes(quote), c) if c == quote => within = Within::Statement,
            (Within::Comment, '\n') => within = Within::Statement,
            (Within::Quotes(_) | Within::Comment, _) => {}
        }
        previous = if matches!(within, Within::Statement) { c } else { '\0' };
    }
    if has_content {
        statements.push(text[start..].trim());
    }
    statements
}

#[derive(Clone, Copy)]
enum Within {
    Statement,
    Quotes(char),
    Comment,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn semicolons_separate_and_empty_statements_vanish() {
        assert_eq!(split_statements("SELECT 1; SELECT 2"), ["SELECT 1", "SELECT 2"]);
        assert_eq!(split_statements(" ;; SELECT 1 ;\n; "), ["SELECT 1"]);
        assert!(split_statements("").is_empty());
        assert!(split_statements("-- nothing; at all").is_empty());
    }

    #[test]
    fn quotes_and_comments_hide_semicolons() {
        let text = "INSERT INTO t VALUES ('a;b''c;d'); SELECT * FROM \"odd;name\" -- x; y\nWHERE a = 1";
        assert_eq!(
            split_statements(text),
            ["INSERT INTO t VALUES ('a;b''c;d')", "SELECT * FROM \"odd;name\" -- x; y\nWHERE a = 1"]
        );
    }

    #[test]
    fn a_hyphen_alone_is_no_comment() {
        assert_eq!(split_statements("SELECT a - 1; SELECT -2"), ["SELECT a - 1", "SELECT -2"]);
        assert_eq!(split_statements("'-' - '-'; b"), ["'-' - '-'", "b"]);
    }

    #[test]
    fn an_open_quote_reaches_to_the_end() {
        assert_eq!(split_statements("SELECT 'a; b"), ["SELECT 'a; b"]);
    }
}
