//! lb.toml and its companions on the config volume. A write is whole or not at all, also when the power fails: temporary
//! file, fsync, rename, fsync of the directory. Must not: know what a valid configuration is.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use lb_core::config::MAX_BYTES;
use thiserror::Error;

/// The file that the operator edits.
pub const CONFIG_FILE: &str = "lb.toml";
/// The last configuration that was applied without a fault.
pub const APPLIED_FILE: &str = "lb.applied.toml";
/// The annotated sample that a first boot leaves beside the missing lb.toml.
pub const SAMPLE_FILE: &str = "lb.toml.sample";

#[derive(Debug, Clone)]
pub struct Store {
    directory: PathBuf,
}

#[derive(Debug, Error)]
pub enum StoreError {
    #[error("cannot write {path}: the config volume is full; delete what is not needed")]
    Full { path: PathBuf },
    #[error("cannot write {path}: the config volume is read-only")]
    ReadOnly { path: PathBuf },
    #[error("cannot write {path}")]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl Store {
    pub fn new(directory: PathBuf) -> Store {
        Store { directory }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The file's bytes, `None` if there is no such file. Of a file that is too large only so much is read that it
    /// can be seen to be.
    pub fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(self.path(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// Replaces the file. When this returns, the new content survives a power cut; when it fails, the old one stands.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let temporary = self.path(&format!(".{name}.new"));
        self.replace(&temporary, name, bytes).map_err(|source| {
            // A half-written temporary file must not keep a full volume full.
            let _ = fs::remove_file(&temporary);
            let path = self.path(name);
            match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full { path },
                io::ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly { path },
                _ => StoreError::Write { path, source },
            }
        })
    }

    fn replace(&self, temporary: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut file = File::create(temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(temporary, self.path(name))?;
        File::open(&self.directory)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_replaces_the_whole_file_and_leaves_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path().to_owned());
        assert!(store.read(CONFIG_FILE).unwrap().is_none());
        store.write(CONFIG_FILE, b"first, and longer").unwrap();
        store.write(CONFIG_FILE, b"second").unwrap();
        assert_eq!(store.read(CONFIG_FILE).unwrap().unwrap(), b"second");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_is_too_large_is_not_read_whole() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path().to_owned());
        fs::write(store.path(CONFIG_FILE), vec![b'#'; MAX_BYTES + 1000]).unwrap();
        assert_eq!(store.read(CONFIG_FILE).unwrap().unwrap().len(), MAX_BYTES + 1);
    }

    #[test]
    fn a_failed_write_keeps_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path().to_owned());
        store.write(CONFIG_FILE, b"old").unwrap();
        // A directory in the place of the temporary file makes the write fail, also for root.
        fs::create_dir(store.path(".lb.toml.new")).unwrap();
        assert!(matches!(
            store.write(CONFIG_FILE, b"new"),
            Err(StoreError::Write { .. })
        ));
        assert_eq!(store.read(CONFIG_FILE).unwrap().unwrap(), b"old");
    }
}
