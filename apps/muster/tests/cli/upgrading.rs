//! `muster publish` of a SpacetimeDB 2 module over one made with SpacetimeDB 1: there is no way back, so somebody must
//! say that they know.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{Host, Sandbox, sandbox_at};

/// A module under `crates/host/tests/modules`: in the folder `MUSTER_TEST_MODULES`, or built here.
fn foreign_module(name: &str) -> String {
    let folder = match std::env::var_os("MUSTER_TEST_MODULES").filter(|folder| !folder.is_empty()) {
        Some(folder) => PathBuf::from(folder),
        None => {
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/build-test-modules");
            let output = Command::new(script).stderr(Stdio::inherit()).output().expect("the script runs");
            assert!(output.status.success(), "the modules build");
            String::from_utf8(output.stdout).expect("a path").trim().into()
        }
    };
    folder.join(format!("{name}.wasm")).to_str().expect("a path in UTF-8").into()
}

#[test]
fn the_move_from_spacetimedb_1_to_2_needs_its_word_and_keeps_the_data() {
    let hosts = Sandbox::new();
    let host = Host::in_memory(&hosts);
    let sandbox = sandbox_at(&host, "notes");
    let (old, new) = (foreign_module("notes_v1"), foreign_module("notes_v2"));
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
