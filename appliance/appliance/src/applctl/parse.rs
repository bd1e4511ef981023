//! Words into a command with its arguments and options, or a usage error with the remedy.
//! Must not: carry anything out, or know whether the words come from the console or a command line.

mod usage;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lb_core::control::Kept;
use lb_core::suggest::nearest;

use super::tree::{Choice, Command, JSON, ROOT, Takes, Values};

pub use usage::UsageError;

/// A command, fully understood.
#[derive(Debug)]
pub struct Invocation {
    pub command: &'static Command,
    /// As it is typed in full: `config check`.
    pub path: String,
    pub arguments: Vec<String>,
    options: Vec<(&'static str, Given)>,
}

/// What was given with an option.
#[derive(Debug)]
enum Given {
    Nothing,
    Number(u64),
    Time(Duration),
    Text(String),
}

impl Invocation {
    pub fn has(&self, option: &str) -> bool {
        self.options.iter().any(|(name, _)| *name == option)
    }

    /// The number given with `option`; the last one counts.
    pub fn number(&self, option: &str) -> Option<u64> {
        match self.given(option)? {
            Given::Number(number) => Some(*number),
            _ => None,
        }
    }

    pub fn time(&self, option: &str) -> Option<Duration> {
        match self.given(option)? {
            Given::Time(time) => Some(*time),
            _ => None,
        }
    }

    pub fn text(&self, option: &str) -> Option<&str> {
        match self.given(option)? {
            Given::Text(text) => Some(text),
            _ => None,
        }
    }

    fn given(&self, option: &str) -> Option<&Given> {
        let mut given = self.options.iter().rev();
        given.find(|(name, _)| *name == option).map(|(_, given)| given)
    }

    pub fn json(&self) -> bool {
        self.has(JSON)
    }
}

#[derive(Debug)]
pub enum Parsed {
    Run(Invocation),
    /// Help for the command that these words name, or for all.
    Help(Vec<String>),
    /// There were no words.
    Nothing,
}

/// Words of the console; the word `applctl` in front is accepted.
pub fn parse(words: &[String]) -> Result<Parsed, UsageError> {
    let words = match words {
        [first, rest @ ..] if first == "applctl" => rest,
        all => all,
    };
    if words.is_empty() {
        return Ok(Parsed::Nothing);
    }
    if let Some(path) = asks_for_help(words) {
        return Ok(Parsed::Help(path));
    }
    let (command, path, rest) = descend(words)?;
    if !command.children.is_empty() {
        let known = command.visible().map(|c| c.name).collect();
        return Err(UsageError::Incomplete { path, known });
    }
    rest_of(command, path, rest).map(Parsed::Run)
}

/// `services ?`, `services --help` and `-h` mean `help services`.
fn asks_for_help(words: &[String]) -> Option<Vec<String>> {
    let at = words
        .iter()
        .take_while(|w| *w != "--")
        .position(|w| ["?", "-h", "--help"].contains(&w.as_str()))?;
    Some(
        words[..at]
            .iter()
            .take_while(|w| !w.starts_with('-'))
            .cloned()
            .collect(),
    )
}

/// Follows the words down the tree; what is left are arguments and options.
fn descend(words: &[String]) -> Result<(&'static Command, String, &[String]), UsageError> {
    let mut command: &'static Command = &ROOT;
    let mut path = String::new();
    let mut rest = words;
    while let ([word, tail @ ..], false) = (rest, command.children.is_empty()) {
        command = step(command, &path, word)?;
        if !path.is_empty() {
            path.push(' ');
        }
        path.push_str(command.name);
        rest = tail;
    }
    Ok((command, path, rest))
}

const BACK: &str = "`config rollback N` goes back to configuration N of `config history`";

/// Words of other machines and of the middle of this tree, and what says the same here.
const FOREIGN: [(&str, &str); 32] = [
    (
        "history",
        "`config history` lists configurations, `events` what has happened, and the arrow keys lines that were typed",
    ),
    (
        "confirm",
        "`config confirm` keeps the configuration that is PENDING",
    ),
    (
        "abort",
        "`config abort` returns from the configuration that is PENDING",
    ),
    (
        "rollback",
        "`config rollback N` puts configuration N of `config history` in force",
    ),
    ("restore", BACK),
    ("revert", BACK),
    ("undo", BACK),
    (
        "date",
        "`log` shows the time, in UTC; it is the machine's own clock, which no command here sets",
    ),
    (
        "hostname",
        "the prompt shows it, and `config set hostname NAME` changes it",
    ),
    ("set", "`config set PATH VALUE` changes a key of lb.toml"),
    (
        "delete",
        "`config delete PATH` takes a key or a table out of lb.toml",
    ),
    (
        "show",
        "`config show` shows lb.toml, `status` and `services` what is going on",
    ),
    ("apply", "`config apply` reads lb.toml again and applies it"),
    ("edit", "`config edit` edits lb.toml on the whole screen"),
    ("vi", "`config edit` edits lb.toml on the whole screen"),
    ("vim", "`config edit` edits lb.toml on the whole screen"),
    ("nano", "`config edit` edits lb.toml on the whole screen"),
    (
        "shutdown",
        "`poweroff` switches the machine off, `reboot` starts it again",
    ),
    (
        "halt",
        "`poweroff` switches the machine off, `reboot` starts it again",
    ),
    (
        "restart",
        "`reboot` starts the machine again; `config apply` reads lb.toml again",
    ),
    (
        "ls",
        "`config files` lists the files of /config; there is no shell",
    ),
    (
        "dir",
        "`config files` lists the files of /config; there is no shell",
    ),
    (
        "rm",
        "`config remove NAME` removes a file of /config; there is no shell",
    ),
    ("cat", "`config show` shows lb.toml; there is no shell"),
    (
        "ip",
        "`link` and `interfaces` tell about links and addresses, `route` about routes, `arp` about neighbours",
    ),
    (
        "ifconfig",
        "`link` and `interfaces` tell about links and addresses",
    ),
    ("tcpdump", "`capture` shows packets"),
    ("ipvsadm", "`services` and `connections` tell what IPVS holds"),
    ("traceroute", "`trace` shows the hops to an address"),
    ("dmesg", "`log` shows the log"),
    ("journalctl", "`log` shows the log, `events` what has happened"),
    ("passwd", "`console password set` gives the consoles a password"),
];

/// A word as a message repeats it: what was pasted by mistake may be long.
fn shown(word: &str) -> String {
    const MOST: usize = 40;
    match word.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}...", &word[..at]),
        None => word.to_owned(),
    }
}

fn step(parent: &'static Command, path: &str, word: &str) -> Result<&'static Command, UsageError> {
    // `set` is the beginning of `setup`, and not meant so.
    let lower = word.to_ascii_lowercase();
    let mut foreign = FOREIGN
        .iter()
        .filter(|(foreign, _)| path.is_empty() && *foreign == lower);
    if let Some((_, instead)) = foreign.next() {
        return Err(UsageError::CalledOtherwise {
            word: shown(word),
            instead,
        });
    }
    let matching = parent.matching(word);
    if let [one] = matching[..] {
        return Ok(one);
    }
    let known: Vec<_> = matching.iter().map(|c| c.name).collect();
    if !known.is_empty() {
        return Err(UsageError::Ambiguous {
            word: shown(word),
            known,
        });
    }
    if path.is_empty() && word.starts_with('[') {
        return Err(UsageError::LooksLikeConfig(shown(word)));
    }
    let known: Vec<_> = parent.visible().map(|c| c.name).collect();
    let near = nearest(word, known.iter().copied());
    let word = shown(word);
    Err(if path.is_empty() {
        UsageError::UnknownCommand { word, near }
    } else {
        UsageError::UnknownChild {
            path: path.to_owned(),
            word,
            near,
            known,
        }
    })
}

/// The command that these words name, for `help`.
pub fn command_of(words: &[String]) -> Result<(&'static Command, String), UsageError> {
    let (command, path, rest) = descend(words)?;
    match rest.first() {
        Some(word) => Err(UsageError::NoArguments {
            path: format!("help {path}"),
            word: shown(word),
        }),
        None => Ok((command, path)),
    }
}

fn rest_of(command: &'static Command, path: String, words: &[String]) -> Result<Invocation, UsageError> {
    let mut invocation = Invocation {
        command,
        path,
        arguments: Vec::new(),
        options: Vec::new(),
    };
    let mut words = words.iter();
    let mut only_arguments = false;
    while let Some(word) = words.next() {
        if word == "--" && !only_arguments {
            only_arguments = true;
        } else if word.starts_with('-') && word.len() > 1 && !only_arguments {
            let option = option(&invocation, word, &mut words)?;
            invocation.options.push(option);
        } else {
            argument(&mut invocation, word)?;
        }
    }
    whole(invocation)
}

fn option<'a>(
    invocation: &Invocation,
    word: &str,
    words: &mut impl Iterator<Item = &'a String>,
) -> Result<(&'static str, Given), UsageError> {
    let (name, value) = match word.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (word, None),
    };
    let choice = find_choice(invocation, name)?;
    let option = choice.name;
    let (what, example) = match choice.takes {
        Takes::Nothing => {
            return match value {
                Some(_) => Err(UsageError::Valueless { option }),
                None => Ok((option, Given::Nothing)),
            };
        }
        Takes::Number(_, _, "") => ("number", "50"),
        Takes::Number(..) => ("number", "2s"),
        Takes::Time(..) => ("time", "2m"),
        Takes::Text => ("text", "\"new gateway\""),
    };
    let missing = UsageError::MissingValue {
        option,
        what,
        example,
    };
    let value = match value {
        Some(value) => value,
        None => words.next().ok_or(missing)?,
    };
    Ok((option, given(option, choice.takes, value)?))
}

fn given(option: &'static str, takes: Takes, value: &str) -> Result<Given, UsageError> {
    let word = || shown(value);
    match takes {
        Takes::Nothing => Err(UsageError::Valueless { option }),
        Takes::Number(low, high, unit) => match value.strip_suffix(unit).unwrap_or(value).parse() {
            Ok(number) if (low..=high).contains(&number) => Ok(Given::Number(number)),
            _ => Err(UsageError::BadNumber {
                option,
                word: word(),
                low,
                high,
            }),
        },
        Takes::Time(low, high) => {
            let allowed = Duration::from_secs(low)..=Duration::from_secs(high);
            match lb_core::config::time(value).filter(|time| allowed.contains(time)) {
                Some(time) => Ok(Given::Time(time)),
                None => Err(UsageError::BadTime {
                    option,
                    word: word(),
                    low,
                    high,
                }),
            }
        }
        Takes::Text => Ok(Given::Text(value.to_owned())),
    }
}

fn find_choice(invocation: &Invocation, name: &str) -> Result<&'static Choice, UsageError> {
    let choices = invocation.command.options;
    if let Some(exact) = invocation.command.choice(name) {
        return Ok(exact);
    }
    let mut abbreviated = choices
        .iter()
        .filter(|o| name.len() > 2 && o.name.starts_with(name));
    if let (Some(one), None) = (abbreviated.next(), abbreviated.next()) {
        return Ok(one);
    }
    let known: Vec<_> = choices.iter().map(|o| o.name).collect();
    let near = nearest(name, known.iter().copied());
    Err(UsageError::UnknownOption {
        path: invocation.path.clone(),
        word: shown(name),
        near,
        known,
    })
}

fn argument(invocation: &mut Invocation, word: &str) -> Result<(), UsageError> {
    let path = invocation.path.clone();
    let word = word.to_owned();
    match invocation.command.arguments {
        [] => {
            let word = shown(&word);
            return Err(UsageError::NoArguments { path, word });
        }
        all @ [.., last] if !last.many && invocation.arguments.len() >= all.len() => {
            let names: Vec<&str> = all.iter().map(|argument| argument.name).collect();
            return Err(UsageError::TooMany {
                path,
                count: match names.as_slice() {
                    [one] => format!("one {one}"),
                    more => more.join(" and "),
                },
                word: shown(&word),
                spaced: last.values.may_have_blanks(),
            });
        }
        arguments => {
            let next = arguments.get(invocation.arguments.len());
            let is_kept = next.is_some_and(|next| next.values == Values::Kept);
            if is_kept && word.parse::<Kept>().is_err() {
                let word = shown(&word);
                return Err(UsageError::NoSuchKept { path, word });
            }
            invocation.arguments.push(word);
        }
    }
    Ok(())
}

/// What a command needs is there.
fn whole(invocation: Invocation) -> Result<Invocation, UsageError> {
    let given = invocation.arguments.len();
    if let ([only], [first, _, ..]) = (invocation.arguments.as_slice(), invocation.command.arguments)
        && first.values == Values::Probed
        && (only.parse::<SocketAddr>().is_ok() || only.parse::<IpAddr>().is_ok())
    {
        return Err(UsageError::OnlyServer {
            server: only.clone(),
            path: invocation.path,
        });
    }
    match invocation.command.arguments.get(given) {
        Some(next) if next.needed => Err(UsageError::MissingArgument {
            usage: super::help::usage(invocation.command, &invocation.path),
            name: next.name,
            path: invocation.path,
        }),
        _ => Ok(invocation),
    }
}

#[cfg(test)]
mod tests;
