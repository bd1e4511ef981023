//! What the kernel refused: verb, object and the errno's name, as in `mount proc on /proc: ENOENT`.
//! Must not: decide what follows from it.

use std::io;

use nix::errno::Errno;
use thiserror::Error;

#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{action}: {why}")]
pub struct Refused {
    /// Verb and object.
    pub action: String,
    /// The errno's name, or what went wrong before the kernel was asked.
    pub why: String,
}

impl Refused {
    pub fn new(action: impl Into<String>, why: impl Into<String>) -> Refused {
        Refused {
            action: action.into(),
            why: why.into(),
        }
    }

    /// For `map_err`: the action is known before, the error comes from std or rustix.
    pub fn to<E: Into<io::Error>>(action: impl Into<String>) -> impl FnOnce(E) -> Refused {
        let action = action.into();
        move |error| Refused {
            action,
            why: name(&error.into()),
        }
    }
}

/// `ENOENT`; for an error without an errno its own words.
pub fn name(error: &io::Error) -> String {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::UnknownErrno) | None => error.to_string(),
        Some(known) => format!("{known:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_errno_is_named_and_other_errors_keep_their_words() {
        let fault = Refused::to("mount proc on /proc")(rustix::io::Errno::NOENT);
        assert_eq!(fault.to_string(), "mount proc on /proc: ENOENT");
        assert_eq!(name(&io::Error::from_raw_os_error(117)), "EUCLEAN");
        assert_eq!(
            name(&io::Error::other("the file ends early")),
            "the file ends early"
        );
    }
}
