//! The consoles' password where init meets it: it is asked for at the rescue prompt too, is removed when somebody has forgotten it, and keeps
//! Ctrl-Alt-Del from being a way around. Must not: set a password.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use lb_core::console::lock::{Attempt, Lock};
use lb_core::console::password::{FILE, Stored};
use lb_core::console::{FORGOTTEN, IGNORED};
use lb_core::control::{ConsoleNews, INIT_REPORT};

use crate::password_file::{PasswordFile, read};
use crate::refused::Refused;
use crate::volume::CONFIG;

pub const PROMPT: &str = "Password: ";
/// What no password can open, and everybody may know.
const WAY_BACK: &str = "Forgotten? Restart the machine with Ctrl-O held down: `forget-password` in its\n\
                        boot menu removes the password, and nothing else.\n";
/// A key that is held down comes some ten times in a second.
const TELL_AGAIN: Duration = Duration::from_mins(1);

static OF_VOLUME: Mutex<Option<PasswordFile>> = Mutex::new(None);

/// What the mounted config volume says, or said before; nothing where none is mounted.
pub fn stored() -> Stored {
    let report = Path::new(INIT_REPORT);
    if report.with_file_name(IGNORED).exists() {
        return Stored::None;
    }
    let mut file = OF_VOLUME.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = report.parent().unwrap_or(report);
    let file = file.get_or_insert_with(|| PasswordFile::new(Path::new(CONFIG), runtime));
    let (stored, told) = file.stored();
    if let Some(told) = told {
        log::error!("{told}");
    }
    stored
}

/// Whether there is something to forget, be it damaged.
pub fn is_there(volume: &Path) -> bool {
    !matches!(read(volume), Ok(None))
}

/// What came of an order to forget the password.
#[derive(Debug, PartialEq, Eq)]
pub enum Forgotten {
    /// There is none.
    Nothing,
    Removed,
    /// It could not be removed, and does not count in this boot.
    Ignored(Refused),
}

/// Removes the password, or keeps it from counting, and leaves word of it in `runtime`. `by` is how it was ordered.
pub fn forget(volume: &Path, runtime: &Path, by: &str) -> Result<Forgotten, Refused> {
    let path = volume.join(FILE);
    let removed = match fs::remove_file(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Forgotten::Nothing),
        Err(error) => Err(error),
        Ok(()) => File::open(volume).and_then(|volume| volume.sync_all()),
    };
    let removed = removed.map_err(Refused::to(format!("remove {}", path.display())));
    let mark = runtime.join(if removed.is_ok() { FORGOTTEN } else { IGNORED });
    let marked = fs::write(&mark, by);
    match (removed, marked) {
        (Ok(()), marked) => {
            if let Err(error) = marked {
                // The log and the report say it as well.
                log::warn!("{}: {error}", mark.display());
            }
            Ok(Forgotten::Removed)
        }
        (Err(refused), Ok(())) => Ok(Forgotten::Ignored(refused)),
        (Err(refused), Err(_)) => Err(refused),
    }
}

/// A refusal that somebody can cause without end: it is told once, and then now and again with how often it happened.
#[derive(Debug, Default)]
pub struct Refusals {
    told: Option<Instant>,
    untold: u32,
}

impl Refusals {
    /// How many there were since it was told last, if it is to be told now.
    pub fn one_more(&mut self, now: Instant) -> Option<u32> {
        self.untold = self.untold.saturating_add(1);
        if self
            .told
            .is_some_and(|told| now.saturating_duration_since(told) < TELL_AGAIN)
        {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
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
            Stored::Unreadable(why) => format!(
                "The file with its password cannot be read ({why}):\nuntil the disk answers, no password opens it.\n"
            ),
            _ => "This prompt is locked. Type the password of the consoles, and Enter.\n".to_owned(),
        };
        format!("{how}{WAY_BACK}{PROMPT}")
    }

    /// Takes a moment where it is a password: no other process may be able to do it. Wrong ones are told in the log.
    pub fn tried(&mut self, line: &[u8], stored: &Stored, seat: &str, now: Instant) -> Tried {
        let record = match stored {
            Stored::None => return Tried::Open,
            Stored::Damaged(_) | Stored::Unreadable(_) => return Tried::Locked(Gate::text(stored)),
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
        let (volume, runtime) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let forget = || forget(volume.path(), runtime.path(), "at the boot menu");
        assert!(!is_there(volume.path()));
        assert_eq!(forget(), Ok(Forgotten::Nothing));
        for content in [record().text(), "damaged".to_owned()] {
            fs::write(volume.path().join(FILE), content).unwrap();
            assert!(is_there(volume.path()));
            assert_eq!(forget(), Ok(Forgotten::Removed));
            assert_eq!(fs::read_dir(volume.path()).unwrap().count(), 0);
            let mark = fs::read_to_string(runtime.path().join(FORGOTTEN)).unwrap();
            assert_eq!(mark, "at the boot menu");
        }
        assert!(!runtime.path().join(IGNORED).exists());
    }

    /// A volume that cannot be written must not keep out who has forgotten the password.
    #[test]
    fn what_cannot_be_removed_does_not_count_in_this_boot() {
        let (volume, runtime) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        // What cannot be removed, also by root.
        fs::create_dir(volume.path().join(FILE)).unwrap();
        assert!(is_there(volume.path()), "what cannot be read is not nothing");
        let forgotten = forget(volume.path(), runtime.path(), "at the boot menu");
        assert!(matches!(forgotten, Ok(Forgotten::Ignored(_))), "{forgotten:?}");
        let mark = fs::read_to_string(runtime.path().join(IGNORED)).unwrap();
        assert_eq!(mark, "at the boot menu");
        assert!(!runtime.path().join(FORGOTTEN).exists());
        assert!(forget(volume.path(), &runtime.path().join("none"), "").is_err());
    }

    #[test]
    fn what_is_refused_without_end_is_told_now_and_again() {
        let (now, mut refusals) = (Instant::now(), Refusals::default());
        let told: Vec<u32> = (0..1_300)
            .filter_map(|tenth| refusals.one_more(now + Duration::from_millis(100) * tenth))
            .collect();
        assert_eq!(told, [1, 600, 600]);
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
    fn what_is_not_known_opens_nothing_until_the_disk_answers() {
        let now = Instant::now();
        let stored = Stored::Unreadable("timed out".to_owned());
        let mut gate = Gate::new(&stored, now).unwrap();
        let Tried::Locked(text) = gate.tried(b"secret", &stored, "ttyS0", now) else {
            panic!("open");
        };
        assert!(text.contains("cannot be read (timed out)") && text.contains("`forget-password`"));
        let known = Stored::Set(record());
        assert_eq!(gate.tried(b"secret", &known, "ttyS0", now), Tried::Open);
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
