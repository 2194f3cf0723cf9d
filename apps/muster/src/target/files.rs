//! Reading and writing the small files that the target needs.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::outcome::Failure;
use crate::target::variable_text;

/// Reads a whole file of at most `bytes_max` bytes. `what` names it in messages: "the token file".
///
/// # Errors
/// [`Failure::CouldNot`] if it cannot be read, is no regular file (a pipe without a writer would be waited for without
/// end, and Ctrl-C with it), or is larger.
pub(crate) fn read_limited(what: &str, path: &Path, bytes_max: u64) -> Result<Vec<u8>, Failure> {
    let failed = |error: io::Error| {
        Failure::could_not(
            format!("{what} {} cannot be read ({error})", path.display()),
            "check the path and its rights",
        )
    };
    // Looked at before it is opened: opening a pipe waits already.
    let kind = fs::metadata(path).map_err(failed)?.file_type();
    if kind.is_dir() {
        return Err(Failure::could_not(format!("{what} {} is a folder", path.display()), "give the file"));
    }
    if !kind.is_file() {
        let cause = format!("{what} {} is a pipe or a device", path.display());
        return Err(Failure::could_not(cause, "give a regular file"));
    }
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    // A byte more than allowed tells a file that is too large from one that just fits, also where it has no length.
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > bytes_max {
        return Err(Failure::could_not(
            format!("{what} {} is larger than {bytes_max} bytes", path.display()),
            "is it the right file?",
        ));
    }
    Ok(bytes)
}

/// The folder of configuration: `$XDG_CONFIG_HOME`, or `~/.config` (XDG Base Directory Specification, "Environment
/// variables"; an `XDG_CONFIG_HOME` that is no absolute path is ignored, as it says).
pub(crate) fn config_home() -> Option<PathBuf> {
    let given = variable_text("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    given.or_else(|| std::env::home_dir().filter(|home| home.is_absolute()).map(|home| home.join(".config")))
}

/// The folder of what programs keep between runs: `$XDG_STATE_HOME`, or `~/.local/state` (the same specification; one that
/// is no absolute path is ignored here too).
pub(crate) fn state_home() -> Option<PathBuf> {
    let given = variable_text("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    given.or_else(|| std::env::home_dir().filter(|home| home.is_absolute()).map(|home| home.join(".local/state")))
}

/// Writes a secret into a new file, so that at no time anybody else can read it, and a crash leaves all of it or
/// nothing.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] if there is such a file: it is never replaced.
pub(crate) fn write_new_secret(path: &Path, text: &str) -> io::Result<()> {
    let nanos = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.subsec_nanos());
    let partial = path.with_extension(format!("partial-{}-{nanos}", std::process::id()));
    // A link is made only where no file is, in one step.
    let written = write_private(&partial, text).and_then(|()| fs::hard_link(&partial, path));
    // What is left is half a secret, or a second name of it; that it cannot be removed changes nothing about the result.
    let _ = fs::remove_file(&partial);
    match written {
        // A file system without links: still never over another file, though a crash may leave half of it.
        Err(error) if matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied) => {
            write_private(path, text)
        }
        written => written,
    }
}

/// Makes a folder, and those around it, for its owner alone. One that is there stays as it is.
pub(crate) fn create_private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_written_for_its_owner_alone_and_never_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a/b/x.token");
        create_private_folder(path.parent().expect("a folder")).expect("made");
        write_new_secret(&path, "one\n").expect("written");
        let again = write_new_secret(&path, "two\n").expect_err("it is there");
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).expect("read"), "one\n");
        assert_eq!(fs::read_dir(path.parent().expect("a folder")).expect("listed").count(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_file_that_is_too_large_or_a_folder_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("big");
        fs::write(&path, [0; 11]).expect("written");
        assert!(read_limited("the file", &path, 10).expect_err("too large").to_string().contains("larger than 10"));
        assert_eq!(read_limited("the file", &path, 11).map(|bytes| bytes.len()), Ok(11));
        assert!(read_limited("the file", folder.path(), 10).expect_err("a folder").to_string().contains("is a folder"));
    }
}
