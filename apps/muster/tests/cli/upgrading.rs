//! `muster publish` of a SpacetimeDB 2 module over one made with SpacetimeDB 1: there is no way back, so somebody must
//! say that they know.

use crate::support::{Host, Sandbox, sandbox_at, test_module};

#[test]
fn the_move_from_spacetimedb_1_to_2_needs_its_word_and_keeps_the_data() {
    let hosts = Sandbox::new();
    let host = Host::in_memory(&hosts);
    let sandbox = sandbox_at(&host, "notes");
    let (old, new) = (test_module("notes_v1"), test_module("notes_v2"));
    sandbox.run(&["publish", "-q", "--module", &old]).done();
    sandbox.run(&["call", "write", "\"kept\""]).done();

    let refusal = sandbox.run(&["publish", "-q", "--module", &new]).error(1);
    assert!(refusal.contains("there is no way back") && refusal.ends_with("--accept-major-upgrade"), "{refusal}");
    assert!(sandbox.run(&["sql", "-q", "SELECT * FROM comment"]).error(2).contains("comment"), "nothing was done");

    sandbox.run(&["publish", "-q", "--module", &new, "--accept-major-upgrade"]).done();
    let rows = sandbox.run(&["sql", "--json", "SELECT text FROM note"]).json();
    assert!(rows.to_string().contains("kept"), "{rows}");
    sandbox.run(&["call", "remark", "1", "\"still there\""]).done();
}
