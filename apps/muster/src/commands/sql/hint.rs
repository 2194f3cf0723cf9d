//! What to do about SQL that a host refuses: SpacetimeDB's differs from other databases' in ways that a newcomer meets
//! one by one. Pure.
//!
//! What always holds: it is asked only after a refusal, so a hint may be wrong about a query but never about one that
//! would have run.

use crate::outcome::one_line;

/// The remedy for `query`, of which the host `said` what is wrong.
pub(crate) fn remedy(query: &str, said: &str) -> String {
    let shown = "`muster describe` shows the tables and columns";
    if is_a_name(query) {
        return format!("write a statement, such as SELECT * FROM {}", one_line(query));
    }
    if selects_from_nothing(query) {
        return format!("SpacetimeDB's SQL reads tables only: write SELECT … FROM a table; {shown}");
    }
    if said.contains("not in scope") && query.contains('"') {
        return format!("texts have single quotes in SQL, double ones are for names; {shown}");
    }
    if said.contains("must have column aliases") {
        return "name the result, as in COUNT(*) AS n".into();
    }
    format!("correct the query; {shown}")
}

/// Whether the query is one word, perhaps a table's name.
fn is_a_name(query: &str) -> bool {
    let query = query.trim();
    !query.is_empty() && query.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Whether some statement is a SELECT without FROM, which other databases take for an expression to evaluate.
fn selects_from_nothing(query: &str) -> bool {
    query.split(';').any(|statement| {
        let mut words = statement.split_whitespace();
        words.next().is_some_and(|first| first.eq_ignore_ascii_case("select"))
            && !words.any(|word| word.eq_ignore_ascii_case("from"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_select_without_from_is_known() {
        for query in ["SELECT 1", "select now()", "  Select\n1 ;", "SELECT * FROM a; SELECT 2"] {
            assert!(selects_from_nothing(query), "{query}");
        }
        for query in ["SELECT * FROM a", "select *\nfrom a;", "SELEC 1", "DELETE FROM a", "", ";"] {
            assert!(!selects_from_nothing(query), "{query}");
        }
    }

    #[test]
    fn what_newcomers_write_has_a_remedy_of_its_own() {
        assert_eq!(remedy(" person ", "no statement"), "write a statement, such as SELECT * FROM person");
        let quoted = r#"SELECT * FROM person WHERE name = "x""#;
        assert!(remedy(quoted, "`x` is not in scope").starts_with("texts have single quotes in SQL"));
        assert!(remedy(quoted, "no such table").starts_with("correct the query"));
        let counted = "SELECT COUNT(*) FROM person";
        assert!(remedy(counted, "Aggregate expressions must have column aliases").ends_with("COUNT(*) AS n"));
        assert!(
            remedy("SELECT x FROM person", "`x` is not in scope").starts_with("correct the query; `muster describe`")
        );
    }
}
