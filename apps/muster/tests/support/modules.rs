//! Modules that scripts build: Muster's own, and those of the host's tests.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The checkout.
pub(crate) fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the checkout is there")
}

/// The path that the environment variable names, as under `make test`, or that the script prints at its end.
fn built(variable: &str, script: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(variable).filter(|path| !path.is_empty()) {
        return path.into();
    }
    let output = Command::new(checkout().join(script)).stderr(Stdio::inherit()).output().expect("the script runs");
    assert!(output.status.success(), "{script} ended with {}", output.status);
    String::from_utf8(output.stdout).expect("a path").trim().into()
}

/// Muster's own module: its file.
pub(crate) fn muster_module() -> String {
    static MODULE: OnceLock<PathBuf> = OnceLock::new();
    let path = MODULE.get_or_init(|| built("MUSTER_MODULE_WASM", "scripts/build-module"));
    path.to_str().expect("a path in UTF-8").into()
}

/// A module below `crates/host/tests/modules`: its file.
pub(crate) fn test_module(name: &str) -> String {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| built("MUSTER_TEST_MODULES", "scripts/build-test-modules"));
    folder.join(format!("{name}.wasm")).to_str().expect("a path in UTF-8").into()
}
