//! The boot menu: what a boot offers to whoever holds its key down: an earlier configuration, the factory reset. Pure but for the
//! reading of the history. Must not: carry anything out, or hold a boot for long that nobody attends to.

mod stage;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::time::Duration;

use lb_core::console::FORGET;
use lb_core::control::HistoryEntry;
use lb_core::date;
use lb_core::history::{self, LINE_BYTES, read_first_line};
use lb_core::reset::Extent;

pub use stage::{ask, look_for_key};

use crate::password;

const PROMPT: &str = "boot> ";
/// The stage's word when nobody has opened it: it names the key.
const NOT_OPENED: &str = "no Ctrl-O";
/// A boot goes on when nothing was typed for so long: the key may have been noise.
const PATIENCE: Duration = Duration::from_secs(60);
/// So many earlier configurations are shown; others can be named all the same.
const SHOWN: usize = 5;
const CONFIG_FILE: &str = "lb.toml";
/// lb.toml may have 8 MiB; a longer one is none that was in force.
const CONFIG_BYTES: u64 = (8 << 20) + 1;
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Menu {
    /// The newest first.
    entries: Vec<HistoryEntry>,
    previous: Option<u64>,
    /// A reset was asked for, and has to be asked for once more.
    doubted: Option<Extent>,
    /// Consoles have a password, or a file that should be one.
    pub password: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The menu stays, and says this.
    Say(String),
    GoOn,
    Start(u64),
    Reset(Extent),
    /// Removes the consoles' password; the menu stays.
    Forget,
    Reboot,
    PowerOff,
}

impl Menu {
    /// Of the config volume that is mounted there.
    pub fn read(volume: &Path) -> Menu {
        let mut entries: Vec<_> = fs::read_dir(volume.join(history::DIRECTORY))
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|file| entry(&file.path()))
            .collect();
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.number));
        let mut text = Vec::new();
        let present = File::open(volume.join(CONFIG_FILE))
            .and_then(|file| file.take(CONFIG_BYTES).read_to_end(&mut text))
            .map(|_| history::sha256(&text))
            .ok();
        Menu {
            previous: history::previous(&entries, present.as_deref()).map(|entry| entry.number),
            entries,
            doubted: None,
            password: password::is_there(volume),
        }
    }

    pub fn text(&self) -> String {
        let previous = match self.previous {
            Some(number) => format!("with configuration {number}, the one before the present one"),
            None => "there is no other configuration in the history".to_owned(),
        };
        let mut text = format!(
            "\n*** Boot menu. Nothing is changed yet; in {} s the boot goes on by itself.\n\
             go                      boot as ever\n\
             previous                {previous}\n\
             N                       with configuration N of the history; the newest are:\n",
            PATIENCE.as_secs()
        );
        text.extend(self.entries.iter().take(SHOWN).map(shown));
        if self.password {
            text.push_str("forget-password         remove the password of the consoles, and nothing else\n");
        }
        text + "\
reset                   factory reset: all of /config is deleted, and its copy
reset --keep-identity   the same, but certificates and keys stay
reboot, poweroff        restart the machine, switch it off
"
    }

    pub fn typed(&mut self, line: &str) -> Answer {
        let line = printable(line);
        let doubted = self.doubted.take();
        match line.as_str() {
            "go" | "continue" => Answer::GoOn,
            "previous" => match self.previous {
                Some(number) => Answer::Start(number),
                None => {
                    Answer::Say("there is no other configuration in the history; `go` boots\n".to_owned())
                }
            },
            "reset" => self.reset(Extent::All, doubted),
            "reset --keep-identity" => self.reset(Extent::KeepIdentity, doubted),
            FORGET if self.password => Answer::Forget,
            FORGET => Answer::Say("there is no password to forget; `go` boots\n".to_owned()),
            "reboot" => Answer::Reboot,
            "poweroff" => Answer::PowerOff,
            "" | "help" | "?" => Answer::Say(self.text()),
            word => match word.parse() {
                Ok(number) if self.entries.iter().any(|entry| entry.number == number) => {
                    Answer::Start(number)
                }
                Ok(number) => Answer::Say(self.no_such(number)),
                Err(_) => Answer::Say(format!(
                    "there is no {word:?} here; `help` shows the menu again\n"
                )),
            },
        }
    }

    fn reset(&mut self, extent: Extent, doubted: Option<Extent>) -> Answer {
        if doubted == Some(extent) {
            return Answer::Reset(extent);
        }
        self.doubted = Some(extent);
        let (stays, again) = match extent {
            Extent::All => ("", "reset"),
            Extent::KeepIdentity => (" but certificates and keys", "reset --keep-identity"),
        };
        Answer::Say(format!(
            "This deletes lb.toml, its history and copies, and all else on /config{stays}.\n\
             Type `{again}` once more to do it; anything else does not.\n"
        ))
    }

    fn no_such(&self, number: u64) -> String {
        match (self.entries.last(), self.entries.first()) {
            (Some(oldest), Some(newest)) => format!(
                "there is no configuration {number} in the history; it has {} to {}\n",
                oldest.number, newest.number
            ),
            _ => "the history is empty; `go` boots\n".to_owned(),
        }
    }
}

/// What the consoles say when somebody has opened the menu on another one.
fn elsewhere(seat: &str) -> String {
    format!(
        "*** The boot menu is open on {seat}; the boot goes on when it is answered, or after {} s.",
        PATIENCE.as_secs()
    )
}

/// Of a line: a terminal of 80 columns breaks none.
const WIDTH: usize = 79;

/// `   12  2026-11-26 08:46:22  put: new gateway (console ttyS0)`.
fn shown(entry: &HistoryEntry) -> String {
    let time = date::second(date::of_unix(entry.unix_s));
    let line = format!("  {:>5}  {time}  {} ({})", entry.number, entry.why, entry.by);
    let mut clean: Vec<char> = line
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect();
    if clean.len() > WIDTH {
        clean.truncate(WIDTH - 3);
        clean.extend("...".chars());
    }
    clean.into_iter().chain(['\n']).collect()
}

fn entry(path: &Path) -> Option<HistoryEntry> {
    let number = history::number_of(&path.file_name()?.to_string_lossy())?;
    let mut line = Vec::new();
    BufReader::new(File::open(path).ok()?.take(LINE_BYTES))
        .read_until(b'\n', &mut line)
        .ok()?;
    read_first_line(&line).ok().filter(|entry| entry.number == number)
}

/// The key repeats while it is held down; what is left of a line is what was meant.
fn printable(line: &str) -> String {
    let text: String = line.chars().filter(|c| !c.is_control()).take(40).collect();
    text.trim().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A volume whose lb.toml is that of the newest entry.
    fn volume() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(history::DIRECTORY)).unwrap();
        for (number, text) in [(1, "a"), (2, "b"), (3, "b"), (12, "c")] {
            let entry = HistoryEntry {
                number,
                unix_s: 1_795_471_104 + number,
                by: "console ttyS0".to_owned(),
                why: format!("put: number\t{number}"),
                sha256: history::sha256(text.as_bytes()),
                bytes: 1,
                in_force: false,
            };
            let file = dir
                .path()
                .join(history::DIRECTORY)
                .join(history::file_name(number));
            fs::write(file, history::first_line(&entry) + text).unwrap();
        }
        fs::write(dir.path().join("history/000013.toml"), "damaged").unwrap();
        fs::write(dir.path().join(CONFIG_FILE), "c").unwrap();
        dir
    }

    #[test]
    fn the_menu_shows_what_there_is() {
        let volume = volume();
        let menu = Menu::read(volume.path());
        assert_eq!(
            menu.text(),
            "
*** Boot menu. Nothing is changed yet; in 60 s the boot goes on by itself.
go                      boot as ever
previous                with configuration 3, the one before the present one
N                       with configuration N of the history; the newest are:
     12  2026-11-23 21:58:36  put: number?12 (console ttyS0)
      3  2026-11-23 21:58:27  put: number?3 (console ttyS0)
      2  2026-11-23 21:58:26  put: number?2 (console ttyS0)
      1  2026-11-23 21:58:25  put: number?1 (console ttyS0)
reset                   factory reset: all of /config is deleted, and its copy
reset --keep-identity   the same, but certificates and keys stay
reboot, poweroff        restart the machine, switch it off
"
        );
        assert!(menu.text().lines().all(|line| line.chars().count() <= 79));
    }

    #[test]
    fn every_choice_is_understood() {
        let volume = volume();
        let mut menu = Menu::read(volume.path());
        for (line, answer) in [
            ("\u{f}\u{f}go\r", Answer::GoOn),
            ("previous", Answer::Start(3)),
            (" 12 ", Answer::Start(12)),
            ("REBOOT", Answer::Reboot),
            ("poweroff", Answer::PowerOff),
        ] {
            assert_eq!(menu.typed(line), answer, "{line:?}");
        }
        for (line, part) in [
            ("", "Boot menu"),
            (
                "13",
                "there is no configuration 13 in the history; it has 1 to 12",
            ),
            ("prev\u{1b}[2J", "there is no \"prev[2j\" here; `help`"),
        ] {
            assert!(
                matches!(menu.typed(line), Answer::Say(text) if text.contains(part)),
                "{line:?}"
            );
        }
    }

    #[test]
    fn a_password_that_is_there_can_be_forgotten() {
        let volume = volume();
        let mut menu = Menu::read(volume.path());
        assert!(matches!(menu.typed("forget-password"), Answer::Say(text) if text.contains("no password")));
        fs::write(volume.path().join(lb_core::console::password::FILE), "damaged").unwrap();
        let mut menu = Menu::read(volume.path());
        let line = "forget-password         remove the password of the consoles, and nothing else\n";
        assert!(menu.text().contains(line), "{}", menu.text());
        assert!(menu.text().lines().all(|line| line.chars().count() <= 79));
        assert_eq!(menu.typed(" Forget-Password\r"), Answer::Forget);
        menu.password = false;
        assert!(!menu.text().contains("forget"));
    }

    #[test]
    fn a_reset_is_asked_for_twice_in_a_row() {
        let mut menu = Menu::default();
        let doubt = |answer| matches!(answer, Answer::Say(text) if text.contains("once more"));
        assert!(doubt(menu.typed("reset")));
        assert!(doubt(menu.typed("reset --keep-identity")), "another one");
        assert!(!doubt(menu.typed("what")));
        assert!(doubt(menu.typed("reset")));
        assert_eq!(menu.typed("reset"), Answer::Reset(Extent::All));
        assert!(doubt(menu.typed("reset --keep-identity")));
        assert_eq!(
            menu.typed("reset --keep-identity"),
            Answer::Reset(Extent::KeepIdentity)
        );
    }

    #[test]
    fn a_volume_without_a_history_has_a_menu_too() {
        let dir = tempfile::tempdir().unwrap();
        let mut menu = Menu::read(&dir.path().join("missing"));
        assert_eq!(menu, Menu::default());
        assert!(menu.text().contains("there is no other configuration"));
        assert!(matches!(menu.typed("previous"), Answer::Say(_)));
        assert!(matches!(menu.typed("1"), Answer::Say(text) if text.contains("empty")));
    }

    #[test]
    fn a_reason_that_is_cut_has_a_mark() {
        let entry = |why: &str| HistoryEntry {
            number: 7,
            unix_s: 0,
            by: "console ttyS0".to_owned(),
            why: why.to_owned(),
            sha256: String::new(),
            bytes: 1,
            in_force: false,
        };
        let long = shown(&entry(&"reason ".repeat(20)));
        assert_eq!(
            (long.chars().count(), long.ends_with("...\n")),
            (80, true),
            "{long}"
        );
        assert!(shown(&entry("edit: new gateway")).ends_with("(console ttyS0)\n"));
    }
}
