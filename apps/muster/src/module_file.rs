//! Where the module's bytes come from: a file, or a build of this project's own module.
//!
//! What always holds: the bytes that are published are the bytes whose hash is shown; what cannot be WebAssembly is
//! refused before a host sees it; compiler and target are named, or it is said what is missing.

mod wasm;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::process::Command;

use crate::limits::MODULE_BYTES_MAX;
use crate::outcome::{Failure, one_line};
use crate::target::read_limited;
use crate::ui::Ui;

/// The script that builds the module, from the root of a checkout.
const BUILD_SCRIPT: &str = "scripts/build-module";

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
            None => ModuleFile::read(&build(ui).await?),
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
    /// `st_module.program_hash`).
    pub(crate) fn program_hash(&self) -> String {
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
    serde_json::from_slice(&std::fs::read(path.with_extension("json")).ok()?).ok()
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

/// Builds the module of the checkout around the current folder, and says where the result is.
async fn build(ui: &Ui) -> Result<PathBuf, Failure> {
    let root = checkout()?;
    ui.say(format!("building the module in {} (the first time takes a minute or two)", root.display()));
    let script = root.join(BUILD_SCRIPT);
    let failed = |why: String| {
        Failure::could_not(
            format!("the module was not built: {why}"),
            format!("see the lines above; {} says what is missing", root.join("scripts/toolchain").display()),
        )
    };
    let mut command = Command::new(&script);
    command.current_dir(&root).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
    // Not `output`, which would capture the compiler's words as well.
    let started = command.spawn().map_err(|error| failed(format!("{} ({error})", script.display())))?;
    let output = started.wait_with_output().await.map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(format!("{} ended with {}", script.display(), output.status)));
    }
    let printed = String::from_utf8_lossy(&output.stdout);
    let path = printed.lines().last().map(str::trim).filter(|line| !line.is_empty());
    path.map(PathBuf::from).ok_or_else(|| failed(format!("{} printed no path", script.display())))
}

fn checkout() -> Result<PathBuf, Failure> {
    let here = std::env::current_dir().map_err(|error| {
        Failure::could_not(
            format!("the current folder cannot be read ({error})"),
            "change to another, or give --module FILE",
        )
    })?;
    let is_checkout = |folder: &&Path| folder.join(BUILD_SCRIPT).is_file() && folder.join("module").is_dir();
    here.ancestors().find(is_checkout).map(Path::to_path_buf).ok_or_else(|| {
        Failure::could_not(
            format!(
                "no --module is given, and no checkout of Muster (with {BUILD_SCRIPT}) is around {}",
                here.display()
            ),
            "give --module FILE.wasm, or run this in a checkout",
        )
    })
}
