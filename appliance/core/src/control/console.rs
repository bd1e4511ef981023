//! What consoles tell the agent of their locks, so that it is on record, and what is known of their password.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::console::REMOVED;
use crate::console::password::Stored;

/// What has happened at a console.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConsoleNews {
    PasswordSet,
    PasswordChanged,
    PasswordRemoved,
    /// Consoles lock after so many seconds from now on.
    Idle {
        seconds: u64,
    },
    /// So many since the console was opened last.
    WrongPassword {
        times: u32,
    },
    /// After so many wrong ones.
    Unlocked {
        wrong: u32,
    },
}

impl ConsoleNews {
    /// As the log and the events have it. `console` is `console ttyS0`.
    pub fn sentence(self, console: &str) -> String {
        match self {
            ConsoleNews::PasswordSet => format!("{console}: the password of the consoles was set"),
            ConsoleNews::PasswordChanged => format!("{console}: the password of the consoles was changed"),
            ConsoleNews::PasswordRemoved => format!("{console}: the password of the consoles was removed"),
            ConsoleNews::Idle { seconds } => {
                format!(
                    "{console}: consoles lock after {} without a key",
                    span_in_words(seconds)
                )
            }
            ConsoleNews::WrongPassword { times: 1 } => format!("{console}: a wrong password"),
            ConsoleNews::WrongPassword { times } => format!("{console}: {times} wrong passwords in a row"),
            ConsoleNews::Unlocked { wrong: 1 } => format!("{console}: unlocked after a wrong password"),
            ConsoleNews::Unlocked { wrong } => format!("{console}: unlocked after {wrong} wrong passwords"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum PasswordState {
    #[default]
    None,
    Set,
    /// There is a file, and it cannot be used: locked consoles do not open.
    Damaged,
    /// The disk does not say what is in it.
    Unreadable,
}

/// The lock of the consoles, never with what opens it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct ConsoleReport {
    pub password: PasswordState,
    /// A console locks after so many seconds without a key; `null`: it does not.
    pub idle_s: Option<u64>,
    /// Why the file cannot be used, or read.
    #[serde(default)]
    pub fault: Option<String>,
}

impl ConsoleReport {
    pub fn of(stored: &Stored) -> ConsoleReport {
        let (password, fault) = match stored {
            Stored::None => (PasswordState::None, None),
            Stored::Set(_) => (PasswordState::Set, None),
            Stored::Damaged(why) => (PasswordState::Damaged, Some(why.clone())),
            Stored::Unreadable(why) => (PasswordState::Unreadable, Some(why.clone())),
        };
        ConsoleReport {
            password,
            idle_s: stored.idle().map(|idle| idle.as_secs()),
            fault,
        }
    }

    /// While the file cannot be read. `known`: what it said before, which still counts.
    pub fn unreadable(why: String, known: Option<&Stored>) -> ConsoleReport {
        let now = Stored::Unreadable(why);
        let (password, fault) = (PasswordState::Unreadable, ConsoleReport::of(&now).fault);
        let counts = known.unwrap_or(&now);
        ConsoleReport {
            password,
            idle_s: counts.idle().map(|idle| idle.as_secs()),
            fault,
        }
    }

    /// Whether a problem of the boot is none any more: the password that was removed has a successor.
    pub fn has_mended(&self, problem: &str) -> bool {
        self.password == PasswordState::Set && problem.starts_with(REMOVED)
    }

    /// What has to be done, if something has to be.
    pub fn problem(&self) -> Option<String> {
        let why = self.fault.as_deref()?;
        if self.password == PasswordState::Unreadable {
            return Some(format!(
                "the file with the password of the consoles cannot be read ({why}): what it said when it could be read last still counts; `log` tells of the \
                 disk, and `forget-password` in the boot menu is the way back"
            ));
        }
        Some(format!(
            "the file with the password of the consoles cannot be used ({why}): no password opens a console that locks; while this one is open, \
             `console password set` makes a new one"
        ))
    }
}

impl fmt::Display for ConsoleReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.password, self.idle_s) {
            (PasswordState::Set, Some(seconds)) => {
                write!(
                    f,
                    "password set, locks after {} without a key",
                    span_in_words(seconds)
                )
            }
            (PasswordState::Set, None) => write!(f, "password set"),
            (PasswordState::Damaged, _) => {
                let why = self.fault.as_deref().unwrap_or("unknown");
                write!(f, "the file of the password cannot be used: {why}")
            }
            (PasswordState::Unreadable, _) => {
                let why = self.fault.as_deref().unwrap_or("unknown");
                write!(f, "the file of the password cannot be read: {why}")
            }
            (PasswordState::None, _) => write!(f, "no password"),
        }
    }
}

/// `10 minutes`, `90 seconds`.
pub fn span_in_words(seconds: u64) -> String {
    let (number, unit) = match seconds {
        hours if hours >= 3600 && hours.is_multiple_of(3600) => (hours / 3600, "hour"),
        minutes if minutes >= 60 && minutes.is_multiple_of(60) => (minutes / 60, "minute"),
        seconds => (seconds, "second"),
    };
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {unit}{s}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_of_the_lock_has_words() {
        assert_eq!(span_in_words(10), "10 seconds");
        assert_eq!(span_in_words(60), "1 minute");
        assert_eq!(span_in_words(90), "90 seconds");
        assert_eq!(span_in_words(7_200), "2 hours");
        let news = ConsoleNews::WrongPassword { times: 8 };
        assert_eq!(
            news.sentence("console ttyS0"),
            "console ttyS0: 8 wrong passwords in a row"
        );
        let none = ConsoleReport::of(&Stored::None);
        assert_eq!((none.to_string().as_str(), none.problem()), ("no password", None));
        let damaged = ConsoleReport::of(&Stored::Damaged("it is empty".to_owned()));
        assert_eq!(damaged.idle_s, Some(600));
        assert!(damaged.problem().unwrap().contains("(it is empty)"));
        for (known, idle_s) in [(None, Some(600)), (Some(&Stored::None), None)] {
            let unreadable = ConsoleReport::unreadable("EIO".to_owned(), known);
            assert_eq!(
                (unreadable.password, unreadable.idle_s),
                (PasswordState::Unreadable, idle_s)
            );
            assert_eq!(
                unreadable.to_string(),
                "the file of the password cannot be read: EIO"
            );
            assert!(unreadable.problem().unwrap().contains("cannot be read (EIO)"));
        }
    }

    #[test]
    fn a_new_password_mends_that_one_was_removed() {
        let removed = format!("{REMOVED} at the boot menu: no console is locked");
        let none = ConsoleReport::of(&Stored::None);
        let set = ConsoleReport {
            password: PasswordState::Set,
            ..ConsoleReport::default()
        };
        assert!(!none.has_mended(&removed) && set.has_mended(&removed));
        assert!(!set.has_mended("the config volume is in memory"));
    }
}
