//! Runs the operators' documents: every `sh` block of every page in `docs/sync/`, in order, against an embedded host.
//!
//! What always holds: the commands are the page's own. Only the address of the lane files is replaced by the one of the
//! host under test, and the pages run in a copy of the checkout, so that what they write lands nowhere else. Blocks
//! marked `sh maincloud-only` are left out, and every other mark is an error: a block that is silently not run would be
//! a promise that nobody keeps.
#![cfg(feature = "host")]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use support::{Host, MUSTER, Sandbox, checkout};

/// The addresses that stand in the lane files.
const ADDRESSES: [&str; 2] = ["https://maincloud.spacetimedb.com", "http://127.0.0.1:3000"];
/// What a page needs of the checkout.
const COPIED: [&str; 8] = ["Cargo.toml", "Cargo.lock", "module", "crates", "apps", "scripts", "docs", "Makefile"];

#[derive(Debug, PartialEq, Eq)]
struct Block {
    line: usize,
    text: String,
}

/// The blocks of a page that are to be run.
fn runnable(page: &str) -> Result<Vec<Block>, String> {
    let mut blocks = Vec::new();
    let mut open: Option<(bool, Block)> = None;
    for (index, line) in page.lines().enumerate() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(mark), None) => {
                let run = match mark {
                    "sh" => true,
                    "sh maincloud-only" | "text" => false,
                    other => return Err(format!("line {}: a block marked `{other}`", index + 1)),
                };
                open = Some((run, Block { line: index + 1, text: String::new() }));
            }
            (Some(_), Some(_)) => {
                if let Some((true, block)) = open.take() {
                    blocks.push(block);
                }
            }
            (None, Some((_, block))) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    if open.is_some() { Err("a block is never closed".into()) } else { Ok(blocks) }
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).expect("a folder");
        for entry in fs::read_dir(from).expect("a readable folder") {
            let entry = entry.expect("an entry");
            if entry.file_name() != "target" {
                copy(&entry.path(), &to.join(entry.file_name()));
            }
        }
    } else {
        fs::copy(from, to).expect("copied");
    }
}

/// Runs a page to its end, or fails with the block that failed and all that it said.
fn run(page: &str) {
    let hosts = Sandbox::new();
    let host = Host::in_memory(&hosts);
    let here = tempfile::tempdir().expect("a temporary folder");
    for name in COPIED {
        copy(&checkout().join(name), &here.path().join(name));
    }
    let addressed = |text: String| ADDRESSES.iter().fold(text, |text, address| text.replace(address, &host.url));
    for lane_file in fs::read_dir(here.path().join("docs/sync/examples")).expect("examples") {
        let path = lane_file.expect("an entry").path();
        let text = addressed(fs::read_to_string(&path).expect("a lane file"));
        assert!(text.contains(&host.url), "{} names none of the known addresses", path.display());
        fs::write(&path, text).expect("written");
    }

    let text = fs::read_to_string(here.path().join("docs/sync").join(page)).expect("the page");
    let blocks = runnable(&text).unwrap_or_else(|problem| panic!("{page}, {problem}"));
    assert!(!blocks.is_empty(), "{page} has nothing to run");
    // A host that a page starts ends with it, also where the page fails.
    let mut script = String::from("set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n");
    for block in &blocks {
        script.push_str(&format!("echo '=== {page}, line {}'\n{}", block.line, addressed(block.text.clone())));
    }

    // Where a page tells its readers to work.
    let (work, module) = (here.path().join("empty"), support::muster_module());
    fs::create_dir(&work).expect("a folder");
    let in_an_empty_folder = text.contains("work in an empty folder");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = vec![Path::new(MUSTER).parent().expect("a folder").to_owned()];
    folders.extend(std::env::split_paths(&path));
    let output = Command::new("bash")
        .args(["-c", &script])
        .current_dir(if in_an_empty_folder { &work } else { here.path() })
        .env("MODULE", module)
        .env("CHECKOUT", here.path())
        .env("PATH", std::env::join_paths(folders).expect("a PATH"))
        .env("XDG_CONFIG_HOME", here.path().join("config"))
        .env("XDG_STATE_HOME", here.path().join("state"))
        .env_remove("MUSTER_TOKEN")
        .env_remove("MUSTER_SERVER")
        .env_remove("MUSTER_DATABASE")
        .stdin(Stdio::null())
        .output()
        .expect("bash runs");
    assert!(
        output.status.success(),
        "{page} does not hold ({}):\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn every_page_for_operators_is_run_here() {
    let mut pages: Vec<String> = fs::read_dir(checkout().join("docs/sync"))
        .expect("the pages")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".md"))
        .collect();
    pages.sort();
    assert_eq!(
        pages,
        [
            "CONTROL_RUN.md",
            "HOST_BACKUP.md",
            "HOST_RUN.md",
            "SECURITY_MATRIX.md",
            "SPACETIME_CHAOS_DRILLS.md",
            "SPACETIME_CUTOVER_ACCEPTANCE_AND_ROLLBACK.md",
            "SPACETIME_DESKTOP_SYNC_HEALTH.md",
            "SPACETIME_MAINCLOUD_HANDSHAKE_SMOKE_TEST.md",
            "SPACETIME_MAINCLOUD_MANAGED_DEPLOYMENT.md",
            "SPACETIME_OBSERVABILITY_AND_ALERTS.md",
            "SPACETIME_TOKEN_SCOPE_AND_ROTATION.md",
            "STREAMS.md",
            "THREAT_MODEL.md"
        ]
    );
}

#[test]
fn the_pages_that_have_nothing_to_run_have_nothing_to_run() {
    // The window's page has its own ways to start it, which need a screen: apps/desktop's tests start it.
    let pages = [
        "SECURITY_MATRIX.md",
        "SPACETIME_DESKTOP_SYNC_HEALTH.md",
        "SPACETIME_TOKEN_SCOPE_AND_ROTATION.md",
        "THREAT_MODEL.md",
    ];
    for page in pages {
        let text = fs::read_to_string(checkout().join("docs/sync").join(page)).expect("the page");
        assert_eq!(runnable(&text), Ok(Vec::new()), "{page} has something to run: give it a test of its own");
    }
}

#[test]
fn the_token_services_page_holds() {
    run("CONTROL_RUN.md");
}

#[test]
fn the_backup_page_holds() {
    run("HOST_BACKUP.md");
}

#[test]
fn the_running_page_holds() {
    run("HOST_RUN.md");
}

#[test]
fn the_drills_page_holds() {
    run("SPACETIME_CHAOS_DRILLS.md");
}

#[test]
fn the_observability_page_holds() {
    run("SPACETIME_OBSERVABILITY_AND_ALERTS.md");
}

#[test]
fn the_cutover_page_holds() {
    run("SPACETIME_CUTOVER_ACCEPTANCE_AND_ROLLBACK.md");
}

#[test]
fn the_deployment_page_holds() {
    run("SPACETIME_MAINCLOUD_MANAGED_DEPLOYMENT.md");
}

#[test]
fn the_handshake_page_holds() {
    run("SPACETIME_MAINCLOUD_HANDSHAKE_SMOKE_TEST.md");
}

#[test]
fn the_streams_page_holds() {
    run("STREAMS.md");
}

#[test]
fn make_help_lists_every_target_and_what_ci_runs_each_on_a_line() {
    let output = Command::new("make").args(["-s", "help"]).current_dir(checkout()).output().expect("make runs");
    let help = String::from_utf8(output.stdout).expect("text");
    let makefile = fs::read_to_string(checkout().join("Makefile")).expect("the Makefile");
    let targets = makefile.lines().find_map(|line| line.strip_prefix(".PHONY: ")).expect("the targets");
    for target in targets.split(' ') {
        assert!(help.lines().any(|line| line.starts_with(&format!("  make {target} "))), "{target}: {help}");
    }
    assert!(help.lines().any(|line| line.starts_with("  .ci/run ")), "{help}");
    assert_eq!(help.lines().count(), targets.split(' ').count() + 1, "{help}");
}

#[test]
fn blocks_are_told_apart_and_an_unknown_mark_is_an_error() {
    let page = "# x\n```sh\na\nb\n```\n```sh maincloud-only\nc\n```\n```text\nd\n```\n```sh\ne\n```\n";
    let blocks = runnable(page).expect("known marks only");
    assert_eq!(blocks, [Block { line: 2, text: "a\nb\n".into() }, Block { line: 12, text: "e\n".into() }]);
    assert!(runnable("```bash\na\n```\n").is_err());
    assert!(runnable("```sh\na\n").is_err());
}
