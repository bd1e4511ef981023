//! What a path means that an operator types: `virtual_server.nginx.real_server.172.16.0.11:30080.weight`. Keys are those of the registry;
//! one of a list is named by its name or address, or counted from 1. Must not: change anything.

use toml::de::DeValue;

use super::super::fault::{quoted, some_of};
use super::super::keys::{Form, Key, ROOT, Table};
use super::nodes::{Shape, Step, Tree};
use crate::suggest::{distance, nearest};

/// What there is at the end of a path.
#[derive(Debug, Clone, Copy)]
pub(super) enum What {
    Key(&'static Key),
    /// A name of a table whose names are free.
    Field,
    /// One table of a list.
    Element,
    List(&'static Table),
}

#[derive(Debug)]
pub(super) struct Found {
    pub steps: Vec<Step>,
    pub what: What,
}

/// Where a path goes no further.
#[derive(Debug)]
pub(super) struct Stop {
    /// The bytes of the path that were understood.
    pub understood: usize,
    pub at: At,
}

#[derive(Debug)]
pub(super) enum At {
    /// No key of this table.
    Key(&'static Table),
    /// None of the list, whose tables have these names.
    List(Vec<String>),
    /// Several of the list have that name; their places, from 1.
    Ambiguous(Vec<usize>),
    /// The value of a key has no keys.
    Value(&'static Key),
}

/// One table of a list, and what it can be called.
#[derive(Debug)]
pub(super) struct Element {
    pub index: usize,
    pub names: Vec<String>,
}

/// The word of a list's table that has been found already, in bytes.
pub(super) type Chosen = Option<usize>;

/// `chosen`: which word behind the first key names the only table of it that `tree` knows.
pub(super) fn walk(tree: &Tree<'_>, words: &str, chosen: Chosen) -> Result<Found, Stop> {
    let mut table: &'static Table = &ROOT;
    let mut steps: Vec<Step> = Vec::new();
    let mut at = 0;
    loop {
        let word = words[at..].split('.').next().unwrap_or_default();
        let Some(key) = key_of(table, word) else {
            return stop(at, At::Key(table));
        };
        steps.push(Step::new(written(tree, &steps, key), None));
        let end = at + word.len();
        let rest = words.get(end + 1..);
        let found = |what, steps| Ok(Found { steps, what });
        match (&key.form, rest) {
            (Form::Tables(inner, _), None) => return found(What::List(inner), steps),
            (_, None) => return found(What::Key(key), steps),
            // A check that is written alone has its keys at once, and of a list one is named.
            (Form::UpTo(form, _), Some(rest)) if is_listed(tree, &steps) => {
                let Some(inner) = form.table() else {
                    return stop(end + 1, At::Value(key));
                };
                let (index, length) = pick(&elements(tree, &steps, inner), rest).map_err(|kind| Stop {
                    understood: end + 1,
                    at: kind,
                })?;
                if let Some(step) = steps.last_mut() {
                    step.index = Some(index);
                }
                if length >= rest.len() {
                    return found(What::Element, steps);
                }
                (table, at) = (inner, end + 1 + length + 1);
            }
            (Form::Tables(inner, _), Some(rest)) => {
                let (index, length) = match chosen.filter(|_| steps.len() == 1) {
                    Some(length) => (0, length),
                    None => pick(&elements(tree, &steps, inner), rest).map_err(|kind| Stop {
                        understood: end + 1,
                        at: kind,
                    })?,
                };
                if let Some(step) = steps.last_mut() {
                    step.index = Some(index);
                }
                if length >= rest.len() {
                    return found(What::Element, steps);
                }
                (table, at) = (inner, end + 1 + length + 1);
            }
            (Form::Fields(_), Some(name)) => {
                steps.push(Step::new(name, None));
                return found(What::Field, steps);
            }
            (form, Some(_)) => match form.table() {
                Some(inner) => (table, at) = (inner, end + 1),
                None => return stop(end + 1, At::Value(key)),
            },
        }
    }
}

/// Whether the file has a list there.
fn is_listed(tree: &Tree<'_>, list: &[Step]) -> bool {
    let Some((last, before)) = list.split_last() else {
        return false;
    };
    tree.below(before).any(|(_, node)| {
        let step = node.path.get(before.len());
        step.is_some_and(|step| step.key == last.key && step.index.is_some())
    })
}

fn stop(understood: usize, at: At) -> Result<Found, Stop> {
    Err(Stop { understood, at })
}

pub(super) fn key_of(table: &'static Table, word: &str) -> Option<&'static Key> {
    table
        .key(word)
        .or_else(|| table.keys().find(|key| key.alias == Some(word)))
}

/// The word that the file has for a key: keepalived's, where it is written so.
fn written(tree: &Tree<'_>, table: &[Step], key: &'static Key) -> &'static str {
    let is_there = |alias: &&str| {
        tree.nodes.iter().any(|node| {
            node.path.len() == table.len() + 1 && node.below(table) && node.path[table.len()].key == **alias
        })
    };
    key.alias.filter(is_there).unwrap_or(key.name)
}

/// The tables of a list, in their order. They are named by their first key: `name`, `address`, `from`, `to`, `path`.
pub(super) fn elements(tree: &Tree<'_>, list: &[Step], table: &'static Table) -> Vec<Element> {
    let mut all: Vec<Element> = Vec::new();
    let Some((last, before)) = list.split_last() else {
        return all;
    };
    let name = table.names().first().copied().unwrap_or_default();
    for (_, node) in tree.below(before) {
        let Some(step) = node.path.get(before.len()).filter(|step| step.key == last.key) else {
            continue;
        };
        let Some(index) = step.index else { continue };
        if all.last().is_none_or(|element| element.index != index) {
            all.push(Element {
                index,
                names: Vec::new(),
            });
        }
        let own = &node.path[before.len() + 1..];
        // A word of a list stands for a table with that first key.
        let is_name = match own {
            [] => node.shape == Shape::Plain,
            [only] => only.key == name,
            _ => false,
        };
        if let (true, Some(element)) = (is_name, all.last_mut()) {
            element.names = names(&tree.text[node.value.clone()]);
        }
    }
    all
}

/// The texts of a value, of which a table can be called by each.
fn names(written: &str) -> Vec<String> {
    let texts = |value: &DeValue<'_>| match value {
        DeValue::String(text) => Some(text.clone().into_owned()),
        _ => None,
    };
    match DeValue::parse(written).map(toml::Spanned::into_inner) {
        Ok(DeValue::Array(all)) => all.iter().filter_map(|value| texts(value.get_ref())).collect(),
        Ok(value) => texts(&value).into_iter().collect(),
        Err(_) => Vec::new(),
    }
}

/// The table that the beginning of `rest` names, and how long that name is: the longest that fits, or else a place.
pub(super) fn pick(elements: &[Element], rest: &str) -> Result<(usize, usize), At> {
    let fits = |name: &str| {
        let behind = rest.strip_prefix(name);
        !name.is_empty() && behind.is_some_and(|behind| behind.is_empty() || behind.starts_with('.'))
    };
    let longest = |element: &Element| {
        let fitting = element.names.iter().filter(|name| fits(name));
        fitting.map(String::len).max()
    };
    let lengths: Vec<Option<usize>> = elements.iter().map(longest).collect();
    if let Some(length) = lengths.iter().flatten().max().copied() {
        let places = (0..elements.len()).filter(|at| lengths[*at] == Some(length));
        let places: Vec<usize> = places.collect();
        return match places[..] {
            [only] => Ok((elements[only].index, length)),
            _ => Err(At::Ambiguous(places.iter().map(|at| at + 1).collect())),
        };
    }
    let word = rest.split('.').next().unwrap_or_default();
    let place = word.parse::<usize>().ok().and_then(|place| place.checked_sub(1));
    match place.and_then(|place| elements.get(place)) {
        Some(element) => Ok((element.index, word.len())),
        None => Err(At::List(all_names(elements))),
    }
}

pub(super) fn all_names(elements: &[Element]) -> Vec<String> {
    elements
        .iter()
        .flat_map(|element| element.names.iter().cloned())
        .collect()
}

/// The part of `rest` that was meant to be a name, and the name that it is closest to. A name may have dots, so that its end is
/// known by that name only.
fn meant<'w, 'n>(rest: &'w str, names: &'n [String]) -> (&'w str, Option<&'n str>) {
    let begin = |name: &str| {
        let dots = name.matches('.').count();
        let end = rest.match_indices('.').nth(dots).map_or(rest.len(), |(at, _)| at);
        &rest[..end]
    };
    let near = names.iter().filter_map(|name| {
        let word = begin(name);
        nearest(word, [name.as_str()]).map(|name| (distance(word, name), word, name))
    });
    match near.min_by_key(|(distance, ..)| *distance) {
        Some((_, word, name)) => (word, Some(name)),
        None => (rest, None),
    }
}

impl Stop {
    /// What is wrong with the path, and what it could be.
    pub fn sentence(&self, words: &str) -> String {
        let before = words[..self.understood].trim_end_matches('.');
        let rest = &words[self.understood..];
        let word = rest.split('.').next().unwrap_or_default();
        match &self.at {
            At::Key(table) if before.is_empty() => {
                format!("lb.toml has no key {}; {}", quoted(word), table.help(word))
            }
            At::Key(table) => format!("`{before}` has no key {}; {}", quoted(word), table.help(word)),
            At::List(names) if names.is_empty() => format!(
                "there is no {} in `{before}` of lb.toml; `config add {before} KEY=VALUE` makes one",
                quoted(rest)
            ),
            At::List(names) => {
                let (meant, near) = meant(rest, names);
                let near = near.map_or_else(String::new, |near| format!("did you mean {}? ", quoted(near)));
                format!(
                    "there is no {} in `{before}` of lb.toml; {near}it has {}",
                    quoted(meant),
                    some_of(names.iter())
                )
            }
            At::Ambiguous(places) => {
                let places: Vec<String> = places.iter().map(|place| format!("{before}.{place}")).collect();
                format!(
                    "{} is there more than once; name it by its place: {}",
                    quoted(word),
                    places.join(" or ")
                )
            }
            At::Value(key) => format!("`{before}` has no keys; it takes {}", key.form.allowed()),
        }
    }
}
