//! The file with the consoles' password as consoles and the rescue prompt read it: a disk that hangs keeps nobody waiting, and what it said last is left
//! in memory for who starts while it fails. Must not: decide what counts then (that is `lb_core::console::known`).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use lb_core::console::known::{Known, MEMORY, remembered};
use lb_core::console::password::{FILE, MODE, Stored};

/// A disk that does not answer within this is one that cannot be read. Traffic, and the loop of PID 1, do not wait longer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Of a file that is no password's.
const MOST_BYTES: u64 = 4096;

type Content = io::Result<Option<Vec<u8>>>;

#[derive(Debug)]
pub struct PasswordFile {
    volume: PathBuf,
    memory: PathBuf,
    known: Known,
    /// A reading that has not come back.
    hangs: Option<Receiver<Content>>,
    patience: Duration,
}

impl PasswordFile {
    /// `runtime` is forgotten with the machine's end.
    pub fn new(volume: &Path, runtime: &Path) -> PasswordFile {
        PasswordFile {
            volume: volume.to_owned(),
            memory: runtime.join(MEMORY),
            known: Known::nothing(),
            hangs: None,
            patience: PATIENCE,
        }
    }

    /// What it says now, or said when it could be read last; and what is to be told of that.
    pub fn stored(&mut self) -> (Stored, Option<String>) {
        let content = self.read_in_time();
        if let Ok(file) = &content {
            remember(&self.memory, &remembered(file.as_deref()));
        }
        let memory = &self.memory;
        self.known.take(content, || fs::read(memory).ok())
    }

    fn read_in_time(&mut self) -> Content {
        if let Some(hangs) = self.hangs.take()
            && let Err(mpsc::TryRecvError::Empty) = hangs.try_recv()
        {
            self.hangs = Some(hangs);
            return Err(io::ErrorKind::TimedOut.into());
        }
        let (sender, receiver) = mpsc::channel();
        let volume = self.volume.clone();
        let read = move || {
            // Whoever waited may have given up.
            let _ = sender.send(read(&volume));
        };
        thread::Builder::new().name("password".to_owned()).spawn(read)?;
        match receiver.recv_timeout(self.patience) {
            Ok(content) => content,
            Err(RecvTimeoutError::Timeout) => {
                self.hangs = Some(receiver);
                Err(io::ErrorKind::TimedOut.into())
            }
            Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("a fault while it was read")),
        }
    }
}

/// `None`: there is no such file.
pub fn read(volume: &Path) -> Content {
    let file = match File::open(volume.join(FILE)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Whole or not at all: several may do it at once.
fn remember(memory: &Path, content: &[u8]) {
    if fs::read(memory).is_ok_and(|held| held == content) {
        return;
    }
    let temporary = memory.with_extension(format!("{}.new", std::process::id()));
    let write = || -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(MODE);
        options.open(&temporary)?.write_all(content)?;
        fs::rename(&temporary, memory)
    };
    if write().is_err() {
        // It is needed when a disk fails, and only then.
        let _ = fs::remove_file(&temporary);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;
    use std::time::Instant;

    use lb_core::console::password::{Record, SALT_BYTES};
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    fn places() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let (volume, runtime) = (dir.path().join("config"), dir.path().join("run"));
        fs::create_dir(&volume).unwrap();
        fs::create_dir(&runtime).unwrap();
        (dir, volume, runtime)
    }

    fn set() -> Record {
        Record::new(b"secret", [1; SALT_BYTES], Duration::from_mins(1))
    }

    #[test]
    fn who_starts_while_the_disk_fails_knows_what_others_have_read() {
        let (_dir, volume, runtime) = places();
        let path = volume.join(FILE);
        fs::write(&path, set().text()).unwrap();
        let (stored, told) = PasswordFile::new(&volume, &runtime).stored();
        assert_eq!((stored, told), (Stored::Set(set()), None));
        let mode = fs::metadata(runtime.join(MEMORY)).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
        // What cannot be read, also by root.
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let (stored, told) = PasswordFile::new(&volume, &runtime).stored();
        assert_eq!(stored, Stored::Set(set()));
        assert!(told.unwrap().ends_with("what it said before still counts"));
        fs::remove_dir(&path).unwrap();
        assert_eq!(PasswordFile::new(&volume, &runtime).stored().0, Stored::None);
        fs::create_dir(&path).unwrap();
        assert_eq!(PasswordFile::new(&volume, &runtime).stored().0, Stored::None);
        fs::remove_file(runtime.join(MEMORY)).unwrap();
        let (stored, _) = PasswordFile::new(&volume, &runtime).stored();
        assert!(matches!(stored, Stored::Unreadable(_)), "{stored:?}");
        assert_eq!(fs::read_dir(&runtime).unwrap().count(), 0);
    }

    /// Who opens a FIFO waits for a writer.
    #[test]
    fn a_disk_that_hangs_keeps_nobody_and_is_asked_once() {
        let (_dir, volume, runtime) = places();
        let path = volume.join(FILE);
        // A hash takes its time.
        let record = set();
        fs::write(&path, record.text()).unwrap();
        let set = Stored::Set(record);
        let mut file = PasswordFile::new(&volume, &runtime);
        file.patience = Duration::from_millis(50);
        assert_eq!(file.stored().0, set);
        fs::remove_file(&path).unwrap();
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let begun = Instant::now();
        let (stored, told) = file.stored();
        assert_eq!(stored, set);
        assert!(told.unwrap().contains("timed out"));
        for _ in 0..100 {
            assert_eq!(file.stored(), (set.clone(), None));
        }
        assert!(begun.elapsed() < Duration::from_secs(4));
        // It answers again, and it is what is there now that counts.
        drop(OpenOptions::new().write(true).open(&path).unwrap());
        fs::remove_file(&path).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while file.stored().0 != Stored::None {
            assert!(Instant::now() < deadline);
            thread::sleep(Duration::from_millis(10));
        }
    }
}
