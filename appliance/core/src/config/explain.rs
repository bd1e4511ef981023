//! `explain`: what a key or a table of lb.toml means, from the registry.
//! Must not: lay anything out, or say what the registry does not.

use super::fault::quoted;
use super::keys::{self, Key, Place};
use super::shape::{self, closest};
use crate::control::{ByTypeReport, ExplainReport, KeyReport, MeaningReport, TableReport};

/// Of a key or a table: by its path, by the end of its path, or by keepalived's word; of all tables without a word. The error
/// says what was meant.
pub fn explain(words: Option<&str>) -> Result<ExplainReport, String> {
    let Some(words) = words else {
        let tables = shape::ALL.iter().map(|table| TableReport {
            path: table.path.to_owned(),
            about: table.about.to_owned(),
            keys: table.names().iter().map(|name| (*name).to_owned()).collect(),
        });
        return Ok(ExplainReport {
            tables: tables.collect(),
            keys: Vec::new(),
        });
    };
    let places = keys::find(words);
    if places.is_empty() {
        return Err(unknown(words));
    }
    Ok(ExplainReport {
        tables: Vec::new(),
        keys: places.iter().map(report).collect(),
    })
}

fn unknown(words: &str) -> String {
    let all = keys::places();
    let mut names: Vec<&'static str> = all.iter().map(|place| place.key.name).collect();
    names.sort_unstable();
    names.dedup();
    let last = words.rsplit('.').next().unwrap_or(words);
    let remedy = match (closest(last, &names), shape::foreign(last)) {
        (Some(name), _) => {
            let paths: Vec<String> = keys::find(name).into_iter().map(|place| place.path).collect();
            format!("did you mean {}?", paths.join(" or "))
        }
        (_, Some(here)) => format!("here it is {here}"),
        _ => "`explain` lists the tables".to_owned(),
    };
    format!("lb.toml has no key {}; {remedy}", quoted(words))
}

fn report(place: &Place) -> KeyReport {
    let Place { path, key, .. } = place;
    let also_at = keys::places()
        .into_iter()
        .filter(|other| std::ptr::eq(other.key, *key) && other.path != *path);
    let header = place.table.header;
    let gap = if header.is_empty() { "" } else { "\n" };
    KeyReport {
        path: path.clone(),
        about: key.about.to_owned(),
        type_name: key.form.type_name(),
        allowed: key.form.allowed(),
        meanings: meanings(key),
        needed: matches!(key.unset, keys::Unset::Needed),
        default: key.unset.shown(),
        by_type: by_type(key),
        types: key.types().map(str::to_owned).collect(),
        also_at: also_at.map(|other| other.path).collect(),
        keepalived: key.alias.or(key.keepalived).map(str::to_owned),
        accepted: key.alias.is_some(),
        since: key.since.to_owned(),
        example: format!("{header}{gap}{}", key.example),
        keys: key.form.table().map_or_else(Vec::new, |table| {
            table.names().iter().map(|name| (*name).to_owned()).collect()
        }),
    }
}

fn meanings(key: &Key) -> Vec<MeaningReport> {
    let all = key.meanings.iter().map(|(word, about)| MeaningReport {
        word: (*word).to_owned(),
        about: (*about).to_owned(),
    });
    all.collect()
}

fn by_type(key: &'static Key) -> Vec<ByTypeReport> {
    let own = key.own_types().map(|of| ByTypeReport {
        kind: of.word().to_owned(),
        about: of.about.map(str::to_owned),
        default: of.unset.as_ref().map(keys::Unset::shown),
    });
    own.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(words: &str) -> KeyReport {
        let mut keys = explain(Some(words)).unwrap().keys;
        assert_eq!(keys.len(), 1, "{words}");
        keys.remove(0)
    }

    #[test]
    fn a_key_is_told_whole() {
        let key = one("check.interval");
        assert_eq!(key.path, "virtual_server.check.interval");
        assert_eq!(
            (key.allowed.as_str(), key.default.as_str()),
            ("`\"100ms\"` to `\"1h\"`", "`\"2s\"`")
        );
        assert_eq!(key.type_name, "duration (ms, s, m, h)");
        assert_eq!(key.also_at.len(), 2);
        assert_eq!(
            (key.keepalived.as_deref(), key.accepted),
            (Some("delay_loop"), true)
        );
        assert_eq!(key.by_type[0].default.as_deref(), Some("`\"3s\"`"));
        assert_eq!(key.example, "[[virtual_server]]\ncheck = { interval = \"5s\" }");
    }

    #[test]
    fn the_type_is_that_of_the_form() {
        for (words, expected) in [
            ("interface.addresses", "list of addresses with prefix"),
            ("interface.mtu", "integer (bytes)"),
            ("interface.mss_clamp", "boolean or integer (bytes)"),
            ("interface.vlan.link", "interface"),
            ("interface.vlan.id", "integer"),
            ("interface.bond.links", "list of interfaces"),
            ("interface.bridge.forward_delay", "duration (s, m, h)"),
            (
                "virtual_server.listen",
                "address with port, or a list of addresses with port",
            ),
            ("virtual_server.scheduler", "word"),
            (
                "virtual_server.check",
                "table or word, or a list of tables or words",
            ),
            ("virtual_server.check.source", "address"),
            ("virtual_server.check.headers", "table"),
            ("virtual_server.real_server", "list of tables"),
        ] {
            let found = explain(Some(words)).unwrap().keys;
            assert_eq!(found[0].type_name, expected, "{words}");
        }
    }

    #[test]
    fn a_table_names_its_keys_and_all_tables_are_listed() {
        assert_eq!(one("virtual_server.persistence").keys, ["timeout", "prefix"]);
        let all = explain(None).unwrap();
        assert_eq!((all.tables.len(), all.keys.len()), (19, 0));
    }

    #[test]
    fn an_unknown_word_is_told_what_was_meant() {
        for (words, expected) in [
            (
                "intervall",
                "lb.toml has no key `intervall`; did you mean virtual_server.check.interval?",
            ),
            (
                "virtual_server.sheduler",
                "lb.toml has no key `virtual_server.sheduler`; did you mean virtual_server.scheduler?",
            ),
            (
                "netmask",
                "lb.toml has no key `netmask`; here it is part of the address: \"192.168.0.1/24\"",
            ),
            (
                "colour",
                "lb.toml has no key `colour`; `explain` lists the tables",
            ),
        ] {
            assert_eq!(explain(Some(words)).unwrap_err(), expected);
        }
    }
}
