//! Keeps an image from being changed while a machine runs from it, and QEMU from starting while it is changed: takes the locks
//! that QEMU's raw driver takes (one byte per permission from offset 100, per refused permission from 200, as open-file locks).
//! Must not: wait.

use std::fs::File;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

/// QEMU: the permissions that a process uses, one byte each. The one for writing is the second.
const USED: i64 = 100;
const WRITES: i64 = USED + 1;
/// QEMU: the permissions that a process refuses to others.
const REFUSED: i64 = 200;
const REFUSES_WRITES: i64 = REFUSED + 1;

#[derive(Debug, thiserror::Error)]
pub enum InUse {
    #[error("{} is in use by another process (a running VM?); stop it first, or work on a copy", path.display())]
    Held { path: PathBuf },
    #[error("cannot lock {}", path.display())]
    Lock {
        path: PathBuf,
        #[source]
        source: Errno,
    },
}

/// Held while the guard and the file live; the kernel drops it when the file is closed.
#[derive(Debug)]
#[must_use]
pub struct Guard<'a> {
    _file: &'a File,
}

/// The lock against everybody, for a file that is open for writing.
pub fn exclusive<'a>(file: &'a File, path: &Path) -> Result<Guard<'a>, InUse> {
    take(file, path, &range(libc::F_WRLCK, USED, 2 * (REFUSED - USED)))
}

/// The lock against writers, for a file that is open for reading. A machine that merely reads does not disturb.
pub fn shared<'a>(file: &'a File, path: &Path) -> Result<Guard<'a>, InUse> {
    let guard = take(file, path, &range(libc::F_RDLCK, REFUSES_WRITES, 1))?;
    // Writers hold a read lock, so only the question "could this be write-locked?" finds them.
    let mut question = range(libc::F_WRLCK, WRITES, 1);
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut question)).map_err(|errno| refused(errno, path))?;
    if i32::from(question.l_type) == libc::F_UNLCK {
        Ok(guard)
    } else {
        Err(InUse::Held {
            path: path.to_owned(),
        })
    }
}

fn take<'a>(file: &'a File, path: &Path, lock: &libc::flock) -> Result<Guard<'a>, InUse> {
    fcntl(file, FcntlArg::F_OFD_SETLK(lock)).map_err(|errno| refused(errno, path))?;
    Ok(Guard { _file: file })
}

fn refused(errno: Errno, path: &Path) -> InUse {
    let path = path.to_owned();
    match errno {
        Errno::EAGAIN | Errno::EACCES => InUse::Held { path },
        source => InUse::Lock { path, source },
    }
}

fn range(kind: i32, start: i64, length: i64) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: start,
        l_len: length,
        l_pid: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path) -> File {
        File::options().read(true).write(true).open(path).unwrap()
    }

    #[test]
    fn writers_exclude_all_and_readers_exclude_writers() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path();
        let (one, two) = (open(path), open(path));
        {
            let _writer = exclusive(&one, path).unwrap();
            assert!(matches!(exclusive(&two, path), Err(InUse::Held { .. })));
            assert!(matches!(shared(&two, path), Err(InUse::Held { .. })));
        }
        drop(one);
        let three = open(path);
        let _reader = shared(&two, path).unwrap();
        let _second_reader = shared(&three, path).unwrap();
        let error = exclusive(&three, path).unwrap_err().to_string();
        assert!(error.contains("stop it first"), "{error}");
    }

    #[test]
    fn a_writer_with_the_locks_of_qemu_is_seen() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path();
        let (qemu, ours) = (open(path), open(path));
        fcntl(&qemu, FcntlArg::F_OFD_SETLK(&range(libc::F_RDLCK, WRITES, 1))).unwrap();
        assert!(matches!(shared(&ours, path), Err(InUse::Held { .. })));
        assert!(matches!(exclusive(&ours, path), Err(InUse::Held { .. })));
    }
}
