//! The consoles' password where init meets it: it is asked for at the rescue prompt too, is removed when somebody has forgotten it, and keeps
//! Ctrl-Alt-Del from being a way around. Must not: set a password.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use lb_core::console::FORGOTTEN;
use lb_core::console::lock::{Attempt, Lock};
use lb_core::console::password::{FILE, Stored};
use lb_core::control::{ConsoleNews, INIT_REPORT};

use crate::refused::Refused;
use crate::volume::CONFIG;

/// Of a file that is no password's.
const MOST_BYTES: u64 = 4096;
pub const PROMPT: &str = "Password: ";
/// What no password can open, and everybody may know.
const WAY_BACK: &str = "Forgotten? Restart the machine with Ctrl-O held down: `forget-password` in its boot\n\
                        menu removes the password, and nothing else.\n";

/// What the mounted config volume says; nothing where none is mounted.
pub fn stored() -> Stored {
    read(Path::new(CONFIG))
}

fn read(volume: &Path) -> Stored {
    let file = match File::open(volume.join(FILE)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Stored::None,
        Err(error) => return Stored::of(Err(error)),
    };
    let mut bytes = Vec::new();
    Stored::of(file.take(MOST_BYTES).read_to_end(&mut bytes).map(|_| Some(bytes)))
}

/// Whether there is something to forget, be it damaged.
pub fn is_there(volume: &Path) -> bool {
    read(volume) != Stored::None
}

/// Removes the password, and leaves word of it for the agent. `by` is how it was ordered. False: there is none.
pub fn forget(volume: &Path, by: &str) -> Result<bool, Refused> {
    let path = volume.join(FILE);
    let removed = match fs::remove_file(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => Err(error),
        Ok(()) => File::open(volume).and_then(|volume| volume.sync_all()),
    };
    removed.map_err(Refused::to(format!("remove {}", path.display())))?;
    let mark = Path::new(INIT_REPORT).with_file_name(FORGOTTEN);
    if let Err(error) = fs::write(&mark, by) {
        // The log and the report say it as well.
        log::warn!("{}: {error}", mark.display());
    }
    Ok(true)
}

/// The lock of one seat's rescue prompt.
#[derive(Debug)]
pub struct Gate {
    lock: Lock,
}

/// What a line did to it.
#[derive(Debug, PartialEq, Eq)]
pub enum Tried {
    Open,
    /// It stays locked, and says this.
    Locked(String),
}

impl Gate {
    /// For a machine with a password.
    pub fn new(stored: &Stored, now: Instant) -> Option<Gate> {
        if *stored == Stored::None {
            return None;
        }
        let mut lock = Lock::open(now);
        lock.lock();
        Some(Gate { lock })
    }

    /// What is shown instead of the prompt.
    pub fn text(stored: &Stored) -> String {
        let how = match stored {
            Stored::Damaged(why) => {
                format!("The file with its password cannot be used ({why}):\nno password opens it.\n")
            }
            _ => "This prompt is locked. Type the password of the consoles, and Enter.\n".to_owned(),
        };
        format!("{how}{WAY_BACK}{PROMPT}")
    }

    /// Takes a moment where it is a password: no other process may be able to do it. Wrong ones are told in the log.
    pub fn tried(&mut self, line: &[u8], stored: &Stored, seat: &str, now: Instant) -> Tried {
        let record = match stored {
            Stored::None => return Tried::Open,
            Stored::Damaged(_) => return Tried::Locked(Gate::text(stored)),
            Stored::Set(_) if line.is_empty() => return Tried::Locked(Gate::text(stored)),
            Stored::Set(record) => record,
        };
        let early = |left: Duration| {
            let seconds = left.as_secs() + 1;
            Tried::Locked(format!(
                "Too early; it was not looked at. Wait {seconds} s.\n{PROMPT}"
            ))
        };
        if let Some(left) = self.lock.waits(now) {
            return early(left);
        }
        let console = format!("rescue prompt of {seat}");
        match self.lock.attempt(record.is(line), now) {
            Attempt::Early(left) => early(left),
            Attempt::Right { wrong } => {
                log::warn!("{}", ConsoleNews::Unlocked { wrong }.sentence(&console));
                Tried::Open
            }
            Attempt::Wrong { times, wait, told } => {
                if told {
                    log::warn!("{}", ConsoleNews::WrongPassword { times }.sentence(&console));
                }
                let seconds = wait.as_secs();
                Tried::Locked(format!(
                    "Wrong. The next one is looked at in {seconds} s.\n{PROMPT}"
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use lb_core::console::password::{Record, SALT_BYTES};

    use super::*;

    fn record() -> Record {
        Record::new(b"secret", [1; SALT_BYTES], Duration::from_mins(10))
    }

    #[test]
    fn what_is_there_is_forgotten_once() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_there(dir.path()));
        assert_eq!(forget(dir.path(), "at the boot menu"), Ok(false));
        for content in [record().text(), "damaged".to_owned()] {
            fs::write(dir.path().join(FILE), content).unwrap();
            assert!(is_there(dir.path()));
            assert_eq!(forget(dir.path(), "at the boot menu"), Ok(true));
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        }
        fs::create_dir(dir.path().join(FILE)).unwrap();
        assert!(
            matches!(read(dir.path()), Stored::Damaged(_)),
            "what cannot be read is not nothing"
        );
        assert!(forget(dir.path(), "").is_err());
    }

    #[test]
    fn the_rescue_prompt_opens_with_the_password_only_and_in_its_time() {
        let now = Instant::now();
        assert!(Gate::new(&Stored::None, now).is_none());
        let stored = Stored::Set(record());
        let mut gate = Gate::new(&stored, now).unwrap();
        assert!(Gate::text(&stored).contains("This prompt is locked."));
        let text = |tried| match tried {
            Tried::Locked(text) => text,
            Tried::Open => panic!("open"),
        };
        assert!(text(gate.tried(b"why", &stored, "ttyS0", now)).contains("in 1 s"));
        assert!(text(gate.tried(b"secret", &stored, "ttyS0", now)).contains("Too early"));
        assert!(text(gate.tried(b"", &stored, "ttyS0", now)).contains("Ctrl-O"));
        let later = now + Duration::from_secs(1);
        assert_eq!(gate.tried(b"secret", &stored, "ttyS0", later), Tried::Open);
    }

    #[test]
    fn a_damaged_file_opens_nothing_and_says_the_way_back() {
        let now = Instant::now();
        let stored = Stored::Damaged("it is empty".to_owned());
        let mut gate = Gate::new(&stored, now).unwrap();
        let Tried::Locked(text) = gate.tried(b"secret", &stored, "ttyS0", now) else {
            panic!("open");
        };
        assert!(
            text.contains("(it is empty)") && text.contains("`forget-password`"),
            "{text}"
        );
        assert_eq!(gate.tried(b"", &Stored::None, "ttyS0", now), Tried::Open);
    }
}
