//! File access of the build with errors that name what was done to which file, and sparse copying.
//! Must not: know what the files mean.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Blocks of this size are left as holes when they are zero, and skipped when they did not change.
const BLOCK: usize = 4096;

#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} {}", path.display())]
pub struct FileError {
    pub verb: &'static str,
    pub path: PathBuf,
    #[source]
    pub source: io::Error,
}

/// Names the operation and the file of an I/O error.
pub trait At<T> {
    fn at(self, verb: &'static str, path: &Path) -> Result<T, FileError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, verb: &'static str, path: &Path) -> Result<T, FileError> {
        self.map_err(|source| FileError {
            verb,
            path: path.to_owned(),
            source,
        })
    }
}

pub fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    fs::read(path).at("read", path)
}

pub fn write(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    fs::write(path, bytes).at("write", path)
}

/// A new, empty file of `size` bytes that is all hole.
pub fn create_sparse(path: &Path, size: u64) -> Result<File, FileError> {
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
        .at("create", path)?;
    file.set_len(size).at("resize", path)?;
    Ok(file)
}

/// Copies `length` bytes from one offset to another, writing only the blocks that differ from what lies there.
/// On a new file, which reads as zeros, this keeps holes; on an existing one it leaves untouched what is equal.
pub fn copy_changes(from: &File, from_offset: u64, to: &File, to_offset: u64, length: u64) -> io::Result<()> {
    let mut new = vec![0; 256 * BLOCK];
    let mut old = vec![0; new.len()];
    let mut done = 0;
    while done < length {
        let step = usize::try_from(length - done).map_or(new.len(), |left| left.min(new.len()));
        from.read_exact_at(&mut new[..step], from_offset + done)?;
        to.read_exact_at(&mut old[..step], to_offset + done)?;
        let mut place = to_offset + done;
        for (fresh, known) in new[..step].chunks(BLOCK).zip(old[..step].chunks(BLOCK)) {
            if fresh != known {
                to.write_all_at(fresh, place)?;
            }
            place += fresh.len() as u64;
        }
        done += step as u64;
    }
    Ok(())
}

/// A copy of a file that has holes where the original has zeros.
pub fn copy_sparse(from: &Path, to: &Path) -> Result<(), FileError> {
    let source = File::open(from).at("open", from)?;
    let size = source.metadata().at("read", from)?.len();
    let copy = create_sparse(to, size)?;
    copy_changes(&source, 0, &copy, 0, size).at("write", to)
}

/// Reads exactly `length` bytes at `offset`.
pub fn read_at(file: &mut File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Writes a file so that a reader sees the old or the new one, never a part.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let directory = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut new = tempfile::NamedTempFile::new_in(directory).at("create a file in", directory)?;
    new.write_all(bytes).at("write", path)?;
    new.persist(path).map_err(|e| e.error).at("replace", path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn zeros_stay_holes_and_every_byte_arrives() {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        let mut bytes = vec![0u8; 3 << 20];
        bytes[5] = 1;
        bytes[(2 << 20) + 77] = 2;
        bytes.extend_from_slice(b"odd tail");
        fs::write(&from, &bytes).unwrap();
        copy_sparse(&from, &to).unwrap();
        assert_eq!(fs::read(&to).unwrap(), bytes);
        assert!(fs::metadata(&to).unwrap().blocks() * 512 < 64 << 10);
    }

    #[test]
    fn a_block_that_became_zero_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("to");
        fs::write(&path, vec![7u8; 3 * BLOCK]).unwrap();
        let to = File::options().read(true).write(true).open(&path).unwrap();
        let zeros = create_sparse(&directory.path().join("zeros"), BLOCK as u64).unwrap();
        copy_changes(&zeros, 0, &to, BLOCK as u64, BLOCK as u64).unwrap();
        let bytes = fs::read(&path).unwrap();
        assert!(bytes[..BLOCK].iter().all(|&b| b == 7));
        assert!(bytes[BLOCK..2 * BLOCK].iter().all(|&b| b == 0));
        assert!(bytes[2 * BLOCK..].iter().all(|&b| b == 7));
    }

    #[test]
    fn an_error_names_the_file() {
        let error = read(Path::new("/nonexistent/x")).unwrap_err();
        assert_eq!(error.to_string(), "cannot read /nonexistent/x");
    }
}
