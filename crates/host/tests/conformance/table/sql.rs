//! `sql`, and what the SQL reference page has.

use super::World;
use super::ask::{Who, ask, get, post, send};
use super::page::Page;

pub(super) async fn rows(world: &World, page: &Page) {
    page.section("`POST /v1/database/:name_or_identity/sql`", "");
    let url = |rest: &str| format!("/v1/database/features/sql{rest}");
    let one = post(url("")).by(Who::Owner).text("SELECT title, done FROM task WHERE title = 'one'");
    let promise = "200, a JSON array of `{\"schema\", \"rows\"}`; the owner reads private tables";
    ask(world, page, one, promise, |it| it.with(200, "\"schema\":") && it.body.contains("\"rows\":[[\"one\",false]]"))
        .await;
    let many = post(url("")).text("SELECT * FROM open_task_count; SELECT * FROM ledger");
    ask(world, page, many, "200, one result for each statement", |it| it.body.matches("\"rows\"").count() == 2).await;
    let private = post(url("")).text("SELECT * FROM task");
    ask(world, page, private, "400: only public tables without a token", |it| it.status(400)).await;
    let private = post(url("")).by(Who::Stranger).text("SELECT * FROM task");
    ask(world, page, private, "400: a table that is not public", |it| it.status(400)).await;
    for (statement, promise) in [
        ("SELEKT", "400: no SQL"),
        ("SELECT * FROM absent", "400: no such table"),
        ("SELECT * FROM ledger; SELEKT", "400: the second statement is no SQL"),
        ("SELECT absent FROM ledger", "400: no such column"),
    ] {
        ask(world, page, post(url("")).by(Who::Owner).text(statement), promise, |it| it.status(400)).await;
    }
    let insert = "INSERT INTO ledger (id, amount) VALUES (100, 1)";
    ask(world, page, post(url("")).by(Who::Stranger).text(insert), "400: only the owner writes", |it| it.status(400))
        .await;
    let written = post(url("")).by(Who::Owner).text(insert);
    ask(world, page, written, "200, with what was inserted counted", |it| it.with(200, "\"rows_inserted\":1")).await;
    let removed = post(url("?confirmed=false")).by(Who::Owner).text("DELETE FROM ledger WHERE id = 100");
    let promise = "200, without waiting for the disk (the pages are silent)";
    ask(world, page, removed, promise, |it| it.with(200, "\"rows_deleted\":1")).await;
    ask(world, page, post(url("")).text(""), "200, no results", |it| it.with(200, "[]")).await;
    let binary = post(url("")).body(vec![0xff, 0xfe], "two bytes that are no UTF-8");
    ask(world, page, binary, "400", |it| it.status(400)).await;
    ask(world, page, post(url("")).by(Who::Forger).text("SELECT * FROM ledger"), "401", |it| it.status(401)).await;
    ask(world, page, get(url("")), "405", |it| it.status(405)).await;
    ask(world, page, post("/v1/database/absent/sql").text("SELECT 1"), "404", |it| it.status(404)).await;
    row_level_security(world, page).await;
    reference(world, page).await;
}

/// What the SQL reference page has.
async fn reference(world: &World, page: &Page) {
    page.section(
        "SQL",
        "Sent to `/v1/database/features/sql` by the owner. <https://spacetimedb.com/docs/reference/sql>",
    );
    let sql = |statement: &str| post("/v1/database/features/sql").by(Who::Owner).text(statement);
    let insert = "INSERT INTO ledger (id, amount) VALUES (101, 1), (102, 2)";
    ask(world, page, sql(insert), "two rows inserted", |it| it.with(200, "\"rows_inserted\":2")).await;
    for (statement, promise, rows) in [
        ("SELECT COUNT(*) AS n FROM ledger WHERE id > 100", "one row, the number", "\"rows\":[[2]]"),
        ("SELECT COUNT(*) AS n FROM ledger WHERE id > 1e6", "one row, also of nothing", "\"rows\":[[0]]"),
        ("SELECT amount AS a FROM ledger WHERE id = 102", "a column under another name", "\"name\":{\"some\":\"a\"}"),
        ("SELECT \"amount\" FROM \"ledger\" WHERE id = 102", "names in quotes", "\"rows\":[[2]]"),
        ("SELECT amount FROM ledger WHERE id = 101 OR amount >= 2 AND id <> 7", "AND and OR", "[1]"),
        ("SELECT l.amount FROM ledger l JOIN ledger AS m ON l.id = m.id WHERE m.amount = 2", "a join", "[[2]]"),
        (
            "SELECT l.amount FROM ledger l JOIN ledger m ON l.id = m.id JOIN ledger n ON n.id = m.id WHERE n.id = 101",
            "a join of three tables",
            "[[1]]",
        ),
        ("SELECT amount FROM ledger WHERE id = 101 OR id = 102 LIMIT 1", "one row at most", "\"rows\":[[1]]"),
        ("UPDATE ledger SET amount = 5 WHERE id > 100", "rows updated, counted", "\"rows_updated\":2"),
        ("DELETE FROM ledger WHERE id > 100", "rows deleted, counted", "\"rows_deleted\":2"),
        ("SET row_limit = 10000", "done", "\"rows\":[]"),
        ("SHOW row_limit", "its value", "10000"),
    ] {
        ask(world, page, sql(statement), &format!("200, {promise}"), |it| it.with(200, rows)).await;
    }
    for (statement, promise) in [
        ("SELECT * FROM ledger ORDER BY id", "400: there is no ORDER BY"),
        ("SELECT * FROM ledger l JOIN member m ON l.id = m.id", "400: `*` of two tables has to be qualified"),
        ("SELECT amount + 1 FROM ledger", "400: there is no arithmetic"),
        ("SELECT * FROM Ledger", "400: names are case-sensitive"),
        ("DELETE FROM ledger l JOIN member m ON l.id = m.id", "400: DELETE knows no joins"),
        ("INSERT INTO ledger (id, amount) VALUES (1, 'one')", "400: a literal of another type"),
        ("SHOW absent", "400: no such variable"),
    ] {
        ask(world, page, sql(statement), promise, |it| it.status(400)).await;
    }
}

/// The caller's identity decides which rows of a table with a filter there are.
async fn row_level_security(world: &World, page: &Page) {
    let to_stranger = format!("[[\"0x{}\"], \"for one alone\"]", world.stranger_identity);
    let sent = send(world, &post("/v1/database/features/call/send").by(Who::Owner).json(&to_stranger)).await;
    assert_eq!(sent.code, 200, "{}", sent.body);
    let letters = || post("/v1/database/features/sql").text("SELECT text FROM letter");
    let promise = "200, the rows that row-level security gives this caller";
    ask(world, page, letters().by(Who::Stranger), promise, |it| it.with(200, "[\"for one alone\"]")).await;
    ask(world, page, letters(), "200, no rows: they are another's", |it| it.with(200, "\"rows\":[]")).await;
    let promise = "200, all rows: filters do not hold for the owner";
    ask(world, page, letters().by(Who::Owner), promise, |it| it.with(200, "[\"for one alone\"]")).await;
}
