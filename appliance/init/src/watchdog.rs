//! The machine's hardware watchdog: it resets the machine when init has not fed it for as long as it allows. Armed when the boot is over, so that a
//! long repair of a volume is no hang; disarmed on the way to an end from which nobody should wake the machine.
//! Must not: feed it anywhere but in init's loop, which is what it watches.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// See watchdog-api.rst and Documentation/ABI/testing/sysfs-class-watchdog of the kernel.
const CLASS: &str = "/sys/class/watchdog";
const DEVICES: &str = "/dev";
/// The kernel's own: a timer, which no hung kernel runs.
const SOFTWARE: &str = "Software Watchdog";
/// WDIOF_CARDRESET (include/uapi/linux/watchdog.h): it was this one that reset the machine.
const CARD_RESET: u32 = 0x20;
/// Feeding by so many times within its time.
const TIMES: u32 = 4;
/// "Magic close": it stops with the file.
const STOP: &[u8] = b"V";

/// `lb.watchdog=` of the kernel's command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Choice {
    /// A device, if the machine has one.
    #[default]
    Hardware,
    /// The kernel's own where there is no device.
    Software,
    Off,
}

impl Choice {
    pub fn parse(word: &str) -> Option<Choice> {
        match word {
            "hardware" => Some(Choice::Hardware),
            "software" => Some(Choice::Software),
            "off" => Some(Choice::Off),
            _ => None,
        }
    }
}

#[derive(Debug)]
pub struct Watchdog {
    file: File,
    every: Duration,
    next: Instant,
    /// `i6300ESB timer, 30 s`.
    pub name: String,
    /// The machine was reset by it before this boot.
    pub has_reset: bool,
}

impl Watchdog {
    /// The machine's best one, if the choice allows it; from then on it has to be fed.
    pub fn arm(choice: Choice, now: Instant) -> io::Result<Option<Watchdog>> {
        let Some(found) = best(candidates(Path::new(CLASS)), choice) else {
            return Ok(None);
        };
        let device = Path::new(DEVICES).join(&found.device);
        let mut watchdog = Watchdog {
            file: File::options().write(true).open(device)?,
            every: found.timeout / TIMES,
            next: now,
            name: format!("{}, {} s", found.identity, found.timeout.as_secs()),
            has_reset: found.bootstatus & CARD_RESET != 0,
        };
        watchdog.feed(now);
        Ok(Some(watchdog))
    }

    pub fn next(&self) -> Instant {
        self.next
    }

    pub fn feed(&mut self, now: Instant) {
        if self.next > now {
            return;
        }
        self.next = now + self.every;
        if let Err(error) = self.file.write_all(b"\0") {
            log::warn!("feed the watchdog: {error}");
        }
    }

    /// A device that cannot be stopped resets the machine once more, which comes up again.
    pub fn disarm(mut self) {
        if let Err(error) = self.file.write_all(STOP) {
            log::warn!("stop the watchdog: {error}");
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    device: PathBuf,
    identity: String,
    timeout: Duration,
    bootstatus: u32,
}

fn candidates(class: &Path) -> Vec<Found> {
    let entries = fs::read_dir(class).into_iter().flatten().flatten();
    let mut found: Vec<Found> = entries.filter_map(|entry| read(&entry.path())).collect();
    found.sort_by(|a, b| a.device.cmp(&b.device));
    found
}

/// `None`: it does not say what it is, or has no time.
fn read(entry: &Path) -> Option<Found> {
    let field = |name: &str| fs::read_to_string(entry.join(name)).ok();
    let number = |name: &str| field(name)?.trim().parse().ok();
    let timeout: u32 = number("timeout")?;
    Some(Found {
        device: entry.file_name()?.into(),
        identity: field("identity")?.trim().to_owned(),
        timeout: Duration::from_secs(u64::from(timeout)),
        bootstatus: number("bootstatus").unwrap_or_default(),
    })
    .filter(|found| !found.timeout.is_zero())
}

fn best(found: Vec<Found>, choice: Choice) -> Option<Found> {
    let is_software = |found: &Found| found.identity == SOFTWARE;
    match choice {
        Choice::Off => None,
        Choice::Hardware => found.into_iter().find(|found| !is_software(found)),
        Choice::Software => found.into_iter().min_by_key(is_software),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(entries: &[(&str, &str, &str)]) -> tempfile::TempDir {
        let class = tempfile::tempdir().unwrap();
        for (device, identity, timeout) in entries {
            let entry = class.path().join(device);
            fs::create_dir(&entry).unwrap();
            fs::write(entry.join("identity"), format!("{identity}\n")).unwrap();
            fs::write(entry.join("timeout"), format!("{timeout}\n")).unwrap();
            fs::write(entry.join("bootstatus"), "32\n").unwrap();
        }
        class
    }

    fn chosen(entries: &[(&str, &str, &str)], choice: Choice) -> Option<String> {
        let class = class(entries);
        best(candidates(class.path()), choice).map(|found| found.device.display().to_string())
    }

    const BOTH: &[(&str, &str, &str)] = &[
        ("watchdog0", "Software Watchdog", "60"),
        ("watchdog1", "i6300ESB timer", "30"),
    ];

    #[test]
    fn a_device_is_taken_before_the_kernels_own_which_has_to_be_asked_for() {
        assert_eq!(chosen(BOTH, Choice::Hardware).as_deref(), Some("watchdog1"));
        assert_eq!(chosen(BOTH, Choice::Software).as_deref(), Some("watchdog1"));
        assert_eq!(chosen(BOTH, Choice::Off), None);
        assert_eq!(chosen(&BOTH[..1], Choice::Hardware), None);
        assert_eq!(chosen(&BOTH[..1], Choice::Software).as_deref(), Some("watchdog0"));
        assert_eq!(chosen(&[], Choice::Software), None);
        assert_eq!(chosen(&[("watchdog0", "odd", "0")], Choice::Hardware), None);
    }

    #[test]
    fn what_a_device_says_of_itself_is_read() {
        let class = class(&BOTH[1..]);
        let found = candidates(class.path()).remove(0);
        assert_eq!(found.identity, "i6300ESB timer");
        assert_eq!(found.timeout, Duration::from_secs(30));
        assert_ne!(found.bootstatus & CARD_RESET, 0);
        assert!(candidates(Path::new("/nowhere")).is_empty());
    }

    #[test]
    fn it_is_fed_four_times_within_its_time() {
        let now = Instant::now();
        let file = tempfile::tempfile().unwrap();
        let mut watchdog = Watchdog {
            file: file.try_clone().unwrap(),
            every: Duration::from_secs(30) / TIMES,
            next: now,
            name: String::new(),
            has_reset: false,
        };
        for second in 0..30 {
            watchdog.feed(now + Duration::from_secs(second));
        }
        assert_eq!(file.metadata().unwrap().len(), 4);
        assert_eq!(watchdog.next(), now + Duration::from_millis(31_500));
        watchdog.disarm();
        assert_eq!(file.metadata().unwrap().len(), 5);
    }
}
