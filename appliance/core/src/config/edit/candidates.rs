//! What a path, a value or an assignment can be completed to, from the keys that there are and from what the text holds.
//! Must not: know the line editor.

use super::super::keys::{Content, Form, Key, ROOT, Table};
use super::existing::Existing;
use super::nodes::{Step, Tree};
use super::path::{self, At, Stop};
use super::{Scope, first};

/// Whole paths up to their next word; what goes on ends with a dot, what is whole with a blank.
pub fn paths(text: &str, begin: &str) -> Vec<String> {
    let scope = Scope::of(text, begin);
    let tree = Tree::of(text, scope.range.clone(), first(begin));
    let stop = match scope.stop {
        Some(stop) => stop,
        None => match path::walk(&tree, begin, scope.chosen) {
            Err(stop) => stop,
            // It is whole; longer words may begin with it.
            Ok(found) => Stop {
                understood: begin.rfind('.').map_or(0, |dot| dot + 1),
                at: table_of(&found.steps).map_or(At::List(Vec::new()), At::Key),
            },
        },
    };
    let (before, rest) = begin.split_at(stop.understood.min(begin.len()));
    let words: Vec<String> = match &stop.at {
        At::Key(table) => table.keys().map(of_key).collect(),
        At::List(names) => names.iter().map(|name| format!("{name}.")).collect(),
        At::Ambiguous(places) => places.iter().map(|place| format!("{place}.")).collect(),
        At::Value(_) => Vec::new(),
    };
    let fitting = words.into_iter().filter(|word| word.starts_with(rest));
    fitting.map(|word| format!("{before}{word}")).collect()
}

fn of_key(key: &'static Key) -> String {
    let inside = key.form.table().is_some() || matches!(key.form, Form::Fields(_));
    format!("{}{}", key.name, if inside { "." } else { " " })
}

/// The table that the last key of a path is in.
fn table_of(steps: &[Step]) -> Option<&'static Table> {
    let (_, outer) = steps.split_last()?;
    let mut table = &ROOT;
    for step in outer {
        table = path::key_of(table, &step.key)?.form.table()?;
    }
    Some(table)
}

/// The words that the key at a path takes, if they are few, or what exists that it may name.
pub fn values(path: &str, begin: &str, existing: &Existing<'_>) -> Vec<String> {
    let key = key_at(path);
    key.map_or_else(Vec::new, |key| words_of(&key.form, begin, existing))
}

/// The key that a path ends with: tables of lists are passed over, whatever they are called.
fn key_at(path: &str) -> Option<&'static Key> {
    let mut table = &ROOT;
    let mut found = None;
    for word in path.split('.') {
        if let Some(key) = path::key_of(table, word) {
            table = key.form.table().unwrap_or(table);
            found = Some(key);
        }
    }
    found
}

/// The table that is set as a whole where keys of it need each other: what the path names, or what its last key stands in.
pub fn together(path: &str) -> Option<&str> {
    let is_table = |path: &&str| {
        let last = path.rsplit('.').next().unwrap_or_default();
        key_at(path).is_some_and(|key| {
            key.name == last && key.form.table().is_some() && !matches!(key.form, Form::Tables(..))
        })
    };
    let outer = path.rsplit_once('.').map(|(outer, _)| outer);
    [Some(path), outer].into_iter().flatten().find(is_table)
}

fn words_of(form: &Form, begin: &str, existing: &Existing<'_>) -> Vec<String> {
    let words: Vec<String> = match form {
        Form::Flag => ["true", "false"].map(str::to_owned).into(),
        Form::Either(forms) => {
            let of_each = forms.iter().flat_map(|form| words_of(form, begin, existing));
            return of_each.collect();
        }
        Form::List(form) | Form::OneOrMore(form) | Form::UpTo(form, _) => {
            return listed(form, begin, existing);
        }
        Form::Text { content, .. } => existing.named(*content),
        form => form.words().iter().map(|word| (*word).to_owned()).collect(),
    };
    // Behind an address of ours its port is still to come.
    let end = match form {
        Form::Text {
            content: Content::OwnEndpoint,
            ..
        } => ":",
        _ => " ",
    };
    let fitting = words.into_iter().filter(|word| word.starts_with(begin));
    fitting.map(|word| format!("{word}{end}")).collect()
}

/// The last one of `eth1,eth2`; what stands before is not offered again.
fn listed(form: &Form, begin: &str, existing: &Existing<'_>) -> Vec<String> {
    let (before, last) = begin.split_at(begin.rfind(',').map_or(0, |comma| comma + 1));
    let words = words_of(form, last, existing).into_iter();
    let open = words.filter(|word| !before.split(',').any(|given| given == word.trim_end()));
    open.map(|word| format!("{before}{word}")).collect()
}

/// `KEY=` of a list's tables that are not given yet, or `KEY=VALUE` where there are few values.
pub fn assignments(path: &str, given: &[String], begin: &str, existing: &Existing<'_>) -> Vec<String> {
    let Some(table) = key_at(path).and_then(|key| key.form.table()) else {
        return Vec::new();
    };
    if let Some((name, value)) = begin.split_once('=') {
        let key = path::key_of(table, name);
        let words = key.map_or_else(Vec::new, |key| words_of(&key.form, value, existing));
        return words.into_iter().map(|word| format!("{name}={word}")).collect();
    }
    let is_given = |key: &&Key| given.iter().any(|word| word.split('=').next() == Some(key.name));
    let open = table
        .keys()
        .filter(|key| !is_given(key) && key.name.starts_with(begin));
    open.filter(|key| !matches!(key.form, Form::Tables(..)))
        .map(|key| format!("{}=", key.name))
        .collect()
}
