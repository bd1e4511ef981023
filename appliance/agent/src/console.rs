//! What is on record of the consoles' locks: news of the consoles as events, and what init did about a forgotten password. Must not: lock or open
//! anything; consoles do that by themselves, also without an agent.

use std::fs;
use std::path::Path;

use lb_core::console::known::{MEMORY, recalled};
use lb_core::console::password::{FILE, Stored};
use lb_core::console::{FORGOTTEN, IGNORED, REMOVED};
use lb_core::control::{ConsoleNews, ConsoleReport, Response};
use log::Level;

use crate::engine::Engine;
use crate::store::Store;

/// A terminal's name is no longer than this (characters).
const LONGEST_NAME: usize = 40;

impl Engine {
    pub fn console_news(&mut self, console: &str, news: ConsoleNews) -> Response {
        let plain = console.chars().filter(|c| !c.is_control());
        let console: String = plain.take(LONGEST_NAME).collect();
        self.tell(Level::Warn, &news.sentence(&console));
        Response::Console(report(&self.store, &self.places.runtime))
    }
}

/// The runtime directory has what the file said when a console could read it last.
pub fn report(store: &Store, runtime: &Path) -> ConsoleReport {
    match store.read(FILE) {
        Ok(file) => ConsoleReport::of(&Stored::of(Ok(file))),
        Err(error) => {
            let known = fs::read(runtime.join(MEMORY)).ok();
            let known = known.and_then(|memory| recalled(&memory));
            ConsoleReport::unreadable(error.kind().to_string(), known.as_ref())
        }
    }
}

/// In a sentence, if init has removed the password in this boot, or keeps it from counting. That it was removed is told once.
pub fn forgotten(runtime: &Path) -> Option<String> {
    if let Ok(by) = fs::read_to_string(runtime.join(IGNORED)) {
        return Some(format!(
            "the password of the consoles does not count until the next boot, as was ordered {}: it could not be removed",
            by.trim()
        ));
    }
    let mark = runtime.join(FORGOTTEN);
    let by = fs::read_to_string(&mark).ok()?;
    if let Err(error) = fs::remove_file(&mark) {
        log::warn!("{}: {error}", mark.display());
    }
    Some(format!("{REMOVED} {}", by.trim()))
}

#[cfg(test)]
mod tests {
    use lb_core::console::known::remembered;
    use lb_core::control::PasswordState;

    use super::*;

    /// What cannot be read, also by root.
    #[test]
    fn a_file_that_cannot_be_read_is_not_said_to_be_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path().to_owned());
        fs::create_dir(store.path(FILE)).unwrap();
        let told = report(&store, dir.path());
        assert_eq!(
            (told.password, told.idle_s),
            (PasswordState::Unreadable, Some(600))
        );
        assert_eq!(told.fault.as_deref(), Some("is a directory"));
        fs::write(dir.path().join(MEMORY), remembered(None)).unwrap();
        assert_eq!(report(&store, dir.path()).idle_s, None);
    }

    #[test]
    fn what_init_did_is_told_once() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(forgotten(dir.path()), None);
        fs::write(dir.path().join(FORGOTTEN), "at the boot menu\n").unwrap();
        let told = "the password of the consoles was removed at the boot menu";
        assert_eq!(forgotten(dir.path()).as_deref(), Some(told));
        assert_eq!(forgotten(dir.path()), None);
        // It goes on to be so.
        fs::write(dir.path().join(IGNORED), "at the boot menu\n").unwrap();
        for _ in 0..2 {
            let told = forgotten(dir.path()).unwrap();
            assert!(
                told.contains("does not count until the next boot, as was ordered at the boot menu"),
                "{told}"
            );
        }
    }
}
