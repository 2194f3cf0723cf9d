//! Where the module's bytes come from: a file, or a build of this project's own module.
//!
//! What always holds: the bytes that are published are the bytes whose hash is shown; what cannot be WebAssembly is
//! refused before a host sees it; compiler and target are named, or it is said what is missing.

mod build;
mod wasm;

use std::path::Path;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::limits::{BUILD_NOTE_BYTES_MAX, MODULE_BYTES_MAX};
use crate::outcome::{Failure, one_line};
use crate::target::read_limited;
use crate::ui::Ui;

/// A module, ready to be published. Its hash is that of its bytes.
#[derive(Clone, Debug)]
pub(crate) struct ModuleFile {
    /// The bytes.
    pub(crate) bytes: Vec<u8>,
    sha256: String,
    /// The compiler that made it, if that can be known.
    pub(crate) compiler: Option<String>,
    /// The target it was compiled for, if that can be known.
    pub(crate) target: Option<String>,
}

/// What `scripts/build-module` writes beside its result.
#[derive(Debug, Deserialize)]
struct BuildNote {
    sha256: String,
    compiler: String,
    target: String,
}

impl ModuleFile {
    /// The module in `file`, or one built now.
    ///
    /// # Errors
    /// [`Failure::CouldNot`] if there is none, it is no WebAssembly, or it does not build.
    pub(crate) async fn find(ui: &Ui, file: Option<&Path>) -> Result<ModuleFile, Failure> {
        match file {
            Some(file) => ModuleFile::read(file),
            None => ModuleFile::read(&build::build(ui).await?),
        }
    }

    fn read(path: &Path) -> Result<ModuleFile, Failure> {
        let bytes = read_limited("the module", path, MODULE_BYTES_MAX)?;
        if !wasm::is_wasm(&bytes) {
            return Err(not_wasm(path, &bytes));
        }
        let sha256 = hex::encode(Sha256::digest(&bytes));
        let note = note_beside(path).filter(|note| note.sha256 == sha256);
        let (compiler, target) = note.map(|note| (note.compiler, note.target)).unzip();
        Ok(ModuleFile { sha256, compiler: compiler.or_else(|| wasm::compiler(&bytes)), target, bytes })
    }

    /// The SHA-256 of the bytes, lower-case hexadecimal.
    pub(crate) fn sha256(&self) -> String {
        self.sha256.clone()
    }

    /// The hash by which hosts know the module: Keccak-256 of the bytes, lower-case hexadecimal (SpacetimeDB's
    /// `st_module.program_hash`). The same as a handshake's `module_hash`.
    pub(crate) fn module_hash(&self) -> String {
        muster_wire::sats::hash::hash_bytes(&self.bytes).to_hex().to_string()
    }

    /// Compiler and target in words, or what is missing.
    pub(crate) fn made_by(&self) -> String {
        let compiler = self.compiler.as_deref().map(one_line);
        let compiler = compiler.unwrap_or_else(|| "an unknown compiler (the file does not name it)".into());
        let target = self.target.as_deref().map(one_line);
        let target = target.unwrap_or_else(|| "WebAssembly (the exact target is not noted beside the file)".into());
        format!("built by {compiler} for {target}")
    }
}

/// The note that a build left, if it is readable; it only adds to what is known.
fn note_beside(path: &Path) -> Option<BuildNote> {
    let note = path.with_extension("json");
    serde_json::from_slice(&read_limited("the build's note", &note, BUILD_NOTE_BYTES_MAX).ok()?).ok()
}

fn not_wasm(path: &Path, bytes: &[u8]) -> Failure {
    let name = path.display();
    let is_script = path.extension().is_some_and(|it| it == "js" || it == "mjs" || it == "ts");
    if is_script {
        return Failure::could_not(
            format!("{name} is a JavaScript or TypeScript file, and muster publishes WebAssembly modules only"),
            "publish the .wasm of a Rust, C# or C++ module, or use SpacetimeDB's own CLI",
        );
    }
    let what = if bytes.is_empty() { "is empty" } else { "is not WebAssembly (it does not begin with \\0asm)" };
    Failure::could_not(format!("{name} {what}"), "give the .wasm file that the module's build made")
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_beside_the_module_is_not_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let module = folder.path().join("module.wasm");
        let pipe = folder.path().join("module.json");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
        assert!(note_beside(&module).is_none());
        std::fs::remove_file(&pipe).expect("removed");
        std::fs::write(&pipe, r#"{"sha256":"a","compiler":"rustc","target":"wasm32"}"#).expect("written");
        assert_eq!(note_beside(&module).map(|note| note.compiler).as_deref(), Some("rustc"));
    }
}
