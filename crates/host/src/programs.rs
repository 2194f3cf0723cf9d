//! Modules as they were published, one file each, named by their hash.
//!
//! A file appears whole or not at all, and what is read back is checked against its name: the engine is never handed
//! bytes other than those that were published. Which files are still needed is [`crate::control`]'s knowledge.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use spacetimedb::host::ExternalStorage;
use spacetimedb_lib::{Hash, hash_bytes};

/// The first bytes of every WebAssembly binary (WebAssembly core specification, 5.5.16).
const WASM_MAGIC: &[u8] = b"\0asm";

/// What the name of a file begins with until it is whole. No hash does.
const UNFINISHED: &str = ".tmp";

/// Whether `bytes` begin as a WebAssembly binary does and cannot be JavaScript, which is text.
///
/// The engine runs JavaScript modules in V8, which this host does not contain, so nothing else may reach it. The section
/// with a module's code or definition is longer than 127 bytes, which its length, a LEB128 number, cannot say in UTF-8.
pub(crate) fn is_wasm(bytes: &[u8]) -> bool {
    begins_as_wasm(bytes) && std::str::from_utf8(bytes).is_err()
}

/// Whether `bytes` begin as a WebAssembly binary does. What begins so and is UTF-8 all the same is no module: see
/// [`is_wasm`].
pub(crate) fn begins_as_wasm(bytes: &[u8]) -> bool {
    bytes.starts_with(WASM_MAGIC)
}

/// The store. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    dir: Arc<PathBuf>,
}

impl Programs {
    /// The store in `dir`, which is made when the first module arrives. What a killed host was writing there is removed:
    /// nobody refers to it, and nobody else writes, since one host at a time has the folder.
    pub(crate) fn new(dir: PathBuf) -> Self {
        let entries = fs::read_dir(&dir).into_iter().flatten().filter_map(Result::ok);
        for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(UNFINISHED)) {
            if let Err(error) = fs::remove_file(entry.path()) {
                tracing::warn!(path = %entry.path().display(), %error, "cannot remove what is left of a publish");
            }
        }
        Self { dir: Arc::new(dir) }
    }

    /// Keeps `bytes`, durably, and returns their hash.
    pub(crate) async fn put(&self, bytes: Arc<[u8]>) -> io::Result<Hash> {
        let this = self.clone();
        blocking(move || this.put_now(&bytes)).await
    }

    /// The bytes of `hash`, or `None` if they were never published or the file is not what its name says.
    pub(crate) async fn get(&self, hash: Hash) -> io::Result<Option<Box<[u8]>>> {
        let path = self.path(&hash);
        blocking(move || match fs::read(&path) {
            Ok(bytes) if hash_bytes(&bytes) == hash => Ok(Some(bytes.into())),
            Ok(_) => {
                tracing::error!(path = %path.display(), "module file is damaged: its bytes do not match its name");
                Ok(None)
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        })
        .await
    }

    /// Forgets `hash`; not having it is fine.
    pub(crate) async fn remove(&self, hash: Hash) -> io::Result<()> {
        let path = self.path(&hash);
        blocking(move || match fs::remove_file(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        })
        .await
    }

    fn path(&self, hash: &Hash) -> PathBuf {
        self.dir.join(hash.to_hex().as_str())
    }

    fn put_now(&self, bytes: &[u8]) -> io::Result<Hash> {
        let hash = hash_bytes(bytes);
        let path = self.path(&hash);
        fs::create_dir_all(&*self.dir)?;
        let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&*self.dir)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(&path).map_err(|e| e.error)?;
        // The name must be durable too, before anything refers to it.
        File::open(&*self.dir)?.sync_all()?;
        Ok(hash)
    }
}

#[async_trait::async_trait]
impl ExternalStorage for Programs {
    async fn lookup(&self, program_hash: Hash) -> anyhow::Result<Option<Box<[u8]>>> {
        Ok(self.get(program_hash).await?)
    }
}

async fn blocking<T: Send + 'static>(f: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(f).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_read_is_what_was_published_or_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let programs = Programs::new(dir.path().join("programs"));
        let hash = programs.put(Arc::from(*b"\0asm module")).await.unwrap();
        assert_eq!(programs.get(hash).await.unwrap().unwrap().as_ref(), b"\0asm module");

        fs::write(programs.path(&hash), b"\0asm damage").unwrap();
        assert!(programs.get(hash).await.unwrap().is_none());

        programs.remove(hash).await.unwrap();
        programs.remove(hash).await.unwrap();
        assert!(programs.get(hash).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn what_a_killed_host_was_writing_is_gone_once_the_next_one_starts() {
        let dir = tempfile::tempdir().unwrap();
        let hash = Programs::new(dir.path().to_owned()).put(Arc::from(*b"\0asm module")).await.unwrap();
        let unfinished = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(dir.path()).unwrap();
        let (_, left) = unfinished.keep().unwrap();
        let programs = Programs::new(dir.path().to_owned());
        assert!(!left.exists());
        assert!(programs.get(hash).await.unwrap().is_some(), "what was published stays");
    }

    #[test]
    fn only_webassembly_looks_like_webassembly() {
        assert!(is_wasm(b"\0asm\x01\0\0\0\x0a\x85\x01"));
        for other in [&b""[..], b"\0as", b"export default {}", b"\x7fELF", b"\0asm\x01\0\0\0/* text */"] {
            assert!(!is_wasm(other));
        }
    }
}
