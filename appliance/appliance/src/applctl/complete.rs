//! What a line can be completed to, and how it could go on, from the command tree.
//! Must not: know the line editor.

use lb_core::control::KeptName;
use std::collections::BTreeSet;

use lb_core::capture::Filter;
use lb_core::config::check_types;
use lb_core::config::edit::{self, Existing};
use lb_core::config::keys::{CHECK, Place, places};

use super::line::{quote, split};
use super::password::WORDS;
use super::tree::{Command, ROOT, Takes, Values};

/// Where names come from that the tree does not hold.
pub trait Names {
    fn services(&self) -> Vec<String>;
    /// Servers of services, with and without their ports.
    fn servers(&self) -> Vec<String>;
    /// The file's names for interfaces.
    fn interfaces(&self) -> Vec<String>;
    /// What lb.toml holds; empty if it cannot be read.
    fn configuration(&self) -> String;
    /// Files of the config volume that can be removed.
    fn removable(&self) -> Vec<String>;
    /// Files of the config volume that somebody has put there.
    fn beside(&self) -> Vec<String>;
    /// Numbers of the history, the newest first.
    fn history(&self) -> Vec<String>;
    /// Paths that begin with this text; directories end with a slash.
    fn files(&self, begin: &str) -> Vec<String>;
}

/// The text before the cursor, taken apart.
struct Typed {
    /// Where the word under the cursor begins, in bytes.
    start: usize,
    /// That word, without quotes.
    word: String,
    command: &'static Command,
    /// Words after the command.
    rest: Vec<String>,
}

impl Typed {
    /// A word after the command that is no option.
    fn argument(&self, place: usize) -> &str {
        let mut all = self.rest.iter().filter(|word| !word.starts_with('-'));
        all.nth(place).map_or("", String::as_str)
    }
}

/// Where the completed word begins, and what can stand there; a blank follows what is whole.
pub fn complete(before: &str, names: &dyn Names) -> (usize, Vec<String>) {
    let Some(typed) = take_apart(before) else {
        return (before.len(), Vec::new());
    };
    let candidates = if typed.command.children.is_empty() {
        leaf(&typed, names)
    } else {
        let visible = typed.command.visible().map(|c| c.name.to_owned());
        visible
            .filter(|name| name.starts_with(&typed.word))
            .map(|name| name + " ")
            .collect()
    };
    (typed.start, candidates)
}

/// What the line could go on with, shown faintly: the part that would be typed, and what may follow it.
#[derive(Debug, PartialEq, Eq)]
pub struct Continuation {
    pub insert: String,
    pub display: String,
}

pub fn hint(line: &str) -> Option<Continuation> {
    let typed = take_apart(line)?;
    if typed.command.children.is_empty() {
        let first = typed.rest.is_empty() && typed.word.is_empty();
        return first
            .then(|| expected(typed.command))
            .filter(|d| !d.is_empty())
            .map(|display| Continuation {
                insert: String::new(),
                display,
            });
    }
    if typed.word.is_empty() {
        return None;
    }
    let mut possible = typed
        .command
        .visible()
        .filter(|c| c.name.starts_with(&typed.word));
    let (Some(one), None) = (possible.next(), possible.next()) else {
        return None;
    };
    let insert = one.name[typed.word.len()..].to_owned();
    let follows = expected(one);
    let gap = if follows.is_empty() { "" } else { " " };
    let display = format!("{insert}{gap}{follows}");
    (!display.is_empty()).then_some(Continuation { insert, display })
}

/// `[NAME] [--json]`.
fn expected(command: &Command) -> String {
    let children = command
        .visible()
        .map(|c| c.name.to_owned())
        .collect::<Vec<_>>()
        .join(" | ");
    let arguments = command.arguments.iter().map(|a| match a.needed {
        true => a.name.to_owned(),
        false => format!("[{}]", a.name),
    });
    let options = command.options.iter();
    let options = options.map(|o| format!("[{}{}]", o.name, o.takes.word()));
    arguments
        .chain(options)
        .chain(Some(children).filter(|c| !c.is_empty()))
        .collect::<Vec<_>>()
        .join(" ")
}

fn take_apart(before: &str) -> Option<Typed> {
    let start = word_start(before);
    let word = before[start..].trim_start_matches(['"', '\'']).to_owned();
    let mut words = split(&before[..start]).ok()?;
    if words.first().is_some_and(|w| w == "applctl") {
        words.remove(0);
    }
    let (command, used) = descend(&words)?;
    Some(Typed {
        start,
        word,
        command,
        rest: words.split_off(used),
    })
}

/// The beginning of the word that the cursor is at the end of; blanks inside quotes belong to it.
fn word_start(before: &str) -> usize {
    let mut start = 0;
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in before.char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (_, '\\') => escaped = true,
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, c) if c.is_whitespace() => start = at + c.len_utf8(),
            _ => {}
        }
    }
    start
}

/// The command that whole words name, and how many of them do. `None` if they name nothing.
fn descend(words: &[String]) -> Option<(&'static Command, usize)> {
    let mut command: &'static Command = &ROOT;
    for (at, word) in words.iter().enumerate() {
        if command.children.is_empty() {
            return Some((command, at));
        }
        let [one] = command.matching(word)[..] else {
            return None;
        };
        command = one;
    }
    Some((command, words.len()))
}

fn leaf(typed: &Typed, names: &dyn Names) -> Vec<String> {
    let last = typed.rest.last().map(String::as_str).unwrap_or_default();
    let awaits_value = typed
        .command
        .choice(last)
        .is_some_and(|o| o.takes != Takes::Nothing);
    if awaits_value {
        return Vec::new();
    }
    let mut candidates = Vec::new();
    let given = typed.rest.iter().filter(|w| !w.starts_with('-')).count();
    let arguments = typed.command.arguments;
    let repeated = arguments.last().filter(|last| last.many);
    if let Some(argument) = arguments.get(given).or(repeated)
        && !typed.word.starts_with('-')
    {
        candidates = values(argument.values, typed, names);
    }
    let unused = typed
        .command
        .options
        .iter()
        .map(|o| o.name)
        .filter(|name| !typed.rest.iter().any(|w| w == name));
    candidates.extend(
        unused
            .filter(|name| name.starts_with(&typed.word))
            .map(|name| format!("{name} ")),
    );
    candidates
}

fn fitting(names: Vec<String>, begin: &str) -> Vec<String> {
    let fitting = names.into_iter().filter(|name| name.starts_with(begin));
    fitting.map(|name| quote(&name) + " ").collect()
}

/// Paths of keys up to the next dot, as those of files, and names of keys that stand anywhere.
fn keys(begin: &str) -> Vec<String> {
    let mut found = BTreeSet::new();
    for Place { path, key, .. } in places() {
        if let Some(rest) = path.strip_prefix(begin)
            && !rest.contains('.')
        {
            let end = if key.form.table().is_some() { "." } else { " " };
            found.insert(format!("{path}{end}"));
        } else if !begin.is_empty() && key.name.starts_with(begin) {
            found.insert(format!("{} ", key.name));
        }
    }
    found.into_iter().collect()
}

/// Keys of a check up to the value; of a key of few words those.
fn check_keys(begin: &str) -> Vec<String> {
    let keys = CHECK.keys().filter(|key| key.name != "type");
    match begin.split_once('=') {
        None => {
            let fitting = keys.filter(|key| key.name.starts_with(begin));
            fitting.map(|key| format!("{}=", key.name)).collect()
        }
        Some((name, value)) => {
            let words = keys
                .filter(|key| key.name == name)
                .flat_map(|key| key.form.words());
            let fitting = words.filter(|word| word.starts_with(value));
            fitting.map(|word| format!("{name}={word} ")).collect()
        }
    }
}

fn with_existing(names: &dyn Names, found: impl Fn(&Existing<'_>) -> Vec<String>) -> Vec<String> {
    let text = names.configuration();
    found(&Existing {
        text: &text,
        files: &|| names.beside(),
    })
}

fn values(values: Values, typed: &Typed, names: &dyn Names) -> Vec<String> {
    match values {
        Values::Kept => {
            let words = KeptName::ALL.map(|name| name.word().to_owned());
            let all = names.history().into_iter().chain(words);
            fitting(all.collect(), &typed.word)
        }
        Values::Services => fitting(names.services(), &typed.word),
        Values::Servers => fitting(names.servers(), &typed.word),
        Values::Known => {
            let both = names.services().into_iter().chain(names.servers());
            fitting(both.collect(), &typed.word)
        }
        Values::Keys => keys(&typed.word),
        Values::Path => edit::paths(&names.configuration(), &typed.word),
        Values::Value => with_existing(names, |existing| {
            edit::values(typed.argument(0), &typed.word, existing)
        }),
        Values::Assignments => with_existing(names, |existing| {
            let given = typed.rest.iter().skip(1).cloned().collect::<Vec<_>>();
            edit::assignments(typed.argument(0), &given, &typed.word, existing)
        }),
        Values::Interfaces => fitting(names.interfaces(), &typed.word),
        Values::Captured => {
            let filter = Filter::WORDS.iter().map(|word| (*word).to_owned());
            let first = typed.argument(0).is_empty();
            let links = if first { names.interfaces() } else { Vec::new() };
            fitting(links.into_iter().chain(filter).collect(), &typed.word)
        }
        Values::Reach => {
            let all = names.services().into_iter().chain(names.interfaces());
            fitting(all.chain(names.servers()).collect(), &typed.word)
        }
        Values::Probed => {
            let types = check_types().iter().map(|kind| (*kind).to_owned());
            fitting(names.services().into_iter().chain(types).collect(), &typed.word)
        }
        Values::CheckKeys => check_keys(&typed.word),
        Values::Password => fitting(WORDS.map(str::to_owned).to_vec(), &typed.word),
        Values::Removable => fitting(names.removable(), &typed.word),
        Values::Time => Vec::new(),
        Values::File => {
            let whole = |path: &String| {
                if path.ends_with('/') {
                    quote(path)
                } else {
                    quote(path) + " "
                }
            };
            names.files(&typed.word).iter().map(whole).collect()
        }
        Values::Commands => {
            let words: Vec<_> = typed.rest.clone();
            let parent = descend(&words)
                .filter(|(_, used)| *used == words.len())
                .map(|(command, _)| command);
            let visible = parent
                .into_iter()
                .flat_map(Command::visible)
                .map(|c| c.name.to_owned());
            visible
                .filter(|name| name.starts_with(&typed.word))
                .map(|name| name + " ")
                .collect()
        }
    }
}

#[cfg(test)]
mod tests;
