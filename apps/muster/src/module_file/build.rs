//! Builds this project's own module, from the checkout around the current folder.
//!
//! What always holds: the compiler's words are on stderr while it works, or, with `--quiet`, only once it has failed; a
//! build that says nothing for long is not taken for one that hangs.

use std::future::Future;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::Command;

use crate::limits::BUILD_STILL_MS;
use crate::outcome::Failure;
use crate::ui::Ui;

/// The script that builds the module, from the root of a checkout.
const BUILD_SCRIPT: &str = "scripts/build-module";

/// Where it leaves the module, below the folder of one of the ways to build it, in cargo's target folder.
const BUILT: &str = "wasm32-unknown-unknown/release/muster_module.wasm";

/// What those folders' names begin with (`scripts/wasm-build`).
const FOLDER_OF_A_WAY: &str = "module-";

/// Builds, and says where the result is.
///
/// # Errors
/// [`Failure::CouldNot`] if there is no checkout, or the build fails.
pub(super) async fn build(ui: &Ui) -> Result<PathBuf, Failure> {
    let root = checkout()?;
    let first = if was_built(&target_folder(&root)) { "" } else { " (the first time takes a minute or two)" };
    ui.say(format!("building the module in {}{first}", root.display()));
    let script = root.join(BUILD_SCRIPT);
    let failed = |why: String| {
        Failure::could_not(
            format!("the module was not built: {why}"),
            format!("see the lines above; {} says what is missing", root.join("scripts/toolchain").display()),
        )
    };
    let words = if ui.is_quiet() { Stdio::piped() } else { Stdio::inherit() };
    let mut command = Command::new(&script);
    command.current_dir(&root).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(words).kill_on_drop(true);
    // Not `output`, which would capture the compiler's words in any case.
    let started = command.spawn().map_err(|error| failed(format!("{} ({error})", script.display())))?;
    let output = wait(ui, started.wait_with_output()).await.map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        ui.say_although_quiet(String::from_utf8_lossy(&output.stderr).trim_end());
        return Err(failed(format!("{} ended with {}", script.display(), output.status)));
    }
    let printed = String::from_utf8_lossy(&output.stdout);
    let path = printed.lines().last().map(str::trim).filter(|line| !line.is_empty());
    path.map(PathBuf::from).ok_or_else(|| failed(format!("{} printed no path", script.display())))
}

/// Waits for the build. On a terminal cargo shows by itself how far it is; elsewhere it may be silent for minutes.
async fn wait(ui: &Ui, build: impl Future<Output = std::io::Result<Output>>) -> std::io::Result<Output> {
    if std::io::stderr().is_terminal() {
        return build.await;
    }
    let still = |elapsed: Duration| ui.say(format!("still building the module … {} s", elapsed.as_secs()));
    with_news(build, Duration::from_millis(BUILD_STILL_MS), still).await
}

/// Waits for `work`, and calls `still` each time another `every` has gone by.
async fn with_news<T>(work: impl Future<Output = T>, every: Duration, mut still: impl FnMut(Duration)) -> T {
    let mut work = std::pin::pin!(work);
    let mut elapsed = Duration::ZERO;
    loop {
        match tokio::time::timeout(every, &mut work).await {
            Ok(done) => return done,
            Err(_) => {
                elapsed += every;
                still(elapsed);
            }
        }
    }
}

/// Cargo's folder for what it builds, as the script sees it.
fn target_folder(root: &Path) -> PathBuf {
    // Relative to the root, where the script runs.
    root.join(crate::target::variable_text("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// Whether a module lies there from an earlier build.
fn was_built(target: &Path) -> bool {
    let ways = std::fs::read_dir(target).into_iter().flatten().flatten();
    ways.filter(|way| way.file_name().to_string_lossy().starts_with(FOLDER_OF_A_WAY))
        .any(|way| way.path().join(BUILT).is_file())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_of_an_earlier_build_is_found_whichever_way_it_was_built() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(!was_built(&folder.path().join("nowhere")) && !was_built(folder.path()));
        let file = folder.path().join("module-debian").join(BUILT);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("made");
        assert!(!was_built(folder.path()), "a build that did not get to its end");
        std::fs::write(&file, "").expect("written");
        assert!(was_built(folder.path()));
    }

    #[tokio::test]
    async fn who_waits_for_long_hears_how_long() {
        let every = Duration::from_millis(1);
        let enough = tokio::sync::Notify::new();
        let mut heard = Vec::new();
        // Not done before it was told of twice, however long that takes.
        with_news(enough.notified(), every, |elapsed| {
            heard.push(elapsed);
            if heard.len() == 2 {
                enough.notify_one();
            }
        })
        .await;
        assert_eq!(heard, [every, 2 * every]);
        let mut heard = 0;
        with_news(std::future::ready(()), every, |_| heard += 1).await;
        assert_eq!(heard, 0, "what is done at once needs no news");
    }
}
