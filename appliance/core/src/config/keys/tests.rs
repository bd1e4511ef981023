//! That the registry is what the reader does: every key of it is read where it stands, its limits and defaults are the reader's.

use std::ops::Range;
use std::time::Duration;

use toml::de::{DeTable, DeValue};
use toml::{Spanned, Value};

use super::*;
use crate::config::{Config, Faults, parse, shape, time};
use crate::model::Weight;
use crate::pool::RAMP;

/// Tables that parse, by their headers; the first lines of each give way to those of an example.
const BASE: [(&str, &str); 8] = [
    (
        "[[interface]]",
        "name = \"eth0\"\naddresses = [\"192.168.0.1/24\", \"192.168.0.2/24\"]",
    ),
    (
        "[[interface]]",
        "name = \"eth1\"\naddresses = [\"172.16.0.254/24\"]",
    ),
    (
        "[[interface]]",
        "name = \"made0\"\naddresses = [\"198.51.100.2/24\"]",
    ),
    ("[[masquerade]]", "from = \"172.16.0.0/24\"\nout = \"eth0\""),
    (
        "[[port_forward]]",
        "listen = \"192.168.0.1:2222\"\nto = \"172.16.0.11:22\"",
    ),
    (
        "[[virtual_server]]",
        "name = \"web\"\nlisten = \"192.168.0.1:8080\"",
    ),
    (
        "[[virtual_server.real_server]]",
        "address = \"172.16.0.11:8080\"\nweight = 4",
    ),
    (
        "[virtual_server.sorry_server]",
        "address = \"172.16.0.21:8080\"\n",
    ),
];

/// A file around the example of a key, which is the last of its kind there.
fn around(table: &Table, example: &str) -> String {
    let given = |line: &str| {
        let name = line.split(" =").next().unwrap_or_default();
        example.lines().any(|own| own.starts_with(&format!("{name} =")))
    };
    let mut text = String::new();
    if table.header.is_empty() && !example.starts_with("[[virtual_server]]") {
        text = format!("{example}\n");
    }
    let last = BASE.iter().rposition(|(header, _)| *header == table.header);
    for (place, (header, lines)) in BASE.iter().enumerate() {
        let sorry = header.contains("sorry");
        // A server that says sorry is in the way of every example but its own.
        if sorry && last != Some(place) {
            continue;
        }
        text += &format!("{header}\n");
        let own = last == Some(place);
        let lines = lines.lines().filter(|line| !own || !given(line));
        lines.for_each(|line| text += &format!("{line}\n"));
        if own {
            text += &format!("{example}\n");
        }
    }
    if last.is_none() && !table.header.is_empty() {
        text += &format!("{}\n{example}\n", table.header);
    }
    if table.header.is_empty() && example.starts_with("[[virtual_server]]") {
        text += &format!("{example}\n");
    }
    text
}

fn file(place: &Place) -> String {
    around(place.table, place.key.example)
}

/// Where the value of a path stands; of a list of tables the last one that has it.
fn value_span(text: &str, path: &str) -> Range<usize> {
    fn walk<'d>(table: &'d DeTable<'d>, path: &[&str]) -> Option<Range<usize>> {
        let (first, rest) = path.split_first()?;
        let value = table.get(*first)?;
        if rest.is_empty() {
            return Some(value.span());
        }
        match value.get_ref() {
            DeValue::Table(inner) => walk(inner, rest),
            DeValue::Array(all) => all
                .iter()
                .rev()
                .find_map(|one| walk(one.get_ref().as_table()?, rest)),
            _ => None,
        }
    }
    let document: Spanned<DeTable<'_>> = DeTable::parse(text).unwrap_or_else(|e| panic!("{text}{e}"));
    let path: Vec<&str> = path.split('.').collect();
    walk(document.get_ref(), &path).unwrap_or_else(|| panic!("no {path:?} in\n{text}"))
}

/// The file with another value.
fn with(text: &str, path: &str, value: &str) -> String {
    let mut text = text.to_owned();
    text.replace_range(value_span(&text, path), value);
    text
}

/// Every key once, where it stands first.
fn keys() -> Vec<Place> {
    let mut all = places();
    all.retain(|place| place.path == joined(place.table, place.key.name));
    all
}

fn joined(table: &Table, name: &str) -> String {
    format!("{}.{name}", table.path)
        .trim_start_matches('.')
        .to_owned()
}

fn good(text: &str) -> Config {
    parse(text).unwrap_or_else(|faults| panic!("{text}\n{}", faults.render("lb.toml", text)))
}

fn faults_at(text: &str, start: usize) -> Vec<String> {
    let faults: Option<Faults> = parse(text).err();
    let at = faults.iter().flat_map(Faults::iter);
    at.filter(|fault| fault.span.start == start)
        .map(|fault| fault.message.clone())
        .collect()
}

#[test]
fn every_table_is_reached_and_described() {
    for table in shape::ALL {
        let reached = table.path.is_empty()
            || places().iter().any(|place| {
                place.path == table.path && place.key.form.table().is_some_and(|t| std::ptr::eq(t, table))
            });
        assert!(reached, "{}", table.path);
        assert!(
            !table.about.is_empty() && table.about.ends_with('.'),
            "{}",
            table.path
        );
    }
    for place in keys() {
        let key = place.key;
        assert!(
            !key.about.is_empty() && !key.about.ends_with('.'),
            "{}",
            place.path
        );
        assert!(!key.form.allowed().is_empty(), "{}", place.path);
        let known = |word: &str| {
            shape::foreign(word).is_some() || word == key.name || word.contains(' ') || word == "lvs_timeouts"
        };
        assert!(
            key.keepalived
                .is_none_or(|word| known(word) || key.form.table().is_some() || HINTLESS.contains(&word)),
            "{}",
            place.path
        );
    }
}

/// keepalived's words that name something else here, or that stand in blocks which have no counterpart: no hint can be given.
const HINTLESS: [&str; 9] = [
    "hysteresis",
    "uthreshold",
    "lthreshold",
    "status_code",
    "regex",
    "virtualhost",
    "enable_sni",
    "type",
    "url",
];

#[test]
fn every_example_parses() {
    let all = keys();
    assert!(all.len() > 110, "{}", all.len());
    for place in &all {
        good(&file(place));
    }
}

/// The value of a path, in the last of each list of tables that has it.
fn slot<'t>(table: &'t mut toml::Table, path: &[&str]) -> Option<(&'t mut toml::Table, String)> {
    match path {
        [] => None,
        [last] => table.contains_key(*last).then(|| (table, (*last).to_owned())),
        [first, rest @ ..] => match table.get_mut(*first)? {
            Value::Table(inner) => slot(inner, rest),
            Value::Array(all) => all
                .iter_mut()
                .rev()
                .find_map(|one| slot(one.as_table_mut()?, rest)),
            _ => None,
        },
    }
}

/// The file with the value changed, written anew.
fn changed(text: &str, path: &str, change: impl FnOnce(&mut toml::Table, &str)) -> String {
    let mut table: toml::Table = text.parse().expect("it is TOML");
    let path: Vec<&str> = path.split('.').collect();
    let (holder, key) = slot(&mut table, &path).expect("the example has the key");
    change(holder, &key);
    toml::to_string(&table).expect("it was TOML")
}

#[test]
fn every_key_is_read_where_it_stands() {
    // A date is right nowhere.
    let wrong: Value = "1979-05-27"
        .parse::<toml::value::Datetime>()
        .expect("a date")
        .into();
    for place in keys() {
        let text = changed(&file(&place), &place.path, |table, key| {
            drop(table.insert(key.to_owned(), wrong.clone()))
        });
        let start = value_span(&text, &place.path).start;
        assert!(
            !faults_at(&text, start).is_empty(),
            "{} is not read:\n{text}",
            place.path
        );
    }
}

/// The file without the key, if that is one that can be read.
fn without(text: &str, path: &str) -> Option<Config> {
    parse(&changed(text, path, |table, key| drop(table.remove(key)))).ok()
}

#[test]
fn every_example_makes_a_difference() {
    let mut compared = 0;
    for place in keys() {
        let text = file(&place);
        let ours = good(&changed(&text, &place.path, |_, _| ()));
        if let Some(other) = without(&text, &place.path) {
            assert_ne!(ours, other, "{}", place.path);
            compared += 1;
        }
    }
    assert!(compared > 70, "{compared}");
}

#[test]
fn defaults_are_what_holds_without_the_key() {
    let mut compared = 0;
    for place in keys() {
        let usual = place.key.unset.written().map(|value| (None, value));
        let own = place.key.own_types();
        let own = own.filter_map(|of| Some((Some(of.word()), of.unset.as_ref()?.written()?)));
        for (kind, value) in usual.into_iter().chain(own) {
            let mut text = with(&file(&place), &place.path, &value);
            if let Some(kind) = kind {
                let more = match kind {
                    "kube-apiserver" => format!("type = \"{kind}\", "),
                    _ => format!("type = \"{kind}\", port = 32000, "),
                };
                text = text
                    .replace("type = \"http\", ", "")
                    .replace("check = { ", &format!("check = {{ {more}"));
            }
            let ours = good(&text);
            let other = without(&text, &place.path).unwrap_or_else(|| panic!("{}", place.path));
            assert_eq!(ours, other, "{} = {value}", place.path);
            compared += 1;
        }
    }
    assert!(compared > 40, "{compared}");
}

/// The values at the ends of what is allowed, and those beyond.
fn limits(form: &Form) -> Option<([String; 2], Vec<String>)> {
    let shown = |time: Duration| format!("\"{}\"", time::show(time));
    Some(match form {
        Form::Time(range) | Form::Seconds(range) => {
            let step = Duration::from_secs(1);
            let below = range.start().checked_sub(Duration::from_millis(1));
            let beyond = below.into_iter().chain([*range.end() + step]).map(shown);
            ([shown(*range.start()), shown(*range.end())], beyond.collect())
        }
        Form::Number { range, .. } => {
            let below = range.start().checked_sub(1).map(|n| n.to_string());
            let beyond = below
                .into_iter()
                .chain([(u64::from(*range.end()) + 1).to_string()]);
            (
                [range.start().to_string(), range.end().to_string()],
                beyond.collect(),
            )
        }
        Form::Either(forms) => return forms.iter().find_map(limits),
        Form::OneOrMore(form) => return limits(form),
        _ => return None,
    })
}

#[test]
fn limits_are_the_readers() {
    let mut compared = 0;
    for place in keys() {
        let Some((within, beyond)) = limits(&place.key.form) else {
            continue;
        };
        let text = file(&place);
        for (value, allowed) in within
            .iter()
            .map(|v| (v, true))
            .chain(beyond.iter().map(|v| (v, false)))
        {
            let text = with(&text, &place.path, value);
            let found = faults_at(&text, value_span(&text, &place.path).start);
            let out = found.iter().any(|message| {
                [" is too short for ", " is too long for ", " is out of range for "]
                    .iter()
                    .any(|words| message.contains(words))
            });
            // Persistence: the range is that of the family.
            let of_family = place.path == "virtual_server.persistence.prefix" && value == "128";
            assert_eq!(out, !allowed || of_family, "{} = {value}: {found:?}", place.path);
            compared += 1;
        }
    }
    assert!(compared > 80, "{compared}");
}

#[test]
fn words_are_the_readers() {
    for place in keys().iter().filter(|place| !place.key.form.words().is_empty()) {
        for word in place.key.form.words() {
            let text = with(&file(place), &place.path, &format!("\"{word}\""));
            let found = faults_at(&text, value_span(&text, &place.path).start);
            let unknown = found.iter().any(|message| message.starts_with("unknown value"));
            assert!(!unknown, "{} = {word}: {found:?}", place.path);
        }
        let text = with(&file(place), &place.path, "\"nosuch\"");
        let found = faults_at(&text, value_span(&text, &place.path).start);
        assert!(
            found
                .iter()
                .any(|message| message.starts_with("unknown value `nosuch`")),
            "{}: {found:?}",
            place.path
        );
    }
}

#[test]
fn keepalived_words_are_read_as_ours() {
    let all = keys();
    let renamed = all.iter().filter_map(|place| Some((place, place.key.alias?)));
    let mut count = 0;
    for (place, alias) in renamed {
        let text = file(place);
        let theirs = text.replace(&format!("{} =", place.key.name), &format!("{alias} ="));
        assert_ne!(text, theirs);
        assert_eq!(good(&text), good(&theirs), "{alias}");
        count += 1;
    }
    assert_eq!(count, 4);
}

#[test]
fn since_is_a_version_that_there_is() {
    let number = |text: &str| -> Vec<u32> {
        text.split('.')
            .map(|part| part.parse().expect("a number"))
            .collect()
    };
    for place in keys() {
        let since = number(place.key.since);
        assert!(
            since.len() == 3 && since <= number(env!("CARGO_PKG_VERSION")),
            "{}",
            place.path
        );
    }
}

#[test]
fn types_of_checks_are_told_apart() {
    let send = CHECK.key("send").unwrap();
    assert_eq!(send.types().collect::<Vec<_>>(), ["udp", "agent"]);
    assert!(send.about_of("agent").starts_with("a line") && send.about_of("udp").starts_with("what is sent"));
    assert_eq!(
        CHECK.key("path").unwrap().unset_of("kube-apiserver").shown(),
        "`\"/readyz\"`"
    );
    assert!(VIRTUAL_SERVER.key("slow_start").unwrap().about.contains("6,553"));
    assert_eq!(Weight::MAX / RAMP, 6_553);
}

#[test]
fn keys_are_found_by_the_end_of_their_path() {
    let found = |words: &str| {
        find(words)
            .into_iter()
            .map(|place| place.path)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        found("virtual_server.check.interval"),
        ["virtual_server.check.interval"]
    );
    assert_eq!(found("interval"), ["virtual_server.check.interval"]);
    assert_eq!(found("check.interval"), ["virtual_server.check.interval"]);
    assert_eq!(
        found("real_server.check.interval"),
        ["virtual_server.real_server.check.interval"]
    );
    assert_eq!(found("[[masquerade]]"), ["masquerade"]);
    assert_eq!(found("delay_loop"), ["virtual_server.check.interval"]);
    assert_eq!(found("lvs_sched"), ["virtual_server.scheduler"]);
    assert_eq!(
        found("interface"),
        ["interface", "virtual_server.check.interface"]
    );
    assert_eq!(found("mac"), ["interface.match.mac"]);
    assert!(found("").is_empty() && found("nosuch").is_empty() && found(".").is_empty());
    assert_eq!(found("kill-after"), ["virtual_server.kill_after"]);
}

#[test]
fn words_that_are_explained_are_all_of_the_key_s_words_in_their_order() {
    let mut explained = 0;
    for place in places().iter().filter(|place| !place.key.meanings.is_empty()) {
        let Form::Words(words) = place.key.form else {
            panic!("{} takes no words", place.path);
        };
        let meanings: Vec<&str> = place.key.meanings.iter().map(|(word, _)| *word).collect();
        assert_eq!(meanings, *words, "{}", place.path);
        explained += 1;
    }
    assert!(explained >= 2, "{explained}");
}
