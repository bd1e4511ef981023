//! What is wrong with words that were typed, in a sentence with its remedy. Must not: find it.

use thiserror::Error;

#[derive(Debug, Error, PartialEq, Eq)]
pub enum UsageError {
    #[error(
        "there is no command `{word}`{} `help` lists all commands",
        did_you_mean(near)
    )]
    UnknownCommand {
        word: String,
        near: Option<&'static str>,
    },
    #[error("there is no command `{word}` here: {instead}")]
    CalledOtherwise { word: String, instead: &'static str },
    #[error("`{0}` is no command; to paste lb.toml, type `config put` first")]
    LooksLikeConfig(String),
    #[error("`{path}` has no `{word}`{} it has {}", did_you_mean(near), list(known))]
    UnknownChild {
        path: String,
        word: String,
        near: Option<&'static str>,
        known: Vec<&'static str>,
    },
    #[error("`{word}` can be {}; type more of it", list(known))]
    Ambiguous { word: String, known: Vec<&'static str> },
    #[error("`{path}` needs one of {} after it", list(known))]
    Incomplete { path: String, known: Vec<&'static str> },
    #[error("`{path}` has no option `{word}`{} {}", did_you_mean(near), options(known))]
    UnknownOption {
        path: String,
        word: String,
        near: Option<&'static str>,
        known: Vec<&'static str>,
    },
    #[error("`{option}` needs a {what} after it, as in `{option} {example}`")]
    MissingValue {
        option: &'static str,
        what: &'static str,
        example: &'static str,
    },
    #[error("`{option}` takes a time from {} to {}, such as 30s or 2m, not `{word}`", shown_time(*.low), shown_time(*.high))]
    BadTime {
        option: &'static str,
        word: String,
        low: u64,
        high: u64,
    },
    #[error("`{path}` takes a number of `config history`, `returned`, `pending` or `sample`, not `{word}`")]
    NoSuchKept { path: String, word: String },
    #[error("`{option}` takes a number from {low} to {high}, not `{word}`")]
    BadNumber {
        option: &'static str,
        word: String,
        low: u64,
        high: u64,
    },
    #[error("`{option}` takes no value")]
    Valueless { option: &'static str },
    #[error("`{path}` takes no argument; `{word}` is too much")]
    NoArguments { path: String, word: String },
    #[error("`{path}` needs {name}: {usage}; `help {path}` says more")]
    MissingArgument {
        path: String,
        name: &'static str,
        usage: String,
    },
    #[error(
        "`{path}` needs to know what to ask {server}: `{path} SERVICE {server}` as lb.toml says, or `{path} tcp {server}`, or another type of check"
    )]
    OnlyServer { path: String, server: String },
    #[error("`{path}` takes {count}; `{word}` is too much{}", quotes(*.spaced))]
    TooMany {
        path: String,
        /// `one NAME`, `N and M`.
        count: String,
        word: String,
        /// Whether the last argument may hold blanks.
        spaced: bool,
    },
    #[error(transparent)]
    Line(#[from] super::super::line::LineError),
}

fn did_you_mean(near: &Option<&'static str>) -> String {
    near.map_or_else(|| ";".to_owned(), |near| format!(", did you mean `{near}`?"))
}

fn quotes(spaced: bool) -> &'static str {
    match spaced {
        true => "; one with blanks goes in single quotes: '...'",
        false => "",
    }
}

fn list(words: &[&str]) -> String {
    match words {
        [] => "nothing".to_owned(),
        [one] => (*one).to_owned(),
        [firsts @ .., last] => format!("{} or {last}", firsts.join(", ")),
    }
}

fn options(words: &[&str]) -> String {
    if words.is_empty() {
        "it has no options".to_owned()
    } else {
        format!("its options are {}", words.join(", "))
    }
}

/// `1s`, `1h`: a limit is whole in its unit.
fn shown_time(seconds: u64) -> String {
    match seconds {
        hours if hours.is_multiple_of(3600) => format!("{}h", hours / 3600),
        minutes if minutes.is_multiple_of(60) => format!("{}m", minutes / 60),
        seconds => format!("{seconds}s"),
    }
}
