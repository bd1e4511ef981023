//! What can go wrong in the lab: one enum, each message with what was attempted and, where there is one, the remedy.
//! Must not: print, or decide whether a failure fails a story.

use std::io;
use std::time::Duration;

use thiserror::Error;

pub type Result<T, E = LabError> = std::result::Result<T, E>;

#[derive(Debug, Error)]
pub enum LabError {
    #[error("{what}")]
    Io {
        what: String,
        #[source]
        source: io::Error,
    },
    #[error("`{command}` failed ({status}): {stderr}")]
    Command {
        command: String,
        status: String,
        stderr: String,
    },
    #[error("{what}: not within {limit:?}; last seen:\n{seen}")]
    Timeout {
        what: String,
        limit: Duration,
        seen: String,
    },
    /// Something that the machine must have; the text names the remedy.
    #[error("{0}")]
    Missing(String),
    /// A program answered something that it should not have.
    #[error("{0}")]
    Unexpected(String),
}

impl LabError {
    /// For `map_err`: names what was attempted.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> LabError {
        let what = what.into();
        move |source| LabError::Io { what, source }
    }
}

/// An error and its causes on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}
