//! lb.toml and its companions on the config volume. A write is whole or not at all, also when the power fails: temporary
//! file, fsync, rename, fsync of the directory. Only root reads them: keys are among them. Must not: know what a valid configuration is.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use lb_core::config::MAX_BYTES;
use thiserror::Error;

pub use lb_core::files::{
    APPLIED as APPLIED_FILE, CONFIG as CONFIG_FILE, PENDING as PENDING_FILE, RETURNED as RETURNED_FILE,
    SAMPLE as SAMPLE_FILE,
};

/// How the hidden names end of what waits to take a file's place, and of what was in it before.
pub const STAGED: &str = ".new";
pub const FORMER: &str = ".former";

/// Of a new file.
const MODE: u32 = 0o600;

#[derive(Debug, Clone)]
pub struct Store {
    directory: PathBuf,
    /// Brings a file or a directory to the disk.
    sync: fn(&File) -> io::Result<()>,
}

#[derive(Debug, Error)]
pub enum StoreError {
    #[error(
        "cannot write {path}: the config volume is full; remove files from it (`config files` lists them)"
    )]
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
        Store::synced_by(directory, File::sync_all)
    }

    /// On a disk that may answer otherwise than this machine's.
    pub fn synced_by(directory: PathBuf, sync: fn(&File) -> io::Result<()>) -> Store {
        Store { directory, sync }
    }

    /// A directory in this one.
    pub fn inside(&self, name: &str) -> Store {
        Store::synced_by(self.path(name), self.sync)
    }

    /// The directory itself, if it is not there.
    pub fn create(&self) -> Result<(), StoreError> {
        if self.directory.is_dir() {
            return Ok(());
        }
        let create = || -> io::Result<()> {
            fs::create_dir(&self.directory)?;
            let parent = self.directory.parent().unwrap_or(&self.directory);
            (self.sync)(&File::open(parent)?)
        };
        create().map_err(|source| self.refused(self.directory.clone(), source))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The file's bytes, `None` if there is no such file. Of a file that is too large only so much is read that it
    /// can be seen to be.
    pub fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        self.read_most(name, MAX_BYTES)
    }

    /// The same with another limit.
    pub fn read_most(&self, name: &str, most: usize) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(self.path(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        // Once, in its size: memory that grows is there twice for a while.
        let size = file.metadata().map_or(0, |data| data.len()).min(most as u64);
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0) + 2);
        file.take(most as u64 + 1).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// Replaces the file. When this returns, the new content survives a power cut; when it fails, the old one stands.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.stage(name, bytes)?;
        self.commit(name)
    }

    /// The first half of [`Store::write`]: the new content is on the disk, beside the file. There is nothing to write if it
    /// is what the file has already, or what was staged before: a full volume has no room for it twice.
    pub fn stage(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let temporary = self.temporary(name);
        let is_held = self.holds(name, bytes);
        if !is_held && has(&temporary, bytes) {
            let synced = File::open(&temporary).and_then(|file| (self.sync)(&file));
            return synced.map_err(|source| self.fault(name, source));
        }
        let _ = fs::remove_file(&temporary);
        match is_held {
            true => Ok(()),
            false => self.fill(name, |file| file.write_all(bytes)),
        }
    }

    /// The same for what is not in memory at once.
    pub fn write_by(
        &self,
        name: &str,
        fill: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> Result<(), StoreError> {
        let _ = fs::remove_file(self.temporary(name));
        self.fill(name, fill)?;
        self.commit(name)
    }

    fn fill(&self, name: &str, fill: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), StoreError> {
        let write = || -> io::Result<()> {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(MODE);
            let mut file = options.open(self.temporary(name))?;
            fill(&mut file)?;
            (self.sync)(&file)
        };
        write().map_err(|source| self.fault(name, source))
    }

    /// The second half: what was staged takes the file's place.
    pub fn commit(&self, name: &str) -> Result<(), StoreError> {
        match self.place(name)? {
            true => self.sync_names(name),
            false => Ok(()),
        }
    }

    /// The second half, but for a power cut: [`Store::sync_names`] comes after the last one of several. False: nothing was staged.
    pub fn place(&self, name: &str) -> Result<bool, StoreError> {
        match fs::rename(self.temporary(name), self.path(name)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(self.fault(name, error)),
        }
    }

    /// Whether something waits to take the file's place.
    pub fn is_staged(&self, name: &str) -> bool {
        self.temporary(name).symlink_metadata().is_ok()
    }

    /// The file as it is now gets a second name, which needs no room, for [`Store::bring_back`]. False: there is none.
    pub fn keep_former(&self, name: &str) -> Result<bool, StoreError> {
        self.forget_former(name);
        match fs::hard_link(self.path(name), self.former(name)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(self.refused(self.path(name), error)),
        }
    }

    /// The file is what it was, but for a power cut: [`Store::sync_names`] comes later. Once more is the same as once.
    pub fn bring_back(&self, name: &str) -> Result<(), StoreError> {
        match fs::rename(self.former(name), self.path(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(self.refused(self.path(name), error))
            }
            // Two names of one file stay two.
            _ => {
                self.forget_former(name);
                Ok(())
            }
        }
    }

    pub fn forget_former(&self, name: &str) {
        // What stays is swept by the next start.
        let _ = fs::remove_file(self.former(name));
    }

    /// The names in the directory survive a power cut. `name`: the file that it is done for.
    pub fn sync_names(&self, name: &str) -> Result<(), StoreError> {
        let synced = File::open(&self.directory).and_then(|directory| (self.sync)(&directory));
        synced.map_err(|source| self.refused(self.path(name), source))
    }

    /// What was staged is not wanted.
    pub fn unstage(&self, name: &str) {
        // What cannot be removed is replaced by the next write.
        let _ = fs::remove_file(self.temporary(name));
    }

    /// Takes the place of another file, in one step that survives a power cut.
    pub fn rename(&self, name: &str, to: &str) -> Result<(), StoreError> {
        self.rename_here(name, to)?;
        self.sync_names(to)
    }

    /// The same, but for a power cut: [`Store::sync_names`] comes later.
    pub fn rename_here(&self, name: &str, to: &str) -> Result<(), StoreError> {
        fs::rename(self.path(name), self.path(to)).map_err(|source| self.refused(self.path(to), source))
    }

    /// As [`Store::remove`], but for a power cut: [`Store::sync_names`] comes later.
    pub fn unlink(&self, name: &str) -> Result<(), StoreError> {
        match fs::remove_file(self.path(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(self.refused(self.path(name), error))
            }
            _ => Ok(()),
        }
    }

    /// A file that is not there is gone already.
    pub fn remove(&self, name: &str) -> Result<(), StoreError> {
        let remove = || -> io::Result<()> {
            match fs::remove_file(self.path(name)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                Err(error) => Err(error),
                Ok(()) => (self.sync)(&File::open(&self.directory)?),
            }
        };
        remove().map_err(|source| self.refused(self.path(name), source))
    }

    /// When this returns, the file survives a power cut as it is, whoever wrote it.
    pub fn sync(&self, name: &str) -> Result<(), StoreError> {
        let file = File::open(self.path(name)).and_then(|file| (self.sync)(&file));
        file.map_err(|source| StoreError::Write {
            path: self.path(name),
            source,
        })
    }

    fn temporary(&self, name: &str) -> PathBuf {
        self.path(&format!(".{name}{STAGED}"))
    }

    fn former(&self, name: &str) -> PathBuf {
        self.path(&format!(".{name}{FORMER}"))
    }

    /// A half-written temporary file must not keep a full volume full.
    fn fault(&self, name: &str, source: io::Error) -> StoreError {
        let _ = fs::remove_file(self.temporary(name));
        self.refused(self.path(name), source)
    }

    fn refused(&self, path: PathBuf, source: io::Error) -> StoreError {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full { path },
            io::ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly { path },
            _ => StoreError::Write { path, source },
        }
    }

    /// Whether the file has just this content; it is not read whole.
    pub fn holds(&self, name: &str, bytes: &[u8]) -> bool {
        has(&self.path(name), bytes)
    }
}

fn has(path: &Path, bytes: &[u8]) -> bool {
    let Ok(file) = File::open(path) else {
        return false;
    };
    let mut reader = io::BufReader::with_capacity(64 << 10, file);
    let mut rest = bytes;
    loop {
        let part = match reader.fill_buf() {
            Ok([]) => return rest.is_empty(),
            Ok(part) => part,
            Err(_) => return false,
        };
        let Some(behind) = rest.strip_prefix(part) else {
            return false;
        };
        rest = behind;
        let length = part.len();
        reader.consume(length);
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
    fn what_is_staged_takes_the_place_of_the_file_when_it_is_told_to() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path().to_owned());
        let held = || store.read(APPLIED_FILE).unwrap();
        store.stage(APPLIED_FILE, b"first").unwrap();
        assert_eq!(held(), None);
        store.commit(APPLIED_FILE).unwrap();
        assert_eq!(held().unwrap(), b"first");
        store.stage(APPLIED_FILE, b"second").unwrap();
        // The same again as it is: nothing of what was staged before may come into force.
        store.stage(APPLIED_FILE, b"first").unwrap();
        store.commit(APPLIED_FILE).unwrap();
        assert_eq!(held().unwrap(), b"first");
        for other in [&b"firs"[..], b"first1", b"Xirst", b""] {
            assert!(!store.holds(APPLIED_FILE, other));
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_staged_already_is_not_written_again_and_only_root_reads_it() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path().to_owned());
        store.stage(APPLIED_FILE, b"first").unwrap();
        let staged = fs::metadata(store.temporary(APPLIED_FILE)).unwrap();
        assert_eq!(staged.mode() & 0o777, 0o600);
        store.stage(APPLIED_FILE, b"first").unwrap();
        store.commit(APPLIED_FILE).unwrap();
        let held = fs::metadata(store.path(APPLIED_FILE)).unwrap();
        assert_eq!((held.ino(), held.mode() & 0o777), (staged.ino(), 0o600));
        store.stage(APPLIED_FILE, b"second").unwrap();
        store.stage(APPLIED_FILE, b"third").unwrap();
        store.commit(APPLIED_FILE).unwrap();
        assert!(store.holds(APPLIED_FILE, b"third"));
    }

    #[test]
    fn what_was_there_before_comes_back_under_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path().to_owned());
        assert!(!store.keep_former(CONFIG_FILE).unwrap());
        store.write(CONFIG_FILE, b"old").unwrap();
        assert!(store.keep_former(CONFIG_FILE).unwrap());
        // Nothing has taken its place.
        store.bring_back(CONFIG_FILE).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        store.keep_former(CONFIG_FILE).unwrap();
        store.write(CONFIG_FILE, b"new").unwrap();
        for _ in 0..2 {
            store.bring_back(CONFIG_FILE).unwrap();
            assert!(store.holds(CONFIG_FILE, b"old"));
        }
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
