//! Changes to the text of lb.toml, by the paths that operators know: `set`, `add` and `delete`. All that is not touched stays byte
//! for byte. Must not: read files, or judge the result as a configuration; `config::parse` does.

mod candidates;
mod change;
mod completion;
mod existing;
mod nodes;
mod path;
mod splice;
#[cfg(test)]
mod tests;
mod value;

use std::ops::Range;

use thiserror::Error;
use toml::de::DeTable;

use super::Faults;
use super::fault::quoted;
use super::keys::{Content, Form, Key, Table, VIRTUAL_SERVER};
use super::outline::{Outline, SERVICES};
use super::render::push_harmless;
pub use candidates::{assignments, paths, together, values};
use change::{Assignment, needed};
pub use completion::{Completion, completion};
pub use existing::Existing;
use nodes::{Step, Tree};
use path::{At, Chosen, Element, Found, Stop, What};

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Set {
        path: String,
        value: String,
    },
    /// To a list of tables; each `KEY=VALUE`.
    Add {
        path: String,
        values: Vec<String>,
    },
    Delete {
        path: String,
    },
}

impl Change {
    pub fn path(&self) -> &str {
        match self {
            Change::Set { path, .. } | Change::Add { path, .. } | Change::Delete { path } => path,
        }
    }
}

#[derive(Debug, Error, PartialEq, Eq)]
pub enum EditFault {
    /// What is wrong with the words, and the remedy.
    #[error("{0}")]
    Words(String),
    /// The text is no TOML: nothing can be found in it.
    #[error("lb.toml cannot be read")]
    Text(Faults),
}

/// The text with the change made.
pub fn edit(text: &str, change: &Change) -> Result<String, EditFault> {
    let faults = refuse_broken(text)?;
    let scope = Scope::of(text, change.path());
    let tree = Tree::of(text, scope.range.clone(), first(change.path()));
    let splices = splices(&tree, change, &scope).map_err(|message| EditFault::Words(harmless(&message)))?;
    let edited = splice::apply(text, splices);
    match faults {
        // What is wrong with it stands in the way: tables that would have to be lists, for one.
        Some(faults) if DeTable::parse(&edited).is_err() => Err(EditFault::Text(faults)),
        _ => Ok(edited),
    }
}

/// Where a key stands, or what is left of its way: keys, those of a list of tables with the place of one of them. Of a list of words the one that
/// `word` is, if it is there.
pub(crate) fn place(text: &str, way: &[(&str, Option<usize>)], word: Option<&str>) -> Option<Range<usize>> {
    let mut steps: Vec<Step> = way.iter().map(|(key, index)| Step::new(*key, *index)).collect();
    let first = steps.first()?.clone();
    let mut range = 0..text.len();
    if first.key == SERVICES
        && let Some(outline) = Outline::of(text).filter(|outline| outline.is_exact(text))
    {
        // Of many services, one.
        range = outline.services.get(first.index?)?.clone();
        steps[0].index = Some(0);
    }
    let tree = Tree::of(text, range, &first.key);
    while !steps.is_empty() {
        if let Some((_, node)) = tree.exactly(&steps) {
            let found = word.and_then(|word| {
                text[node.value.clone()]
                    .find(&nodes::text(word))
                    .map(|at| (at, word))
            });
            return Some(found.map_or(node.value.clone(), |(at, word)| {
                let start = node.value.start + at;
                start..start + nodes::text(word).len()
            }));
        }
        steps.pop();
    }
    None
}

/// Where a key of the service of this name, or of a table in it, has this text for its value.
pub(crate) fn assigned(text: &str, service: &str, key: &str, value: &str) -> Option<usize> {
    let outline = Outline::of(text).filter(|outline| outline.is_exact(text));
    let parts = match outline {
        Some(outline) => outline.services,
        None => std::iter::once(0..text.len()).collect(),
    };
    // Of many services, few name a file; with escapes it may be written in another way.
    let may_have = |part: &Range<usize>| {
        let part = &text[part.clone()];
        part.contains(value) || part.contains('\\')
    };
    let has = |node: &nodes::Node, wanted: &str| {
        nodes::string(&text[node.value.clone()]).as_deref() == Some(wanted)
    };
    parts.into_iter().filter(may_have).find_map(|part| {
        let tree = Tree::of(text, part, SERVICES);
        let name = tree.nodes.iter().find(|node| {
            matches!(node.path.as_slice(), [_, last] if last.key == "name") && has(node, service)
        })?;
        let mut own = tree.below(&name.path[..1]).map(|(_, node)| node);
        own.find(|node| node.path.last().is_some_and(|last| last.key == key) && has(node, value))
            .map(|node| node.span.start)
    })
}

/// Names of the text, and words that were completed from them, are not raw on the terminal.
fn harmless(message: &str) -> String {
    let mut shown = String::new();
    message.chars().for_each(|c| push_harmless(&mut shown, c));
    shown
}

/// The faults of a text that is TOML all the same.
fn refuse_broken(text: &str) -> Result<Option<Faults>, EditFault> {
    // A text that reads well is read service by service, in little memory.
    match super::parse(text) {
        Err(faults) if DeTable::parse(text).is_err() => Err(EditFault::Text(faults)),
        Err(faults) => Ok(Some(faults)),
        Ok(_) => Ok(None),
    }
}

fn first(path: &str) -> &str {
    path.split('.').next().unwrap_or_default()
}

/// The part of the text that a change is about: of many services, one.
struct Scope {
    range: Range<usize>,
    chosen: Chosen,
    /// Why none of the services was found.
    stop: Option<Stop>,
}

impl Scope {
    fn of(text: &str, path: &str) -> Scope {
        let whole = Scope {
            range: 0..text.len(),
            chosen: None,
            stop: None,
        };
        let in_parts = || Outline::of(text).filter(|outline| outline.is_exact(text));
        let Some(outline) = Some(path)
            .filter(|path| first(path) == SERVICES)
            .and_then(|_| in_parts())
        else {
            return whole;
        };
        let Some(last) = outline.services.last().cloned() else {
            return whole;
        };
        let Some(rest) = path.get(SERVICES.len() + 1..) else {
            return Scope { range: last, ..whole };
        };
        match path::pick(&services(text, &outline), rest) {
            Ok((index, length)) => Scope {
                range: outline.services[index].clone(),
                chosen: Some(length),
                stop: None,
            },
            Err(at) => Scope {
                range: last,
                stop: Some(Stop {
                    understood: SERVICES.len() + 1,
                    at,
                }),
                ..whole
            },
        }
    }
}

/// The names of all services, of which one at a time is looked at.
fn services(text: &str, outline: &Outline<'_>) -> Vec<Element> {
    let list = [Step::new(SERVICES, None)];
    let of_part = |(index, range): (usize, &Range<usize>)| {
        let tree = Tree::of(text, range.clone(), SERVICES);
        let mut own = path::elements(&tree, &list, &VIRTUAL_SERVER);
        let names = if own.is_empty() {
            Vec::new()
        } else {
            own.swap_remove(0).names
        };
        Element { index, names }
    };
    outline.services.iter().enumerate().map(of_part).collect()
}

fn splices(tree: &Tree<'_>, change: &Change, scope: &Scope) -> Result<Vec<splice::Splice>, String> {
    let words = change.path();
    if let Some(stop) = &scope.stop {
        return Err(stop.sentence(words));
    }
    let found = path::walk(tree, words, scope.chosen).map_err(|stop| stop.sentence(words))?;
    match change {
        Change::Set { value, .. } => set(tree, &found, words, value),
        Change::Add { values, .. } => add(tree, &found, words, values),
        Change::Delete { .. } => delete(tree, &found, words),
    }
}

const FIELD: Form = Form::Text {
    content: Content::Plain,
    what: "text",
    pattern: "",
    count: None,
};

fn set(tree: &Tree<'_>, found: &Found, words: &str, value: &str) -> Result<Vec<splice::Splice>, String> {
    let form = match found.what {
        What::Key(key) => &key.form,
        What::Field => &FIELD,
        What::Element => return Err(format!("`{words}` is a table; name one of its keys behind a dot")),
        What::List(_) => {
            return Err(format!(
                "`{words}` is a list; `config add {words} KEY=VALUE` adds to it"
            ));
        }
    };
    let value = value::written(form, value, words)?;
    change::set(tree, &found.steps, &value).map_err(|()| {
        format!("`{words}` has keys of its own in lb.toml; set one of them, as in {words}.KEY, or `config delete {words}` first")
    })
}

fn add(
    tree: &Tree<'_>,
    found: &Found,
    words: &str,
    values: &[String],
) -> Result<Vec<splice::Splice>, String> {
    let table = match found.what {
        What::List(table) => table,
        What::Element => {
            let list = words.rsplit_once('.').map_or(words, |(list, _)| list);
            return Err(format!(
                "`{words}` is there; `config add {list}` adds another, `config set {words}.KEY` changes this one"
            ));
        }
        What::Key(key) if matches!(key.form, Form::UpTo(..)) => {
            return add_listed(tree, found, key, words, values);
        }
        What::Key(key) if matches!(key.form, Form::Table(_)) => {
            return Err(format!(
                "`{words}` is a single table; `config set {words}.KEY VALUE` sets a key of it, and `explain {words}` lists them"
            ));
        }
        What::Key(_) | What::Field => {
            return Err(format!(
                "`{words}` is no list of tables; `config set {words} VALUE` sets it"
            ));
        }
    };
    let each = values.iter().map(|word| assignment(table, words, word));
    let all = each.collect::<Result<Vec<Assignment>, String>>()?;
    let missing: Vec<String> = needed(table)
        .filter(|key| {
            !all.iter()
                .any(|given| given.key == key.name || Some(given.key.as_str()) == key.alias)
        })
        .map(|key| format!("{}=VALUE", key.name))
        .collect();
    if !missing.is_empty() {
        return Err(format!("`config add {words}` needs {}", missing.join(" and ")));
    }
    change::add(tree, &found.steps, table, &all)
        .map_err(|()| format!("`{words}` is no list in lb.toml; correct it there first"))
}

/// To what may be one or a list. One that is there becomes the first of the list, where it means the same in it.
fn add_listed(
    tree: &Tree<'_>,
    found: &Found,
    key: &'static Key,
    words: &str,
    values: &[String],
) -> Result<Vec<splice::Splice>, String> {
    let table = key.form.table().unwrap_or(&VIRTUAL_SERVER);
    let each = values.iter().map(|word| assignment(table, words, word));
    let all = each.collect::<Result<Vec<Assignment>, String>>()?;
    // Of a server's one check only single keys are written, over those of its service.
    let is_whole = found.steps.len() == 2;
    change::add_listed(tree, &found.steps, &all, is_whole).map_err(|()| {
        format!(
            "`{words}` is one check in lb.toml, and no list; write all of them, as in `config set {words} tcp,http`, or with `config edit`"
        )
    })
}

/// `KEY=VALUE`; the key may be one of a table in the table: `check.interval=5s`.
fn assignment(table: &'static Table, words: &str, word: &str) -> Result<Assignment, String> {
    let Some((name, value)) = word.split_once('=') else {
        return Err(format!(
            "{} is no KEY=VALUE, such as {}=...",
            quoted(word),
            table.names().first().unwrap_or(&"name")
        ));
    };
    let mut inner = table;
    let mut parts = name.split('.').peekable();
    loop {
        let part = parts.next().unwrap_or_default();
        let Some(key) = path::key_of(inner, part) else {
            let stop = At::Key(inner);
            let understood = name.len() - part.len() - parts.map(|part| part.len() + 1).sum::<usize>();
            let stop = Stop { understood, at: stop };
            return Err(format!("{words}: {}", stop.sentence(name)));
        };
        if parts.peek().is_none() {
            let value = value::written(&key.form, value, &format!("{words}.{name}"))?;
            let key = name.to_owned();
            return Ok(Assignment { key, value });
        }
        match key.form.table().filter(|_| !matches!(key.form, Form::Tables(..))) {
            Some(table) => inner = table,
            None => return Err(format!("`{part}` has no keys; it takes {}", key.form.allowed())),
        }
    }
}

fn delete(tree: &Tree<'_>, found: &Found, words: &str) -> Result<Vec<splice::Splice>, String> {
    if let What::List(table) = found.what {
        let all = path::all_names(&path::elements(tree, &found.steps, table));
        let example = all.first().map_or("1", String::as_str);
        return Err(format!(
            "`{words}` is a list; name one of it, as in {words}.{example}"
        ));
    }
    if tree.below(&found.steps).next().is_none() {
        return Err(format!(
            "lb.toml does not give `{words}`; there is nothing to delete"
        ));
    }
    Ok(change::delete(tree, &found.steps))
}
