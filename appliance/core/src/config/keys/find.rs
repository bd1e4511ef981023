//! Finds keys and tables by what an operator types: a whole path, or its end.
//! Must not: show what it finds.

use super::{Key, ROOT, Table};

/// A key or a table where it stands.
#[derive(Debug, Clone)]
pub struct Place {
    /// `virtual_server.check.interval`.
    pub path: String,
    /// The table that it is in.
    pub table: &'static Table,
    pub key: &'static Key,
}

/// Every key with its path, each once for every place where its table may stand; a table comes before its keys.
pub fn places() -> Vec<Place> {
    let mut all = Vec::new();
    below(&ROOT, "", &mut all);
    all
}

fn below(table: &'static Table, path: &str, all: &mut Vec<Place>) {
    for key in table.keys() {
        let dot = if path.is_empty() { "" } else { "." };
        let path = format!("{path}{dot}{}", key.name);
        all.push(Place {
            path: path.clone(),
            table,
            key,
        });
        if let Some(inner) = key.form.table() {
            below(inner, &path, all);
        }
    }
}

/// What these words can mean: the one with that path, and all whose path ends so; of one key in several places the first.
/// keepalived's words are known as well.
pub fn find(words: &str) -> Vec<Place> {
    let wanted = normal(words);
    let all = places();
    let ends = |path: &str| {
        let before = path.strip_suffix(&wanted);
        before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
    };
    let renamed = |place: &Place| [place.key.alias, place.key.keepalived].contains(&Some(&wanted));
    let exact = all.iter().filter(|place| place.path == wanted);
    let found = once(exact.chain(all.iter().filter(|place| ends(&place.path))));
    if !found.is_empty() {
        return found;
    }
    once(all.iter().filter(|place| renamed(place)))
}

fn once<'p>(places: impl Iterator<Item = &'p Place>) -> Vec<Place> {
    let mut found: Vec<Place> = Vec::new();
    for place in places {
        if !found.iter().any(|known| std::ptr::eq(known.key, place.key)) {
            found.push(place.clone());
        }
    }
    found
}

/// As in a path: without the brackets of a header.
fn normal(words: &str) -> String {
    let bare = words.trim_matches(|c: char| c.is_whitespace() || "[].".contains(c));
    bare.to_ascii_lowercase().replace('-', "_")
}
